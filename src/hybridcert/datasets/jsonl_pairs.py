"""Image-text pairs as JSON Lines beside a folder of images: read, and written again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridcert.datasets.image_text import (
    ImageTextPairs,
    Pair,
    existing_file,
    label_name,
    plain_picture,
)
from hybridcert.errors import DataError

FILE_NAME = "pairs.jsonl"
"""What `write_pairs` calls its table."""

_IMAGES = "images"
_META = "meta"
_TEXT, _IMAGE, _LABEL, _ID = "text", "image", "label", "id"


def read_jsonl_pairs(
    path: Path,
    *,
    images: Path | None = None,
    text_field: str = _TEXT,
    image_field: str = _IMAGE,
    label_field: str | None = None,
    id_field: str | None = None,
    classes: Mapping[Any, str] | None = None,
) -> ImageTextPairs:
    """Read pairs from a file with one JSON object a line.

    Parameters
    ----------
    path : Path
        The file, or a folder with a ``pairs.jsonl`` as `write_pairs` makes it. Empty lines are skipped.
    images : Path, optional
        The folder that image paths are relative to; by default the folder of the file.
    text_field, image_field : str
        Where an object has its text and the path of its image.
    label_field : str, optional
        By default ``label`` where the first object has it, and no labels where it has not.
    id_field : str, optional
        A string or a whole number. By default ``id`` where the first object has it, else line numbers,
        counted from 1.
    classes : mapping of label to name, optional
        For labels that are numbers, such as ``{0: "safe", 1: "unsafe"}``.

    Returns
    -------
    pairs : ImageTextPairs
        Fields without a role are in ``meta``.

    Raises
    ------
    DataError
        Naming the line: for what is no JSON object, a field that is missing or of the wrong type, an image
        that is not there; for a file without pairs and for ids that occur twice.
    """
    file = path / FILE_NAME if path.is_dir() else path
    folder = file.parent if images is None else images
    pairs: list[Pair] = []
    for number, record in json_lines(file):
        where = f"{file}, line {number}"
        if not pairs:
            label_field = _LABEL if label_field is None and _LABEL in record else label_field
            id_field = _ID if id_field is None and _ID in record else id_field
        pairs.append(
            Pair(
                id=str(number) if id_field is None else identifier_of(record, id_field, where),
                text=string_of(record, text_field, where),
                image=existing_file(folder / string_of(record, image_field, where), where),
                label=None
                if label_field is None
                else label_name(value_of(record, label_field, where), classes, where),
                meta=_rest(record, (text_field, image_field, label_field, id_field)),
            )
        )
    if not pairs:
        raise DataError(f"{file} holds no pairs: it needs one JSON object a line")
    return ImageTextPairs.of(pairs, source=str(file))


def write_pairs(pairs: ImageTextPairs, folder: Path) -> Path:
    """Write pairs so that `read_jsonl_pairs` reads the same ids, texts, labels and pixels from ``folder``.

    Image files are copied as they are; PIL images and arrays become PNG files. The table is written last,
    so a folder that has it is complete.

    Returns
    -------
    file : Path
        The table, ``folder/pairs.jsonl``. Without pairs it is empty, and `read_jsonl_pairs` refuses it.

    Raises
    ------
    DataError
        For a folder that is not empty or cannot be written, an image that cannot be read, floats that are no
        multiples of 1/255, and ``meta`` that JSON does not know.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not an empty folder: choose another one")
    digits = len(str(max(0, len(pairs) - 1)))
    try:
        (folder / _IMAGES).mkdir(parents=True, exist_ok=True)
        lines = []
        for row, image in enumerate(pairs.images):
            where = f"{pairs.source}: pair {pairs.ids[row]!r}"
            written = _write_image(image, folder / _IMAGES / f"{row:0{digits}d}", where)
            lines.append(_line(pairs, row, f"{_IMAGES}/{written.name}", where))
        file = folder / FILE_NAME
        file.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}") from error
    return file


def json_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line numbers, counted from 1, and objects of a file with one JSON object a line.

    Raises
    ------
    DataError
        For a file that cannot be read; naming the line for what is no JSON object in UTF-8.
    """
    content = file_bytes(file)
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            yield number, json_object(line, f"{file}, line {number}")


def file_bytes(file: Path) -> bytes:
    """Return what a file holds; raise DataError where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error


def json_object(content: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object that ``content`` spells in UTF-8; keys must not occur twice.

    Raises
    ------
    DataError
        Starting with ``where``; it names the line within ``content`` where that has several.
    """
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_distinct)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text, byte {error.start}") from error
    except json.JSONDecodeError as error:
        at = f"column {error.colno}" if b"\n" not in content.strip() else f"line {error.lineno}"
        raise DataError(f"{where}: not valid JSON ({error.msg}, {at})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: must be a JSON object, got {type(value).__name__}")
    return value


def value_of(record: Mapping[str, Any], field: str, where: str) -> Any:
    """Return a field; raise DataError, naming those that there are, where it is missing."""
    if field not in record:
        known = ", ".join(map(str, record)) or "none"
        raise DataError(f"{where}: missing field {field!r}; the fields are: {known}")
    return record[field]


def string_of(record: Mapping[str, Any], field: str, where: str) -> str:
    """Return a field that holds a string; raise DataError for anything else."""
    value = value_of(record, field, where)
    if not isinstance(value, str):
        raise DataError(f"{where}: field {field!r} must be a string, got {value!r}")
    return value


def identifier_of(record: Mapping[str, Any], field: str, where: str) -> str:
    """Return a string or a whole number as a string; raise DataError for anything else."""
    value = value_of(record, field, where)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{where}: field {field!r} must be a string or a whole number, got {value!r}")
    return str(value)


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} occurs twice")
        found[key] = value
    return found


def _rest(record: Mapping[str, Any], used: Sequence[str | None]) -> dict[str, Any]:
    """Return the fields without a role; an object called ``meta`` holds such fields."""
    rest = {key: value for key, value in record.items() if key not in used}
    inner = rest.get(_META)
    if isinstance(inner, dict):
        del rest[_META]
        rest = inner | rest
    return rest


def _line(pairs: ImageTextPairs, row: int, image: str, where: str) -> str:
    record: dict[str, Any] = {_ID: pairs.ids[row], _TEXT: pairs.texts[row], _IMAGE: image}
    if pairs.labels is not None:
        record[_LABEL] = pairs.labels[row]
    if pairs.meta[row]:
        record[_META] = dict(pairs.meta[row])
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: meta cannot be written as JSON: {error}") from error


def _write_image(image: Any, stem: Path, where: str) -> Path:
    """Copy a file, or write a PNG; ``stem`` is the path without an ending."""
    if isinstance(image, str | Path):
        source = existing_file(Path(image), where)
        target = stem.with_name(stem.name + source.suffix.lower())
        shutil.copyfile(source, target)
        return target
    target = stem.with_name(stem.name + ".png")
    plain_picture(image, where).save(target, format="PNG")
    return target
