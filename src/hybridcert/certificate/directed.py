"""Directed rounding: floats, wide decimals and printed digits that never overstate.

A *lower* value is at most the exact one, an *upper* value at least. The wide arithmetic is the
standard library's correctly rounded ``decimal`` (IEEE 854), used where float64 is too narrow.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

UNIT_ROUNDOFF = 2.0**-53
"""Relative error of one IEEE 754 double operation, rounding to nearest."""

EXP_ERROR = 8 * UNIT_ROUNDOFF
"""Relative error allowed for the platform's ``exp``: 4 ulp (the libraries in use stay below 1)."""

WIDE = decimal.Context(
    prec=34,
    rounding=decimal.ROUND_HALF_EVEN,
    Emin=decimal.MIN_EMIN,
    Emax=decimal.MAX_EMAX,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
"""Thirty-four digits with a practically unlimited exponent: one operation errs by at most 5e-34."""


def step_down(values: npt.ArrayLike) -> Floats:
    """Return the next float64 towards minus infinity, elementwise."""
    return np.nextafter(np.asarray(values, dtype=np.float64), -np.inf)


def step_up(values: npt.ArrayLike) -> Floats:
    """Return the next float64 towards plus infinity, elementwise."""
    return np.nextafter(np.asarray(values, dtype=np.float64), np.inf)


def enclose(values: Sequence[decimal.Decimal]) -> tuple[Floats, Floats]:
    """Return float64 arrays ``(lower, upper)`` around wide values whose relative error is below 2⁻⁵⁴."""
    nearest = np.array([float(v) for v in values], dtype=np.float64)
    zero = np.array([v == 0 for v in values], dtype=np.bool_)
    return np.maximum(step_down(nearest), 0.0), np.where(zero, 0.0, step_up(nearest))


def format_exact(value: float) -> str:
    """Print ``value`` with just the digits that tell it from every other float: 0.1, 1e-06, 2."""
    return repr(float(value)).removesuffix(".0")


def format_down(value: float, digits: int = 6) -> str:
    """Print ``value`` with ``digits`` decimals, rounded towards zero (never above a positive bound)."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    quantum = decimal.Decimal(1).scaleb(-digits)
    exact = decimal.Context(prec=330 + digits)  # every digit of the largest float
    return str(decimal.Decimal(value).quantize(quantum, rounding=decimal.ROUND_DOWN, context=exact))
