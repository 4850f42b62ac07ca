"""Binomial tails as regularised incomplete beta functions in ball arithmetic."""

from __future__ import annotations

import functools
from fractions import Fraction

from flint import arb

from balls import ball, precision

BITS = (256, 512, 1024, 2048, 4096)


def tail(k: int, n: int, p: Fraction) -> arb:
    """P(Bin(n, p) ≥ k) = I_p(k, n − k + 1), for 0 < k ≤ n."""
    if k == n:
        return ball(p) ** n
    if k == 1:
        return 1 - ball(1 - p) ** n
    return ball(p).beta_lower(arb(k), arb(n - k + 1), regularized=True)


@functools.lru_cache(maxsize=4096)
def at_most(k: int, n: int, p: Fraction, level: Fraction) -> bool:
    """Whether P(Bin(n, p) ≥ k) ≤ level, for 0 < p < 1."""
    for bits in BITS:
        with precision(bits):
            found, wanted = tail(k, n, p), ball(level)
            if found <= wanted:
                return True
            if found > wanted:
                return False
    raise AssertionError(f"undecided: P(Bin({n}, {p}) >= {k}) against {level}")
