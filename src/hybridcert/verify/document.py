"""Strict JSON: what a stranger wrote is read in bounded depth, or refused with one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.reals import shown


def parse(text: str | bytes, most: int = limits.DOCUMENT_BYTES) -> object:
    """Parse one JSON value; repeated keys, JSON floats, NaN and infinities are refused.

    Raises
    ------
    DataError
        If the text is no such JSON, not UTF-8, too long, of too many values or too deeply nested.
    """
    if len(text) > most:
        raise DataError(f"the document is longer than {most} bytes")
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        if sum(map(decoded.count, ",[{")) > limits.VALUES:  # before any of them takes memory
            raise DataError(f"the document has more than {limits.VALUES} values")
        return json.loads(
            decoded,
            object_pairs_hook=_object,
            parse_float=_no_float,
            parse_constant=_no_constant,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise DataError("the document is nested too deeply") from None


def plain(value: object) -> object:
    """Copy a JSON value into plain dicts and lists, refusing everything that the format does not allow.

    Raises
    ------
    DataError
        At a float, a value that is not JSON, an integer or a nesting beyond the limits.
    """
    return _plain(value, limits.DEPTH)


def _plain(value: object, depth: int) -> object:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise DataError(f"not Unicode: {shown(value)}")
        return value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) >= 10**limits.INTEGER_DIGITS:
            raise DataError(f"an integer has at most {limits.INTEGER_DIGITS} digits, got {shown(value)}")
        return value
    if isinstance(value, float):
        _no_float(repr(value))
    if not depth:
        raise DataError(f"the document is nested more than {limits.DEPTH} deep")
    if isinstance(value, (list, tuple)):
        return [_plain(entry, depth - 1) for entry in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DataError(f"expected strings as keys, got {shown(key)}")
        return {_plain(key, 0): _plain(entry, depth - 1) for key, entry in value.items()}
    raise DataError(f"not a JSON value: {type(value).__name__}")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DataError(f"the key {shown(key)} occurs twice")
            seen.add(key)
    return found


def _no_float(text: str) -> NoReturn:
    raise DataError(f"JSON floats are refused (write reals as strings), got {text[:40]}")


def _no_constant(text: str) -> NoReturn:
    raise DataError(f"{text} is not a number in JSON")


def _integer(text: str) -> int:
    if len(text) > limits.INTEGER_DIGITS + 1:
        raise DataError(f"an integer has at most {limits.INTEGER_DIGITS} digits, got {len(text)} characters")
    return int(text)
