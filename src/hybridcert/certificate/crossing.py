"""The probability that a growing sample crosses one of its boundaries, from above.

States are numbers of failures, which only grow: a state that no later boundary can reach is dropped without
loss. States too unlikely to matter are dropped as well and counted as crossings. Everything else is sums and
products of non-negative floats, whose roundings are counted (page on sequential tests, section 7).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridcert.certificate.binomial import MASS_ROUNDINGS, Coin, failure_masses
from hybridcert.certificate.directed import UNIT_ROUNDOFF

_UNDERFLOW = 1e-290
"""More than all products together that fall below the normal floats."""
_LIGHT = 2.0**-70


class FailureWalk:
    """Upper bounds on the law of the failures among samples that have crossed no boundary so far.

    Parameters
    ----------
    coin : Coin
        The success probability.
    level : float in (0, 1)
        The probability that matters: about 2⁻⁷⁰ of it is lost at each end of the law at each look.
    """

    __slots__ = ("_coin", "_copies", "_crossed", "_first", "_mass", "_negligible", "_roundings")

    def __init__(self, coin: Coin, level: float) -> None:
        self._coin, self._negligible = coin, max(level * _LIGHT, _UNDERFLOW)
        self._copies, self._first, self._mass = 0, 0, np.ones(1)
        self._crossed, self._roundings = _UNDERFLOW, 8

    def advance(self, copies: int, *, limit: int) -> None:
        """Draw until there are ``copies``; nobody with more than ``limit`` failures can cross from now on."""
        drawn, self._copies = copies - self._copies, copies
        if self._first > limit or not self._mass.size:
            self._mass = self._mass[:0]
            return
        step = failure_masses(drawn, self._coin, limit=limit - self._first, negligible=self._negligible)
        self._crossed += step.rest
        self._roundings += MASS_ROUNDINGS + min(self._mass.size, step.upper.size) + 2
        self._first += step.first
        self._mass = np.convolve(self._mass, step.upper)[: max(0, limit - self._first + 1)]
        self._trim()

    def cross(self, allowed: int) -> None:
        """Take out, as crossings, those with at most ``allowed`` failures."""
        count = min(max(0, allowed - self._first + 1), self._mass.size)
        if count:
            self._crossed += float(self._mass[:count].sum())
            self._roundings += count + 1
            self._mass, self._first = self._mass[count:], self._first + count

    def most_failures(self, level: float) -> int:
        """Return the most failures that can `cross` while `crossed_upper` stays at most ``level``; or −1."""
        totals = (self._crossed + np.cumsum(self._mass)) * self._slack(self._mass.size + 1)
        count = int(np.searchsorted(totals, level, side="right"))
        return self._first + count - 1 if count else -1

    def crossed_upper(self) -> float:
        """Return an upper bound on the probability of having crossed so far."""
        return self._crossed * self._slack(0)

    def _slack(self, more: int) -> float:
        """(1 − u)^−r is at most 1 + 1.5 r u while r u < 1/4; the rest covers the roundings of this line."""
        return 1.0 + 2.0 * UNIT_ROUNDOFF * (self._roundings + more)

    def _trim(self) -> None:
        if not self._mass.size:
            return
        below, above = np.cumsum(self._mass), np.cumsum(self._mass[::-1])
        low = int(np.searchsorted(below, self._negligible, side="right"))
        high = self._mass.size - int(np.searchsorted(above, self._negligible, side="right"))
        if low >= high:
            low = high = self._mass.size
        lost = (float(below[low - 1]) if low else 0.0) + (
            float(above[-high - 1]) if high < self._mass.size else 0.0
        )
        self._crossed += 2.0 * lost  # twice: more than these sums may have been rounded down by
        self._mass, self._first = self._mass[low:high], self._first + low


def crossing_upper(p: float, stages: Sequence[tuple[int, int]], *, level: float) -> float:
    """Return an upper bound on the probability that, at some stage, the failures are few enough.

    Parameters
    ----------
    p : float in (0, 1)
        Success probability, taken exactly.
    stages : sequence of (copies, allowed)
        Copies drawn up to the stage, strictly increasing, and the most failures with which it is crossed.
    level : float in (0, 1)
        The probability that the answer will be compared with.
    """
    walk, limit = FailureWalk(Coin(p), level), max(allowed for _, allowed in stages)
    for copies, allowed in stages:
        walk.advance(copies, limit=limit)
        walk.cross(allowed)
    return walk.crossed_upper()


def effective_stages(looks: Sequence[int], allowed: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Drop the looks at which nobody can cross who has not crossed before: failures never get fewer."""
    stages: list[tuple[int, int]] = []
    for copies, failures in zip(looks, allowed, strict=True):
        if failures > (stages[-1][1] if stages else -1):
            stages.append((copies, failures))
    return tuple(stages)
