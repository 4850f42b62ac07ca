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
from hybridcert.sampling.noise import SmoothingNoise  # noqa: E402
from hybridcert.sampling.streams import RowStreams, Stage  # noqa: E402

POLICIES = {
    "llava": "does the message name the digit ? image {image} message {text} note {suffix} now",
    "qwen2_vl": "image <|vision_start|> {image} <|vision_end|> message {text} note {suffix} now",
}
X = {"text": ["the digit seven"], "image": [np.random.default_rng(0).random((28, 56))]}
NOISE = {"suffix": hc.UniformReplacement(0.5), "image": hc.GaussianNoise(0.25)}


@pytest.fixture(scope="module", params=list(POLICIES))
def classifier(request, tmp_path_factory) -> VisionLanguageClassifier:
    folder = getattr(vlm_checkpoints, request.param)(tmp_path_factory.mktemp("checkpoint") / request.param)
    return VisionLanguageClassifier(
        folder,
        region=SuffixSlots(4),
        canvas=Canvas(28, 56, 1),
        policy=POLICIES[request.param],
        tokens=["one", "two", "seven"],
        least_mass=0.0,
        batch_size=8,
    )


def test_batches_answer_as_single_forward_passes_do(classifier):
    inputs = classifier.encode(X)
    loaded, fixed = classifier._loaded, classifier._prompts.fixed(inputs, 0)
    noise = SmoothingNoise(NOISE, classifier.surfaces())
    key = RowStreams(0).keys(inputs)[0]
    drawn = noise.draw(inputs, 0, 8, key, stage=Stage.ESTIMATE, block=0)
    images = torch.from_numpy(classifier.canvas.planes(drawn["image"]))
    rows = [classifier._prompts.whole(fixed, suffix) for suffix in drawn["suffix"]]
    assert len({len(row) for row in rows}) > 1
    with torch.inference_mode():
        behind = [classifier._prompts.behind_head(row) for row in rows]
        together = loaded.network.last_logits(behind, loaded.pixels(images), loaded.head)
        for number, row in enumerate(rows):
            ids = torch.tensor([row])
            kinds = {"mm_token_type_ids": (ids == loaded.image_token).long()}
            found = loaded.network.model(
                input_ids=ids,
                **loaded.pixels(images[number : number + 1]),
                **(kinds if loaded.network._tells_images else {}),
            )
            torch.testing.assert_close(together[number], found.logits[0, -1], rtol=0, atol=2e-4)
    assert together.std(dim=0).max() > 1e-4  # the copies do differ


def test_images_have_as_many_tokens_as_the_model_makes_of_them(classifier):
    assert classifier._loaded.image_tokens == classifier._loaded._counted_by_the_model()


def test_frontiers_and_certificates_work_whether_beginnings_can_be_shared_or_not(classifier):
    smoothed = hc.SmoothedClassifier(classifier, noise=NOISE)
    frontier = hc.slot_frontier(
        smoothed,
        X,
        modality="suffix",
        samples=24,
        alpha=0.01,
        seed=0,
        threshold=0.1,
        scope="simultaneous",
        reuse="completed",
        label="safe",
    )
    assert [int(run.counts.sum()) for run in frontier.runs] == [24] * 5
    whole = smoothed.certify(
        X, threat=hc.Substitution(4), samples=24, alpha=0.01, seed=0, threshold=0.1, label="safe"
    )
    assert frontier.runs[4].counts.tolist() == whole.counts.tolist()
    assert all(hc.verify_document(document).ok for document in whole.certificates())
