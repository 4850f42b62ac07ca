"""Tails of the binomial law in ball arithmetic: the lighter tail is summed, and what is left out bounded."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
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


def binomial_window(n: int, p: fmpq, bits: int) -> tuple[int, list[arb], arb]:
    """Return P(Bin(n, p) = j) for j from some first value on, and a bound on the probability of all others.

    Parameters
    ----------
    n
        Count >= 1.
    p
        Success probability in (0, 1), exact.
    bits
        Working precision. The bound on what is left out is below 2^(1 - bits).

    Returns
    -------
    first, masses, left_out
        ``masses[i]`` holds P(Bin(n, p) = first + i).
    """
    mode = min(n, int((n + 1) * p.p // p.q))
    with precision(bits):
        odds = arb(p / (1 - p))
        peak = _point(mode, n, p)
        above, over = _falling(peak, lambda i: odds * (n - mode - i) / (mode + i + 1), n - mode, bits)
        below, under = _falling(peak, lambda i: (mode - i) / (odds * (n - mode + i + 1)), mode, bits)
        return mode - len(below), [*reversed(below), peak, *above], over + under


def window_terms(n: int, p: fmpq, bits: int) -> float:
    """Return about how many terms `binomial_window` has."""
    return min(n + 1.0, 2 * math.sqrt(1.4 * bits * n * float(p) * float(1 - p)) + bits)


def _falling(term: arb, ratio: Callable[[int], arb], terms: int, bits: int) -> tuple[list[arb], arb]:
    """Return the terms that follow, by their falling ratios, and a bound on the sum of those left out."""
    found: list[arb] = []
    negligible = arb(2) ** -bits
    for i in range(terms):
        step = ratio(i)
        if i % _STRIDE == 0 and step < 1:
            rest = term * step / (1 - step)
            if rest < negligible:
                return found, rest
        term = term * step
        found.append(term)
    return found, arb(0)


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
