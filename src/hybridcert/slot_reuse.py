"""One sampling run over D slots, a certificate for every number of slots d ≤ D: reuse of samples.

Whoever defends against suffixes of up to d symbols puts noise on d slots and no more. Each d is a smoothed
classifier of its own, with a score, an estimate and a confidence of its own; ``docs/sample-reuse.md`` has the
proofs that the copies of one run serve all of them, and what it costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.certification import row_names
from hybridcert.documents.claims import ScoreAbove
from hybridcert.errors import ParameterError
from hybridcert.sampling.blocks import Inquiry, Tally, Work
from hybridcert.sampling.classifier import claimed_indices
from hybridcert.sampling.engine import Retries, Sampler
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.outcome import Counts, Report
from hybridcert.sampling.run_identity import content_digest, described_model
from hybridcert.sampling.slots import (
    BySlot,
    Completed,
    check_slots,
    counts_of_completed,
    counts_of_first,
    kernel_of_first,
    noise_on_first,
    on_first,
    slot_columns,
)
from hybridcert.sampling.stopping import FixedSamples
from hybridcert.sampling.store import RunStore
from hybridcert.sampling.streams import RowStreams, Stage
from hybridcert.slot_runs import SCOPES, Drawn, Scope, SlotFrontier
from hybridcert.smoothing import SmoothedClassifier

Reuse = Literal["kept", "completed"]

_Way = tuple[Callable[[str, tuple[int, ...]], Tally | Inquiry], Callable[[Counts, int], Counts], str]

_REUSES: dict[Reuse, _Way] = {
    "kept": (
        BySlot,
        counts_of_first,
        (
            "The counted copies are those, of {samples} with noise on the first {slots} slots of modality "
            "{modality}, that were unchanged behind slot {d}: given their number they are independent draws "
            "of the noise described under law."
        ),
    ),
    "completed": (
        Completed,
        counts_of_completed,
        (
            "The counted copies are the {samples} that were drawn with noise on the first {slots} slots of "
            "modality {modality}, with the slots behind slot {d} as they are in the input: independent draws "
            "of the noise described under law. Copies for other numbers of slots share their noise with them."
        ),
    ),
}
"""How answers are counted, how the counts for every number of slots follow, what certificates say of it."""


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
        on_first(base, modality, int(slots)),
        noise={**smoothed.noise, modality: kernel_of_first(smoothed.noise[modality], slots)},
        samples=smoothed.samples,
        alpha=smoothed.alpha,
        seed=smoothed.seed,
        abstain_label=smoothed.abstain_label,
    )


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
    reuse: Reuse = "kept",
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
        Noisy copies per input, with noise on ``max_d`` slots.
    alpha : float in (0, 1)
    seed : int >= 0
    threshold : float in (0, 1)
    scope : {"per budget", "simultaneous"}
        Whether ``alpha`` is the error probability of each d alone, fixed beforehand, or of all together
        (a union bound: alpha / (max_d + 1) for each).
    reuse : {"kept", "completed"}
        Which of them serve d slots. "kept": those that came out unchanged behind slot d, about
        samples · (1 − β)^(max_d − d), at no further cost. "completed": all, each asked about once more with
        the slots behind d as they were; a copy costs as many answers as it has different beginnings,
        1 + max_d · β on average. A classifier that reads the slots last and goes on from what it made of all
        before (`VariantClassifier`) gives them for little more than the price of one.
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
    if reuse not in _REUSES:
        raise ParameterError(f'reuse must be "kept" or "completed", got {reuse!r}')
    counted, by_slots, origin = _REUSES[reuse]
    if label is None:
        check_count("selection_samples", selection_samples)
    base = smoothed._base()
    classes = np.asarray(base.classes_)
    if label is not None:
        claimed_indices(base, 1, label=label, pilot=None)
    everywhere = SmoothingNoise(smoothed.noise, base.surfaces())
    most = len(slot_columns(everywhere, modality)) if max_d is None else max_d
    noise = noise_on_first(everywhere, modality, most)
    inputs = base.encode(X)
    contents = RowStreams(0).keys(inputs)
    started = time.perf_counter()
    with Sampler(
        Work(base, noise, counted(modality, slot_columns(noise, modality))),
        inputs,
        seed=seed,
        executor=executor,
        store=store,
        retries=retries,
    ) as sampler:
        stages = {Stage.CLEAN: sampler.sample(Stage.CLEAN, FixedSamples(1))}
        for stage, copies in ((Stage.SELECT, selection_samples), (Stage.ESTIMATE, samples)):
            if stage is Stage.ESTIMATE or label is None:
                stages[stage] = sampler.sample(stage, FixedSamples(copies), report=progress)
    sampled = time.perf_counter()
    counts = {stage: by_slots(found.counts, len(classes)) for stage, found in stages.items()}
    pilot = counts[Stage.SELECT][most] if label is None else None
    drawn = Drawn(
        modality=modality,
        noise=noise,
        claim=claim,
        scope=scope,
        alpha=alpha,
        samples=samples,
        classes=classes,
        claimed=claimed_indices(base, len(contents), label=label, pilot=pilot),
        clean=counts[Stage.CLEAN][most].argmax(axis=1),
        counts=counts[Stage.ESTIMATE],
        failures=stages[Stage.ESTIMATE].failures,
        inputs=inputs,
        index=row_names(X, len(contents)),
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
        origin=origin,
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
