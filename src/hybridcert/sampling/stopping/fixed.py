"""Rules without a question: every input draws what is planned for all."""

from __future__ import annotations

import dataclasses

import numpy as np

from hybridcert.certificate.alpha_budget import check_looks
from hybridcert.certificate.ranges import check_count
from hybridcert.sampling.stopping.rule import Counts, Holds, Outlook, Rows, Verdict, Verdicts


@dataclasses.dataclass(frozen=True, slots=True)
class FixedSamples:
    """The same number of copies for every input, looked at once.

    Attributes
    ----------
    samples : int >= 1
    holds : callable(look, rows, counts) -> bool array, shape (rows,), optional
        Whether counts prove the claim. It is passed on to whoever watches, and stops nothing.
    """

    samples: int
    holds: Holds | None = None

    def __post_init__(self) -> None:
        check_count("samples", self.samples)

    def schedule(self, rows: Rows) -> Counts:
        """Return the copies, shape (rows, 1)."""
        return np.full((len(rows), 1), self.samples, dtype=np.int64)

    def verdicts(self, look: int, rows: Rows, counts: Counts) -> Verdicts:
        """Return `Verdict.CERTIFIED` where the claim is known to hold, `Verdict.ENOUGH` elsewhere."""
        found = np.full(len(rows), Verdict.ENOUGH, dtype=np.int8)
        if self.holds is not None:
            found[self.holds(look, rows, counts)] = Verdict.CERTIFIED
        return found

    def outlook(self, look: int, rows: Rows, counts: Counts) -> Outlook:
        """Return the same urgency for every input."""
        return Outlook(np.ones(len(rows)), np.full(len(rows), self.samples, dtype=np.int64))


@dataclasses.dataclass(frozen=True, slots=True)
class EveryLook:
    """All looks for every input: only a budget stops one earlier.

    For bounds that are valid at each look, when no question is asked that could be settled.

    Attributes
    ----------
    looks : tuple of int
        Copies drawn up to each look, strictly increasing.
    """

    looks: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "looks", check_looks(self.looks))

    def schedule(self, rows: Rows) -> Counts:
        """Return the copies up to each look, shape (rows, looks)."""
        return np.tile(np.array(self.looks, dtype=np.int64), (len(rows), 1))

    def verdicts(self, look: int, rows: Rows, counts: Counts) -> Verdicts:
        """Return `Verdict.ENOUGH` at the last look."""
        verdict = Verdict.ENOUGH if look == len(self.looks) - 1 else Verdict.GO_ON
        return np.full(len(rows), verdict, dtype=np.int8)

    def outlook(self, look: int, rows: Rows, counts: Counts) -> Outlook:
        """Return the same urgency for every input, and the copies of its next look."""
        before = self.looks[look] if look >= 0 else 0
        return Outlook(np.ones(len(rows)), np.full(len(rows), self.looks[look + 1] - before, dtype=np.int64))
