"""The default demo: a filter that needs image and caption together, certified on both at once.

Images and captions are harmless alone; a pair is unsafe when the caption names the digit that the image
shows. The adversary appends up to d words to the caption and moves the image by ε in ℓ₂. Everything ships
with the dependencies: no network, no deep-learning framework.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.adapters.digits_filter import DigitsFilter
from hybridcert.certificate.confidence import clopper_pearson_upper
from hybridcert.certificate.directed import format_exact
from hybridcert.certification import CertificationRun
from hybridcert.datasets.digits_captions import (
    CAPTION_LENGTH,
    SUFFIX_SLOTS,
    VOCABULARY,
    DigitCaptions,
    load_digit_captions,
)
from hybridcert.experiments.training import Report, told
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.kernels.uniform import UniformReplacement
from hybridcert.sampling.noise import Kernel
from hybridcert.smoothing import SmoothedClassifier
from hybridcert.threats import Substitution

UNSAFE = "unsafe"


@dataclasses.dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo runs with; the defaults take well under a minute on two cores."""

    beta: float = 0.75
    sigma: float = 0.25
    samples: int = 10_000
    alpha: float = 0.01
    threshold: float = 0.5
    seed: int = 0
    noisy_copies: int = 10
    inputs: int = 500
    eps: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class DemoResult:
    """Everything the demo found.

    Attributes
    ----------
    hybrid, image_only, text_only : CertificationRun
        On the held-out unsafe pairs: both modalities smoothed, the image alone, the suffix slots alone.
    benign_hits : int array
        "Unsafe" answers among the noisy copies of each held-out benign pair, hybrid noise.
    unsafe, benign : DigitCaptions
        The pairs themselves.
    clean : mapping of kind of pair to share that the base classifier gets right
    training_seconds, seconds : float
        Training alone, and everything.
    """

    settings: DemoSettings
    hybrid: CertificationRun
    image_only: CertificationRun
    text_only: CertificationRun
    benign_hits: npt.NDArray[np.int64]
    unsafe: DigitCaptions
    benign: DigitCaptions
    clean: Mapping[str, float]
    training_seconds: float
    seconds: float

    @property
    def cost(self) -> dict[str, float]:
        """Model calls and seconds over all runs, rivals and false alarms included."""
        runs = (self.hybrid, self.image_only, self.text_only)
        calls = sum(run.cost["model_calls"] for run in runs) + self.benign_hits.size * self.settings.samples
        certificates = sum(run.cost["certificate_seconds"] for run in runs)
        return {
            "model_calls": calls,
            "training_seconds": self.training_seconds,
            "sampling_seconds": self.seconds - self.training_seconds - certificates,
            "certificate_seconds": certificates,
            "seconds": self.seconds,
        }

    def frontier(self) -> pd.DataFrame:
        """Number of unsafe pairs certified against (d, ε) jointly: rows d, columns ε."""
        return _frontier(self.hybrid, self.settings.eps)

    def rivals(self) -> pd.DataFrame:
        """What each way of certifying promises: certified pairs at some (d, ε), on the same inputs.

        "drop the suffix" deletes the suffix slots before the filter sees them. It needs to know where the
        suffix begins, as the hybrid filter in suffix slots does; then it does not matter what stands there,
        and the image-only certificate holds at every d.
        """
        points = [(0, 0.0), (0, 0.4), (2, 0.0), (2, 0.4), (4, 0.2), (8, 0.0), (8, 0.4)]
        image = self.image_only

        def alone(run: CertificationRun, d: int, eps: float) -> int | None:
            covered = any(point.d == d for point in run.points) and (eps == 0.0 or run is not self.text_only)
            return int(run.certified(d, eps).sum()) if covered else None

        rows: dict[str, list[int | None]] = {
            "hybrid (joint)": [alone(self.hybrid, d, e) for d, e in points],
            "image only": [alone(image, d, e) for d, e in points],
            "text only": [alone(self.text_only, d, e) for d, e in points],
            "drop the suffix": [alone(image, 0, e) for _, e in points],
        }
        columns = pd.Index([f"d={d}, ε={format_exact(e)}" for d, e in points], name="certified pairs")
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(columns)).astype("Int64")

    def accuracy(self) -> pd.DataFrame:
        """Clean and smoothed accuracy, and false alarms, by kind of pair."""
        samples, tau = self.settings.samples, self.settings.threshold
        hits = {UNSAFE: self.hybrid.successes}
        for kind in ("other number", "no number"):
            hits[kind] = self.benign_hits[self.benign.kind == kind]
        rows = []
        for kind, k in hits.items():
            flagged = k > tau * samples
            right = flagged if kind == UNSAFE else ~flagged
            upper = clopper_pearson_upper(k, samples, self.settings.alpha)
            rows.append(
                {
                    "pairs": k.size,
                    "clean accuracy": self.clean[kind],
                    "smoothed accuracy": float(right.mean()),
                    "mean P(unsafe)": float(k.mean() / samples),
                    "surely below τ": None if kind == UNSAFE else int((upper < tau).sum()),
                }
            )
        table = pd.DataFrame(rows, index=pd.Index([UNSAFE, "benign, other number", "benign, no number"]))
        return table.astype({"surely below τ": "Int64"})


def run_demo(settings: DemoSettings, report: Report | None = None) -> DemoResult:
    """Train the base classifier, certify the held-out unsafe pairs, count false alarms on benign ones."""
    started = time.perf_counter()
    splits = load_digit_captions(seed=settings.seed)
    held_out = splits.held_out.rows(slice(0, settings.inputs))
    unsafe = held_out.rows(held_out.label == UNSAFE)
    benign = held_out.rows(held_out.label != UNSAFE)
    base = DigitsFilter(
        words=len(VOCABULARY), caption_length=CAPTION_LENGTH, suffix_slots=SUFFIX_SLOTS, seed=settings.seed
    )
    text, image = UniformReplacement(settings.beta), GaussianNoise(settings.sigma)
    joint = SmoothedClassifier(base, noise={"text": text, "image": image})
    joint.fit(
        splits.train.inputs, splits.train.readings, noisy_copies=settings.noisy_copies, seed=settings.seed
    )
    trained = joint.classifier_
    training_seconds = time.perf_counter() - started

    def certify(name: str, noise: Mapping[str, Kernel], max_d: int | None) -> CertificationRun:
        return SmoothedClassifier(trained, noise=noise).certify(
            unsafe.inputs,
            threat=None if max_d is None else Substitution(max_d),
            samples=settings.samples,
            alpha=settings.alpha,
            threshold=settings.threshold,
            seed=settings.seed,
            label=UNSAFE,
            progress=told(report, name),
        )

    hybrid = certify("hybrid: image and suffix slots", {"text": text, "image": image}, SUFFIX_SLOTS)
    image_only = certify("rival: image only", {"image": image}, None)
    text_only = certify("rival: suffix slots only", {"text": text}, SUFFIX_SLOTS)
    hits = joint.counts(
        benign.inputs,
        samples=settings.samples,
        seed=settings.seed,
        progress=told(report, "false alarms on benign pairs"),
    )
    answers = trained.classes_[trained.predict_encoded(trained.encode(held_out.inputs))]
    right = answers == held_out.label
    return DemoResult(
        settings=settings,
        hybrid=hybrid,
        image_only=image_only,
        text_only=text_only,
        benign_hits=hits[:, trained.classes_.tolist().index(UNSAFE)],
        unsafe=unsafe,
        benign=benign,
        clean={str(kind): float(right[held_out.kind == kind].mean()) for kind in np.unique(held_out.kind)},
        training_seconds=training_seconds,
        seconds=time.perf_counter() - started,
    )


def _frontier(run: CertificationRun, eps: tuple[float, ...]) -> pd.DataFrame:
    rows: list[list[Any]] = [[int(run.certified(point.d, e).sum()) for e in eps] for point in run.points]
    index = pd.Index([point.d for point in run.points], name="d")
    return pd.DataFrame(rows, index=index, columns=pd.Index(list(eps), name="ε"))
