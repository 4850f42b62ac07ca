"""Tails of the binomial law in ball arithmetic: the lighter tail is summed, and what is left out bounded."""

from __future__ import annotations

import functools
import math
from typing import Final

from flint import arb, fmpq

from hybridcert.verify.balls import precision

_STRIDE: Final = 16  # terms between two looks at what is left
_TERM_UNITS: Final = 10  # work for a term, at 128 bits


@functools.lru_cache(maxsize=8192)
def upper_tail(k: int, n: int, p: fmpq, bits: int) -> arb:
    """Return a ball that holds P(Bin(n, p) >= k), computed with ``bits`` bits.

    Parameters
    ----------
    k, n
        Counts with 0 <= k <= n and n >= 1.
    p
        Success probability in [0, 1], exact.
    bits
        Working precision. The relative error is about n 2^-bits; the number of terms grows with the standard
        deviation of the counts, so n = 10^10 takes seconds and n = 10^4 a fraction of a millisecond.
    """
    with precision(bits):
        if k == 0 or p == 1:
            return arb(1)
        if p == 0:
            return arb(0)
        if k == n:
            return arb(p) ** n
        if k >= n * p:
            return _terms(k, n, p, bits)
        return 1 - _terms(n - k + 1, n, 1 - p, bits)


def tail_units(k: int, n: int, p: fmpq, bits: int) -> int:
    """Return about how much work `upper_tail` takes: the terms to sum until the rest is negligible."""
    if not 0 < k < n or not 0 < p < 1:
        return _TERM_UNITS
    if k < n * p:
        k, p = n - k + 1, 1 - p
    spread = 1.4 * bits * n * float(p) * float(1 - p)  # a normal tail this far out, squared, is below 2^-bits
    ratio = float(p / (1 - p) * fmpq(n - k, k + 1))
    falling = 0.7 * bits / -math.log(ratio) if 0 < ratio < 1 else math.inf
    terms = min(n - k, math.sqrt(spread) + bits, falling + _STRIDE)
    return int((1 + terms) * (_TERM_UNITS + bits // 128))


def lower_tail(k: int, n: int, p: fmpq, bits: int) -> arb:
    """Return a ball that holds P(Bin(n, p) <= k): the upper tail of the failures."""
    return upper_tail(n - k, n, 1 - p, bits)


def _terms(k: int, n: int, p: fmpq, bits: int) -> arb:
    """Sum P(Bin(n, p) = j) over j >= k, for np <= k <= n: the terms fall, and their ratios fall too."""
    odds = arb(p / (1 - p))
    term = arb(1)
    total = arb(1)
    negligible = arb(2) ** -bits
    for j in range(k, n):
        ratio = odds * (n - j) / (j + 1)
        term = term * ratio
        total = total + term
        if (j - k) % _STRIDE == 0 and ratio < 1:
            rest = term * ratio / (1 - ratio)  # later ratios are smaller: a geometric series bounds the rest
            if rest < negligible:
                total = total + rest.union(arb(0))
                break
    return total * _point(k, n, p)


def _point(k: int, n: int, p: fmpq) -> arb:
    """P(Bin(n, p) = k)."""
    log = arb(n + 1).lgamma() - arb(k + 1).lgamma() - arb(n - k + 1).lgamma()
    return (log + k * arb(p).log() + (n - k) * arb(1 - p).log()).exp()
