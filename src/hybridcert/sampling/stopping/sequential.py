"""One question for each input, tested at looks whose boundaries were fixed before the first copy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hybridcert.certificate.group_sequential import GroupSequentialDesign
from hybridcert.sampling.stopping.prediction import chances_at_most, likely_rates
from hybridcert.sampling.stopping.rule import Counts, Outlook, Rows, Verdict, Verdicts

_HARDLY = 0.05


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class GroupSequentialRule:
    """Follows the design of each input: certified at the upper boundary, given up at the lower one.

    Attributes
    ----------
    designs : sequence of GroupSequentialDesign
    design_of_row : int array, shape (rows,)
        Inputs that need the same score share a design.
    claimed : int array, shape (rows,)
        Index of the claimed label.
    pilot : int array, shape (rows, classes), optional
        Answers on copies that serve no bound. They tell which inputs a short budget is best spent on.
    """

    designs: Sequence[GroupSequentialDesign]
    design_of_row: Rows
    claimed: Rows
    pilot: Counts | None = None

    def schedule(self, rows: Rows) -> Counts:
        """Return the copies up to each look of the designs, shape (rows, looks)."""
        longest = max(len(design.looks) for design in self.designs)
        padded = [design.looks + design.looks[-1:] * (longest - len(design.looks)) for design in self.designs]
        return np.array(padded, dtype=np.int64)[self.design_of_row[rows]]

    def verdicts(self, look: int, rows: Rows, counts: Counts) -> Verdicts:
        """Certified from ``certify_at`` on; given up below ``stop_below``, and at the last look."""
        successes = counts[np.arange(len(rows)), self.claimed[rows]]
        found = np.full(len(rows), Verdict.GO_ON, dtype=np.int8)
        for number in np.unique(self.design_of_row[rows]):
            design, part = self.designs[number], self.design_of_row[rows] == number
            last = look == len(design.looks) - 1
            found[part & (last | (successes < design.stop_below[look]))] = Verdict.GIVE_UP
            found[part & (successes >= design.certify_at[look])] = Verdict.CERTIFIED
        return found

    def outlook(self, look: int, rows: Rows, counts: Counts) -> Outlook:
        """Return the best predicted chance, per copy, of being certified at one of the looks to come."""
        at = np.arange(len(rows))
        successes = counts[at, self.claimed[rows]]
        seen, known = successes, counts.sum(axis=1)
        if self.pilot is not None:
            seen = seen + self.pilot[rows, self.claimed[rows]]
            known = known + self.pilot[rows].sum(axis=1)
        keys = np.stack([self.design_of_row[rows], successes, known - seen, known], axis=1)
        distinct, index = np.unique(keys, axis=0, return_inverse=True)
        urgency, copies = np.zeros(len(distinct)), np.zeros(len(distinct), np.int64)
        for number in np.unique(distinct[:, 0]):
            part = distinct[:, 0] == number
            urgency[part], copies[part] = _best(self.designs[number], look, *distinct[part, 1:].T)
        return Outlook(urgency[index.reshape(-1)], copies[index.reshape(-1)])


def _best(
    design: GroupSequentialDesign, look: int, successes: Counts, failures: Counts, known: Counts
) -> Outlook:
    """Return the largest chance per copy over the looks to come, and the copies to expect for it.

    Failure rates that leave hardly a chance cost no more than the next look, where they will show.
    """
    drawn = design.looks[look] if look >= 0 else 0
    looks = np.array(design.looks[look + 1 :], dtype=np.int64)
    more = looks - drawn
    allowed = more - (np.array(design.certify_at[look + 1 :], dtype=np.int64) - successes[:, None])
    rates = likely_rates(failures, known)[:, None]
    chances = chances_at_most(allowed, np.broadcast_to(more, allowed.shape), rates)
    per_copy = chances.mean(axis=-1) / more
    at, best = np.arange(successes.size), per_copy.argmax(axis=1)
    serious = (chances[at, best] >= _HARDLY).mean(axis=1)
    expected = np.ceil(more[0] + serious * (more[best] - more[0])).astype(np.int64)
    return Outlook(per_copy[at, best], expected)
