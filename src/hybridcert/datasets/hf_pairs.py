"""Image-text pairs from a data set that Hugging Face `datasets` saved on disk; no network is used."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridcert.datasets.image_text import ImageTextPairs, Pair, existing_file, label_name, plain_picture
from hybridcert.datasets.jsonl_pairs import identifier_of, string_of
from hybridcert.errors import DataError, ParameterError

SAFE_UNSAFE: Mapping[Any, str] = {0: "safe", 1: "unsafe"}
"""What the labels of Hateful Memes mean, as a filter says it."""


def read_hf_pairs(
    folder: Path,
    *,
    split: str | None = None,
    images: Path | None = None,
    text_column: str = "text",
    image_column: str = "img",
    label_column: str | None = "label",
    id_column: str | None = "id",
    classes: Mapping[Any, str] | None = SAFE_UNSAFE,
) -> ImageTextPairs:
    """Read pairs from a folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` made.

    Default columns are those of Hateful Memes: ``id``, ``img``, ``text`` and ``label``, 0 or 1.

    Parameters
    ----------
    folder : Path
    split : str, optional
        Needed where the folder holds several splits.
    images : Path, optional
        The folder that paths in the image column are relative to; by default ``folder``. A column of the
        `datasets.Image` feature holds the images themselves.
    text_column, image_column : str
    label_column, id_column : str, optional
        None: no labels; row numbers, counted from 0, as ids.
    classes : mapping of label to name, optional
        None: the names of a `datasets.ClassLabel` column, or else labels named by their own values.

    Returns
    -------
    pairs : ImageTextPairs
        Columns without a role are in ``meta``.

    Raises
    ------
    ParameterError
        Where `datasets` is not installed.
    DataError
        For a folder that holds no data set, a split or column that is missing, no rows, ids that occur
        twice; naming the row, for a value of the wrong type and an image that is missing or damaged.

    References
    ----------
    D. Kiela et al. The Hateful Memes Challenge: Detecting Hate Speech in Multimodal Memes. NeurIPS 2020.
    """
    table = _loaded(folder, split)
    columns = list(table.column_names)
    for column in (text_column, image_column, label_column, id_column):
        if column is not None and column not in columns:
            raise DataError(f"{folder}: missing column {column!r}; it has {', '.join(columns)}")
    table, named = _undecoded(table), classes
    if named is None and label_column is not None:
        named = _class_names(table.features[label_column])
    roles = (text_column, image_column, label_column, id_column)
    pairs = []
    for row, record in enumerate(_records(table, folder)):
        where = f"{folder}, row {row}"
        pairs.append(
            Pair(
                id=str(row) if id_column is None else identifier_of(record, id_column, where),
                text=string_of(record, text_column, where),
                image=_image(record[image_column], folder if images is None else images, where),
                label=None if label_column is None else label_name(record[label_column], named, where),
                meta={key: value for key, value in record.items() if key not in roles},
            )
        )
    if not pairs:
        raise DataError(f"{folder} holds no rows")
    return ImageTextPairs.of(pairs, source=str(folder))


def _loaded(folder: Path, split: str | None) -> Any:
    try:
        import datasets
    except ImportError:
        raise ParameterError(
            "data sets of Hugging Face need the extra vlm: pip install 'hybridcert[vlm]'"
        ) from None
    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{folder} cannot be read as a saved data set: {reason}") from error
    if not isinstance(found, datasets.DatasetDict):
        if split is not None:
            raise DataError(f"{folder} holds a single data set: leave split out, got {split!r}")
        return found
    names = ", ".join(found)
    if split is None:
        raise DataError(f"{folder} holds the splits {names}: name one with split")
    if split not in found:
        raise DataError(f"{folder}: there is no split {split!r}; there are {names}")
    return found[split]


def _undecoded(table: Any) -> Any:
    """Return the data set with images as the bytes or paths that they are stored as."""
    import datasets

    for name, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(name, datasets.Image(decode=False))
    return table


def _class_names(feature: Any) -> Mapping[Any, str] | None:
    names = getattr(feature, "names", None)
    return None if names is None else dict(enumerate(names))


def _records(table: Any, folder: Path) -> Any:
    try:
        yield from table
    except (OSError, ValueError) as error:  # what Arrow raises for damaged files
        raise DataError(f"{folder} is damaged: {' '.join(str(error).split())}") from error


def _image(value: Any, folder: Path, where: str) -> Any:
    """Return a path, or a PIL image that decodes itself when it is used and is known to do so."""
    if isinstance(value, Mapping) and value.get("bytes") is not None:
        return _embedded(value["bytes"], where)
    path = value.get("path") if isinstance(value, Mapping) else value
    if not isinstance(path, str):
        raise DataError(f"{where}: an image must be a path or an embedded image, got {value!r}")
    return existing_file(folder / path, where)


def _embedded(content: bytes, where: str) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        plain_picture(Image.open(io.BytesIO(content)), where)
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise DataError(f"{where}: the embedded image is no image that can be read") from None
