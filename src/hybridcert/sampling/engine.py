"""Counting answers over noisy copies: rounds of looks, handed out as tasks, stored as they come back.

A block is the unit of randomness: copies of one input from one random stream. A task is the unit of work:
blocks of a few thousand copies in all, one model call, one commit. What is counted depends on seed, inputs,
noise and stopping rule alone; executors, restarts and the way blocks are grouped into tasks leave no trace.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from types import TracebackType
from typing import Self

from hybridcert.certificate.ranges import check_count
from hybridcert.errors import ParameterError
from hybridcert.sampling.blocks import Work
from hybridcert.sampling.classifier import Batch, Classifier
from hybridcert.sampling.distinct import DistinctInputs
from hybridcert.sampling.executors.executor import Executor, Session
from hybridcert.sampling.executors.serial import Serial
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.outcome import Counts, Report, Sampling
from hybridcert.sampling.rounds import Drawing, Rounds
from hybridcert.sampling.stopping import FixedSamples, StoppingRule
from hybridcert.sampling.store import RunStore
from hybridcert.sampling.streams import Stage


@dataclasses.dataclass(frozen=True, slots=True)
class Retries:
    """How often a block is drawn, always from the same stream, before its input is given up.

    Parameters
    ----------
    attempts : int >= 1
    """

    attempts: int = 3

    def __post_init__(self) -> None:
        check_count("attempts", self.attempts)


class Sampler:
    """Draws and counts copies of some inputs; a context manager that holds the workers.

    Parameters
    ----------
    work : Work
        Classifier, noise, and how answers are tallied.
    inputs : Batch
        Encoded inputs, one row each. Equal rows share their noise, so they are asked once.
    seed : int >= 0
    executor : Executor
    store : RunStore, optional
        Counts found there are not drawn again; new ones are added as soon as they are known. They are kept
        apart by the noise, where it acts, how answers are tallied, and the seed.
    retries : Retries
    """

    def __init__(
        self,
        work: Work,
        inputs: Batch,
        *,
        seed: int,
        executor: Executor | None = None,
        store: RunStore | None = None,
        retries: Retries | None = None,
    ) -> None:
        work.noise.check_inputs(inputs)
        if executor is not None and (isinstance(executor, type) or not hasattr(executor, "open")):
            raise ParameterError(f"executor must be Serial(), Processes() or RayCluster(), got {executor!r}")
        if retries is not None and not isinstance(retries, Retries):
            raise ParameterError(f"retries must be Retries(attempts), got {retries!r}")
        self._executor = Serial() if executor is None else executor
        self._stack = contextlib.ExitStack()
        self._session: Session | None = None
        self._drawing = Drawing(
            work=work,
            inputs=DistinctInputs.of(inputs, seed=seed),
            session=self.session,
            store=store,
            kernel=_kernel(work, seed),
            attempts=(Retries() if retries is None else retries).attempts,
            failures={},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def sample(
        self, stage: Stage, rule: StoppingRule, *, budget: int | None = None, report: Report | None = None
    ) -> Sampling:
        """Draw copies for one stage until the rule has stopped every input, or the budget is spent.

        Inputs that failed in an earlier stage are left out.

        Parameters
        ----------
        budget : int >= 1, optional
            Copies of all distinct inputs together. Which inputs draw when it is short: see `affordable`.

        Raises
        ------
        ModelError
            When the classifier breaks its contract, or fails on every input.
        StoreError
            When the store cannot be read or written, or holds other copies than the rule asks for.
        """
        rounds = Rounds(self._drawing, stage, rule, budget=budget, report=report)
        rounds.run()
        return rounds.result()

    @property
    def inputs(self) -> int:
        """Number of distinct inputs that did not fail."""
        return len(self._drawing.inputs.rows) - len(self._drawing.failures)

    def session(self) -> Session:
        """Return the open session; workers start when there is work for them."""
        if self._session is None:
            self._session = self._stack.enter_context(self._executor.open(self._drawing.work))
        return self._session


def _kernel(work: Work, seed: int) -> str:
    """Name what counts in a store depend on, besides the input and the model."""
    noise = work.noise
    eligible = {name: noise.surfaces[name].eligible for name in sorted(noise.kernels)}
    # plain values and tuples: nothing is abridged
    named = (noise.described(), eligible, work.tally, work.block_copies, int(seed))
    return hashlib.blake2b(repr(named).encode(), digest_size=16).hexdigest()


def count_labels(
    classifier: Classifier,
    inputs: Batch,
    noise: SmoothingNoise,
    *,
    samples: int,
    seed: int,
    stage: Stage,
    executor: Executor | None = None,
    report: Report | None = None,
) -> Counts:
    """Return how often each class answered, shape (rows, classes); every row sums to ``samples``.

    Raises
    ------
    ModelError
        When an answer is not a class index, or the classifier keeps failing on an input.
    """
    rule = FixedSamples(samples)
    with Sampler(Work(classifier, noise), inputs, seed=seed, executor=executor) as sampler:
        return sampler.sample(stage, rule, report=report).complete()
