"""The experiment on pairs of prompt and image: certify what a guard should flag, count its false alarms."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import IMAGE, SUFFIX, TEXT, Region, SuffixSlots, WholePrompt
from hybridcert.certification import CertificationRun
from hybridcert.errors import DataError
from hybridcert.experiments.config_pairs import LABELS, PairsConfig
from hybridcert.experiments.config_stopping import question
from hybridcert.experiments.execution import Execution, describe_executor
from hybridcert.experiments.guards import build_guard
from hybridcert.experiments.pairs_data import GuardPairs
from hybridcert.experiments.pairs_tables import tables
from hybridcert.experiments.prepared import Prepared
from hybridcert.experiments.training import Report, told
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.sampling.classifier import Classifier, class_index
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.executors.serial import Serial
from hybridcert.sampling.noise import Kernel
from hybridcert.sampling.outcome import Sampling
from hybridcert.sampling.rounds import TASK
from hybridcert.sampling.store import RunStore
from hybridcert.sampling.streams import RowStreams
from hybridcert.smoothing import SmoothedClassifier
from hybridcert.threats import THREATS, DiscreteThreat

_CHECKED_AT_ONCE = 64
"""Pairs that are in memory while all are checked."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PairsResult:
    """What one run on pairs found.

    Attributes
    ----------
    run : CertificationRun
        The pairs that have to be flagged, every one certified for that label.
    false_alarms : DataFrame
        The other pairs: ``input``, ``target``, ``digest`` (of the encoded pair: equal ones share their
        noise), ``clean_label``, ``hits`` (of ``samples`` noisy copies that were given the flagged label),
        ``samples``. A pair that failed counts as flagged by all copies.
    benign_failures : mapping of input to reason
    model : mapping
        What answered: see `Guard.described`.
    benign_calls : mapping of str to int
        Model calls about the other pairs, by the keys of a run's cost.
    execution : mapping
        Name and number of workers of the executor.
    seconds : float
        Everything, the loading of the guard included.
    """

    run: CertificationRun
    false_alarms: pd.DataFrame
    benign_failures: dict[str, str]
    model: Mapping[str, Any]
    benign_calls: Mapping[str, int]
    execution: Mapping[str, Any]
    seconds: float

    @property
    def target(self) -> npt.NDArray[Any]:
        """True labels of the certified pairs: the flagged label, all of them."""
        return np.full(len(self.run), self.run.settings["label"], dtype=object)

    @property
    def cost(self) -> dict[str, Any]:
        """Model calls, seconds and workers; the sampling of false alarms included."""
        run = self.run.cost
        return {
            **run,
            **{key: run[key] + calls for key, calls in self.benign_calls.items()},
            "sampling_seconds": self.seconds - run["certificate_seconds"],
            "seconds": self.seconds,
            **self.execution,
        }


def run_pairs(
    config: PairsConfig,
    pairs: GuardPairs,
    *,
    execution: Execution | None = None,
    open_store: Callable[[Mapping[str, Any]], RunStore] | None = None,
    report: Report | None = None,
) -> PairsResult:
    """Certify the pairs that have to be flagged, and count how often the others are.

    Guarantee: that of `SmoothedClassifier.certify`, for each of the former on its own. The copies of the
    others are as many for each; they choose nothing and bound no score.

    Parameters
    ----------
    execution : Execution, optional
        Where model calls are made; the results do not depend on it.
    open_store : callable(identity of the guard), optional
        Opens the store that keeps the counts.

    Raises
    ------
    ConfigError
        For a guard that cannot be built.
    DataError
        Without pairs that have to be flagged, and for pairs that cannot be read.
    ModelError
        For a guard that cannot be used, or fails on every pair.
    """
    started = time.perf_counter()
    if not pairs.flagged.any():
        raise DataError(f"none of the {len(pairs)} pairs taken has to be flagged: take more rows")
    guard = prepared_pairs(config)
    try:
        return _run(config, pairs, guard, execution or Execution(), open_store, report, started)
    finally:
        guard.close()


def prepared_pairs(config: PairsConfig) -> Prepared:
    """Build the guard; whoever asks for it closes it.

    Raises
    ------
    ConfigError, ModelError
        See `build_guard`.
    """
    sigma = None if config.noise.image is None else config.noise.image.sigma
    guard = build_guard(config.model, region=region_of(config), canvas=canvas_of(config), sigma=sigma)
    smoothed = SmoothedClassifier(guard.classifier, noise=noise_of(config))
    return Prepared(smoothed, threat_of(config), described=guard.described, identity=guard.identity)


def _run(
    config: PairsConfig,
    pairs: GuardPairs,
    guard: Prepared,
    execution: Execution,
    open_store: Callable[[Mapping[str, Any]], RunStore] | None,
    report: Report | None,
    started: float,
) -> PairsResult:
    certificate = config.certificate
    smoothed = guard.smoothed
    executor = executor_of(execution, guard.classifier, len(pairs) * certificate.samples)
    _check_all(guard.classifier, pairs)
    store = None if open_store is None else open_store(guard.identity)
    run = smoothed.certify(
        pairs.rows(pairs.flagged).frame(),
        threat=guard.threat,
        samples=certificate.samples,
        alpha=certificate.alpha,
        threshold=certificate.threshold,
        seed=certificate.seed,
        label=certificate.label,
        stopping=question(certificate.stopping),
        bound=certificate.bound,
        budget=certificate.budget,
        executor=executor,
        retries=execution.retries,
        store=store,
        progress=told(report, f"sampling {certificate.label}"),
    )
    rest = pairs.rows(~pairs.flagged)
    noisy, clean = _benign(smoothed, rest, config, executor, execution, store, report)
    failures = {} if noisy is None or clean is None else clean.failures | noisy.failures
    stages = [stage for stage in (noisy, clean) if stage is not None]
    return PairsResult(
        run=run,
        false_alarms=_false_alarms(smoothed, rest, clean, noisy, config),
        benign_failures={rest.pairs.ids[row]: why for row, why in failures.items()},
        model=guard.described,
        benign_calls={
            "model_calls": sum(stage.calls for stage in stages),
            "model_calls_from_store": sum(stage.calls_from_store for stage in stages),
            "model_calls_repeated": sum(stage.calls_repeated for stage in stages),
        },
        execution=describe_executor(executor),
        seconds=time.perf_counter() - started,
    )


def _check_all(classifier: Classifier, pairs: GuardPairs) -> None:
    """Raise DataError for a pair that cannot be encoded, before the first copy of another one is drawn."""
    for start in range(0, len(pairs), _CHECKED_AT_ONCE):
        classifier.encode(pairs.rows(slice(start, start + _CHECKED_AT_ONCE)).frame())


def _benign(
    smoothed: SmoothedClassifier,
    rest: GuardPairs,
    config: PairsConfig,
    executor: Executor,
    execution: Execution,
    store: RunStore | None,
    report: Report | None,
) -> tuple[Sampling | None, Sampling | None]:
    """Return answers about the pairs that should not be flagged, with noise and without; None for none."""
    if not len(rest):
        return None, None
    X, certificate = rest.frame(), config.certificate
    noisy = smoothed.explore(
        X,
        samples=certificate.samples,
        seed=certificate.seed,
        executor=executor,
        retries=execution.retries,
        store=store,
        progress=told(report, "sampling the rest"),
    )
    clean = smoothed.ask(X, seed=certificate.seed, executor=executor, retries=execution.retries, store=store)
    return noisy, clean


def _false_alarms(
    smoothed: SmoothedClassifier,
    rest: GuardPairs,
    clean: Sampling | None,
    noisy: Sampling | None,
    config: PairsConfig,
) -> pd.DataFrame:
    """Tabulate the answers about pairs that should not be flagged; what failed counts as flagged."""
    classes, samples = smoothed.classes_, config.certificate.samples
    flag = class_index(classes, config.certificate.label)
    hits, answers = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.intp)
    digests: list[str] = []
    if noisy is not None and clean is not None:
        digests = [key.hex() for key in RowStreams(0).keys(smoothed.classifier.encode(rest.frame()))]
        hits, answers = noisy.counts[:, flag].copy(), clean.counts.argmax(axis=1)
        hits[list(noisy.failures)] = samples
        answers[list(clean.failures)] = flag
    return pd.DataFrame(
        {
            "input": pd.Series(list(rest.pairs.ids), dtype=object),
            "target": pd.Series(list(rest.pairs.labels or ()), dtype=object),
            "digest": pd.Series(digests, dtype=object),
            "clean_label": pd.Series(list(classes[answers]), dtype=object),
            "hits": hits,
            "samples": np.full(len(rest), samples, dtype=np.int64),
        }
    )


def write_false_alarms(directory: Path, found: PairsResult) -> None:
    """Write ``false_alarms.parquet``: the answers about pairs that should not be flagged."""
    found.false_alarms.to_parquet(directory / "false_alarms.parquet", index=False)


def extras(config: PairsConfig, found: PairsResult) -> list[Mapping[str, Any]]:
    """Return the tables that a report shows beside the certificates; see `tables`."""
    run = found.run
    neither = ~np.isin(run.classes, LABELS)
    return tables(
        run,
        found.false_alarms,
        thresholds=config.report.thresholds,
        eps=config.report.eps,
        unreadable=int(run.counts[:, neither].sum()),
    )


def region_of(config: PairsConfig) -> Region:
    """Return what is in play."""
    if config.region.suffix_slots is not None:
        return SuffixSlots(config.region.suffix_slots)
    assert config.region.whole_prompt is not None
    return WholePrompt(config.region.whole_prompt)


def canvas_of(config: PairsConfig) -> Canvas:
    """Return what images are resized to."""
    return Canvas(config.canvas.height, config.canvas.width, config.canvas.channels)


def noise_of(config: PairsConfig) -> dict[str, Kernel]:
    """Return the noise on each modality that has any."""
    noise: dict[str, Kernel] = {}
    if config.noise.text is not None:
        noise[SUFFIX if config.region.suffix_slots is not None else TEXT] = config.noise.text.built()
    if config.noise.image is not None:
        noise[IMAGE] = GaussianNoise(config.noise.image.sigma)
    return noise


def threat_of(config: PairsConfig) -> DiscreteThreat | None:
    """Return the threat; None where no symbol may change."""
    return None if config.threat is None else THREATS[config.threat.kind](config.threat.max_d)


def executor_of(execution: Execution, classifier: Classifier, copies: int) -> Executor:
    """Return an executor: this process alone unless something else was asked for.

    Each process would load the checkpoint anew, onto the same device or into the same memory, and an
    endpoint is asked by many threads from one process already. Only who runs it knows what fits.
    """
    if not execution.is_asked:
        return Serial()
    return execution.executor_for(copies, cheap=False, task=getattr(classifier, "block_copies", TASK))
