"""Numbers of a certificate: strings that hold an exact real, JSON integers that hold a count."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Final

from flint import fmpq

from hybridcert.errors import DataError
from hybridcert.verify import limits

_HEX: Final = re.compile(r"(-?)0x([0-9a-f]+)(?:\.([0-9a-f]*))?p([+-]?[0-9]{1,6})", re.ASCII)
_RATIONAL: Final = re.compile(r"(-?[0-9]+)(?:/([0-9]+))?", re.ASCII)
_DECIMAL: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_SHOWN: Final = 40


def shown(value: object) -> str:
    """Return a short one-line text of any value, for messages."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, int) and value.bit_length() > 4 * _SHOWN:
        return "a huge integer"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def real(value: object, where: str) -> fmpq:
    """Read a real exactly: a hexadecimal float as ``"0x1.8p-2"`` or a rational as ``"3/8"``.

    Raises
    ------
    DataError
        If the value is not such a string, or longer than the limits.
    """
    if not isinstance(value, str):
        raise DataError(f"{where}: expected a real as a string ('0x1.8p-2' or '3/8'), got {shown(value)}")
    if len(value) > limits.REAL_CHARACTERS:
        raise DataError(f"{where}: a real has at most {limits.REAL_CHARACTERS} characters, got {len(value)}")
    found = _parse(value)
    if found is None:
        raise DataError(f"{where}: expected a real ('0x1.8p-2' or '3/8'), got {shown(value)}")
    return found


@functools.lru_cache(maxsize=8192)
def _parse(text: str) -> fmpq | None:
    if hexadecimal := _HEX.fullmatch(text):
        sign, whole, fraction, exponent = hexadecimal.groups(default="")
        power = int(exponent)
        if len(whole) + len(fraction) > limits.HEX_DIGITS or abs(power) > limits.HEX_EXPONENT:
            return None
        mantissa, power = int(sign + whole + fraction, 16), power - 4 * len(fraction)
        return fmpq(mantissa << power) if power >= 0 else fmpq(mantissa, 1 << -power)
    if rational := _RATIONAL.fullmatch(text):
        denominator = int(rational[2] or "1")
        return fmpq(int(rational[1]), denominator) if denominator else None
    return None


def real_in(value: object, where: str, least: str, most: str, *, brackets: str) -> fmpq:
    """Read a real between ``least`` and ``most`` (``"inf"``: none), with the brackets of that interval."""
    number = real(value, where)
    low, high = fmpq(int(least)), None if most == "inf" else fmpq(int(most))
    below = number < low or (brackets[0] == "(" and number == low)
    above = high is not None and (number > high or (brackets[1] == ")" and number == high))
    if below or above:
        raise DataError(f"{where}: must be in {brackets[0]}{least}, {most}{brackets[1]}, got {shown(value)}")
    return number


def decimal(value: object, where: str) -> fmpq:
    """Read a decimal string such as ``"0.99"`` exactly."""
    found = _DECIMAL.fullmatch(value) if isinstance(value, str) and len(value) <= _SHOWN else None
    if found is None:
        raise DataError(f"{where}: expected a decimal string such as '0.99', got {shown(value)}")
    digits = found[2] or ""
    return fmpq(int(found[1] + digits), 10 ** len(digits))


def count(value: object, where: str, *, least: int = 0, most: int) -> int:
    """Read a JSON integer in [least, most]; booleans and floats are refused."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{where}: expected a JSON integer, got {shown(value)}")
    if not least <= value <= most:
        raise DataError(f"{where}: must be an integer in [{least}, {most}], got {shown(value)}")
    return value


def text(value: object, where: str) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise DataError(f"{where}: expected a string, got {shown(value)}")
    return value


def section(
    value: object, where: str, *, required: Sequence[str] = (), optional: Sequence[str] = ()
) -> Mapping[str, object]:
    """Read an object that has all required keys, and no key besides them and the optional ones."""
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: expected an object, got {shown(value)}")
    for key in required:
        if key not in value:
            raise DataError(f"{where}: the key {key!r} is missing")
    for key in value:
        if key not in required and key not in optional:
            raise DataError(f"{where}: unknown key {shown(key)}; known: {', '.join((*required, *optional))}")
    return value


def items(value: object, where: str, *, most: int) -> Sequence[object]:
    """Read a list of at most ``most`` entries."""
    if not isinstance(value, (list, tuple)):
        raise DataError(f"{where}: expected a list, got {shown(value)}")
    if len(value) > most:
        raise DataError(f"{where}: at most {most} entries, got {len(value)}")
    return value
