"""Beta-mixture bounds against the likelihood ratio in ball arithmetic, and against closed forms."""

from __future__ import annotations

import decimal
import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridcert as hc
from balls import ball, precision
from hybridcert.certificate.anytime import SMOOTHED_SCORE_PRIOR, beta_mixture_lower

LAST = math.nextafter(1.0, 0.0)
LEVELS = st.one_of(st.floats(1e-12, 0.9), st.sampled_from([5e-324, 1e-300, 0.01, 0.5, LAST]))
SHAPES = st.one_of(st.floats(1e-3, 50.0), st.sampled_from([1e-6, 0.5, 1.0, 1e6]))


def lower(k: int, n: int, alpha: float, a: float = 1.0, b: float = 0.1) -> float:
    return float(beta_mixture_lower(k, n, alpha, a=a, b=b))


def log_ratio(k: int, n: int, p: float, a: float, b: float) -> arb:
    """The logarithm of the mixture likelihood over the likelihood at p, for 0 < p < 1."""
    x, y, q = ball(a), ball(b), ball(p)
    mixture = (x + k).lgamma() + (y + n - k).lgamma() - (x + y + n).lgamma()
    mixture -= x.lgamma() + y.lgamma() - (x + y).lgamma()
    return mixture - k * q.log() - (n - k) * (1 - q).log()


def assert_exact_from_below(k: int, n: int, alpha: float, a: float, b: float) -> None:
    """Excluded at the bound, not excluded a little above it."""
    p = lower(k, n, alpha, a, b)
    if k == 0:
        assert p == 0.0
        return
    assert 0.0 <= p < 1.0
    with precision(400):
        threshold = -ball(alpha).log()
        if p > 0.0:
            assert Fraction(p) * n <= k
            assert bool(log_ratio(k, n, p, a, b) >= threshold), (k, n, alpha, a, b, p)
        above = p + max(4 * math.ulp(p), 1e-13 * min(p, 1.0 - p))
        if alpha <= 0.9 and above < 1.0:
            assert bool(log_ratio(k, n, above, a, b) < threshold), (k, n, alpha, a, b, p)


@given(st.integers(1, 3000), st.data(), LEVELS, SHAPES, SHAPES)
@settings(max_examples=200)
def test_bound_is_exact_from_below(n: int, data: st.DataObject, alpha: float, a: float, b: float) -> None:
    assert_exact_from_below(data.draw(st.integers(0, n)), n, alpha, a, b)


@pytest.mark.parametrize("n", [10**6, 10**10])
@pytest.mark.parametrize("alpha", [1e-6, 0.01, 0.5])
def test_bound_is_exact_from_below_for_huge_samples(n: int, alpha: float) -> None:
    for k in (1, 2, 1000, n // 2, n - 1000, n - 1, n):
        for a, b in (SMOOTHED_SCORE_PRIOR, (0.5, 0.5), (1e6, 1e-6)):
            assert_exact_from_below(k, n, alpha, a, b)


@pytest.mark.parametrize("n", [1, 7, 1000, 10**6])
def test_a_uniform_prior_and_no_failure_have_a_closed_form(n: int) -> None:
    """B(1 + n, 1) = 1/(n + 1), so the bound is (α/(n + 1))^(1/n)."""
    for alpha in (0.01, 0.5):
        assert lower(n, n, alpha, 1.0, 1.0) == pytest.approx((alpha / (n + 1)) ** (1 / n), rel=1e-13)


def test_the_ratio_of_a_small_sample_is_the_one_solved_by_hand() -> None:
    """n = 2, k = 1, uniform prior: M = 1/6, so p (1 − p) = α/6; 1/9 for α = 2/3, at p = (3 − √5)/6."""
    p = lower(1, 2, 2 / 3, 1.0, 1.0)
    assert p == pytest.approx((3 - math.sqrt(5)) / 6, rel=1e-15)


@given(st.integers(1, 120), st.floats(1e-6, 0.5))
@settings(max_examples=15)
def test_bounds_are_ordered_and_pay_for_being_valid_at_every_time(n: int, alpha: float) -> None:
    k = np.arange(n + 1)
    a, b = SMOOTHED_SCORE_PRIOR
    p = beta_mixture_lower(k, n, alpha, a=a, b=b)
    assert (np.diff(p) > 0.0).all()
    assert (p <= hc.clopper_pearson_lower(k, n, alpha)).all()
    assert (beta_mixture_lower(k, n, alpha / 2, a=a, b=b) <= p).all()


def test_a_sequence_of_samples_is_bounded_in_one_call() -> None:
    k, n = np.array([[5, 9, 0], [5, 18, 40]]), np.array([10, 20, 40])
    found = beta_mixture_lower(k, n, 0.05, a=1.0, b=0.5)
    assert found.shape == (2, 3)
    assert found[0, 0] == found[1, 0] == lower(5, 10, 0.05, 1.0, 0.5)
    assert found[0, 2] == 0.0
    assert beta_mixture_lower([], 3, 0.1, a=1, b=1).shape == (0,)
    assert beta_mixture_lower(2, 3, 0.1, a=1, b=1).shape == ()


def test_the_callers_decimal_context_does_not_matter() -> None:
    expected = [lower(k, 131, 0.013, 0.7, 0.3) for k in (77, 131)]
    with decimal.localcontext(decimal.Context(prec=3, Emax=10, Emin=-10)):
        strange = [lower(k, 131, 0.0137, 0.7, 0.3) for k in (77, 131)]  # not in the cache yet
    assert strange == pytest.approx(expected, rel=1e-2)
    with precision(128):
        for k, p in zip((77, 131), strange, strict=True):
            assert bool(log_ratio(k, 131, p, 0.7, 0.3) >= -ball(0.0137).log())
            assert p == pytest.approx(lower(k, 131, 0.0137, 0.7, 0.3), rel=1e-15)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"successes": -1}, r"successes must be in \[0, samples = 10\], got -1"),
        ({"successes": 11}, r"successes must be in \[0, samples = 10\], got 11"),
        ({"successes": 2.5}, "successes must be integers, got 2.5"),
        ({"successes": math.nan}, "successes must be integers, got nan"),
        ({"samples": 0, "successes": 0}, r"samples must be in \[1, 10000000000\], got 0"),
        ({"samples": 10.5}, "samples must be integers, got 10.5"),
        ({"alpha": 0.0}, r"alpha must be in \(0, 1\), got 0.0"),
        ({"a": 0.0}, r"a must be in \[1e-06, 1000000.0\], got 0.0"),
        ({"b": math.inf}, r"b must be in \[1e-06, 1000000.0\], got inf"),
        ({"b": math.nan}, r"b must be in \[1e-06, 1000000.0\], got nan"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, float], message: str) -> None:
    given = {"successes": 3, "samples": 10, "alpha": 0.1, "a": 1.0, "b": 1.0} | changes
    with pytest.raises(hc.ParameterError, match=message):
        beta_mixture_lower(given["successes"], given["samples"], given["alpha"], a=given["a"], b=given["b"])  # type: ignore[arg-type]
