"""Data inside a page: JSON, compressed, as text that no parser of markup can misread."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hybridcert.documents.issue import FILE_NAME
from hybridcert.errors import DataError

MOST_CERTIFICATES = 6 * 2**20
"""Bytes that compressed certificates may take in a page; it names the file for those that do not fit."""


def block(name: str, value: Any) -> str:
    """Return an element that holds a value as gzipped JSON in base64: letters, digits, +, / and = alone."""
    return f'<script type="application/octet-stream" id="{name}">{packed(value)}</script>'


def packed(value: Any) -> str:
    """Return a value as gzipped JSON in base64, the same text each time."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def certificates(directory: Path) -> dict[str, Any]:
    """Return the certificates of a run so that a page can restore each line of their file, byte for byte.

    Keys: ``pieces``, distinct texts; ``lines``, for each line of the file the pieces whose concatenation it
    is; ``total``, how many lines the file has. Certificates at the end are left out where the page would grow
    too large.

    Raises
    ------
    DataError
        When the file cannot be read or is not JSON, line by line.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        return {"pieces": [], "lines": [], "total": 0}
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    lines = text.removesuffix("\n").split("\n") if text else []
    kept = len(lines)
    while True:
        pieces, made = _shared(lines[:kept], path)
        found = {"pieces": pieces, "lines": made, "total": len(lines)}
        if kept == 0 or len(packed(found)) <= MOST_CERTIFICATES:
            return found
        kept //= 2


def _shared(lines: Sequence[str], path: Path) -> tuple[list[str], list[list[int]]]:
    """Return distinct pieces, and each line as numbers of pieces."""
    known: dict[str, int] = {}
    made = [[known.setdefault(piece, len(known)) for piece in _pieces(line, path)] for line in lines]
    return list(known), made


def _pieces(line: str, path: Path) -> Iterable[str]:
    """Cut a line before each of its members: most of them are the same in many certificates."""
    try:
        document = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path} is not JSON, line by line: {error}") from error
    if not isinstance(document, dict) or not document:
        return [line]
    members = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in document.items()]
    pieces = ["{" + members[0], *(", " + member for member in members[1:]), "}"]
    return pieces if "".join(pieces) == line else [line]
