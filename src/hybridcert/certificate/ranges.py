"""Checks of single numbers, worded alike everywhere."""

from __future__ import annotations

import numbers

from hybridcert.errors import ParameterError


def check_open(name: str, value: float) -> None:
    """Raise ParameterError unless ``value`` is a number in (0, 1)."""
    if not (isinstance(value, numbers.Real) and 0.0 < value < 1.0):
        raise ParameterError(f"{name} must be in (0, 1), got {value!r}")


def check_count(name: str, value: int, *, most: int) -> None:
    """Raise ParameterError unless ``value`` is an integer in [1, most]."""
    if isinstance(value, bool) or not (isinstance(value, numbers.Integral) and 1 <= value <= most):
        raise ParameterError(f"{name} must be an integer in [1, {most}], got {value!r}")
