"""Samples that could stop early, judged copy by copy in balls."""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import Any

from binomial_oracle import BITS
from flint import arb

from balls import ball, precision

Json = Any


def outcome(estimate: Json) -> int:
    """The look at which an outcome counts; raise where the path is not one that stopped there."""
    looks, path, samples = estimate["looks"], estimate["successes_at"], estimate["samples"]
    reached = [n for n, _ in looks if n <= samples]
    assert [n for n, _ in looks] == sorted({n for n, _ in looks})
    assert all(0 <= c <= n + 1 for n, c in looks)
    assert samples <= looks[-1][0]
    assert len(path) == len(reached)
    steps = zip([0, *reached, samples], [0, *path, estimate["successes"]], strict=True)
    drawn, before = 0, 0
    for n, k in steps:
        assert 0 <= k - before <= n - drawn
        drawn, before = n, k
    crossed = [i for i, k in enumerate(path) if k >= looks[i][1]]
    if crossed:
        assert crossed == [len(path) - 1]
        assert reached[-1] == samples
        return crossed[0]
    return len(looks) - 1


@functools.lru_cache(maxsize=4096)
def crossing(stops: tuple[tuple[int, int], ...], p: Fraction, bits: int) -> arb:
    """P(S_n >= c at one of the stops (n, c))."""
    with precision(bits):
        hit, missed, most = ball(p), ball(1 - p), max(n - c for n, c in stops)
        alive, crossed, at = [arb(1)], arb(0), dict(stops)
        for n in range(1, stops[-1][0] + 1):
            pairs = zip([*alive, arb(0)], [arb(0), *alive], strict=True)
            alive = [same * hit + fewer * missed for same, fewer in pairs][: most + 1]
            if n in at:
                over = max(0, n - at[n] + 1)
                crossed += sum(alive[:over], arb(0))
                alive[:over] = [arb(0)] * len(alive[:over])
        return crossed


def rarely_crossed(estimate: Json, p: Fraction, level: Fraction) -> bool:
    """Whether outcomes at least as extreme have a probability of at most the level, for 0 < p < 1."""
    look = outcome(estimate)
    assert estimate["look"] == look
    stops = tuple((n, c) for n, c in estimate["looks"][:look])
    stops = (*stops, (estimate["looks"][look][0], estimate["successes"]))
    for bits in BITS:
        with precision(bits):
            found, wanted = crossing(stops, p, bits), ball(level)
            if found <= wanted:
                return True
            if found > wanted:
                return False
    raise AssertionError(f"undecided: {stops} at {p} against {level}")


def outweighed(k: int, n: int, p: Fraction, prior: tuple[Fraction, Fraction], level: Fraction) -> bool:
    """Whether p <= k/n and B(a+k, b+n−k)/B(a, b) >= p^k (1−p)^(n−k) / level, for 0 < p < 1."""
    if p * n > k:
        return False
    for bits in BITS:
        with precision(bits):
            a, b, x, quotient = ball(prior[0]), ball(prior[1]), ball(p), ball(level)
            for j in range(k):
                quotient *= (a + j) / (a + b + j) / x
            for j in range(n - k):
                quotient *= (b + j) / (a + b + k + j) / (1 - x)
            if quotient >= 1:
                return True
            if quotient < 1:
                return False
    raise AssertionError(f"undecided: {k} of {n} at {p} against {level}")
