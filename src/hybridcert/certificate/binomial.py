"""Binomial coefficients and masses with proven errors.

The logarithms are wide decimals. The masses around the mode start from one of them and follow the recurrence
of the binomial law; every float rounding on the way is counted (page on sequential tests, section 7).
"""

from __future__ import annotations

import decimal
import functools
import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from hybridcert.certificate.directed import UNIT_ROUNDOFF, WIDE, Floats, step_up

LOG_ERROR = decimal.Decimal("1e-20")
"""Far above the error of any logarithm of a binomial mass up to `MAX_SAMPLES` (below 1e-21)."""
MAX_SAMPLES = 10**10
"""Up to here the error bounds of the logarithms are proven."""
_STIRLING_FROM = 128
_BERNOULLI = tuple(
    Fraction(n, d)
    for n, d in ((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510))
)
_HALF_LOG_TWO_PI = decimal.Decimal("0.9189385332046727417803297364056176398614")


def log_choose(n: int, k: int) -> decimal.Decimal:
    """Return ln C(n, k), in wide decimals (in the caller's decimal context, which must be wide)."""
    return log_factorial(n) - log_factorial(k) - log_factorial(n - k)


@functools.lru_cache(maxsize=1 << 15)
def log_factorial(n: int) -> decimal.Decimal:
    """Return ln n! with an absolute error below 1e-24 for n up to 1e8."""
    with decimal.localcontext(WIDE):
        if n < _STIRLING_FROM:
            return decimal.Decimal(math.factorial(n)).ln()
        return _stirling(decimal.Decimal(n))


def log_gamma(x: decimal.Decimal) -> decimal.Decimal:
    """Return ln Γ(x) for x > 0, with an absolute error below 1e-21 for x up to 2e10.

    Small arguments are moved up: Γ(x) = Γ(x + s + 1) / (x (x + 1) … (x + s)).
    """
    with decimal.localcontext(WIDE):
        steps = max(0, _STIRLING_FROM - int(x))
        product = x
        for i in range(1, steps + 1):
            product *= x + i
        return _stirling(x + steps) - product.ln()


def _stirling(x: decimal.Decimal) -> decimal.Decimal:
    """Return ln Γ(x + 1) for x >= 128, by Stirling's series with eight terms."""
    total = (x + decimal.Decimal("0.5")) * x.ln() - x + _HALF_LOG_TWO_PI
    for j, b in enumerate(_BERNOULLI, start=1):
        scale = 2 * j * (2 * j - 1) * b.denominator
        total += decimal.Decimal(b.numerator) / (scale * x ** (2 * j - 1))
    return total


class Coin:
    """A success probability, with what every mass at it needs: exact logarithms and rounded-up odds.

    Parameters
    ----------
    p : float in (0, 1)
        Taken exactly.
    """

    __slots__ = ("failure_odds", "log_failure", "log_success", "q", "success_odds")

    def __init__(self, p: float) -> None:
        exact = decimal.Decimal(p)
        with decimal.localcontext(WIDE):
            complement = 1 - exact
            self.log_success, self.log_failure = exact.ln(), complement.ln()
            self.success_odds = float(step_up(float(exact / complement)))
            self.failure_odds = float(step_up(float(complement / exact)))
        self.q = float(complement)
        """An estimate of 1 − p."""


class Masses(NamedTuple):
    """Upper bounds on the law of the number of failures in a stretch of draws.

    Attributes
    ----------
    first : int
        The number of failures that ``upper[0]`` belongs to.
    upper : float array
        Masses at ``first``, ``first + 1``, …; at least the exact ones once multiplied by
        (1 + u)^`MASS_ROUNDINGS`.
    rest : float
        At least the mass below ``first`` and above the last one together (but for what lies above the limit
        that was asked for, and for less than 1e-295 that underflows).
    """

    first: int
    upper: Floats
    rest: float


MASS_ROUNDINGS = 4
"""Roundings to nearest in each of `Masses.upper` that its own error terms do not cover."""


def failure_masses(n: int, coin: Coin, *, limit: int, negligible: float) -> Masses:
    """Return the law of the failures among ``n`` draws, up to ``limit`` of them, from above.

    Parameters
    ----------
    n : int >= 1
    coin : Coin
    limit : int >= 0
        More failures than this are of no interest: they are neither in ``upper`` nor in ``rest``.
    negligible : float > 0
        Masses are listed until what is left at either end is at most about this much.
    """
    most = min(n, limit)
    start = min(int((n + 1) * coin.q), most)
    with decimal.localcontext(WIDE):
        log = log_choose(n, start) + (n - start) * coin.log_success + start * coin.log_failure
        peak = float(step_up(float((log + LOG_ERROR).exp())))
    length = 24 + int((2.0 + math.sqrt(-2.0 * math.log(negligible))) * math.sqrt(n * coin.q * (1.0 - coin.q)))
    down, below = _products(
        n - start + 1, start, coin.success_odds, most=start, length=length, enough=negligible
    )
    up, above = _products(
        start + 1, n - start, coin.failure_odds, most=most - start, length=length, enough=negligible
    )
    upper = peak * np.concatenate([down[::-1], [1.0], up])
    return Masses(start - down.size, upper, 2.0 * peak * (below + above))


def _products(
    low: int, high: int, odds: float, *, most: int, length: int, enough: float
) -> tuple[Floats, float]:
    """Return the running products of (high − i)/(low + i) · odds, i = 0, 1, …, and a bound on the rest.

    Product number i has at most 3(i + 1) roundings, for which the factor 1 + 4u(i + 1) stands. The ratios
    fall, so from a ratio r < 1 on a geometric series bounds the rest.
    """
    while True:
        i = np.arange(min(most, length), dtype=np.float64)
        with np.errstate(under="ignore", over="ignore"):
            products = np.cumprod((high - i) / (low + i) * odds) * (1.0 + 4.0 * UNIT_ROUNDOFF * (i + 1.0))
        if i.size >= most:
            return products, 0.0
        ratio = (high - i.size) / (low + i.size) * odds
        last = float(products[-1]) if i.size else 1.0
        if ratio < 1.0 and last * ratio <= enough * (1.0 - ratio):
            return products, last * ratio / (1.0 - ratio)
        length *= 2
