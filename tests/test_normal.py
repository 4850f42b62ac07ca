"""Φ and its directed bounds: the error budget, proved in ball arithmetic, and attacked at random.

`docs/numerics.md` has the argument; here its numbers are computed. Errors are in units of u = 2⁻⁵³.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, arb_series, ctx
from hypothesis import given
from hypothesis import strategies as st

from balls import ball, normal_cdf, precision
from hybridcert.certificate import normal
from hybridcert.certificate.directed import EXP_ERROR, UNIT_ROUNDOFF

U = UNIT_ROUNDOFF
COEFFICIENTS = normal._POLYNOMIAL
BITS = 160
ORDER = 10  # of the Taylor expansions
TERMS = 15  # of the asymptotic expansion, used from z = 20 on

# What the proof grants each part of P(t)/(1 + 2z), relative to Φ; the tests below show that they need less.
APPROXIMATION = 1.5 * U
HORNER = 8 * U
TRANSFORM = 10 * U  # rounding of t, three times


def polynomial(t: arb_series) -> arb_series:
    result = arb_series([arb(COEFFICIENTS[-1])])
    for coefficient in COEFFICIENTS[-2::-1]:
        result = result * t + arb(coefficient)
    return result


def variable(point: arb, terms: int) -> arb_series:
    ctx.cap = terms
    return arb_series([point, 1], terms)


def taylor_bound(series: arb_series, half: arb, highest: arb) -> arb:
    """Bound a function on centre ± half from its expansion and a bound on the next coefficient."""
    terms = (abs(series[k]).upper() * half**k for k in range(ORDER))
    return sum(terms, arb(0)) + highest.upper() * half**ORDER


def hull(a: arb, b: arb) -> arb:
    return (a + b) / 2 + arb(0, 1) * (b - a) / 2


def error_near(a: arb, b: arb) -> arb:
    """Bound |P(t(z)) − (1 + 2z) M(z)| on a ≤ z ≤ b, with M(z) = e^{z²/2} Φ(−z).

    M(z) = ∫ e^{−zs − s²/2} ds / √(2π) over s ≥ 0 is completely monotone: derivatives are largest at a.
    """

    def tail(z: arb_series) -> arb_series:
        return (z * z / 2).exp() * (z / arb(2).sqrt()).erfc() / 2

    z = variable((a + b) / 2, ORDER)
    difference = polynomial((z - 5) / (z + 5)) - (1 + 2 * z) * tail(z)
    z = variable(hull(a, b), ORDER + 1)
    highest = abs(polynomial((z - 5) / (z + 5))[ORDER])
    left = tail(variable(a, ORDER + 1))
    highest += (1 + 2 * b) * abs(left[ORDER]) + 2 * abs(left[ORDER - 1])
    return taylor_bound(difference, (b - a) / 2, highest)


def error_far(a: arb, b: arb) -> arb:
    """Bound the same at z = 1/s, a ≤ s ≤ b, from √(2π) z M(z) = 1 − s² + 3s⁴ − 15s⁶ + …

    The expansion is enveloping: its error is below the first term that is left out.
    """
    double_factorials = [math.prod(range(2 * k - 1, 1, -2)) for k in range(TERMS + 1)]

    def difference(s: arb_series) -> arb_series:
        total, even = arb_series([0]), arb_series([1])
        for k in range(TERMS):
            total, even = total + (-1) ** k * double_factorials[k] * even, even * s * s
        return polynomial((1 - 5 * s) / (1 + 5 * s)) - (2 + s) * total / (2 * arb.pi()).sqrt()

    s = variable((a + b) / 2, ORDER)
    wide = difference(variable(hull(a, b), ORDER + 1))
    left_out = (2 + b) * double_factorials[TERMS] * b ** (2 * TERMS)
    return taylor_bound(difference(s), (b - a) / 2, abs(wide[ORDER])) + left_out


def test_the_polynomial_approximates_the_scaled_tail_on_all_of_the_half_line() -> None:
    with precision(BITS):
        least = arb(0.4999)  # (1 + 2z) M(z) ≥ 1/2: shown below with P and the bound itself
        bounds = [error_near(arb(j) / 32, arb(j + 1) / 32) for j in range(20 * 32)]
        bounds += [error_far(arb(j) / 800, arb(j + 1) / 800) for j in range(40)]
        assert all(bool(bound / least < APPROXIMATION) for bound in bounds)
        for j in range(-200, 200):
            t = hull(arb(j) / 200, arb(j + 1) / 200)
            assert bool(polynomial(arb_series([t]))[0] - 1e-15 > least)


def test_horners_scheme_and_the_rounding_of_t_stay_within_their_share() -> None:
    """Running error analysis over a subdivision of t: y ← (y·t)(1 + δ₁) + c, (1 + δ₂), |δ| ≤ u."""
    with precision(BITS):
        pieces = 4000
        for j in range(-pieces, pieces):
            t = hull(arb(j) / pieces, arb(j + 1) / pieces)
            exact, slope, error = arb(COEFFICIENTS[-1]), arb(0), arb(0)
            for coefficient in COEFFICIENTS[-2::-1]:
                product = exact * t
                slope = slope * t + exact
                inner = error * abs(t).upper() * (1 + U) + abs(product).upper() * U
                exact = product + arb(coefficient)
                error = (inner * (1 + U) + abs(exact).upper() * U).upper()
            assert bool(error / exact.lower() < HORNER)
            # t = (z − 5)/(z + 5) is rounded three times
            assert bool(abs(slope * t) / exact * 3 * U * (1 + 4 * U) < TRANSFORM)


def test_the_budget_of_the_lower_tail_adds_up() -> None:
    """x < 0: the exponent moves by more than its rounding and the slack in ξ; the rest fits into 64 u."""
    u, slope = Fraction(U), Fraction(normal._SLOPE)
    assert (1 - u) ** 2 * (1 + slope) > (1 + 4 * u) ** 2
    assert (1 + u) ** 2 * (1 - slope) < (1 - 4 * u) ** 2
    denominator, quotient, last_products = U, U, 2 * U
    slack_in_the_prefactor = 4 * U  # |d log M / d log z| ≤ 1
    total = (
        APPROXIMATION
        + HORNER
        + TRANSFORM
        + denominator
        + quotient
        + EXP_ERROR
        + last_products
        + slack_in_the_prefactor
    )
    assert total * (1 + 64 * U) < normal.RELATIVE_ERROR


def test_the_budget_of_the_upper_half_adds_up() -> None:
    """x ≥ 0: the tail is off by its prefactor and by up to 13 u z² in the exponent, on either side."""
    prefactor = APPROXIMATION + HORNER + TRANSFORM + 3 * U + EXP_ERROR + 4 * U
    with precision(BITS):
        for j in range(64 * 40):
            z = hull(arb(j) / 64, arb(j + 1) / 64)
            left, right = arb(j) / 64, arb(j + 1) / 64
            tail = normal_cdf(-left)  # largest on the piece
            exponent = (normal._SLOPE + 2 * U + 8 * U) * (1 + 64 * U) * right * right / 2
            error = tail * (prefactor + exponent) * (1 + 64 * U) + 2 * U
            assert bool(error < normal.RELATIVE_ERROR * (normal_cdf(z) - error)), j
        # beyond z = 40 the tail is below 1e-300 and only the roundings of 1 − T are left
        assert bool(normal_cdf(arb(-40)) < 1e-300)


def test_the_platforms_exponential_errs_by_less_than_the_margins_assume() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [rng.uniform(-700, 700, 20_000), rng.uniform(-2, 2, 20_000), -rng.exponential(1e-6, 2_000)]
    )
    values = np.exp(x)
    with precision(100):
        for argument, value in zip(x.tolist(), values.tolist(), strict=True):
            assert bool(abs(arb(value) / arb(argument).exp() - 1) < EXP_ERROR)


def assert_encloses(x: float) -> None:
    """cdf_lower(x) ≤ Φ(ξ) ≤ cdf_upper(x) for the ξ within 4u|x| that make it hardest, up to 1e-300."""
    lower, upper = float(normal.cdf_lower(np.array([x]))[0]), float(normal.cdf_upper(np.array([x]))[0])
    with precision(200):
        slack = 4 * ball(U) * abs(ball(x))
        assert bool(ball(lower) <= normal_cdf(ball(x) - slack) + normal.UNDERFLOW), x
        assert bool(ball(upper) >= normal_cdf(ball(x) + slack) - normal.UNDERFLOW), x


@given(st.floats(min_value=-40.0, max_value=40.0))
def test_bounds_enclose_phi_with_slack_in_the_argument(x: float) -> None:
    assert_encloses(x)


EDGES = [0.0, 5e-324, 1e-300, 5.0, math.nextafter(5, 6), 8.3, 37.5, 38.6, 39.0, 1e6, 1e153, 1e154, 1.7e308]


@pytest.mark.parametrize("x", [sign * edge for edge in EDGES for sign in (1.0, -1.0)])
def test_bounds_enclose_phi_at_the_edges(x: float) -> None:
    if abs(x) < 1e8:
        assert_encloses(x)
    else:
        lower, upper = normal.cdf_lower(np.array([x]))[0], normal.cdf_upper(np.array([x]))[0]
        assert (0.0 <= lower < 1.0 <= upper) if x > 0 else (lower == 0.0 and 0.0 <= upper <= 1e-300)


def test_bounds_enclose_phi_at_ten_thousand_seeded_points_and_are_narrow() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([3 * rng.standard_normal(6_000), rng.uniform(-37, 9, 4_000)])
    lower, upper, estimate = normal.cdf_lower(x), normal.cdf_upper(x), normal.cdf(x)
    with precision(120):
        for point, lo, hi, middle in zip(x.tolist(), lower, upper, estimate, strict=True):
            exact = normal_cdf(ball(point))
            assert bool(ball(float(lo)) < exact), point
            assert bool(ball(float(hi)) > exact), point
            assert bool((ball(float(hi)) - ball(float(lo))) / exact < (150 + 20 * point * point) * U), point
            assert bool(abs(ball(float(middle)) / exact - 1) < (20 + 2 * point * point) * U), point


def test_infinite_arguments_give_the_limits() -> None:
    ends = np.array([-np.inf, np.inf])
    assert normal.cdf(ends).tolist() == [0.0, 1.0]
    assert normal.cdf_lower(ends)[0] == 0.0
    assert normal.cdf_upper(ends)[1] >= 1.0


def test_blocks_and_shapes_do_not_change_the_answer() -> None:
    x = np.random.default_rng(3).standard_normal((5, 7001))
    assert np.array_equal(normal.cdf_lower(x)[2], normal.cdf_lower(x[2].copy()))
    assert np.array_equal(normal.cdf_lower(x.T), normal.cdf_lower(x).T)


def test_density_matches_its_definition_and_survives_huge_arguments() -> None:
    x = np.array([0.0, 1.0, -3.5, 1e300])
    expected = [1 / math.sqrt(2 * math.pi) * math.exp(-0.5 * v * v) if abs(v) < 1e3 else 0.0 for v in x]
    assert normal.density(x) == pytest.approx(expected, rel=1e-15)
