"""Certificates for every number of slots from one sampling run: the result, and how it is put together."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.certificate.confidence import LabelBounds, clopper_pearson_lower
from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certification import CertificationRun
from hybridcert.documents.claims import ScoreAbove
from hybridcert.documents.exact import confidence_text
from hybridcert.joint_threat import JointThreat
from hybridcert.kernels.positions import PositionKernel
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.outcome import Counts
from hybridcert.sampling.slots import check_slots, noise_on_first

Scope = Literal["per budget", "simultaneous"]
SCOPES: tuple[Scope, ...] = ("per budget", "simultaneous")
"""What ``alpha`` is the error probability of: each number of slots alone, or all together."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SlotFrontier:
    """Certificates for every number of slots, all from one sampling run.

    ``runs[d]`` is about the classifier with noise on the first d slots (`on_first_slots`), against changes
    within these. Its n_d copies are those of the ``samples`` that were unchanged behind slot d, or all of
    them, completed by what the input has there.

    Guarantee, for each input: with scope "per budget", for any one d that was fixed before the counts were
    known, with probability at least 1 − ``alpha`` all that ``runs[d]`` says holds. With scope "simultaneous",
    with probability at least 1 − ``alpha`` all that all runs say holds together, so that d may be chosen
    after looking.

    Attributes
    ----------
    runs : tuple of CertificationRun
        One for every d = 0, 1, …, slots. Where n_d is 0 nothing is certified.
    modality : str
    scope : {"per budget", "simultaneous"}
    alpha : float
        Error probability of the scope; each run spends ``runs[d].alpha``.
    samples : int
        Copies drawn of each input, with noise on all slots.
    cost : mapping
        Model calls and seconds, all runs together. A call is a copy; a completed one costs as many answers
        as it has different beginnings.
    """

    runs: tuple[CertificationRun, ...]
    modality: str
    scope: Scope
    alpha: float
    samples: int
    cost: Mapping[str, Any]

    @property
    def slots(self) -> int:
        """The largest number of slots, D."""
        return len(self.runs) - 1

    def certified(self, d: int, eps: float) -> Bools:
        """Whether each claim holds, with noise on d slots, against d changes there and ε = ``eps``."""
        check_slots(d, self.slots)
        return self.runs[d].certified(d, eps)

    def frame(self) -> pd.DataFrame:
        """One row per input, number of slots (column ``slots``) and budget d ≤ slots."""
        parts = []
        for slots, run in enumerate(self.runs):
            part = run.frame()
            part.insert(1, "slots", slots)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def certificates(self, provenance: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the issued certificates of all runs, fewest slots first, each verified."""
        return itertools.chain.from_iterable(run.certificates(provenance) for run in self.runs)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The counts of one run for every number of slots, and what all certificates from them share.

    Attributes
    ----------
    counts : (slots + 1, rows, classes) int
        Entry d counts independent copies with noise on the first d slots.
    origin : str
        What a certificate says about where the copies for d < slots come from; ``{d}``, ``{samples}``,
        ``{slots}`` and ``{modality}`` are filled in.
    """

    modality: str
    noise: SmoothingNoise
    claim: ScoreAbove
    scope: Scope
    alpha: float
    samples: int
    classes: npt.NDArray[Any]
    claimed: npt.NDArray[np.intp]
    clean: npt.NDArray[np.intp]
    counts: Counts
    failures: Mapping[int, str]
    inputs: Batch
    index: npt.NDArray[Any]
    digests: list[str]
    settings: Mapping[str, Any]
    calls: int
    origin: str

    def run(self, slots: int) -> CertificationRun:
        """Return the certificates for noise on the first ``slots`` slots."""
        noise = noise_on_first(self.noise, self.modality, slots)
        kernel = noise.kernels[self.modality]
        assert isinstance(kernel, PositionKernel)
        joint = JointThreat.of(noise, {self.modality: kernel.serves[0](slots)})
        counts, share = self.counts[slots], self.share
        samples = counts.sum(axis=1)
        p_lower = _bounds(counts[np.arange(len(counts)), self.claimed], samples, share)
        bounds = LabelBounds(p_lower, np.ones_like(p_lower), "clopper-pearson")
        cases, case = joint.exposures(self.inputs)
        points = tuple(joint.point(d, self.claim, bounds, cases, case) for d in joint.budgets)
        return CertificationRun(
            classes=self.classes,
            claimed=self.claimed,
            clean=self.clean,
            counts=counts,
            samples=samples,
            samples_at_most=self.samples,
            plans=[None] * len(counts),
            stopped=["failed" if row in self.failures else "all copies drawn" for row in range(len(counts))],
            failures=self.failures,
            alpha=share,
            claim=self.claim,
            bounds=bounds,
            points=points,
            modalities=tuple(joint.threats),
            sigma=joint.budget.scale,
            unit=joint.unit,
            norm=joint.budget.norm,
            index=self.index,
            digests=self.digests,
            case=case,
            cases=tuple(joint.setting(self.claim, exposures) for exposures in cases),
            settings={
                **self.settings,
                "threat": {n: t.described() for n, t in joint.threats.items()},
                "slots": {
                    "modality": self.modality,
                    "noisy": slots,
                    "drawn": self.most,
                    "samples": self.samples,
                    "scope": self.scope,
                    "alpha": self.alpha,
                },
            },
            cost={"model_calls_shared": self.calls},
            remarks=self._remarks(slots),
        )

    @property
    def most(self) -> int:
        """Number of slots that had noise."""
        return len(self.counts) - 1

    @property
    def share(self) -> float:
        """Error probability of each run."""
        return share_of(self.alpha, self.most + 1) if self.scope == "simultaneous" else self.alpha

    def _remarks(self, slots: int) -> tuple[str, ...]:
        """What a certificate has to say about the origin of its counts, and about the other certificates."""
        origin = self.origin.format(
            d=slots, samples=self.samples, slots=self.most, modality=repr(self.modality)
        )
        if self.scope == "simultaneous":
            scope = (
                f"The certificates of this input for 0 to {self.most} slots, issued from the same copies, "
                f"hold together with probability at least {confidence_text(self.alpha)}; the number of slots "
                "may be chosen after looking at them."
            )
        else:
            scope = (
                f"The number of slots, {slots}, was fixed before the counts were known: the confidence is "
                f"that of this certificate alone, not of those for 0 to {self.most} slots together."
            )
        return (origin, scope) if slots < self.most else (scope,)


def share_of(alpha: float, parts: int) -> float:
    """Return a float64 of which ``parts`` add up, exactly, to at most ``alpha``."""
    share = alpha / parts
    while Fraction(share) * parts > Fraction(alpha):
        share = math.nextafter(share, 0.0)
    return share


def _bounds(successes: Counts, samples: Counts, alpha: float) -> Floats:
    """Return Clopper–Pearson lower bounds where each input has a number of copies of its own, 0 included."""
    p_lower = np.zeros(len(samples))
    for n in np.unique(samples[samples > 0]):
        part = samples == n
        p_lower[part] = clopper_pearson_lower(successes[part], int(n), alpha)
    return p_lower
