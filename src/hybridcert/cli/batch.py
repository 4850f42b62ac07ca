"""Batch files: one JSON object a line in, one a line out.

The whole file is checked before anything is computed or printed, so a bad line leaves no output behind.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from hybridcert.cli.query import Query, read_query
from hybridcert.cli.rules import RULES, suggestion
from hybridcert.errors import DataError, ParameterError

KEYS = tuple(key for key in RULES if key not in ("d_max", "features", "copies", "miss", "limit"))
"""The keys of a line: the long options of `radius`, with underscores."""


def read_batch(source: str) -> list[Query]:
    """Read the queries of a file, or of standard input for "-".

    Raises
    ------
    DataError
        For a file that cannot be read, is empty, or has a bad line; the message names line, key, value and
        range.
    """
    name = "standard input" if source == "-" else source
    queries = [_read_line(line, f"{name}, line {number}") for number, line in _lines(source, name)]
    if not queries:
        raise DataError(f"{name} is empty: expected one JSON object a line")
    return queries


def _lines(source: str, name: str) -> Iterator[tuple[int, str]]:
    try:
        content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{name} cannot be read: it is not UTF-8 text (byte {error.start})") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _read_line(line: str, where: str) -> Query:
    try:
        entry = json.loads(line, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON: {error.msg} (column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: {error}") from error
    if not isinstance(entry, dict):
        raise DataError(f'{where}: expected a JSON object such as {{"beta": 0.25, ...}}')
    for key in entry:
        if key not in KEYS:
            raise DataError(f"{where}: unknown key {key!r}: {suggestion(key, KEYS)}")
    try:
        return read_query(entry, spell=str)
    except ParameterError as error:
        raise DataError(f"{where}: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON: every value must be finite")


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    entry = dict(pairs)
    if len(entry) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} occurs twice")
    return entry
