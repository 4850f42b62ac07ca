"""The vision–language demo: a small guard of LLaVA-OneVision's architecture, certified in two ways.

A pair is unsafe when its message names the digit that the image shows. One filter puts uniform noise on slots
behind the message and holds against suffixes written there. The other deletes words of the whole message at
random and holds against words inserted anywhere. Both see the same pairs, the same image noise and as many
copies. The guard ships with the package: no network.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import SuffixSlots, WholePrompt
from hybridcert.adapters.vlm.classifier import VisionLanguageClassifier
from hybridcert.certification import CertificationRun
from hybridcert.checkpoints import tiny_guard
from hybridcert.datasets.digits_captions import (
    CAPTION_LENGTH,
    PAD,
    SUFFIX_SLOTS,
    VOCABULARY,
    DigitCaptions,
    decode,
    load_digit_captions,
)
from hybridcert.experiments.training import Report, told
from hybridcert.kernels.deletion import RandomDeletion
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.kernels.uniform import UniformReplacement
from hybridcert.sampling.classifier import class_index
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.noise import Kernel
from hybridcert.sampling.store import RunStore
from hybridcert.smoothing import SmoothedClassifier
from hybridcert.threats import DiscreteThreat, Insertion, Substitution

UNSAFE = "unsafe"
SIDE = 8


@dataclasses.dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo runs with; the defaults take about three minutes on two cores.

    Attributes
    ----------
    beta, deletion : float
        Replacement rate in the slots, and deletion rate on the whole message.
    thresholds : tuple of float
        The first is what the certificates in the slots claim, the last what those for insertions claim: a
        message that mentions the number once survives deletion too rarely for one half.
    """

    beta: float = 0.75
    deletion: float = 0.7
    sigma: float = 0.25
    samples: int = 2_000
    alpha: float = 0.01
    thresholds: tuple[float, float] = (0.5, 0.05)
    seed: int = 0
    unsafe: int = 32
    benign: int = 32
    max_insertions: int = 8
    eps: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SmoothedFilter:
    """One way to smooth the guard: its certificates at each threshold, and its hits on benign pairs.

    Attributes
    ----------
    name : str
    runs : mapping of threshold to CertificationRun
        All from the same counts.
    benign_hits : (benign,) int, or None where it was not counted
    """

    name: str
    runs: Mapping[float, CertificationRun]
    benign_hits: npt.NDArray[np.int64] | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class DemoResult:
    """Everything the demo found.

    Attributes
    ----------
    slots, anywhere, image_only, text_only : SmoothedFilter
    unsafe, benign : DigitCaptions
        The pairs themselves.
    clean_unsafe, clean_benign : (pairs,) bool
        Whether the guard flags them without noise.
    calls : int
    seconds : float
    """

    settings: DemoSettings
    slots: SmoothedFilter
    anywhere: SmoothedFilter
    image_only: SmoothedFilter
    text_only: SmoothedFilter
    unsafe: DigitCaptions
    benign: DigitCaptions
    clean_unsafe: npt.NDArray[np.bool_]
    clean_benign: npt.NDArray[np.bool_]
    model: Mapping[str, Any]
    calls: int
    seconds: float

    @property
    def filters(self) -> tuple[SmoothedFilter, ...]:
        """All four."""
        return (self.slots, self.anywhere, self.image_only, self.text_only)

    @property
    def cost(self) -> dict[str, float]:
        """Model calls and seconds, everything included."""
        runs = [run for one in self.filters for run in one.runs.values()]
        certificates = sum(run.cost["certificate_seconds"] for run in runs)
        return {
            "model_calls": self.calls,
            "sampling_seconds": self.seconds - certificates,
            "certificate_seconds": certificates,
            "seconds": self.seconds,
        }


def words() -> list[str]:
    """Return the words that the adversary writes: all that captions are made of."""
    return [word for word in VOCABULARY if word != PAD]


def inputs_of(pairs: DigitCaptions) -> dict[str, list[Any]]:
    """Return pairs as a guard takes them."""
    return {
        "text": [decode(text) for text in pairs.text],
        "image": [pixels.reshape(SIDE, SIDE) for pixels in pairs.image],
    }


def guard(region: SuffixSlots | WholePrompt) -> VisionLanguageClassifier:
    """Return the guard that ships with the package."""
    folder = tiny_guard()
    return VisionLanguageClassifier(
        folder,
        region=region,
        canvas=Canvas(SIDE, SIDE, 1),
        policy=folder / "policy.txt",
        tokens=words(),
        batch_size=256,
    )


def run_demo(
    settings: DemoSettings, *, store: RunStore, executor: Executor, report: Report | None = None
) -> DemoResult:
    """Certify held-out unsafe pairs in both ways and with both rivals; count false alarms on benign ones.

    Parameters
    ----------
    store : RunStore
        Keeps the counts; what it has is not drawn again.
    executor : Executor
        Where model calls are made.
    """
    started = time.perf_counter()
    unsafe, benign = _pairs(settings)
    slots = guard(SuffixSlots(SUFFIX_SLOTS))
    whole = guard(WholePrompt(CAPTION_LENGTH + settings.max_insertions))
    uniform, deletion = UniformReplacement(settings.beta), RandomDeletion(settings.deletion)
    image = GaussianNoise(settings.sigma)
    ways: list[tuple[str, VisionLanguageClassifier, dict[str, Kernel], DiscreteThreat | None, bool]] = [
        ("suffix slots", slots, {"suffix": uniform, "image": image}, Substitution(SUFFIX_SLOTS), True),
        (
            "insertions anywhere",
            whole,
            {"text": deletion, "image": image},
            Insertion(settings.max_insertions),
            True,
        ),
        ("image only", slots, {"image": image}, None, False),
        ("text only", slots, {"suffix": uniform}, Substitution(SUFFIX_SLOTS), False),
    ]
    found = []
    calls = 0
    for name, classifier, noise, threat, with_benign in ways:
        smoothed = SmoothedClassifier(classifier, noise=noise)
        runs = dict(_runs(settings, name, smoothed, threat, unsafe, store, executor, report))
        calls += len(unsafe) * (settings.samples + 1)
        hits = None
        if with_benign:
            counted = smoothed.explore(
                inputs_of(benign),
                samples=settings.samples,
                seed=settings.seed,
                executor=executor,
                store=store,
                progress=told(report, f"{name}: false alarms"),
            ).complete()
            calls += len(benign) * settings.samples
            hits = settings.samples - counted[:, _index(classifier, "safe")]  # what is unreadable is an alarm
        found.append(SmoothedFilter(name, runs, hits))
    clean = [
        slots.predict_encoded(slots.encode(inputs_of(pairs))) == _index(slots, UNSAFE)
        for pairs in (unsafe, benign)
    ]
    return DemoResult(
        settings=settings,
        slots=found[0],
        anywhere=found[1],
        image_only=found[2],
        text_only=found[3],
        unsafe=unsafe,
        benign=benign,
        clean_unsafe=clean[0],
        clean_benign=clean[1],
        model=slots.described(),
        calls=calls,
        seconds=time.perf_counter() - started,
    )


def _runs(
    settings: DemoSettings,
    name: str,
    smoothed: SmoothedClassifier,
    threat: DiscreteThreat | None,
    pairs: DigitCaptions,
    store: RunStore,
    executor: Executor,
    report: Report | None,
) -> Iterator[tuple[float, CertificationRun]]:
    """Certify at every threshold; all after the first find their counts in the store."""
    for threshold in settings.thresholds:
        yield (
            threshold,
            smoothed.certify(
                inputs_of(pairs),
                threat=threat,
                samples=settings.samples,
                alpha=settings.alpha,
                threshold=threshold,
                seed=settings.seed,
                label=UNSAFE,
                executor=executor,
                store=store,
                progress=told(report, name),
            ),
        )


def _pairs(settings: DemoSettings) -> tuple[DigitCaptions, DigitCaptions]:
    held_out = load_digit_captions(seed=0).held_out  # the guard was trained on the rest of this split
    flagged = held_out.label == UNSAFE
    return (
        held_out.rows(np.flatnonzero(flagged)[: settings.unsafe]),
        held_out.rows(np.flatnonzero(~flagged)[: settings.benign]),
    )


def _index(classifier: VisionLanguageClassifier, label: str) -> int:
    return class_index(classifier.classes_, label)


def identity_of(settings: DemoSettings) -> dict[str, Any]:
    """Return what the counts of a demo depend on."""
    return {"demo": "vlm", "settings": dataclasses.asdict(settings), "model": guard(SuffixSlots(1)).sha256}
