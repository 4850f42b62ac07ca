"""Checks of single numbers, worded alike everywhere."""

from __future__ import annotations

import numbers

from hybridcert.errors import ParameterError


def check_open(name: str, value: float) -> None:
    """Raise ParameterError unless ``value`` is a number in (0, 1)."""
    if not (isinstance(value, numbers.Real) and 0.0 < value < 1.0):
        raise ParameterError(f"{name} must be in (0, 1), got {value!r}")


def check_count(name: str, value: int, *, most: int | None = None) -> None:
    """Raise ParameterError unless ``value`` is an integer from 1 on, up to ``most`` where that is given."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1
    if not whole or (most is not None and value > most):
        allowed = "an integer >= 1" if most is None else f"an integer in [1, {most}]"
        raise ParameterError(f"{name} must be {allowed}, got {value!r}")
