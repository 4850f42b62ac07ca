"""Exact numbers as decimal text, rounded towards zero: a printed bound is still a bound."""

from __future__ import annotations

from flint import fmpq

_DIGITS = 6
_PLAIN = range(-4, _DIGITS)  # exponents that are written without an "e"


def shown_down(value: fmpq) -> str:
    """Return a number >= 0 with six significant digits, rounded towards zero, without trailing zeros."""
    if value == 0:
        return "0"
    numerator, denominator = int(value.p), int(value.q)
    exponent = len(str(numerator)) - len(str(denominator))
    if value < fmpq(10) ** exponent:
        exponent -= 1
    places = _DIGITS - 1 - exponent
    scaled = numerator * 10 ** max(places, 0) // (denominator * 10 ** max(-places, 0))
    digits = str(scaled)
    if exponent not in _PLAIN:
        mantissa = f"{digits[0]}.{digits[1:]}".rstrip("0").rstrip(".")
        return f"{mantissa}e{exponent}"
    if exponent >= 0:
        text = f"{digits[: exponent + 1]}.{digits[exponent + 1 :]}"
    else:
        text = f"0.{'0' * (-exponent - 1)}{digits}"
    return text.rstrip("0").rstrip(".")
