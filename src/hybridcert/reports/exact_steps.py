"""Bounds as whole numbers of small decimal steps, rounded towards zero: what a page can compare exactly."""

from __future__ import annotations

import decimal

import numpy as np
import numpy.typing as npt

_FEWEST, _MOST = 6, 15
_TOLD_APART = 10_000  # steps that the largest value should have at least
_EXACT = 2.0**53


def digits_for(largest: float) -> int:
    """Return how many decimals tell values up to ``largest`` apart: six, more for small ones."""
    digits = _FEWEST
    while digits < _MOST and 0.0 < largest * 10.0**digits < _TOLD_APART:
        digits += 1
    while digits > 0 and largest * 10.0**digits >= _EXACT / 2:
        digits -= 1
    return digits


def steps_down(values: npt.NDArray[np.float64], digits: int) -> npt.NDArray[np.int64]:
    """Return ⌊value · 10^digits⌋ of each value >= 0, exactly.

    Guarantee: the whole number of steps is at most the value, and one more step is above it.
    """
    scaled = values * 10.0**digits
    found = np.floor(scaled).astype(np.int64)
    close = np.abs(scaled - np.rint(scaled)) <= 4.0 * np.spacing(scaled)  # the product may have crossed one
    for at in np.flatnonzero(close):
        exact = decimal.Context(prec=1100)
        found[at] = int(decimal.Decimal(float(values[at])).scaleb(digits, context=exact))
    return found
