"""The largest probability that an upper bound keeps at a level: guessed by secants, proven by evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable

RESOLUTION = 2.0**-36
"""Relative distance, divided by the copies, at which two probabilities count as neighbours."""
_SECANTS = 40


def largest_proven(upper: Callable[[float], float], level: float, *, start: float, copies: int) -> float:
    """Return a p with ``upper(p) <= level``, next to one where that fails.

    Next to: not further than `RESOLUTION` · p / ``copies`` above, or the next float.

    Parameters
    ----------
    upper : callable
        An upper bound on a probability that grows with p. Its own rounding may spoil its monotonicity; the
        answer is proven all the same.
    level : float in (0, 1)
    start : float in (0, 1)
        A guess, from above if possible.
    copies : int >= 1
        No more than this many independent draws decide, so that ln P grows by at most copies / p per unit.
    """
    guess = _secant(upper, level, start)
    gap = max(math.ulp(guess), RESOLUTION * guess / copies)
    if upper(guess) <= level:
        proven, failed = guess, min(1.0, guess + gap)
        while failed < 1.0 and upper(failed) <= level:
            gap *= 4.0
            proven, failed = failed, min(1.0, failed + gap)
    else:
        proven, failed = max(0.0, guess - gap), guess
        while proven > 0.0 and upper(proven) > level:
            gap *= 4.0
            proven, failed = max(0.0, proven - gap), proven
    while failed - proven > max(math.ulp(proven), RESOLUTION * proven / copies):
        middle = proven + 0.5 * (failed - proven)
        if not proven < middle < failed:
            break
        if upper(middle) <= level:
            proven = middle
        else:
            failed = middle
    return proven


def _secant(upper: Callable[[float], float], level: float, start: float) -> float:
    """Return about the root of upper(p) = level: secants in the log odds, kept in a bracket."""
    low, high = -math.inf, math.inf  # log odds known to be too small, too large
    x = math.log(start) - math.log1p(-start)
    slope, before = 1.0, None
    for _ in range(_SECANTS):
        value = upper(_probability(x))
        error = math.log(value) - math.log(level)
        low, high = (x, high) if error <= 0.0 else (low, x)
        if before is not None and x != before[0] and (error - before[1]) / (x - before[0]) > 0.0:
            slope = (error - before[1]) / (x - before[0])
        before = (x, error)
        following = x - error / slope
        if abs(error) <= 1e-11:
            return _probability(following)
        if not low < following < high:
            following = x - math.copysign(1.0, error) if math.isinf(high - low) else 0.5 * (low + high)
        x = following
    return _probability(x)


def _probability(x: float) -> float:
    """1 / (1 + e^−x), within (0, 1)."""
    p = 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else math.exp(max(x, -744.0))
    return min(p, math.nextafter(1.0, 0.0))
