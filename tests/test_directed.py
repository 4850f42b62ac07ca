"""Directed rounding: neighbours, enclosures of wide decimals, printed digits."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridcert.certificate.directed import WIDE, enclose, format_down, step_down, step_up

FINITE = st.floats(-1e308, 1e308)


@given(FINITE)
def test_steps_go_to_the_next_float(x: float) -> None:
    assert float(step_down(x)) == math.nextafter(x, -math.inf)
    assert float(step_up(x)) == math.nextafter(x, math.inf)


@given(st.integers(0, 10**34 - 1), st.integers(-400, 10))
def test_enclosures_hold_the_decimal_and_are_at_most_three_floats_wide(digits: int, exponent: int) -> None:
    value = Decimal(digits).scaleb(exponent, context=WIDE)
    if value < Decimal("1e300"):
        lower, upper = (float(bound[0]) for bound in enclose([value]))
        assert Fraction(lower) <= Fraction(value) <= Fraction(upper)
        assert upper <= math.nextafter(math.nextafter(lower, math.inf), math.inf)
        assert (value == 0) == (upper == 0.0)
        assert lower >= 0.0


@given(st.floats(1e-300, 1e-3), st.integers(-2, 2))
def test_enclosures_absorb_the_error_of_wide_arithmetic(x: float, error: int) -> None:
    """A decimal next to a float, or next to half-way between floats, with its last digits wrong."""
    for exact in (Fraction(x), (Fraction(x) + Fraction(math.nextafter(x, 1.0))) / 2):
        wide = WIDE.divide(Decimal(exact.numerator), Decimal(exact.denominator))
        wide = WIDE.multiply(wide, WIDE.add(1, Decimal(error) * Decimal("1e-26")))
        lower, upper = enclose([wide])
        assert Fraction(float(lower[0])) <= exact <= Fraction(float(upper[0]))


def test_no_decimals_give_no_bounds() -> None:
    lower, upper = enclose([])
    assert lower.size == upper.size == 0


@given(st.floats(-1e20, 1e20), st.integers(0, 12))
def test_printed_bounds_are_rounded_towards_zero(value: float, digits: int) -> None:
    printed = Fraction(format_down(value, digits))
    assert abs(printed) <= abs(Fraction(value)) < abs(printed) + Fraction(1, 10**digits)
    assert printed == 0 or (printed > 0) == (value > 0)


@pytest.mark.parametrize(
    ("value", "digits", "printed"),
    [
        (0.1234567, 6, "0.123456"),
        (2.0, 3, "2.000"),
        (math.inf, 6, "inf"),
        (-math.inf, 6, "-inf"),
        (0.99999999, 2, "0.99"),
        (5e-324, 6, "0.000000"),
        (1.7e308, 0, str(int(1.7e308))),
    ],
)
def test_printed_bounds_look_like_this(value: float, digits: int, printed: str) -> None:
    assert format_down(value, digits) == printed
