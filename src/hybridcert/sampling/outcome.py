"""What sampling reports while it goes on, and what it found in the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ModelError
from hybridcert.sampling.streams import Stage

Counts = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class SamplingProgress:
    """How far one stage of sampling is.

    Attributes
    ----------
    stage : Stage
    inputs, inputs_done, certified, failed : int
        Distinct inputs; those that draw no more copies; those among them whose claim is proven; those that
        are given up after repeated failures.
    calls, calls_from_store, calls_saved, calls_at_most : int
        Copies classified so far, those found in the store included; how many of them were found there; how
        many will not be drawn, because their inputs need no more or failed; and how many there are in all
        if no input stops early. At most ``calls_at_most - calls - calls_saved`` are still to come.
    seconds : float
    """

    stage: Stage
    inputs: int
    inputs_done: int
    certified: int
    failed: int
    calls: int
    calls_from_store: int
    calls_saved: int
    calls_at_most: int
    seconds: float


Report = Callable[[SamplingProgress], None]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """What one stage of sampling found, one entry for each row of the inputs.

    Attributes
    ----------
    counts : int array, shape (rows, cells)
        Answers; zeros where an input failed.
    samples : int array, shape (rows,)
        Copies drawn in all; 0 where an input failed.
    path : int array, shape (rows, looks, cells)
        Counts at each look; looks that an input did not reach repeat its last counts.
    looks : int array, shape (rows,)
        Index of the last look that an input reached; −1 where it reached none.
    verdicts : int8 array, shape (rows,)
        Why an input stopped; `Verdict.GO_ON` where the budget ended, or the input failed.
    failures : dict of row to reason
    calls, calls_at_most, calls_from_store, calls_repeated : int
        Copies that count, copies if no input had stopped early, copies found in the store, and copies whose
        answers were lost with a failed task.
    """

    counts: Counts
    samples: Counts
    path: Counts
    looks: npt.NDArray[np.intp]
    verdicts: npt.NDArray[np.int8]
    failures: dict[int, str]
    calls: int
    calls_at_most: int
    calls_from_store: int
    calls_repeated: int

    def complete(self) -> Counts:
        """Return the counts; raise ModelError where an input failed."""
        for row, reason in self.failures.items():
            raise ModelError(f"the classifier failed on input {row}: {reason}")
        return self.counts
