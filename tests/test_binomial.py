"""Logarithms of factorials and the masses of a binomial law, against balls."""

from __future__ import annotations

import decimal
import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from balls import ball, precision
from hybridcert.certificate.binomial import Coin, failure_masses, log_choose, log_factorial, log_gamma
from hybridcert.certificate.directed import UNIT_ROUNDOFF, WIDE

LAST = math.nextafter(1.0, 0.0)


def exactly(value: decimal.Decimal) -> arb:
    return ball(Fraction(value))


@pytest.mark.parametrize("n", [0, 1, 2, 127, 128, 129, 1000, 10**6, 10**8])
def test_log_factorials_are_right_to_24_digits(n: int) -> None:
    with precision(300):
        assert abs(exactly(log_factorial(n)) - arb(n + 1).lgamma()) < 1e-24
    with decimal.localcontext(WIDE):
        half = log_choose(n, n // 2)
    with precision(300):
        exact = arb(n + 1).lgamma() - arb(n // 2 + 1).lgamma() - arb(n - n // 2 + 1).lgamma()
        assert abs(exactly(half) - exact) < 3e-24


@pytest.mark.parametrize("x", [1e-6, 0.1, 0.5, 1.0, 2.5, 127.99, 128.0, 1e4 + 0.1, 1e6, 2e10 + 0.25])
def test_log_gamma_is_right_to_21_digits(x: float) -> None:
    with precision(300):
        assert abs(exactly(log_gamma(decimal.Decimal(x))) - ball(x).lgamma()) < 1e-21


@given(st.integers(1, 60), st.one_of(st.floats(1e-12, LAST), st.just(1e-300)), st.data())
@settings(max_examples=60)
def test_masses_are_upper_bounds_and_nothing_is_lost(n: int, p: float, data: st.DataObject) -> None:
    limit = data.draw(st.integers(0, n))
    negligible = data.draw(st.sampled_from([1e-3, 1e-12, 1e-25, 1e-290]))
    masses = failure_masses(n, Coin(p), limit=limit, negligible=negligible)
    success, last = Fraction(p), masses.first + masses.upper.size - 1
    exact = [math.comb(n, f) * success ** (n - f) * (1 - success) ** f for f in range(limit + 1)]
    assert 0 <= masses.first <= last <= limit
    slack = (1 + Fraction(UNIT_ROUNDOFF)) ** 4
    for f, upper in enumerate(masses.upper.tolist(), start=masses.first):
        assert Fraction(upper) * slack + Fraction(1e-300) >= exact[f]
        assert upper <= float(exact[f]) * (1 + 1e-12) + 1e-300
    outside = sum(exact[: masses.first]) + sum(exact[last + 1 :])
    assert Fraction(masses.rest) + Fraction(1e-295) >= outside
    assert masses.rest <= 5 * negligible


def test_masses_of_a_large_stretch_add_up_to_one() -> None:
    for p in (0.5, 0.999, 1e-6):
        masses = failure_masses(10**7, Coin(p), limit=10**7, negligible=1e-20)
        assert float(np.sum(masses.upper)) == pytest.approx(1.0, rel=1e-11)
        assert masses.upper.size < 50_000
