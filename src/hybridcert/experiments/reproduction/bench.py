"""Guard, pairs and counts that all measurements share: each is made once, when first asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import IMAGE, SUFFIX, TEXT, SuffixSlots, WholePrompt
from hybridcert.certification import CertificationRun
from hybridcert.experiments.execution import Execution
from hybridcert.experiments.guards import Guard, build_guard
from hybridcert.experiments.reproduction.interaction_pairs import (
    InteractionPairs,
    candidates,
    interaction_pairs,
)
from hybridcert.experiments.reproduction.settings import PairsSetting
from hybridcert.experiments.training import Report, told
from hybridcert.kernels.deletion import PADDING
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.kernels.uniform import UniformReplacement
from hybridcert.sampling.classifier import class_index
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.executors.processes import Processes, available_cores
from hybridcert.sampling.executors.serial import Serial
from hybridcert.sampling.noise import Kernel
from hybridcert.sampling.rounds import TASK
from hybridcert.sampling.store import RunStore
from hybridcert.slot_reuse import slot_frontier
from hybridcert.slot_runs import SlotFrontier
from hybridcert.smoothing import SmoothedClassifier
from hybridcert.threats import Substitution

UNSAFE = "unsafe"

WORTH_PROCESSES = 20_000
"""Copies from which on starting workers pays: each takes seconds to import what a guard needs."""

OpenStore = Callable[[Mapping[str, Any]], RunStore]


class Bench:
    """What the measurements on pairs share.

    Parameters
    ----------
    setting : PairsSetting
    limit : int, optional
        So many pairs, in place of the setting's.
    execution : Execution, optional
        Where model calls are made, if something was asked for.
    open_store : callable(identity) -> RunStore, optional
        Opens the store that keeps the counts.
    report : Report, optional
    """

    def __init__(
        self,
        setting: PairsSetting,
        *,
        limit: int | None = None,
        execution: Execution | None = None,
        open_store: OpenStore | None = None,
        report: Report | None = None,
    ) -> None:
        self.setting = setting
        self.report = report
        self.canvas = Canvas(setting.canvas.height, setting.canvas.width, setting.canvas.channels)
        self.calls: dict[str, int] = {"model_calls": 0, "model_calls_from_store": 0}
        self._wanted = setting.pairs if limit is None else limit
        self._execution = Execution() if execution is None else execution
        self._open_store = open_store
        self._store: RunStore | None = None
        self._guards: dict[Any, Guard] = {}
        self._pairs: InteractionPairs | None = None

    @property
    def slots(self) -> SuffixSlots:
        """The slots behind the prompt."""
        return SuffixSlots(self.setting.regions.suffix_slots)

    @property
    def whole(self) -> WholePrompt:
        """The whole prompt."""
        return WholePrompt(self.setting.regions.whole_prompt)

    @property
    def pairs(self) -> InteractionPairs:
        """The pairs that are unsafe only together, as this guard sees them."""
        if self._pairs is None:
            setting = self.setting
            found = candidates(setting)
            self._enter(found.digest())
            self._pairs = interaction_pairs(
                setting,
                found,
                self.smoothed(self.slots, beta=None, sigma=setting.noise.sigma),
                wanted=self._wanted,
                executor=self.executor,
                store=self._store,
                blank=self.canvas.blank(),
                report=self.report,
            )
        return self._pairs

    @property
    def store(self) -> RunStore | None:
        """The store of the counts; open once the pairs are known."""
        return self._store

    @property
    def X(self) -> dict[str, list[Any]]:  # noqa: N802
        """The pairs as the guard takes them."""
        return self.pairs.pairs.inputs

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.pairs.pairs)

    def guard(self, region: SuffixSlots | WholePrompt, sigma: float | None) -> Guard:
        """Return the guard for a region; with a denoiser, for this noise on the image."""
        section = self.setting.model
        denoiser = None if section.checkpoint is None else section.checkpoint.denoiser
        if denoiser is not None and sigma is None and section.checkpoint is not None:
            plain = section.checkpoint.model_copy(update={"denoiser": None})
            section = section.model_copy(update={"checkpoint": plain})
        key = (region, sigma if denoiser is not None else None)
        if key not in self._guards:
            self._guards[key] = build_guard(section, region=region, canvas=self.canvas, sigma=sigma)
        return self._guards[key]

    def smoothed(
        self, region: SuffixSlots | WholePrompt, *, beta: float | None, sigma: float | None
    ) -> SmoothedClassifier:
        """Return the guard with noise on the symbols in play, the image, or both."""
        noise: dict[str, Kernel] = {}
        if beta is not None:
            noise[SUFFIX if isinstance(region, SuffixSlots) else TEXT] = UniformReplacement(beta)
        if sigma is not None:
            noise[IMAGE] = GaussianNoise(sigma)
        return SmoothedClassifier(self.guard(region, sigma).classifier, noise=noise)

    def frontier(self, *, beta: float, sigma: float | None, threshold: float) -> SlotFrontier:
        """Certify suffixes of every length d, each with noise on d slots, as the paper's default does.

        All d hold together with probability 1 − α for each pair, so that the largest certified d may be
        looked for.
        """
        found = slot_frontier(
            self.smoothed(self.slots, beta=beta, sigma=sigma),
            self.X,
            modality=SUFFIX,
            scope="simultaneous",
            reuse="completed",
            label=UNSAFE,
            **self._claim(threshold, f"suffixes, β = {beta:g}, σ = {sigma or 0:g}"),
        )
        self.count(found.cost)
        return found

    def certified(
        self,
        region: SuffixSlots | WholePrompt,
        *,
        beta: float | None,
        sigma: float | None,
        threshold: float,
    ) -> CertificationRun:
        """Certify with one kernel on all symbols in play, or without noise on them (d = 0 only)."""
        most = region.slots if isinstance(region, SuffixSlots) else self.setting.regions.whole_prompt_max_d
        kind = "suffix" if isinstance(region, SuffixSlots) else "whole prompt"
        found = self.smoothed(region, beta=beta, sigma=sigma).certify(
            self.X,
            threat=None if beta is None else Substitution(most),
            label=UNSAFE,
            **self._claim(threshold, f"{kind}, β = {beta or 0:g}, σ = {sigma or 0:g}"),
        )
        self.count(found.cost)
        return found

    def hits(
        self, region: SuffixSlots | WholePrompt, *, beta: float | None, sigma: float | None, samples: int
    ) -> npt.NDArray[np.int64]:
        """Return how many of ``samples`` noisy copies of each pair are flagged, shape (pairs,).

        Without any noise all copies are alike: the guard is asked once, and its answer counts for all.
        """
        if beta is None and sigma is None:
            return samples * self._flagged(region)
        kind = "suffix" if isinstance(region, SuffixSlots) else "whole prompt"
        smoothed = self.smoothed(region, beta=beta, sigma=sigma)
        found = smoothed.explore(
            self.X,
            samples=samples,
            seed=self.setting.claim.seed,
            executor=self.executor(len(self) * samples),
            store=self._store,
            progress=told(self.report, f"{kind}, β = {beta or 0:g}, σ = {sigma or 0:g}"),
        )
        self.count({"model_calls": found.calls, "model_calls_from_store": found.calls_from_store})
        return found.complete()[:, class_index(smoothed.classes_, UNSAFE)]

    def _flagged(self, region: SuffixSlots | WholePrompt) -> npt.NDArray[np.int64]:
        """Return 1 for each pair that the guard itself flags, without noise and without a denoiser."""
        classifier = self.guard(region, None).classifier
        answers = classifier.predict_encoded(classifier.encode(self.X))
        self.count({"model_calls": len(answers)})
        return np.asarray(answers == class_index(classifier.classes_, UNSAFE), dtype=np.int64)

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return how many tokens each prompt has, shape (pairs,)."""
        classifier = self.guard(self.whole, self.setting.noise.sigma).classifier
        codes = classifier.encode(self.X)[TEXT]
        return np.asarray((codes != PADDING).sum(axis=1), dtype=np.int64)

    def executor(self, copies: int) -> Executor:
        """Return where so many copies are asked about."""
        classifier = self.guard(self.slots, self.setting.noise.sigma).classifier
        if self._execution.is_asked:
            task = getattr(classifier, "block_copies", TASK)
            return self._execution.executor_for(copies, cheap=False, task=task)
        return Processes() if self.setting.executor == "processes" and copies >= WORTH_PROCESSES else Serial()

    @property
    def processes(self) -> int:
        """How many processes of this machine attack pairs: as many as are asked about many copies."""
        executor = self.executor(WORTH_PROCESSES)
        return (executor.workers or available_cores()) if isinstance(executor, Processes) else 1

    def count(self, cost: Mapping[str, Any]) -> None:
        """Add what a measurement cost to the calls."""
        for key in self.calls:
            self.calls[key] += int(cost.get(key, 0))

    def close(self) -> None:
        """Close what the guards hold open."""
        for guard in self._guards.values():
            guard.close()

    def _claim(self, threshold: float, what: str) -> dict[str, Any]:
        claim = self.setting.claim
        return {
            "threshold": threshold,
            "samples": claim.samples,
            "alpha": claim.alpha,
            "seed": claim.seed,
            "executor": self.executor(len(self) * claim.samples),
            "store": self._store,
            "progress": told(self.report, what),
        }

    def _enter(self, data: str) -> None:
        """Open the store, for these data and both guards."""
        if self._open_store is not None:
            sigma = self.setting.noise.sigma
            self._store = self._open_store(
                {
                    "setting": self.setting.identity(),
                    "pairs": self._wanted,
                    "data": {"sha256": data},
                    "model": {
                        "slots": dict(self.guard(self.slots, sigma).identity),
                        "whole": dict(self.guard(self.whole, sigma).identity),
                    },
                    "packages": {name: version(name) for name in ("hybridcert", "numpy")},
                }
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What a measurement cost, as `environment.json` states it."""

    calls: Mapping[str, int]
    seconds: float

    def described(self) -> dict[str, float]:
        """Return calls and seconds as plain values."""
        return {**self.calls, "sampling_seconds": self.seconds, "seconds": self.seconds}
