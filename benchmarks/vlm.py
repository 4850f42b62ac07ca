"""Vision–language guards: overhead of smoothing, a frontier against separate runs, and against a plain loop.

    python benchmarks/vlm.py                            # all on the CPU, about five minutes
    python benchmarks/vlm.py --device cuda --architecture 0.5b
    python benchmarks/vlm.py forward

``forward``: copies a second (noise, preprocessing, prompts, verdicts) against the bare forward pass on the
same batches, prepared beforehand. ``loop``: against a straightforward loop that makes a PIL image of every
copy, calls the checkpoint's processor on it and then the model, in batches of the same size. ``frontier``:
certificates for noise on 0 … 8 slots from completed copies against eight separate runs with noise on 1 … 8
slots, the same number of copies each; on the shipped guard, and with a prompt of 500 tokens on a larger
network with random weights. Processor time of one thread on a CPU, time by the clock on an accelerator;
medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import hybridcert as hc
from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import SuffixSlots
from hybridcert.adapters.vlm.checkpoint import Checkpoint
from hybridcert.adapters.vlm.classifier import VisionLanguageClassifier
from hybridcert.checkpoints import tiny_guard
from hybridcert.datasets.digits_captions import PAD, VOCABULARY, decode, load_digit_captions
from hybridcert.sampling.copies import Copies
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import RowStreams, Stage

SLOTS = 8
WORDS = [word for word in VOCABULARY if word != PAD]
LARGER = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 8}
"""Text network of the larger guard; about 8 million parameters."""
REAL = {
    "0.5b": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "7b": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
}
"""Text networks of LLaVA-OneVision's published sizes."""
TOWER = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
}
"""Its vision tower."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One guard with one pair, and how many copies are drawn."""

    name: str
    classifier: VisionLanguageClassifier
    pair: dict[str, list[Any]]
    copies: int
    beta: float = 0.75
    sigma: float = 0.25

    @property
    def noise(self) -> dict[str, Any]:
        """Noise on slots and pixels."""
        return {"suffix": hc.UniformReplacement(self.beta), "image": hc.GaussianNoise(self.sigma)}

    def block(self) -> Copies:
        """The copies of one block."""
        inputs = self.classifier.encode(self.pair)
        law = SmoothingNoise(self.noise, self.classifier.surfaces())
        return Copies(law, inputs, 0, self.copies, RowStreams(1).keys(inputs)[0], Stage.ESTIMATE, 0)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=["forward", "loop", "frontier", []], default=[])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--architecture", choices=["tiny", *REAL], default="tiny")
    parser.add_argument("--copies", type=int, default=512)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1 if arguments.device == "cpu" else torch.get_num_threads())
    chosen = arguments.what or ["forward", "loop", "frontier"]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.architecture == "tiny":
            first = shipped(arguments)
            others = [larger(Path(folder), arguments)] if "frontier" in chosen else []
        else:
            first, others = real(Path(folder), arguments), []
        if "forward" in chosen:
            forward(first, arguments)
        if "loop" in chosen:
            loop(first, arguments)
        if "frontier" in chosen:
            for setting in (first, *others):
                frontier(setting, arguments)


def shipped(arguments: argparse.Namespace) -> Setting:
    """The guard that ships, on a digit of 8×8."""
    pairs = load_digit_captions(seed=0).held_out.rows(slice(0, 1))
    pair = {"text": [decode(pairs.text[0])], "image": [pairs.image[0].reshape(8, 8)]}
    return Setting(
        "shipped guard, 8×8 grey",
        guard(tiny_guard(), Canvas(8, 8, 1), arguments),
        pair,
        arguments.copies,
    )


def larger(folder: Path, arguments: argparse.Namespace) -> Setting:
    """A network of random weights and a prompt of 500 tokens behind the image."""
    pairs = load_digit_captions(seed=0).held_out.rows(slice(0, 1))
    text = " ".join(np.random.default_rng(0).choice(WORDS, 500))
    checkpoint = written(folder / "larger", LARGER, {}, window=1024)
    few = argparse.Namespace(**{**vars(arguments), "batch": 16})
    return Setting(
        "random weights, 500 tokens of prompt",
        guard(checkpoint, Canvas(8, 8, 1), few),
        {"text": [text], "image": [pairs.image[0].reshape(8, 8)]},
        max(16, arguments.copies // 16),
    )


def real(folder: Path, arguments: argparse.Namespace) -> Setting:
    """LLaVA-OneVision at a published size, random weights, an image of 384×384."""
    checkpoint = written(folder / "real", REAL[arguments.architecture], TOWER, window=32768)
    image = np.random.default_rng(0).random((384, 384, 3))
    text = " ".join(np.random.default_rng(0).choice(WORDS, 40))
    return Setting(
        f"{arguments.architecture}, random weights, 384×384 RGB",
        guard(checkpoint, Canvas(384, 384), arguments),
        {"text": [text], "image": [image]},
        arguments.copies,
    )


def guard(folder: Path, canvas: Canvas, arguments: argparse.Namespace) -> VisionLanguageClassifier:
    """Return the classifier of a checkpoint; verdicts are read whatever they are."""
    on_device = arguments.device != "cpu"
    return VisionLanguageClassifier(
        Checkpoint(str(folder), device=arguments.device, dtype=arguments.dtype),
        region=SuffixSlots(SLOTS),
        canvas=canvas,
        policy=tiny_guard() / "policy.txt",
        tokens=WORDS,
        least_mass=0.0,
        batch_size=arguments.batch,
        block_copies=arguments.copies,
        noise_on="device" if on_device else "host",
    )


def written(folder: Path, text: dict[str, Any], vision: dict[str, Any], *, window: int) -> Path:
    """Write a checkpoint of the shipped guard's kind with other sizes and random weights."""
    from transformers import AutoConfig, AutoTokenizer, LlavaOnevisionForConditionalGeneration
    from transformers import LlavaOnevisionImageProcessorPil as Processor

    config = AutoConfig.from_pretrained(tiny_guard())
    for name, value in {"num_key_value_heads": text["num_attention_heads"], **text}.items():
        setattr(config.text_config, name, value)
    config.text_config.max_position_embeddings = window
    config.text_config.layer_types = ["full_attention"] * text["num_hidden_layers"]
    for name, value in vision.items():
        setattr(config.vision_config, name, value)
    side = config.vision_config.image_size
    config.image_grid_pinpoints = [[side, side]]
    torch.manual_seed(0)
    LlavaOnevisionForConditionalGeneration(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_guard()).save_pretrained(folder)
    Processor(size={"height": side, "width": side}, image_grid_pinpoints=[[side, side]]).save_pretrained(
        folder
    )
    return folder


def forward(setting: Setting, arguments: argparse.Namespace) -> None:
    """Copies a second against bare forward passes on batches that are prepared already."""
    classifier, copies = setting.classifier, setting.block()
    classifier.load()
    batches = list(prepared(classifier, copies))
    model = classifier._loaded.network.model

    def bare() -> None:
        with torch.inference_mode():
            for ids, mask, pixels in batches:
                model(input_ids=ids, attention_mask=mask, logits_to_keep=1, **pixels)

    seconds = interleaved({"bare": bare, "smoothed": lambda: classifier.predict_copies(copies)}, arguments)
    share = seconds["bare"] / seconds["smoothed"]
    print(
        f"{setting.name}: {copies.count / seconds['smoothed']:,.0f} copies/s, bare forward passes "
        f"{copies.count / seconds['bare']:,.0f}/s: {100 * share:.0f} %"
    )


def prepared(
    classifier: VisionLanguageClassifier, copies: Copies
) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """Whole prompts, padded, with pixel values: what a forward pass takes."""
    loaded, fixed = classifier._loaded, classifier._prompts.fixed(copies.inputs, copies.row)
    symbols = copies.drawn("suffix")
    for start, images in classifier._images(copies):
        rows = [classifier._prompts.whole(fixed, s) for s in symbols[start : start + len(images)]]
        yield (*loaded.network._padded(rows), loaded.pixels(images))


def loop(setting: Setting, arguments: argparse.Namespace) -> None:
    """Copies a second against a loop that goes through PIL and the processor, copy by copy."""
    classifier, copies = setting.classifier, setting.block()
    classifier.load()
    loaded = classifier._loaded
    processor = classifier.checkpoint.image_processor()
    fixed = classifier._prompts.fixed(copies.inputs, copies.row)
    canvas = classifier.canvas
    model = loaded.network.model

    def plain() -> None:
        drawn = copies.noise.draw(copies.inputs, 0, copies.count, copies.key, stage=copies.stage, block=0)
        images, suffixes = canvas.planes(drawn["image"]), drawn["suffix"]
        with torch.inference_mode():
            for start in range(0, copies.count, arguments.batch):
                part = range(start, min(start + arguments.batch, copies.count))
                found = [processor(images=as_pil(images[i]), return_tensors="pt") for i in part]
                rows = [classifier._prompts.whole(fixed, suffixes[i]) for i in part]
                ids, mask = loaded.network._padded(rows)
                pixels = {
                    "pixel_values": torch.cat([one["pixel_values"] for one in found]).to(
                        model.device, model.dtype
                    ),
                    "image_sizes": torch.cat([one["image_sizes"] for one in found]).to(model.device),
                }
                logits = model(input_ids=ids, attention_mask=mask, **pixels).logits[:, -1]
                classifier._labels.verdicts(logits).cpu()

    seconds = interleaved({"loop": plain, "ours": lambda: classifier.predict_copies(copies)}, arguments)
    print(f"{setting.name}: {seconds['loop'] / seconds['ours']:.2f} times as fast as a loop through PIL")


def as_pil(planes: np.ndarray) -> Image.Image:
    """Return an image of 8 bit."""
    levels = np.rint(np.clip(planes, 0.0, 1.0) * 255.0).astype(np.uint8)
    return Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)).convert("RGB")


def frontier(setting: Setting, arguments: argparse.Namespace) -> None:
    """Noise on 0 … 8 slots from completed copies against eight runs of their own."""
    smoothed = hc.SmoothedClassifier(setting.classifier, noise=setting.noise)
    setting.classifier.load()
    common = {"samples": setting.copies, "alpha": 0.01, "threshold": 0.5, "label": "unsafe"}

    def shared() -> None:
        hc.slot_frontier(
            smoothed,
            setting.pair,
            modality="suffix",
            scope="simultaneous",
            reuse="completed",
            seed=1,
            **common,
        )

    def separate() -> None:
        for slots in range(1, SLOTS + 1):
            one = hc.on_first_slots(smoothed, modality="suffix", slots=slots)
            one.certify(setting.pair, threat=hc.Substitution(slots), seed=1, **common)

    for beta in (0.25, 0.75):
        smoothed.noise["suffix"] = hc.UniformReplacement(beta)
        seconds = interleaved({"shared": shared, "separate": separate}, arguments)
        print(
            f"{setting.name}, β = {beta}: frontier d = 0 … {SLOTS} "
            f"{seconds['separate'] / seconds['shared']:.1f} times cheaper than {SLOTS} separate runs "
            f"({setting.copies} copies each)"
        )


def interleaved(ways: dict[str, Callable[[], object]], arguments: argparse.Namespace) -> dict[str, float]:
    """Median seconds of each way, taken in turn; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(arguments.rounds + 1):
        for name, way in ways.items():
            with clock(arguments.device) as took:
                way()
            if number:
                seconds[name].append(took[0])
    return {name: statistics.median(found) for name, found in seconds.items()}


@contextlib.contextmanager
def clock(device: str) -> Iterator[list[float]]:
    """Processor time on a CPU; on a device time by the clock, all work done."""
    took: list[float] = []
    now = time.process_time if device == "cpu" else time.perf_counter
    started = now()
    yield took
    if device != "cpu":
        torch.cuda.synchronize()
    took.append(now() - started)


if __name__ == "__main__":
    main()
