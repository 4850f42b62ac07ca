"""Checks of arguments that a search and a judgement share."""

from __future__ import annotations

import numbers

from hybridcert.errors import ParameterError


def check_label(label: int, classes: int) -> None:
    """Raise ParameterError unless ``label`` is the index of a class."""
    if isinstance(label, bool) or not (isinstance(label, numbers.Integral) and 0 <= label < classes):
        raise ParameterError(f"label must be the index of a class in [0, {classes - 1}], got {label!r}")


def check_type(name: str, value: object, *kinds: type) -> None:
    """Raise ParameterError unless a value is of one of some types."""
    if not isinstance(value, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ParameterError(f"{name} must be of type {expected}, got {type(value).__name__}")
