"""One question for each input, asked of a bound that is valid at every look."""

from __future__ import annotations

import dataclasses

import numpy as np

from hybridcert.certificate.alpha_budget import check_looks
from hybridcert.certificate.ranges import check_open
from hybridcert.sampling.stopping.prediction import failures_within
from hybridcert.sampling.stopping.rule import Counts, Floats, Holds, Outlook, Rows, Verdict, Verdicts

_CHANCES = (0.9, 0.7, 0.5, 0.3, 0.1, 0.02)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class BudgetedTarget:
    """Certified as soon as the bound proves the claim; given up when it hardly will at the last look.

    The future is judged by one sample: as many further answers for the claimed label as are reached with
    chance ``futility``, and the others shared out as they have been so far. If even that proves nothing, more
    copies are not worth their cost.

    Attributes
    ----------
    looks : tuple of int
        Copies drawn up to each look, strictly increasing.
    claimed : int array, shape (rows,)
        Index of the claimed label.
    holds : callable(look, rows, counts) -> bool array, shape (rows,)
        From proven bounds, valid whatever stops the sampling.
    pilot : int array, shape (rows, classes), optional
        Answers on copies that serve no bound. They tell which inputs a short budget is best spent on.
    futility : float in (0, 1)
    """

    looks: tuple[int, ...]
    claimed: Rows
    holds: Holds
    pilot: Counts | None = None
    futility: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "looks", check_looks(self.looks))
        check_open("futility", self.futility)

    def schedule(self, rows: Rows) -> Counts:
        """Return the copies up to each look, shape (rows, looks)."""
        return np.tile(np.array(self.looks, dtype=np.int64), (len(rows), 1))

    def verdicts(self, look: int, rows: Rows, counts: Counts) -> Verdicts:
        """Certified where `holds`; given up at the last look and where the future is bleak."""
        found = np.full(len(rows), Verdict.GIVE_UP, dtype=np.int8)
        certified = self.holds(look, rows, counts)
        found[certified] = Verdict.CERTIFIED
        last = len(self.looks) - 1
        if look < last:
            open_ = np.flatnonzero(~certified)
            ahead = self._ahead(self.futility, (look, last), rows[open_], counts[open_], counts[open_])
            found[open_[self.holds(last, rows[open_], ahead)]] = Verdict.GO_ON
        return found

    def outlook(self, look: int, rows: Rows, counts: Counts) -> Outlook:
        """Return the best predicted chance, per copy, of being certified.

        Three looks are tried: the next, the last, and one halfway between.
        """
        seen = counts if self.pilot is None else counts + self.pilot[rows]
        drawn = self.looks[look] if look >= 0 else 0
        later = range(look + 1, len(self.looks))
        urgency = np.zeros(len(rows))
        copies = np.full(len(rows), self.looks[look + 1] - drawn, dtype=np.int64)
        for to in sorted({later[0], later[len(later) // 2], later[-1]}):
            more = self.looks[to] - drawn
            rate = self._chance((look, to), rows, counts, seen) / more
            better = rate > urgency
            urgency[better], copies[better] = rate[better], more
        return Outlook(urgency, copies)

    def _chance(self, step: tuple[int, int], rows: Rows, counts: Counts, seen: Counts) -> Floats:
        """Return about the chance that the claim is proven at a later look: one of a few values."""
        chance, open_ = np.zeros(len(rows)), np.arange(len(rows))
        for level in _CHANCES:
            ahead = self._ahead(level, step, rows[open_], counts[open_], seen[open_])
            proven = self.holds(step[1], rows[open_], ahead)
            chance[open_[proven]] = level
            open_ = open_[~proven]
        return chance

    def _ahead(
        self, chance: float, step: tuple[int, int], rows: Rows, counts: Counts, seen: Counts
    ) -> Counts:
        """Return counts at a later look whose answers for the claimed label are reached with this chance."""
        look, to = step
        more = self.looks[to] - (self.looks[look] if look >= 0 else 0)
        at, claimed = np.arange(len(rows)), self.claimed[rows]
        copies = seen.sum(axis=1)
        pairs, index = np.unique(
            np.stack([copies - seen[at, claimed], copies], axis=1), axis=0, return_inverse=True
        )
        failures = failures_within(chance, failures=pairs[:, 0], copies=pairs[:, 1], more=more)
        failed = failures[index.reshape(-1)]
        others = np.where(np.arange(seen.shape[1]) == claimed[:, None], 0, seen)
        ahead = counts + _shared(failed, others, claimed)
        ahead[at, claimed] += more - failed
        return ahead


def _shared(copies: Counts, others: Counts, claimed: Rows) -> Counts:
    """Share copies among the other labels in proportion to ``others``, or evenly where these are zero."""
    labels = np.arange(others.shape[1])
    weights = np.where(others.sum(axis=1, keepdims=True) > 0, others, labels != claimed[:, None])
    parts = np.cumsum(weights, axis=1)
    ends = copies[:, None] * parts // np.maximum(parts[:, -1:], 1)
    shared: Counts = np.diff(ends, axis=1, prepend=0)
    return shared
