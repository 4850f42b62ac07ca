"""Exact numbers as decimal text: a printed bound is rounded to the side on which it still is one."""

from __future__ import annotations

from flint import fmpq

_DIGITS = 6
_PLAIN = range(-4, _DIGITS)  # exponents that are written without an "e"


def shown_down(value: fmpq) -> str:
    """Return a number >= 0 with six significant digits, rounded towards zero, without trailing zeros."""
    if value == 0:
        return "0"
    exponent = _exponent(value)
    places = _DIGITS - 1 - exponent
    scaled = int(value.p) * 10 ** max(places, 0) // (int(value.q) * 10 ** max(-places, 0))
    digits = str(scaled)
    if exponent not in _PLAIN:
        mantissa = f"{digits[0]}.{digits[1:]}".rstrip("0").rstrip(".")
        return f"{mantissa}e{exponent}"
    if exponent >= 0:
        text = f"{digits[: exponent + 1]}.{digits[exponent + 1 :]}"
    else:
        text = f"0.{'0' * (-exponent - 1)}{digits}"
    return text.rstrip("0").rstrip(".")


def shown_up(value: fmpq) -> str:
    """Return a number >= 0 with six significant digits, rounded away from zero."""
    unit = _unit(value)
    return shown_down(-((-value / unit).floor()) * unit)


def shown_near(value: fmpq) -> str:
    """Return a number >= 0 with six significant digits, rounded to the nearest."""
    unit = _unit(value)
    return shown_down((value / unit + fmpq(1, 2)).floor() * unit)


def _unit(value: fmpq) -> fmpq:
    """Return the value of one in the last digit shown."""
    return fmpq(10) ** (_exponent(value) - _DIGITS + 1)


def _exponent(value: fmpq) -> int:
    """Return the exponent of the first significant digit of a number >= 0; 0 for zero."""
    if value == 0:
        return 0
    exponent = len(str(int(value.p))) - len(str(int(value.q)))
    return exponent - 1 if value < fmpq(10) ** exponent else exponent
