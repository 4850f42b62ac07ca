"""Estimates of samples that could stop early, issued by hand from the format's page alone.

Slow and obvious on purpose: a path is followed copy by copy and look by look, a mixture is a ratio of
products of fractions, and bounds are found by bisection over floats.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction

from flint import arb
from issuing import (
    BITS,
    Json,
    bonferroni,
    clopper_pearson_lower,
    hexadecimal,
    largest_float,
    value_of,
)

from balls import ball, precision

Looks = Sequence[tuple[int, int]]


def crossing(looks: Looks, look: int, successes: int, p: Fraction) -> arb:
    """P(S_n >= c at a look before this one, or S_n >= ``successes`` at this one), copy by copy."""
    stops = dict(looks[:look]) | {looks[look][0]: successes}
    most = max(n - c for n, c in stops.items())  # failures beyond that never cross
    with precision(BITS):
        hit, missed = ball(p), ball(1 - p)
        alive, crossed = [arb(1)], arb(0)
        for n in range(1, looks[look][0] + 1):
            kept = [*(mass * hit for mass in alive), arb(0)]
            for failures, mass in enumerate(alive):
                kept[failures + 1] += mass * missed
            alive = kept[: most + 1]
            if n in stops:
                for failures in range(min(len(alive), n - stops[n] + 1)):
                    crossed += alive[failures]
                    alive[failures] = arb(0)
        return crossed


@functools.cache
def crossing_lower(looks: Looks, look: int, successes: int, alpha: Fraction) -> float:
    """The largest float p whose crossing probability is proven to be at most alpha."""
    found = largest_float(lambda p: bool(crossing(looks, look, successes, Fraction(p)) <= ball(alpha)), 1.0)
    assert found is not None
    return found


def group_sequential(looks: Looks, path: Sequence[int], samples: int, successes: int, alpha: str) -> Json:
    crossed = path and path[-1] >= looks[len(path) - 1][1]
    look = len(path) - 1 if crossed else len(looks) - 1
    return {
        "method": "group-sequential",
        "samples": samples,
        "successes": successes,
        "alpha": alpha,
        "looks": [list(entry) for entry in looks],
        "look": look,
        "successes_at": list(path),
        "p_lower": hexadecimal(crossing_lower(tuple(looks), look, successes, value_of(alpha))),
    }


def evidence(k: int, n: int, p: Fraction, a: Fraction, b: Fraction) -> Fraction:
    """B(a+k, b+n−k)/B(a, b) / (p^k (1−p)^(n−k)), by rising factorials."""
    above = math.prod((a + j for j in range(k)), start=Fraction(1))
    above *= math.prod((b + j for j in range(n - k)), start=Fraction(1))
    below = math.prod((a + b + j for j in range(n)), start=Fraction(1))
    return above / below / (p**k * (1 - p) ** (n - k))


def beta_mixture(k: int, n: int, alpha: str, prior: tuple[str, str], p_upper: bool = False) -> Json:
    a, b = map(value_of, prior)
    mixed = evidence(k, n, Fraction(1, 2), a, b) / 2**n  # B(a+k, b+n−k)/B(a, b)
    level = value_of(alpha)

    def holds(p: float) -> bool:
        x = Fraction(p)
        return p == 0 or (x * n <= k and x**k * (1 - x) ** (n - k) <= mixed * level)

    found = largest_float(holds, 1.0)
    assert found is not None
    section = {
        "method": "beta-mixture",
        "samples": n,
        "successes": k,
        "alpha": alpha,
        "prior": list(prior),
        "p_lower": hexadecimal(found),
    }
    return section | ({"p_upper": str(1 - Fraction(found))} if p_upper else {})


def counted_at_looks(k: int, looks: Sequence[tuple[int, str]], look: int, alpha: str) -> Json:
    """Clopper–Pearson at one look of several."""
    n, share = looks[look]
    return {
        "method": "clopper-pearson",
        "samples": n,
        "successes": k,
        "alpha": alpha,
        "looks": [list(entry) for entry in looks],
        "p_lower": hexadecimal(clopper_pearson_lower(k, n, value_of(share))),
    }


def bonferroni_at_looks(
    counts: Sequence[int], k: int, looks: Sequence[tuple[int, str]], look: int, alpha: str
) -> Json:
    n, share = looks[look]
    found = bonferroni(counts, 0, k, n, share)
    return {**found, "alpha": alpha, "looks": [list(entry) for entry in looks]}
