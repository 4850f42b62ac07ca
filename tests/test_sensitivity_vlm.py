"""Derivatives of vision-language models: to pixels through resizing, to tokens through embeddings."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra vlm")
pytest.importorskip("transformers", reason="needs the extra vlm")

from scipy.stats import spearmanr  # noqa: E402

import hybridcert as hc  # noqa: E402
import vlm_checkpoints  # noqa: E402
from hybridcert.adapters.canvas import Canvas  # noqa: E402
from hybridcert.adapters.image_text import SuffixSlots, WholePrompt  # noqa: E402
from hybridcert.adapters.vlm.classifier import VisionLanguageClassifier  # noqa: E402
from hybridcert.adapters.vlm.image_gradient import straight_through, unrounded  # noqa: E402
from hybridcert.adapters.vlm.image_pipeline import ImagePipeline  # noqa: E402
from hybridcert.adapters.vlm.label_tokens import LabelTokens  # noqa: E402
from hybridcert.checkpoints import tiny_guard  # noqa: E402
from hybridcert.datasets.digits_captions import (  # noqa: E402
    NUMBER_WORDS,
    PAD,
    VOCABULARY,
    decode,
    load_digit_captions,
)
from hybridcert.errors import ModelError, ParameterError  # noqa: E402
from hybridcert.sampling.noise import SmoothingNoise  # noqa: E402
from hybridcert.sampling.streams import RowStreams, Stage  # noqa: E402

WORDS = [word for word in VOCABULARY if word != PAD]
IMAGE_NOISE = hc.GaussianNoise(0.25)
NOISE = {"suffix": hc.UniformReplacement(0.25), "image": IMAGE_NOISE}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def guard(region=None, **options) -> VisionLanguageClassifier:
    chosen = {
        "policy": tiny_guard() / "policy.txt",
        "tokens": WORDS,
        "batch_size": 32,
        "canvas": Canvas(8, 8, 1),
    }
    return VisionLanguageClassifier(
        tiny_guard(), region=SuffixSlots(8) if region is None else region, **(chosen | options)
    )


def unsafe_pairs(count: int) -> dict[str, list]:
    held_out = load_digit_captions(seed=0).held_out
    chosen = held_out.rows(np.flatnonzero(held_out.label == "unsafe")[:count])
    return {
        "text": [decode(text) for text in chosen.text],
        "image": [image.reshape(8, 8) for image in chosen.image],
    }


@pytest.fixture(scope="module")
def slots() -> VisionLanguageClassifier:
    return guard()


@pytest.fixture(scope="module")
def inputs(slots) -> dict[str, np.ndarray]:
    """Unsafe pairs whose slots hold words; the first has an empty slot at the end."""
    found = slots.encode(unsafe_pairs(4))
    found["suffix"] = np.random.default_rng(0).integers(0, len(WORDS), (4, 8))
    found["suffix"][0, 7] = len(WORDS)
    return found


def copies_of(classifier, inputs, *, row=0, count=48, noise=None, block=0):
    law = SmoothingNoise(NOISE if noise is None else noise, classifier.surfaces())
    key = RowStreams(3).keys(inputs)[row]
    drawn = law.draw(inputs, row, count, key, stage=Stage.EXPLORE, block=block)
    return {name: np.array(values) for name, values in drawn.items()}


def kept(symbols, clean):
    return np.where(symbols == clean, np.arange(clean.size), -1)


# pixels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("canvas", [Canvas(8, 8, 1), Canvas(30, 50, 3)], ids=["small", "large"])
def test_pixel_values_are_those_of_the_pipeline_and_have_the_slopes_of_the_unrounded_one(canvas):
    pipeline = guard(canvas=canvas)._loaded.pipeline
    assert isinstance(pipeline, ImagePipeline)
    draw = torch.Generator().manual_seed(0)
    shape = (3, canvas.channels, canvas.height, canvas.width)
    images = torch.rand(shape, generator=draw, dtype=torch.float64) * 1.4 - 0.2
    leaf = images.clone().requires_grad_()
    values = straight_through(pipeline, leaf)
    assert torch.equal(values.detach(), pipeline(images))
    smooth = unrounded(pipeline, images)
    level = 1 / 255 / min(pipeline.plan.std)
    assert (smooth - pipeline(images)).abs().max() < 3 * level  # one rounding, one for each axis resized

    factors = torch.randn(values.shape, generator=draw)
    (slope,) = torch.autograd.grad((values * factors).sum(), leaf)
    assert ((slope == 0) == ((images < 0) | (images > 1))).float().mean() > 0.99  # clipped ones have none
    direction = torch.randn(shape, generator=draw, dtype=torch.float64)
    step = 1e-3
    up, down = (unrounded(pipeline, images + sign * step * direction) for sign in (1, -1))
    measured = ((up - down).double() * factors).sum() / (2 * step)
    assert float((slope * direction).sum()) == pytest.approx(float(measured), rel=0.02, abs=0.05)


@pytest.mark.parametrize("label", [0, 1])
def test_a_step_down_the_slope_lowers_the_margin_on_fresh_copies(slots, inputs, label):
    """The real classifier, rounding included, on other copies; a random step of the same length does less."""
    draw = np.random.default_rng(0)
    for row in range(3):
        batch = copies_of(slots, inputs, row=row)
        origin = kept(batch["suffix"], inputs["suffix"][row])
        found = slots.sensitivity(batch, label, {"suffix": origin})
        slope = found.continuous["image"]
        assert slope.shape == (64,)
        step = -0.3 * slope / np.linalg.norm(slope)
        other = draw.normal(size=64)
        other *= 0.3 / np.linalg.norm(other)
        fresh = copies_of(slots, inputs, row=row, count=96, block=1)
        before, after, beside = (
            slots.margins({**fresh, "image": fresh["image"] + shift}, label).mean()
            for shift in (0.0, step, other)
        )
        assert after < before - 0.1
        assert after < beside - 0.1


def test_pixels_have_the_slope_of_the_margin_itself(slots, inputs):
    """Along a direction so long that rounding to levels averages out."""
    batch = copies_of(slots, inputs, row=1, count=256)
    slope = slots.sensitivity(batch, 1, {}).continuous["image"]
    direction = slope / np.linalg.norm(slope)
    step = 0.04
    up, down = (
        slots.margins({**batch, "image": batch["image"] + sign * step * direction}, 1).mean()
        for sign in (1, -1)
    )
    assert (up - down) / (2 * step) == pytest.approx(np.linalg.norm(slope), rel=0.15)


# tokens -----------------------------------------------------------------------------------------------


def test_tokens_have_the_shape_of_the_surface_and_empty_slots_are_unknown(slots, inputs):
    batch = copies_of(slots, inputs)
    origin = kept(batch["suffix"], inputs["suffix"][0])
    origin[:, 3] = -1
    found = slots.sensitivity(batch, 1, {"suffix": origin})
    np.testing.assert_allclose(found.margins, slots.margins(batch, 1), atol=1e-5)
    weights = found.discrete["suffix"]
    surface = slots.surfaces()["suffix"]
    assert weights.shape == (8, surface.alphabet_sizes[0])
    unknown = np.isnan(weights)
    assert unknown[[3, 7]].all()  # carried by no copy; empty
    assert unknown[:, len(WORDS)].all()  # the empty slot as a symbol
    assert not unknown[[0, 1, 2, 4, 5, 6], : len(WORDS)].any()
    assert slots.sensitivity(batch, 1, {}).discrete == {}


def test_derivatives_do_not_depend_on_batches_or_on_what_was_asked_before(slots, inputs):
    """Another batch size, a classifier that first answered, and one that did not."""
    batch = copies_of(slots, inputs, row=1)
    origin = {"suffix": kept(batch["suffix"], inputs["suffix"][1])}
    answered, fresh = guard(batch_size=7), guard(batch_size=48)
    answered.predict_encoded(batch)
    expected = slots.sensitivity(batch, 1, origin)
    for classifier in (answered, fresh):
        found = classifier.sensitivity(batch, 1, origin)
        np.testing.assert_allclose(found.margins, expected.margins, atol=1e-4)
        for one, other in (
            (found.continuous["image"], expected.continuous["image"]),
            (found.discrete["suffix"], expected.discrete["suffix"]),
        ):
            np.testing.assert_allclose(one, other, atol=1e-3 * np.nanmax(np.abs(other)))


def test_tokens_have_the_slope_along_the_line_to_another_vector(inputs):
    """The vector of a token moves a little towards another one's: the margin follows to first order."""
    classifier = guard(batch_size=48)  # all copies in one pass
    batch = copies_of(classifier, inputs, row=2)
    batch["suffix"][batch["suffix"] == len(WORDS)] = 0  # no empty slot: all prompts have one length
    clean = inputs["suffix"][2]
    origin = kept(batch["suffix"], clean)
    weights = classifier.sensitivity(batch, 1, {"suffix": origin}).discrete["suffix"]
    network, ids = classifier._loaded.network, classifier._alphabet.ids
    embedding, behind = network.model.get_input_embeddings(), len(classifier._prompts.behind_suffix([]))
    slopes, step = [], 0.02
    for position, symbol in ((0, 5), (4, 17), (6, 30)):
        towards = embedding.weight[ids[symbol]] - embedding.weight[ids[clean[position]]]
        rows = torch.from_numpy(np.flatnonzero(origin[:, position] == position))

        def mean(share, rows=rows, towards=towards, position=position):
            def move(module, arguments, output):
                changed = output.clone()
                changed[rows, output.shape[1] - behind - 8 + position] += share * towards
                return changed

            hook = embedding.register_forward_hook(move)
            found = classifier.margins(batch, 1).mean()
            hook.remove()
            return found

        measured = (mean(step) - mean(-step)) / (2 * step)
        slopes.append(measured)
        expected = weights[position, symbol] - weights[position, clean[position]]
        assert expected == pytest.approx(measured, rel=0.05, abs=1e-3)
    assert np.abs(slopes).max() > 0.01


def test_swaps_of_tokens_are_ranked_better_than_chance(slots, inputs):
    """The first-order change against the true one, over 56 swaps of each of three inputs: mean rank
    correlation; without any relation it exceeds 0.3 with probability below 1e-4."""
    draw, found = np.random.default_rng(0), []
    for row in range(1, 4):
        clean = inputs["suffix"][row]
        batch = copies_of(slots, inputs, row=row, count=24)
        origin = kept(batch["suffix"], clean)
        told = slots.sensitivity(batch, 1, {"suffix": origin})
        weights, base = told.discrete["suffix"], told.margins.mean()
        expected, true = [], []
        for position in range(7):
            for symbol in draw.choice(len(WORDS), 8, replace=False):
                swapped = np.where(origin == position, symbol, batch["suffix"])
                true.append(slots.margins({**batch, "suffix": swapped}, 1).mean() - base)
                expected.append(weights[position, symbol] - weights[position, clean[position]])
        found.append(spearmanr(expected, true).statistic)
    assert np.mean(found) > 0.3


def test_words_of_whole_prompts_belong_to_the_positions_they_came_from():
    classifier = guard(WholePrompt(24))
    inputs = classifier.encode(unsafe_pairs(1))
    clean = inputs["text"][0]
    draw = np.random.default_rng(0)
    deleted = draw.random((40, clean.size)) < 0.4
    order = np.argsort(deleted, axis=1, kind="stable")
    origin = np.where(np.take_along_axis(deleted, order, axis=1), -1, order)
    symbols = np.where(origin < 0, -1, clean[order])
    image = inputs["image"] + 0.25 * draw.normal(size=(40, 64))
    batch = {"text": symbols, "image": image}
    origin[origin == 2] = -1
    found = classifier.sensitivity(batch, 1, {"text": origin})
    np.testing.assert_allclose(found.margins, classifier.margins(batch, 1), atol=1e-4)
    weights = found.discrete["text"]
    assert weights.shape == (clean.size, len(WORDS) + 1)
    assert np.isnan(weights).all(axis=1).tolist() == [position == 2 for position in range(clean.size)]
    # the word that names the digit matters most
    spread = np.delete(weights[:, : len(WORDS)], 2, axis=0).std(axis=1)
    named = [WORDS[symbol] for symbol in np.delete(clean, 2)]
    assert named[int(spread.argmax())] in NUMBER_WORDS


# fronts, architectures, errors ------------------------------------------------------------------------


class Half:
    def __call__(self, images):
        return images * 0.5 + 0.25


class HalfWithoutDerivatives:
    def __call__(self, images):
        with torch.inference_mode():
            return images.mul(0.5).add(0.25)


def test_a_front_is_differentiated_or_taken_as_the_identity(inputs):
    passing, opaque = (guard(front=front) for front in (Half(), HalfWithoutDerivatives()))
    batch = copies_of(passing, inputs, row=1, count=16)
    one, other = (classifier.sensitivity(batch, 1, {}) for classifier in (passing, opaque))
    np.testing.assert_allclose(one.margins, passing.margins(batch, 1), atol=1e-5)
    np.testing.assert_allclose(one.margins, other.margins, atol=1e-5)
    slope = one.continuous["image"]
    assert np.linalg.norm(slope) > 0.01
    np.testing.assert_allclose(2 * slope, other.continuous["image"], atol=1e-3 * np.abs(slope).max())


POLICIES = {
    "paligemma": "{image} message {text} note {suffix} now",
    "llava": "does the message name the digit ? image {image} message {text} note {suffix} now",
    "qwen2_vl": "image <|vision_start|> {image} <|vision_end|> message {text} note {suffix} now",
}


@pytest.fixture(scope="module", params=list(POLICIES))
def other(request, tmp_path_factory) -> VisionLanguageClassifier:
    folder = getattr(vlm_checkpoints, request.param)(tmp_path_factory.mktemp("checkpoint") / request.param)
    found = VisionLanguageClassifier(
        folder,
        region=SuffixSlots(4),
        canvas=Canvas(28, 56, 1),
        policy=POLICIES[request.param],
        tokens=["one", "two", "seven"],
        least_mass=0.0,
        batch_size=8,
    )
    vars(found)["_labels"] = LabelTokens((3,), (7,), 0.0)
    return found


def test_other_architectures_have_derivatives_or_say_why_not(other):
    draw = np.random.default_rng(0)
    inputs = other.encode(
        {"text": ["the digit seven"], "suffix": ["one two seven"], "image": [draw.random((28, 56))]}
    )
    batch = copies_of(other, inputs, count=20, noise={**NOISE, "image": hc.GaussianNoise(0.05)})
    origin = {"suffix": kept(batch["suffix"], inputs["suffix"][0])}
    if other._loaded.config.model_type == "qwen2_vl":
        assert not other.tells_sensitivity
        with pytest.raises(ModelError, match=r"^the image processor of this qwen2_vl has steps that are not"):
            other.sensitivity(batch, 1, origin)
        return
    assert other.tells_sensitivity
    found = other.sensitivity(batch, 1, origin)
    np.testing.assert_allclose(found.margins, other.margins(batch, 1), atol=1e-5)
    assert np.isnan(found.discrete["suffix"]).sum() == 4 + 3  # the empty slot, as a symbol and as a position
    slope = found.continuous["image"]
    step = 0.02 * slope / np.abs(slope).max()
    up, down = (other.margins({**batch, "image": batch["image"] + s * step}, 1).mean() for s in (1, -1))
    assert up - down == pytest.approx(2 * slope @ step, rel=0.2)


def test_other_modalities_are_refused(slots, inputs):
    with pytest.raises(ParameterError, match=r"^origin must name 'suffix' or nothing, got 'text'$"):
        slots.sensitivity(inputs, 1, {"text": np.zeros((4, 8), dtype=np.intp)})
