"""Numbers as documents carry them, and the largest float64 that a proof reaches."""

from __future__ import annotations

import decimal
import math
import struct
from collections.abc import Callable

from flint import arb

_AHEAD = 1e-9
"""Directed float64 is within this of exact; a first secant reaches as far."""

_STEPS = (0.0, *(2.0**-k for k in range(50, 25, -1)))
"""Relative distances from the start at which the proof is tried."""


def hexadecimal(value: float) -> str:
    """Write a float exactly."""
    return float(value).hex()


def confidence_text(alpha: float) -> str:
    """Write 1 − alpha with 18 decimals and no exponent, rounded down."""
    context = decimal.Context(prec=2000)
    exact = context.subtract(decimal.Decimal(1), decimal.Decimal(alpha))
    return f"{exact.quantize(decimal.Decimal(10) ** -18, rounding=decimal.ROUND_DOWN, context=context):f}"


def float_below(ball: arb) -> float:
    """Return the largest float64 that is proven to be at most the number in ``ball``."""
    candidate = float(ball.mid())
    while not arb(candidate) <= ball:
        candidate = math.nextafter(candidate, -math.inf)
    while arb(following := math.nextafter(candidate, math.inf)) <= ball:
        candidate = following
    return candidate


def largest_float(
    proven: Callable[[float], bool], start: float, *, spare: Callable[[float], arb] | None = None
) -> float | None:
    """Return the largest float64 x >= 0 that is proven, given that what is proven of x is proven below it.

    Parameters
    ----------
    proven : callable
        Whether the proof succeeds at x.
    start : float >= 0
        About the answer; where the proof fails there by a hair, the search begins a little below.
    spare : callable, optional
        How much the proof has left over at x, nonincreasing: where that vanishes is tried first.

    Returns
    -------
    float or None
        The next float is not proven. None when the proof fails well below ``start`` too.
    """
    for step in _STEPS:
        low = start * (1 - step)
        if proven(low):
            guess = low if spare is None else _secant(spare, low)
            return _float(_last(lambda n: proven(_float(n)), _order(low), _order(guess)))
    return None


def least_float(proven: Callable[[float], bool], start: float) -> float | None:
    """Return the least float64 x in [0, 1] that is proven, given that what is proven of x is proven above."""
    for step in _STEPS:
        high = min(start * (1 + step), 1.0)
        if proven(high):
            return _float(-_last(lambda n: n <= 0 and proven(_float(-n)), -_order(high), -_order(high)))
    return None


def _last(proven: Callable[[int], bool], low: int, guess: int) -> int:
    """Return the last integer before the first that is not proven, given that ``low`` is proven."""
    step = 1
    if proven(guess):
        good = guess
        while proven(good + step):
            good, step = good + step, 2 * step
        bad = good + step
    else:
        bad = guess
        while bad - step > low and not proven(bad - step):
            bad, step = bad - step, 2 * step
        good = max(low, bad - step)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if proven(middle) else (good, middle)
    return good


def _secant(spare: Callable[[float], arb], start: float) -> float:
    """Propose where ``spare`` crosses zero; any number at or above ``start`` would do."""
    if start <= 0.0:
        return start
    here, there = spare(start), spare(start * (1 + _AHEAD))
    fall = float((here - there).mid())
    if not fall > 0.0:
        return start
    ahead = float(here.mid()) / fall * _AHEAD * start
    return start + ahead if math.isfinite(ahead) else start


def _order(value: float) -> int:
    """Number a non-negative float in increasing order."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def _float(order: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", order))[0])
