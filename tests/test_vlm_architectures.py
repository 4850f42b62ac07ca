"""Other architectures than LLaVA-OneVision: tiny ones with random weights, against single forward passes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra vlm")
pytest.importorskip("transformers", reason="needs the extra vlm")

import hybridcert as hc  # noqa: E402
import vlm_checkpoints  # noqa: E402
from hybridcert.adapters.canvas import Canvas  # noqa: E402
from hybridcert.adapters.image_text import SuffixSlots  # noqa: E402
from hybridcert.adapters.vlm.classifier import VisionLanguageClassifier  # noqa: E402
from hybridcert.adapters.vlm.label_tokens import LabelTokens  # noqa: E402
from hybridcert.sampling.copies import Copies  # noqa: E402
from hybridcert.sampling.noise import SmoothingNoise  # noqa: E402
from hybridcert.sampling.slots import Completed  # noqa: E402
from hybridcert.sampling.streams import RowStreams, Stage  # noqa: E402

POLICIES = {
    "paligemma": "{image} message {text} note {suffix} now",
    "llava": "does the message name the digit ? image {image} message {text} note {suffix} now",
    "qwen2_vl": "image <|vision_start|> {image} <|vision_end|> message {text} note {suffix} now",
}
X = {"text": ["the digit seven"], "image": [np.random.default_rng(0).random((28, 56))]}
NOISE = {"suffix": hc.UniformReplacement(0.5), "image": hc.GaussianNoise(0.25)}


@pytest.fixture(scope="module", params=list(POLICIES))
def classifier(request, tmp_path_factory) -> VisionLanguageClassifier:
    """A classifier whose verdicts are mixed: its labels are the two tokens that win about equally often."""
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
    logits = single_logits(found, *prompts_of(found, copies=40))
    wins = (logits[:, :, None] > logits[:, None, :]).double().mean(dim=0)
    safe, unsafe = divmod(int((wins - 0.5).abs().argmin()), logits.shape[1])
    vars(found)["_labels"] = LabelTokens((safe,), (unsafe,), 0.0)
    return found


def prompts_of(classifier, *, copies):
    """Noisy prompts of different lengths, and their images."""
    inputs = classifier.encode(X)
    fixed = classifier._prompts.fixed(inputs, 0)
    noise, key = SmoothingNoise(NOISE, classifier.surfaces()), RowStreams(0).keys(inputs)[0]
    drawn = noise.draw(inputs, 0, copies, key, stage=Stage.EXPLORE, block=0)
    images = torch.from_numpy(classifier.canvas.planes(drawn["image"]))
    return [classifier._prompts.whole(fixed, suffix) for suffix in drawn["suffix"]], images


def single_logits(classifier, rows, images):
    """One plain forward pass for each prompt, with what the model's own processor would tell it."""
    loaded, found = classifier._loaded, []
    model = loaded.network.model
    with torch.inference_mode():
        for number, row in enumerate(rows):
            ids = torch.tensor([row])
            qwen = model.config.model_type == "qwen2_vl"
            kinds = {"mm_token_type_ids": (ids == loaded.image_token).long()} if qwen else {}
            pixels = loaded.pixels(images[number : number + 1])
            found.append(model(input_ids=ids, **pixels, **kinds).logits[0, -1])
    return torch.stack(found)


def test_batches_answer_as_single_forward_passes_do(classifier):
    rows, images = prompts_of(classifier, copies=12)
    assert len({len(row) for row in rows}) > 1
    loaded = classifier._loaded
    with torch.inference_mode():
        behind = [classifier._prompts.behind_head(row) for row in rows]
        together = loaded.network.last_logits(behind, loaded.pixels(images), loaded.head)
    torch.testing.assert_close(together, single_logits(classifier, rows, images), rtol=0, atol=2e-4)
    assert together.std(dim=0).max() > 1e-4  # the copies do differ


def test_answers_do_not_depend_on_the_batch(classifier):
    inputs = classifier.encode(X)
    noise, key = SmoothingNoise(NOISE, classifier.surfaces()), RowStreams(0).keys(inputs)[0]
    copies = Copies(noise, inputs, 0, 40, key, Stage.ESTIMATE, 0)
    answers = classifier.predict_copies(copies)
    assert 4 < answers.sum() < 36
    drawn = noise.draw(inputs, 0, 40, key, stage=Stage.ESTIMATE, block=0)
    for number in range(40):
        one = {name: values[number : number + 1] for name, values in drawn.items()}
        assert classifier.predict_encoded(one)[0] == answers[number]


def test_generated_answers_are_those_of_the_model_itself(classifier):
    rows, images = prompts_of(classifier, copies=6)
    loaded = classifier._loaded
    with torch.inference_mode():
        written = loaded.network.generated(rows, loaded.pixels(images), tokens=1)
    expected = single_logits(classifier, rows, images).argmax(dim=1)
    assert [tokens[0] for tokens in written] == expected.tolist()


def test_images_have_as_many_tokens_as_the_model_makes_of_them(classifier):
    assert classifier._loaded.image_tokens == classifier._loaded._counted_by_the_model()


def test_frontiers_agree_with_runs_of_their_own(classifier):
    """The same draws: every number of slots from completed copies, against the copies asked one by one."""
    inputs = classifier.encode(X)
    noise, key = SmoothingNoise(NOISE, classifier.surfaces()), RowStreams(0).keys(inputs)[0]
    copies = Copies(noise, inputs, 0, 40, key, Stage.ESTIMATE, 0)
    variants, owner, _ = Completed("suffix", (0, 1, 2, 3))._variants(copies)
    answers = classifier.predict_variants(copies, "suffix", variants, owner)
    others = {name: copies.drawn(name)[owner] for name in ("prompt", "image")}
    assert answers.tolist() == classifier.predict_encoded({**others, "suffix": variants}).tolist()
    assert 0.1 < answers.mean() < 0.9


def test_certificates_verify(classifier):
    run = hc.SmoothedClassifier(classifier, noise=NOISE).certify(
        X, threat=hc.Substitution(4), samples=24, alpha=0.01, seed=0, threshold=0.1, label="safe"
    )
    assert run.counts[0, :2].min() > 0
    assert all(hc.verify_document(document).ok for document in run.certificates())
