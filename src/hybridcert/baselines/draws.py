"""How many copies a baseline draws, at which confidence, from which seed and where; and what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.confidence import clopper_pearson_lower
from hybridcert.certificate.directed import Floats
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.certification import CertificationRun
from hybridcert.errors import ParameterError
from hybridcert.joint_threat import Threat
from hybridcert.sampling.blocks import Cells, Work
from hybridcert.sampling.classifier import Batch, Classifier, claimed_indices
from hybridcert.sampling.engine import Retries, Sampler
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.noise import ContinuousNoise, Kernel
from hybridcert.sampling.outcome import Report, Sampling
from hybridcert.sampling.stopping import FixedSamples
from hybridcert.sampling.store import RunStore
from hybridcert.sampling.streams import RowStreams, Stage
from hybridcert.smoothing import SmoothedClassifier


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What every baseline that asks a classifier needs besides classifier and inputs.

    Parameters
    ----------
    samples : int >= 1
        Copies of each input.
    alpha : float in (0, 1)
        Error probability of the bound on the score of each input.
    seed : int >= 0
    executor : Executor, optional
        `Serial` by default.
    store : RunStore, optional
        Keeps the counts; what it holds is not drawn again. Counts of different noise, different selections
        and different filters are kept apart in it; those of different classifiers need stores of their own.
    retries : Retries, optional
    progress : callable(SamplingProgress), optional

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """

    samples: int
    alpha: float
    seed: int
    executor: Executor | None = None
    store: RunStore | None = None
    retries: Retries | None = None
    progress: Report | None = None

    def __post_init__(self) -> None:
        check_count("samples", self.samples)
        check_open("alpha", self.alpha)
        RowStreams(self.seed)  # refuses what is no seed

    def counted(self, work: Work, inputs: Batch, *, stage: Stage) -> Sampling:
        """Draw the copies of encoded inputs and count what was answered."""
        with Sampler(
            work,
            inputs,
            seed=self.seed,
            executor=self.executor,
            store=self.store,
            retries=self.retries,
        ) as sampler:
            return sampler.sample(stage, FixedSamples(self.samples), report=self.progress)

    def scored(self, work: Work, inputs: Batch, *, label: Any) -> Scores:
        """Count how often ``label`` was answered about copies of encoded inputs; one count for each class."""
        claimed = claimed_label(work.classifier, label)
        found = self.counted(work, inputs, stage=Stage.ESTIMATE)
        return Scores(found.counts, found.samples, claimed, self.alpha, found.failures)

    def certified(
        self,
        classifier: Classifier,
        X: Any,
        *,
        noise: Mapping[str, Kernel],
        threat: Threat,
        label: Any,
        threshold: float,
    ) -> CertificationRun:
        """Run `SmoothedClassifier.certify` with these copies."""
        claimed_label(classifier, label)
        return SmoothedClassifier(classifier, noise=noise).certify(
            X,
            threat=threat,
            samples=self.samples,
            alpha=self.alpha,
            seed=self.seed,
            threshold=threshold,
            label=label,
            executor=self.executor,
            store=self.store,
            retries=self.retries,
            progress=self.progress,
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """How often the claimed label was the answer.

    Attributes
    ----------
    counts : int array, shape (m, classes)
        Zeros where an input failed.
    samples : int array, shape (m,)
        Copies drawn; 0 where an input failed.
    claimed : int
        Index of the label.
    alpha : float
    failures : mapping of row to reason
    """

    counts: npt.NDArray[np.int64]
    samples: npt.NDArray[np.int64]
    claimed: int
    alpha: float
    failures: Mapping[int, str]

    @property
    def successes(self) -> npt.NDArray[np.int64]:
        """Copies that answered the label, shape (m,)."""
        return np.asarray(self.counts[:, self.claimed])

    @property
    def p_hat(self) -> Floats:
        """Share of copies that answered the label, shape (m,): an estimate; 0 where an input failed."""
        return np.asarray(self.successes / np.maximum(self.samples, 1))

    @property
    def p_lower(self) -> Floats:
        """Lower confidence bound on the score of the label, shape (m,); 0 where an input failed.

        Guarantee: with probability at least 1 − alpha for each input, it is at most the score.
        """
        bounds = np.zeros(len(self.counts))
        drawn = self.samples > 0
        if drawn.any():
            samples = int(self.samples[drawn][0])
            bounds[drawn] = clopper_pearson_lower(self.successes[drawn], samples, self.alpha)
        return bounds


@dataclasses.dataclass(frozen=True, slots=True)
class AnswersOf:
    """One count per class, under the name of the filter that was asked: a store keeps it apart by that.

    Parameters
    ----------
    system : str
    """

    system: str

    def cells(self, classes: int) -> int:
        """One cell per class."""
        return classes

    def __call__(
        self, answers: npt.NDArray[np.intp], drawn: Batch, clean: Mapping[str, Any], *, classes: int
    ) -> Cells:
        """Return how often each class was the answer, shape (classes,)."""
        return np.bincount(answers, minlength=classes).astype(np.int64, copy=False)


def claimed_label(classifier: Classifier, label: Any) -> int:
    """Return the index of the label that is claimed; raise ParameterError where it cannot be."""
    if label is None:
        raise ParameterError(
            "label is needed: a baseline claims one label, chosen before the copies are drawn"
        )
    return int(claimed_indices(classifier, 1, label=label, pilot=None)[0])


def check_continuous(noise: Mapping[str, Kernel]) -> None:
    """Raise ParameterError unless all noise is on continuous modalities."""
    for name, kernel in noise.items():
        if not isinstance(kernel, ContinuousNoise):
            raise ParameterError(
                f"noise must be GaussianNoise or LaplaceNoise alone, got {kernel.name} on modality {name!r}"
            )


def check_discrete(noise: Mapping[str, Kernel]) -> None:
    """Raise ParameterError unless all noise is on discrete modalities."""
    for name, kernel in noise.items():
        if isinstance(kernel, ContinuousNoise):
            raise ParameterError(
                f"noise must be on discrete modalities alone, got {kernel.name} on modality {name!r}"
            )
