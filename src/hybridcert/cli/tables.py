"""Values that are tables: synonyms, a transition matrix, pairs of symbols. From a file, or inline in JSON.

Decimals are taken as they are written: 0.1 is one tenth, so rows that add up to one on paper do so here.
Everything that is read is hashable, so that equal noise is recognised and prepared once.
"""

from __future__ import annotations

import csv
import decimal
import functools
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

_EXPONENT = 400  # decimal exponents beyond this are refused: their exact value would be huge
_DIGITS = 100
_SUM_ERROR = Fraction(1, 10**9)  # what rounding may cost the sum of a row

Rows = tuple[tuple[Fraction, ...], ...]
Pairs = tuple[tuple[int, int], ...]
Synonyms = tuple[tuple[str, tuple[str, ...]], ...]


class TableError(ValueError):
    """A table that cannot be read; the message says where it breaks."""


def integer_list(raw: object, read: Callable[[object], int]) -> tuple[int, ...]:
    """Read integers from text with commas or from a list."""
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list | tuple):
        raise ValueError  # noqa: TRY004 - reported as a wrong value like any other
    return tuple(read(part) for part in parts)


def word_list(raw: object) -> tuple[str, ...]:
    """Read words from text with commas or from a list."""
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list | tuple) or not all(isinstance(p, str) and p.strip() for p in parts):
        raise ValueError
    return tuple(part.strip() for part in parts)


def synonym_table(raw: object) -> Synonyms:
    """Read a table {word: [synonyms]}; it may be empty, its words may not.

    Raises
    ------
    TableError
    """
    table = _parsed(raw) if isinstance(raw, str) else raw
    if not isinstance(table, dict):
        raise TableError(f'expected an object such as {{"film": ["movie"]}}, got {_kind(table)}')
    for word, synonyms in table.items():
        if (
            not word.strip()
            or not isinstance(synonyms, list)
            or not all(isinstance(s, str) and s.strip() for s in synonyms)
        ):
            raise TableError(f"the entry of {word!r} must be a list of words, got {_kind(synonyms)}")
    return tuple(sorted((word.strip(), tuple(s.strip() for s in table[word])) for word in table))


def matrix_rows(raw: object) -> Rows:
    """Read a square matrix whose rows are probabilities, exactly.

    Raises
    ------
    TableError
    """
    rows = _parsed(raw) if isinstance(raw, str) else raw
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise TableError(f"expected a list of rows, got {_kind(rows)}")
    for number, row in enumerate(rows):
        if len(row) != len(rows):
            raise TableError(f"row {number} must have {len(rows)} entries, one per row, got {len(row)}")
    exact = tuple(
        tuple(_probability(value, f"row {i}, column {j}") for j, value in enumerate(row))
        for i, row in enumerate(rows)
    )
    for number, row in enumerate(exact):
        if abs(sum(row, Fraction(-1))) > _SUM_ERROR:
            raise TableError(f"row {number} must sum to 1, got {float(sum(row, Fraction(0)))!r}")
    return exact


def substitutions(raw: object) -> str | Pairs:
    """Read ``"all"``, or pairs of a symbol and what may replace it.

    Raises
    ------
    TableError
    """
    if raw == "all":
        return "all"
    pairs = _parsed(raw) if isinstance(raw, str) else raw
    if not isinstance(pairs, list):
        raise TableError(f"expected a list of pairs such as [[0, 1], [1, 0]], got {_kind(pairs)}")
    for number, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2:
            raise TableError(f"entry {number} must be a pair such as [0, 1], got {_kind(pair)}")
    return tuple(
        (_symbol(a, f"entry {number}"), _symbol(b, f"entry {number}")) for number, (a, b) in enumerate(pairs)
    )


@functools.lru_cache(maxsize=64)
def _parsed(path: str) -> Any:
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = (
            "it is not UTF-8 text"
            if isinstance(error, UnicodeDecodeError)
            else getattr(error, "strerror", None)
        )
        raise TableError(f"{path} cannot be read: {reason or error}") from error
    if text.lstrip()[:1] not in ("[", "{"):
        return [row for row in csv.reader(text.splitlines()) if row]
    try:
        return json.loads(text, parse_float=str, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise TableError(
            f"{path} is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: {error}") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    entry = dict(pairs)
    if len(entry) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice")
    return entry


def _probability(raw: object, where: str) -> Fraction:
    text = raw.strip() if isinstance(raw, str) else repr(raw)
    try:
        if isinstance(raw, bool) or len(text) > _DIGITS:
            raise ValueError  # noqa: TRY301
        value = Fraction(text) if "/" in text else _decimal(text)
    except (ValueError, ArithmeticError) as error:
        raise TableError(f"{where} must be a number >= 0 such as 0.25 or 1/4, got {text[:40]}") from error
    if value < 0:
        raise TableError(f"{where} must be a number >= 0, got {text[:40]}")
    return value


def _decimal(text: str) -> Fraction:
    value = decimal.Decimal(text)
    if not value.is_finite() or abs(value.adjusted()) > _EXPONENT:
        raise ValueError
    return Fraction(value)


def _symbol(raw: object, where: str) -> int:
    text = raw.strip() if isinstance(raw, str) else repr(raw)
    if not text.isdecimal() or len(text) > 9:
        raise TableError(f"{where} must consist of row numbers >= 0, got {text[:40]}")
    return int(text)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), repr(value)[:40])
