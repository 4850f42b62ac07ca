"""Clopper–Pearson bounds against the exact binomial tail in ball arithmetic, and in repeated experiments."""

from __future__ import annotations

import decimal
import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

import hybridcert as hc
from balls import ball, precision

LAST = math.nextafter(1.0, 0.0)


def tail(k: int, n: int, p: float) -> arb:
    """P(Bin(n, p) ≥ k) for 0 < k ≤ n: terms are added until a geometric series bounds the rest."""
    q = ball(p)
    odds = q / (1 - q)
    choose = arb(n + 1).lgamma() - arb(k + 1).lgamma() - arb(n - k + 1).lgamma()
    term = (choose + k * q.log() + (n - k) * (1 - q).log()).exp()
    total = term
    for i in range(k, n):
        term = term * (arb(n - i) / (i + 1) * odds)
        total += term
        if arb(n - i - 1) / (i + 2) * odds < arb(0.9) and term < total * arb(2) ** -140:
            return total.union(total + 9 * term)
    return total


def lower(k: int, n: int, alpha: float) -> float:
    return float(hc.clopper_pearson_lower(k, n, alpha))


def assert_exact_from_below(k: int, n: int, alpha: float, *, relative: float = 1e-13) -> None:
    """Tail ≤ α at the bound, > α at the bound plus ``relative`` of min(p, 1 − p), or 4 ulps."""
    p = lower(k, n, alpha)
    if k == 0:
        assert p == 0.0
        return
    with precision(320):
        assert 0.0 < p < 1.0
        assert bool(tail(k, n, p) <= ball(alpha)), (k, n, alpha, p)
        above = p + max(4 * math.ulp(p), relative * min(p, 1 - p))
        assert above >= 1.0 or bool(tail(k, n, above) > ball(alpha)), (k, n, alpha, p)


GRID = [
    (k, n)
    for n in (1, 2, 3, 10, 100, 1000, 10_000, 100_000)
    for k in sorted({0, 1, 2, n // 10, n // 2, n - n // 10, n - 2, n - 1, n} & set(range(n + 1)))
]


@pytest.mark.parametrize("alpha", [1e-12, 1e-9, 0.001, 0.01, 0.05, 0.5, 0.9])
def test_bound_is_exact_from_below_on_a_grid(alpha: float) -> None:
    for k, n in GRID:
        assert_exact_from_below(k, n, alpha)


@given(st.integers(1, 3000), st.data(), st.floats(1e-15, 0.95))
@settings(max_examples=150)
def test_bound_is_exact_from_below(n: int, data: st.DataObject, alpha: float) -> None:
    assert_exact_from_below(data.draw(st.integers(0, n)), n, alpha)


@pytest.mark.parametrize("k", [0, 1, 2, 1000, 500_000, 999_000, 999_998, 999_999, 1_000_000])
def test_bound_is_exact_from_below_for_a_million_samples(k: int) -> None:
    for alpha in (1e-6, 0.01, 0.5):
        assert_exact_from_below(k, 1_000_000, alpha)


@pytest.mark.slow
def test_bound_is_exact_from_below_in_many_seeded_cases() -> None:
    stream = random.Random(4)
    for _ in range(20_000):
        n = stream.choice([stream.randint(1, 200), stream.randint(1, 10_000), stream.randint(1, 1_000_000)])
        k = stream.choice(
            [stream.randint(0, n), max(0, n - stream.randint(0, 20)), min(n, stream.randint(0, 20))]
        )
        assert_exact_from_below(k, n, stream.choice([0.001, 0.01, 10 ** stream.uniform(-30, -0.1)]))


@pytest.mark.parametrize("alpha", [1e-320, 1e-300, 1e-200, 1e-100, 1 - 1e-6, 1 - 1e-9, LAST])
@pytest.mark.parametrize(
    ("k", "n"), [(1, 2), (9, 10), (5, 799), (2, 1000), (50, 100), (999, 1000), (1, 100_000)]
)
def test_extreme_levels_still_give_a_bound(k: int, n: int, alpha: float) -> None:
    """Sound, a number, and not far off: half of the exact bound at least (in the odds)."""
    p = lower(k, n, alpha)
    assert 0.0 <= p < 1.0
    if p > 0.0:
        with precision(400):
            assert bool(tail(k, n, p) <= ball(alpha))
            assert alpha < 1e-300 or bool(tail(k, n, min(LAST, 2 * p / (1 + p))) > ball(alpha) / 2)


@pytest.mark.parametrize("n", [1, 2, 10, 1000, 10**6, 10**9])
@pytest.mark.parametrize("alpha", [1e-300, 1e-12, 0.01, 0.5, LAST])
def test_all_successes_give_the_root_of_alpha(n: int, alpha: float) -> None:
    p = lower(n, n, alpha)
    with precision(2000):
        assert bool(ball(p) ** n <= ball(alpha))
        assert bool(ball(math.nextafter(math.nextafter(p, 2.0), 2.0)) ** n > ball(alpha))


def test_bounds_of_small_experiments_are_the_ones_solved_by_hand() -> None:
    """n = 2: P(≥ 1) = 1 − (1 − p)², P(= 2) = p²; rational where α makes the roots rational."""
    for k, alpha, exact in (
        (1, 0.75, Fraction(1, 2)),
        (2, 0.25, Fraction(1, 2)),
        (2, 0.5625, Fraction(3, 4)),
    ):
        p = lower(k, 2, alpha)
        assert Fraction(p) <= exact
        assert p == pytest.approx(float(exact), rel=1e-15)


def test_upper_bounds_mirror_lower_bounds() -> None:
    for n, alpha in itertools.product((1, 5, 1000), (0.001, 0.05, 0.5)):
        k = np.arange(n + 1)
        upper, mirrored = hc.clopper_pearson_upper(k, n, alpha), hc.clopper_pearson_lower(n - k, n, alpha)
        assert upper[-1] == 1.0
        for u, low in zip(upper.tolist(), mirrored.tolist(), strict=True):
            assert Fraction(u) >= 1 - Fraction(low)
            assert u == pytest.approx(1 - low, abs=3e-16)


@given(st.integers(1, 500), st.data(), st.floats(1e-6, 0.5))
@settings(max_examples=60)
def test_bounds_are_ordered_in_counts_and_in_alpha(n: int, data: st.DataObject, alpha: float) -> None:
    k = data.draw(st.integers(0, n))
    p = hc.clopper_pearson_lower(np.arange(n + 1), n, alpha)
    assert (np.diff(p) > 0.0).all()
    assert p[k] <= k / n <= float(hc.clopper_pearson_upper(k, n, alpha))
    assert lower(k, n, alpha / 2) <= p[k]


def test_shapes_follow_the_counts() -> None:
    assert hc.clopper_pearson_lower(3, 10, 0.1).shape == ()
    assert hc.clopper_pearson_lower([[3, 4, 5]], 10, 0.1).shape == (1, 3)
    assert hc.clopper_pearson_lower(np.array([3.0, 4.0]), 10, 0.1).shape == (2,)
    assert hc.clopper_pearson_upper([], 10, 0.1).shape == (0,)


def test_coverage_is_at_least_the_level_for_every_probability() -> None:
    """Exactly: Σ P(K = k) over the k whose bound exceeds p, for p next to the worst places."""
    n, alpha = 40, 0.05
    bounds = hc.clopper_pearson_lower(np.arange(n + 1), n, alpha)
    for p in np.concatenate([np.linspace(0.01, 0.99, 99), bounds[1:] * (1 - 1e-12)]):
        missed = binom.pmf(np.arange(n + 1)[bounds > p], n, p).sum()
        assert missed <= alpha * (1 + 1e-10)


@pytest.mark.slow
def test_failures_in_repeated_experiments_stay_below_alpha() -> None:
    """100 000 experiments; a true failure rate of α would trip this with probability below 1e-6."""
    rng = np.random.default_rng(9)
    for p, n, alpha in ((0.9, 100, 0.05), (0.99, 1000, 0.01), (0.5, 37, 0.001)):
        bounds = hc.clopper_pearson_lower(np.arange(n + 1), n, alpha)
        failures = int((bounds[rng.binomial(n, p, size=100_000)] > p).sum())
        assert failures <= binom.isf(1e-6, 100_000, alpha)


def test_the_callers_decimal_context_does_not_matter() -> None:
    expected = lower(77, 131, 0.013)
    with decimal.localcontext(decimal.Context(prec=3, Emax=10, Emin=-10)):
        for count in (130, 131):  # not in the cache yet
            assert lower(count, 131, 0.0137) > 0.9
        spectrum = hc.UniformReplacement(0.3).spectrum([7, 7, 7])
        threshold = hc.threshold_for(copies=1234, miss=0.017)
        copies, miss = (
            hc.copies_for(threshold=0.01, miss=0.01),
            hc.miss_probability(copies=77, threshold=0.03),
        )
    assert lower(77, 131, 0.013) == expected
    assert (
        spectrum.clean_lower.tolist() == hc.UniformReplacement(0.3).spectrum([7, 7, 7]).clean_lower.tolist()
    )
    assert threshold == hc.threshold_for(copies=1234, miss=0.017)
    assert copies == hc.copies_for(threshold=0.01, miss=0.01)
    assert miss == hc.miss_probability(copies=77, threshold=0.03)


@pytest.mark.parametrize(
    ("successes", "samples", "alpha", "message"),
    [
        (-1, 10, 0.1, r"successes must be in \[0, samples = 10\], got -1"),
        (11, 10, 0.1, r"successes must be in \[0, samples = 10\], got 11"),
        (2.5, 10, 0.1, "successes must be integers, got 2.5"),
        (math.nan, 10, 0.1, "successes must be integers, got nan"),
        (0, 0, 0.1, r"samples must be an integer in \[1, 10000000000\], got 0"),
        (1, 2.5, 0.1, r"samples must be an integer in \[1, 10000000000\], got 2.5"),
        (1, 10, 0.0, r"alpha must be in \(0, 1\), got 0.0"),
        (1, 10, 1.0, r"alpha must be in \(0, 1\), got 1.0"),
        (1, 10, math.nan, r"alpha must be in \(0, 1\), got nan"),
    ],
)
def test_impossible_counts_are_refused(successes: float, samples: float, alpha: float, message: str) -> None:
    for bound in (hc.clopper_pearson_lower, hc.clopper_pearson_upper):
        with pytest.raises(hc.ParameterError, match=message):
            bound(successes, samples, alpha)  # type: ignore[arg-type]
