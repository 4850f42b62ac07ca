"""As few copies as bring the whole frontier close to what the most copies allowed would prove.

A pilot, whose copies serve no bound, tells for each input how many copies that takes; they are drawn, and the
plain Clopper–Pearson bound takes the whole error probability. With one look there is nothing to
share. That matters here: after n unanimous copies the radius grows like √(2 log n), inputs with scores near 1
need most of the copies in any case, and each share of α given to another look costs them more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Self

import numpy as np

from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.errors import ParameterError
from hybridcert.sampling.stopping.forecast import Forecast, forecast
from hybridcert.sampling.stopping.rule import Counts, Floats, Outlook, Rows, Verdict, Verdicts

Frontier = Callable[[Floats, int], Floats]
"""Radii at every budget, shape (n, budgets), for scores of shape (n,) and a case of inputs."""

PRICE = 0.35
"""What all the most copies together have to add to the chance of ending within the tolerance."""
_POINTS = 400


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class WithinTolerance:
    """Draws, at one look, the copies that the pilot calls for.

    Every input ends with `Verdict.ENOUGH`. The pilot's counts are no part of any bound.

    Attributes
    ----------
    copies : int array, shape (rows,)
        Copies of each input.
    worth : float array, shape (rows,)
        Longest radius to be expected, per copy.
    """

    copies: Counts
    worth: Floats

    @classmethod
    def from_pilot(
        cls,
        pilot: Counts,
        *,
        claimed: Rows,
        most: int,
        alpha: float,
        share: float,
        case: Rows,
        radii: Frontier,
    ) -> Self:
        """Plan the copies of every input.

        Inputs of a case have one tolerance: ``share`` of the longest radius that ``most`` unanimous copies
        prove. From the pilot follows the chance that after n copies the radii of all budgets are at most the
        tolerance below those that ``most`` copies, these among them, would have proven. The plan takes the n
        for which that chance, less `PRICE` times n/``most``, is largest: the tolerance is met by most inputs,
        not promised to each. Where the pilot cannot tell the score from 1, n is 0.7 to 0.9 of ``most`` for a
        tolerance of 0.05.

        Parameters
        ----------
        pilot : int array, shape (rows, classes)
            Answers on copies that serve no bound: those that chose the label will do. Rows have equal sums.
        claimed : int array, shape (rows,)
        most : int >= 1
            Copies at most, whose radii are the yardstick.
        alpha : float in (0, 1)
            Error probability that goes to the score of the claimed label.
        share : float in (0, 1)
        case : int array, shape (rows,)
            Which kind of input each row is; rows of a case have the same frontier at equal scores.
        radii : callable(p, case) -> float array, shape (len(p), budgets)
            Radii at scores p in [0, 1), increasing in p; estimates will do. Without a distance: 1 where
            certified, else 0. For a top-k claim: with (1 − p)/k for the k-th of the other labels.

        Raises
        ------
        ParameterError
            For values outside these ranges.
        """
        check_count("samples", most, most=2**53)
        check_open("alpha", alpha)
        check_open("share of a tolerance", share)
        totals = pilot.sum(axis=1)
        if totals.size == 0:
            return cls(np.zeros(0, np.int64), np.zeros(0))
        if totals.min() != totals.max() or totals[0] < 1:
            raise ParameterError(
                "a pilot needs the same number of copies, at least one, for every input, "
                f"got {totals.min()} to {totals.max()}"
            )
        ahead = forecast(int(totals[0]), int(most), float(alpha))
        successes = pilot[np.arange(len(pilot)), claimed]
        copies, worth = np.zeros(len(pilot), np.int64), np.zeros(len(pilot))
        for number in np.unique(case):
            rows = np.flatnonzero(case == number)
            planned, gain = _planned(ahead, share, _interpolated(radii, int(number), ahead.highest))
            copies[rows], worth[rows] = planned[successes[rows]], gain[successes[rows]]
        return cls(copies, worth)

    def schedule(self, rows: Rows) -> Counts:
        """Return the planned copies, shape (rows, 1)."""
        return self.copies[rows][:, None]

    def verdicts(self, look: int, rows: Rows, counts: Counts) -> Verdicts:
        """Return `Verdict.ENOUGH` for every input."""
        return np.full(len(rows), Verdict.ENOUGH, dtype=np.int8)

    def outlook(self, look: int, rows: Rows, counts: Counts) -> Outlook:
        """Return the longest radius to be expected, per copy."""
        return Outlook(self.worth[rows], self.copies[rows])


def _planned(ahead: Forecast, share: float, frontier: Callable[[Floats], Floats]) -> tuple[Counts, Floats]:
    """Return copies, and the longest radius to be expected per copy, for each success count of a pilot."""
    reach = float(frontier(np.array([ahead.highest])).max())
    now, later = frontier(ahead.bounds), frontier(ahead.bounds_later)
    close = (now[..., None, :] >= later - share * reach).all(axis=-1).mean(axis=(-2, -1))
    longest = now.max(axis=-1).mean(axis=-1)
    choice = (ahead.belief @ close - PRICE * ahead.copies / ahead.copies[-1]).argmax(axis=1)
    rows = np.arange(choice.size)
    return ahead.copies[choice], (ahead.belief @ longest)[rows, choice] / ahead.copies[choice]


def _interpolated(radii: Frontier, case: int, highest: float) -> Callable[[Floats], Floats]:
    """Return the frontier of a case as curves through points spread evenly in the logarithm of 1 − p."""
    log_failure = np.linspace(np.log1p(-highest), 0.0, _POINTS)
    curves = np.asarray(radii(-np.expm1(log_failure), case), dtype=np.float64)

    def frontier(p: Floats) -> Floats:
        at = np.log1p(-p)
        return np.stack([np.interp(at, log_failure, curve) for curve in curves.T], axis=-1)

    return frontier
