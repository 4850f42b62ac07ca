"""NLVR: sentences about synthetic pictures, true or false of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridcert.datasets.image_text import ImageTextPairs, Pair, existing_file, label_name
from hybridcert.datasets.jsonl_pairs import file_bytes, identifier_of, json_lines, string_of, value_of
from hybridcert.errors import DataError

_FILE = "examples.jsonl"
_SHA256 = "image_sha256"
_ROLES = ("identifier", "image", "sentence", "label", _SHA256)


def read_nlvr(folder: Path, *, classes: Mapping[Any, str] | None = None) -> ImageTextPairs:
    """Read a folder with an ``examples.jsonl`` of NLVR and its images.

    Each line has ``identifier``, ``sentence``, ``image`` (a path relative to the folder), ``label`` (whether
    the sentence is true of the image) and optionally ``image_sha256``, which the file then has to match.

    Parameters
    ----------
    folder : Path
    classes : mapping of label to name, optional
        Such as ``{True: "unsafe", False: "safe"}``. By default labels are ``"true"`` and ``"false"``.

    Returns
    -------
    pairs : ImageTextPairs
        Other fields, such as ``structured_rep``, are in ``meta``.

    Raises
    ------
    DataError
        Naming the line: for what is no JSON object, a field that is missing or of the wrong type, an image
        that is missing or differs from its digest; for a file without examples, and ids that occur twice.

    References
    ----------
    A. Suhr, M. Lewis, J. Yeh, Y. Artzi. A Corpus of Natural Language for Visual Reasoning. ACL 2017.
    """
    file = folder / _FILE
    pairs = []
    for number, record in json_lines(file):
        where = f"{file}, line {number}"
        image = existing_file(folder / string_of(record, "image", where), where)
        if _SHA256 in record:
            _check_digest(image, string_of(record, _SHA256, where), where)
        pairs.append(
            Pair(
                id=identifier_of(record, "identifier", where),
                text=string_of(record, "sentence", where),
                image=image,
                label=label_name(value_of(record, "label", where), classes, where),
                meta={key: value for key, value in record.items() if key not in _ROLES},
            )
        )
    if not pairs:
        raise DataError(f"{file} holds no examples: it needs one JSON object a line")
    return ImageTextPairs.of(pairs, source=str(folder))


def _check_digest(image: Path, expected: str, where: str) -> None:
    found = hashlib.sha256(file_bytes(image)).hexdigest()
    if found != expected.lower():
        raise DataError(
            f"{where}: {str(image)!r} has SHA-256 {found}, expected {expected}: fetch the images again"
        )
