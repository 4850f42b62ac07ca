"""One sampling run over D slots, a certificate for every number of slots d ≤ D: conditional reuse of samples.

Whoever defends against suffixes of up to d symbols puts noise on d slots and no more. Each d is a smoothed
classifier of its own, with a score, an estimate and a confidence of its own; ``docs/sample-reuse.md`` has the
proof that the copies of one run serve all of them, and what it costs.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.certificate.confidence import LabelBounds, clopper_pearson_lower
from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.certification import CertificationRun
from hybridcert.documents.claims import ScoreAbove
from hybridcert.documents.exact import confidence_text
from hybridcert.errors import ParameterError
from hybridcert.joint_threat import JointThreat
from hybridcert.kernels.positions import PositionKernel
from hybridcert.sampling.blocks import Work
from hybridcert.sampling.classifier import Batch, class_index
from hybridcert.sampling.engine import Retries, Sampler
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.outcome import Counts, Report
from hybridcert.sampling.run_identity import content_digest, described_model
from hybridcert.sampling.slots import (
    BySlot,
    FirstSlots,
    check_slots,
    counts_of_first,
    kernel_of_first,
    noise_on_first,
    slot_columns,
)
from hybridcert.sampling.stopping import FixedSamples
from hybridcert.sampling.store import RunStore
from hybridcert.sampling.streams import RowStreams, Stage
from hybridcert.smoothing import SmoothedClassifier

Scope = Literal["per budget", "simultaneous"]
SCOPES: tuple[Scope, ...] = ("per budget", "simultaneous")
"""What ``alpha`` is the error probability of: each number of slots alone, or all together."""


def on_first_slots(smoothed: SmoothedClassifier, *, modality: str, slots: int) -> SmoothedClassifier:
    """Return the smoothed classifier that puts its noise on the first ``slots`` slots of a modality only.

    That is the system for which run number ``slots`` of a `SlotFrontier` holds.

    Parameters
    ----------
    smoothed : SmoothedClassifier
        Trained, with noise on fixed positions (not `RandomDeletion`) of ``modality``.
    modality : str
    slots : int in [0, number of eligible positions]

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """
    base = smoothed._base()
    check_slots(slots, len(slot_columns(SmoothingNoise(smoothed.noise, base.surfaces()), modality)))
    return SmoothedClassifier(
        FirstSlots(base, modality, int(slots)),
        noise={**smoothed.noise, modality: kernel_of_first(smoothed.noise[modality], slots)},
        samples=smoothed.samples,
        alpha=smoothed.alpha,
        seed=smoothed.seed,
        abstain_label=smoothed.abstain_label,
    )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SlotFrontier:
    """Certificates for every number of slots, all from one sampling run.

    ``runs[d]`` is about the classifier with noise on the first d slots (`on_first_slots`), against changes
    within these. Its n_d copies are those of the ``samples`` that were unchanged behind slot d.

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
        Model calls and seconds, all runs together.
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


def slot_frontier(
    smoothed: SmoothedClassifier,
    X: Any,
    *,
    modality: str,
    samples: int,
    alpha: float,
    seed: int,
    threshold: float,
    scope: Scope,
    label: Any = None,
    selection_samples: int = 100,
    max_d: int | None = None,
    executor: Executor | None = None,
    store: RunStore | None = None,
    retries: Retries | None = None,
    progress: Report | None = None,
) -> SlotFrontier:
    """Certify every input for every number of slots d = 0, 1, …, ``max_d`` from one set of copies.

    Parameters
    ----------
    smoothed : SmoothedClassifier
        Trained, with noise on fixed positions of ``modality``: any kernel but `RandomDeletion`.
    X : inputs as the base classifier takes them
    modality : str
        The discrete modality whose eligible positions, in order, are the slots. Other modalities keep their
        noise; discrete ones among them stay unchanged by the adversary.
    samples : int >= 1
        Noisy copies per input, with noise on ``max_d`` slots. About samples · (1 − β)^(max_d − d) of them
        serve d slots.
    alpha : float in (0, 1)
    seed : int >= 0
    threshold : float in (0, 1)
    scope : {"per budget", "simultaneous"}
        Whether ``alpha`` is the error probability of each d alone, fixed beforehand, or of all together
        (a union bound: alpha / (max_d + 1) for each).
    label : optional
        The class to certify for every input. Without it the class is chosen per input from
        ``selection_samples`` separate copies; it is the same for all d.
    max_d : int in [0, number of eligible positions], optional
        By default all eligible positions.
    executor, store, retries, progress : optional
        As for `SmoothedClassifier.certify`; ``store`` is an open one.

    Raises
    ------
    ParameterError, DataError
        For values outside these ranges, or broken inputs.
    """
    claim = ScoreAbove(threshold)
    check_count("samples", samples)
    check_open("alpha", alpha)
    if scope not in SCOPES:
        raise ParameterError(f'scope must be "per budget" or "simultaneous", got {scope!r}')
    if label is None:
        check_count("selection_samples", selection_samples)
    base = smoothed._base()
    classes = np.asarray(base.classes_)
    fixed = None if label is None else class_index(classes, label)
    everywhere = SmoothingNoise(smoothed.noise, base.surfaces())
    most = len(slot_columns(everywhere, modality)) if max_d is None else max_d
    noise = noise_on_first(everywhere, modality, most)
    inputs = base.encode(X)
    contents = RowStreams(0).keys(inputs)
    started = time.perf_counter()
    with Sampler(
        Work(base, noise, BySlot(modality, slot_columns(noise, modality))),
        inputs,
        seed=seed,
        executor=executor,
        store=store,
        retries=retries,
    ) as sampler:
        stages = {Stage.CLEAN: sampler.sample(Stage.CLEAN, FixedSamples(1))}
        for stage, copies in ((Stage.SELECT, selection_samples), (Stage.ESTIMATE, samples)):
            if stage is Stage.ESTIMATE or fixed is None:
                stages[stage] = sampler.sample(stage, FixedSamples(copies), report=progress)
    sampled = time.perf_counter()
    counts = {stage: counts_of_first(found.counts, len(classes)) for stage, found in stages.items()}
    drawn = _Drawn(
        modality=modality,
        noise=noise,
        claim=claim,
        scope=scope,
        alpha=alpha,
        samples=samples,
        classes=classes,
        claimed=(
            counts[Stage.SELECT][most].argmax(axis=1) if fixed is None else np.full(len(contents), fixed)
        ),
        clean=counts[Stage.CLEAN][most].argmax(axis=1),
        counts=counts[Stage.ESTIMATE],
        failures=stages[Stage.ESTIMATE].failures,
        inputs=inputs,
        index=np.asarray(getattr(X, "index", np.arange(len(contents)))),
        digests=[key.hex() for key in contents],
        settings={
            "noise": noise.described(),
            "seed": seed,
            "label": label,
            "selection_samples": None if label is not None else selection_samples,
            "model": described_model(base),
            "data": {"blake2b": content_digest(contents)},
        },
        calls=sum(found.calls for found in stages.values()),
    )
    runs = tuple(drawn.run(slots) for slots in range(most + 1))
    cost = {
        "model_calls": drawn.calls,
        "model_calls_from_store": sum(found.calls_from_store for found in stages.values()),
        "model_calls_repeated": sum(found.calls_repeated for found in stages.values()),
        "sampling_seconds": sampled - started,
        "certificate_seconds": time.perf_counter() - sampled,
    }
    return SlotFrontier(runs, modality, scope, alpha, samples, cost)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """The copies of one run with noise on all slots, and what all certificates from them share.

    ``counts`` has shape (slots + 1, rows, classes): see `counts_of_first`.
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
        origin = (
            f"The counted copies are those, of {self.samples} with noise on the first {self.most} slots of "
            f"modality {self.modality!r}, that were unchanged behind slot {slots}: given their number they "
            "are independent draws of the noise described under law."
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
