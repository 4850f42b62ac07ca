"""Margins of vision-language models on the guard that ships: they agree with the verdicts."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra vlm")
pytest.importorskip("transformers", reason="needs the extra vlm")

import hybridcert as hc  # noqa: E402
from hybridcert.adapters.canvas import Canvas  # noqa: E402
from hybridcert.adapters.image_text import SuffixSlots, WholePrompt  # noqa: E402
from hybridcert.adapters.vlm.classifier import VisionLanguageClassifier  # noqa: E402
from hybridcert.checkpoints import tiny_guard  # noqa: E402
from hybridcert.datasets.digits_captions import PAD, VOCABULARY, decode, load_digit_captions  # noqa: E402
from hybridcert.errors import ModelError  # noqa: E402
from hybridcert.sampling.noise import SmoothingNoise  # noqa: E402
from hybridcert.sampling.scores import DifferentiableClassifier  # noqa: E402
from hybridcert.sampling.streams import RowStreams, Stage  # noqa: E402

WORDS = [word for word in VOCABULARY if word != PAD]
REGIONS = {
    "slots": (SuffixSlots(8), {"suffix": hc.UniformReplacement(0.5), "image": hc.GaussianNoise(0.5)}),
    "whole prompt": (WholePrompt(24), {"text": hc.RandomDeletion(0.4), "image": hc.GaussianNoise(0.5)}),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def guard(region, **options) -> VisionLanguageClassifier:
    chosen = {"policy": tiny_guard() / "policy.txt", "tokens": WORDS, "batch_size": 48}
    return VisionLanguageClassifier(tiny_guard(), region=region, canvas=Canvas(8, 8, 1), **(chosen | options))


def pairs() -> dict[str, list]:
    """Two unsafe pairs, then two benign ones."""
    held_out = load_digit_captions(seed=0).held_out
    flagged = held_out.label == "unsafe"
    chosen = held_out.rows(np.array([*np.flatnonzero(flagged)[:2], *np.flatnonzero(~flagged)[:2]]))
    return {
        "text": [decode(text) for text in chosen.text],
        "image": [image.reshape(8, 8) for image in chosen.image],
    }


def copies_of(classifier, noise, *, count):
    """Noisy copies of all pairs, below each other."""
    inputs = classifier.encode(pairs())
    law, keys = SmoothingNoise(noise, classifier.surfaces()), RowStreams(3).keys(inputs)
    drawn = [law.draw(inputs, r, count, key, stage=Stage.EXPLORE, block=0) for r, key in enumerate(keys)]
    return {name: np.concatenate([part[name] for part in drawn]) for name in drawn[0]}


@pytest.mark.parametrize("least", [0.5, 0.9995])
@pytest.mark.parametrize("name", REGIONS)
def test_margins_have_the_sign_of_the_verdicts(name, least):
    region, noise = REGIONS[name]
    classifier = guard(region, least_mass=least)
    assert isinstance(classifier, DifferentiableClassifier)
    assert classifier.tells_margins
    batch = copies_of(classifier, noise, count=100)
    verdicts = classifier.predict_encoded(batch)
    assert min(np.bincount(verdicts, minlength=3)[: 2 if least == 0.5 else 3]) > 10
    for label in (0, 1):
        margins = classifier.margins(batch, label)
        assert margins.dtype == np.float64
        np.testing.assert_array_equal(margins > 0.0, verdicts == label)
        assert len(np.unique(margins)) > 100


def test_answers_that_are_written_have_no_margins():
    classifier = guard(SuffixSlots(2), decision="text")
    assert not classifier.tells_margins
    assert not classifier.tells_sensitivity
    batch = classifier.encode(pairs())
    for ask in (classifier.margins, lambda batch, label: classifier.sensitivity(batch, label, {})):
        with pytest.raises(ModelError, match=r"^a classifier with decision='text' tells no probabilities, "):
            ask(batch, 1)


def test_no_rows_have_no_margins():
    classifier = guard(SuffixSlots(2))
    empty = {name: values[:0] for name, values in classifier.encode(pairs()).items()}
    assert classifier.margins(empty, 1).shape == (0,)
    assert classifier.predict_encoded(empty).shape == (0,)
