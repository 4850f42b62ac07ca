"""Confidence bounds against the regularised incomplete beta function in balls: n to 10¹⁰, α to both ends."""

from __future__ import annotations

import functools
import math
import os
from fractions import Fraction

import numpy as np
import pytest
from binomial_oracle import at_most
from hypothesis import assume, given, seed, settings
from hypothesis import strategies as st

import hybridcert as hc
from hybridcert.certificate.confidence import label_bounds
from strategies import LAST_SCORE

SEED = int(os.environ.get("HYBRIDCERT_SEED", "20260718"))


def assert_lower(k: int, n: int, p_lower: float, level: Fraction) -> None:
    """The bound is proven: at it, the counts are as unlikely as the level says."""
    assert 0.0 <= p_lower < 1.0
    if p_lower > 0.0:
        assert k > 0
        assert at_most(k, n, Fraction(p_lower), level), (k, n, p_lower, level)


def assert_upper(k: int, n: int, p_upper: float, level: Fraction) -> None:
    """The mirror image: P(Bin(n, p_upper) ≤ k) ≤ level, by counting failures."""
    assert 0.0 < p_upper <= 1.0
    if p_upper < 1.0:
        assert k < n
        assert at_most(n - k, n, 1 - Fraction(p_upper), level), (k, n, p_upper, level)


def levels() -> st.SearchStrategy[float]:
    return st.one_of(
        st.floats(1e-12, 0.5),
        st.floats(-300.0, -1e-3).map(lambda e: 10.0**e),
        st.floats(1.0, 53.0).map(lambda bits: 1.0 - 2.0**-bits),
        st.sampled_from([5e-324, 1e-310, 1e-300, 0.05, 0.001, 0.5, LAST_SCORE]),
    )


def samples() -> st.SearchStrategy[int]:
    return st.one_of(
        st.integers(1, 12),
        st.integers(1, 5000),
        st.floats(0.0, 10.0).map(lambda e: int(10.0**e)),
        st.sampled_from([1, 2, 10**4, 10**6, 2**31, 2**32 + 1, 10**10]),
    )


@st.composite
def counts(draw: st.DrawFn, n: int) -> int:
    """Anywhere, with both ends crowded."""
    return draw(
        st.one_of(
            st.integers(0, n),
            st.integers(0, min(n, 30)),
            st.integers(max(0, n - 30), n),
            st.floats(0.0, 1.0).map(lambda share: int(share * n)),
        )
    )


def check_bounds(data: st.DataObject) -> int:
    """Check both bounds for a few counts; return how many were not trivial."""
    n, alpha = data.draw(samples()), data.draw(levels())
    assume(n <= 10**6 or alpha <= 0.99)  # next to certainty a huge experiment takes minutes
    k = data.draw(st.lists(counts(n), min_size=1, max_size=4))
    level = Fraction(alpha)
    lower, upper = hc.clopper_pearson_lower(k, n, alpha), hc.clopper_pearson_upper(k, n, alpha)
    for count, low, high in zip(k, lower.tolist(), upper.tolist(), strict=True):
        assert_lower(count, n, low, level)
        assert_upper(count, n, high, level)
    return int((lower > 0.0).sum() + (upper < 1.0).sum())


@given(st.data())
@settings(max_examples=40)
def test_both_bounds_are_on_the_safe_side(data: st.DataObject) -> None:
    check_bounds(data)


@pytest.mark.slow
def test_ten_thousand_bounds_are_on_the_safe_side() -> None:
    checked = 0

    def safe(data: st.DataObject) -> None:
        nonlocal checked
        checked += check_bounds(data)

    print(f"seed {SEED}")  # noqa: T201
    for part in range(100):
        seed(SEED + part)(settings(max_examples=200, database=None)(given(st.data())(safe)))()
        if checked >= 10_000:
            break
    print(f"{checked} bounds checked")  # noqa: T201
    assert checked >= 10_000


@given(st.data())
@settings(max_examples=40)
def test_bounds_of_several_labels_share_the_error_probability(data: st.DataObject) -> None:
    """The claimed label from below, the k-th best of the others from above; each at its share of α."""
    classes = data.draw(st.integers(2, 6))
    answers = data.draw(st.lists(st.integers(0, 400), min_size=classes, max_size=classes).filter(any))
    n, alpha = sum(answers), data.draw(levels().filter(lambda a: a > 1e-320))
    claimed, k = data.draw(st.integers(0, classes - 1)), data.draw(st.integers(1, classes - 1))
    bounds = functools.partial(
        label_bounds, np.array([answers]), claimed=np.array([claimed]), k=k, alpha=alpha, samples=n
    )
    found = bounds(method="clopper-pearson-bonferroni")
    share = Fraction(alpha) / classes
    rival = sorted((c for i, c in enumerate(answers) if i != claimed), reverse=True)[k - 1]
    assert_lower(answers[claimed], n, float(found.p_lower[0]), share)
    assert_upper(rival, n, float(found.p_upper[0]), share)
    if k == 1:
        found = bounds(method="clopper-pearson")
        assert_lower(answers[claimed], n, float(found.p_lower[0]), Fraction(alpha))
        assert Fraction(float(found.p_upper[0])) >= 1 - Fraction(float(found.p_lower[0]))


@pytest.mark.parametrize("alpha", [5e-324, 1e-323, 1e-320])
def test_a_level_too_small_to_be_shared_gives_bounds_all_the_same(alpha: float) -> None:
    bounds = label_bounds(
        np.array([[3, 5]]),
        claimed=np.array([0]),
        k=1,
        alpha=alpha,
        samples=8,
        method="clopper-pearson-bonferroni",
    )
    assert_lower(3, 8, float(bounds.p_lower[0]), Fraction(alpha) / 2)
    assert_upper(5, 8, float(bounds.p_upper[0]), Fraction(alpha) / 2)


@pytest.mark.parametrize("alpha", [1e-12, 0.001, 0.5])
@pytest.mark.parametrize("n", [10**6, 10**8, pytest.param(10**10, marks=pytest.mark.slow)])
def test_bounds_of_huge_experiments_are_within_1e_12_of_exact(n: int, alpha: float) -> None:
    """Two-sided: a little further out the level is exceeded."""
    for k in (1, 1000, n // 2, n - 1000, n - 1, n):
        low = float(hc.clopper_pearson_lower(k, n, alpha))
        assert_lower(k, n, low, Fraction(alpha))
        above = low + max(4 * math.ulp(low), 1e-12 * min(low, 1.0 - low))
        assert above >= 1.0 or not at_most(k, n, Fraction(above), Fraction(alpha)), (k, n, alpha, low)
