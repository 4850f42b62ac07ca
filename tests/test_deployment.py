"""Thresholds, copies and miss probabilities: each rounded away from the claim, checked in ball arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridcert as hc
from balls import ball, precision
from hybridcert.certificate.deployment import cutoff_for

LAST = math.nextafter(1.0, 0.0)
COPIES = st.one_of(st.integers(1, 200), st.integers(1, 10**9))
PROBABILITY = st.one_of(
    st.floats(1e-12, 0.999999),
    st.floats(-300.0, -1e-3).map(lambda e: 10.0**e),
    st.floats(1.0, 53.0).map(lambda bits: 1.0 - 2.0**-bits),
)


def exact_threshold(copies: int, miss: float):  # type: ignore[no-untyped-def]
    return 1 - (ball(miss).log() / copies).exp()


def exact_miss(copies: int, threshold: float):  # type: ignore[no-untyped-def]
    return ((1 - ball(threshold)).log() * copies).exp()


@given(COPIES, PROBABILITY)
def test_threshold_is_rounded_up_by_at_most_two_ulps(copies: int, miss: float) -> None:
    threshold = hc.threshold_for(copies=copies, miss=miss)
    with precision(1200):
        exact = exact_threshold(copies, miss)
        assert bool(ball(threshold) >= exact)
        assert bool(ball(threshold) <= exact * (1 + ball(2.0**-51)))


@given(COPIES, PROBABILITY)
def test_miss_probability_is_rounded_up(copies: int, threshold: float) -> None:
    miss = hc.miss_probability(copies=copies, threshold=threshold)
    with precision(1200):
        exact = exact_miss(copies, threshold)
        assert bool(ball(miss) >= exact)
        assert miss <= 1.0
        assert bool(ball(miss) <= exact * (1 + ball(2.0**-51)) + ball(1e-322))


@given(st.floats(1e-9, 0.999), st.floats(1e-12, 0.999))
def test_copies_suffice_and_one_less_does_not(threshold: float, miss: float) -> None:
    copies = hc.copies_for(threshold=threshold, miss=miss)
    with precision(1200):
        assert bool(exact_miss(copies, threshold) <= ball(miss))
        if copies > 1:
            assert bool(exact_miss(copies - 1, threshold) > ball(miss))


@given(st.integers(1, 10**6), st.floats(1e-9, 0.99))
def test_threshold_and_copies_are_inverse(copies: int, miss: float) -> None:
    threshold = hc.threshold_for(copies=copies, miss=miss)
    if threshold < 1.0:
        assert hc.copies_for(threshold=threshold, miss=miss) <= copies
        assert hc.miss_probability(copies=copies, threshold=threshold) <= miss * (1 + 1e-9)


def test_the_threshold_of_the_literature() -> None:
    """One hundred thousand copies, one per cent (Chen et al. 2025): 4.605e-05."""
    assert f"{hc.threshold_for(copies=100_000, miss=0.01):.3e}" == "4.605e-05"
    assert hc.copies_for(threshold=4.605e-05, miss=0.01) in (99_999, 100_000, 100_001, 100_002, 100_003)


@pytest.mark.parametrize("power", [1, 2, 10, 30])
def test_exact_powers_need_exactly_their_exponent(power: int) -> None:
    assert hc.copies_for(threshold=0.5, miss=2.0**-power) == power
    assert Fraction(hc.miss_probability(copies=power, threshold=0.5)) >= Fraction(1, 2**power)


@pytest.mark.parametrize("threshold", [1e-17, 1e-40, 1e-300])
def test_tiny_thresholds_get_their_enormous_number_of_copies(threshold: float) -> None:
    copies = hc.copies_for(threshold=threshold, miss=0.01)
    with precision(2400):
        assert bool(exact_miss(copies, threshold) <= ball(0.01))
    assert copies == pytest.approx(-math.log(0.01) / threshold, rel=1e-9)


def test_thresholds_stay_probabilities() -> None:
    """1 − 1e-300 rounded up is 1: nothing can exceed it, and nothing beyond 1 is returned."""
    assert hc.threshold_for(copies=1, miss=1e-300) == 1.0
    assert hc.threshold_for(copies=10**9, miss=LAST) > 0.0


def test_hopeless_misses_underflow_upwards() -> None:
    assert hc.miss_probability(copies=10**9, threshold=0.5) == math.ulp(0.0)


@pytest.mark.parametrize("copies", [0, -1, 2.5])
def test_impossible_copies_are_refused(copies: float) -> None:
    for call in (
        lambda: hc.threshold_for(copies=copies, miss=0.1),  # type: ignore[arg-type]
        lambda: hc.miss_probability(copies=copies, threshold=0.1),  # type: ignore[arg-type]
    ):
        with pytest.raises(hc.ParameterError, match="copies must be an integer >= 1, got"):
            call()


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, math.nan])
def test_impossible_probabilities_are_refused(value: float) -> None:
    for name, call in (
        ("miss", lambda: hc.threshold_for(copies=1, miss=value)),
        ("miss", lambda: hc.copies_for(threshold=0.5, miss=value)),
        ("threshold", lambda: hc.copies_for(threshold=value, miss=0.5)),
        ("threshold", lambda: hc.miss_probability(copies=1, threshold=value)),
    ):
        with pytest.raises(hc.ParameterError, match=rf"{name} must be in \(0, 1\), got"):
            call()


def exact_tail(copies: int, threshold: float, hits: int) -> Fraction:
    """P(Bin(copies, threshold) < hits), exactly."""
    p = Fraction(threshold)
    return sum(
        (math.comb(copies, k) * p**k * (1 - p) ** (copies - k) for k in range(hits)), start=Fraction(0)
    )


@given(st.integers(1, 60), st.floats(1e-6, 0.999), st.floats(1e-9, 0.999))
def test_a_cutoff_misses_no_more_than_allowed_and_one_more_hit_would(
    copies: int, threshold: float, miss: float
) -> None:
    cutoff = cutoff_for(copies=copies, threshold=threshold, miss=miss)
    assert 0 <= cutoff <= copies
    assert exact_tail(copies, threshold, cutoff) <= Fraction(miss)
    assert exact_tail(copies, threshold, cutoff + 1) > Fraction(miss) * (1 - Fraction(1, 10**9))


def test_cutoffs_of_ordinary_filters() -> None:
    assert cutoff_for(copies=5_000, threshold=0.2, miss=0.01) == 935  # scipy's binomial: 0.98986 to 0.99014
    assert cutoff_for(copies=100_000, threshold=4.7e-5, miss=0.01) == 1
    assert cutoff_for(copies=10, threshold=0.01, miss=0.01) == 0


@pytest.mark.parametrize(("copies", "threshold", "miss"), [(0, 0.5, 0.5), (9, 0.0, 0.5), (9, 0.5, 1.0)])
def test_cutoffs_of_nonsense_are_refused(copies: int, threshold: float, miss: float) -> None:
    with pytest.raises(hc.ParameterError):
        cutoff_for(copies=copies, threshold=threshold, miss=miss)
