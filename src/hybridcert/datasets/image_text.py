"""Pairs of text and image with what is known about them, whatever file they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridcert.errors import DataError

Index = slice | Sequence[int] | NDArray[np.integer] | NDArray[np.bool_]
"""Which pairs: a slice, row numbers, or one truth value a pair."""

_WRITABLE = ("1", "I", "I;16", "L", "LA", "RGB", "RGBA")


@dataclass(frozen=True, slots=True)
class Pair:
    """One example.

    Parameters
    ----------
    id : str
    text : str
    image : path, PIL image, or array (H, W) or (H, W, 1, 3 or 4) of uint8 or of floats in [0, 1]
    label : str, optional
    meta : mapping of str to plain values
        Whatever else the source says about the pair.
    """

    id: str
    text: str
    image: Any
    label: str | None
    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class ImageTextPairs:
    """Image-text pairs in the order of their source; there may be none, as after a filter.

    Parameters
    ----------
    ids : tuple of str, shape (m,)
        No two alike.
    texts : tuple of str, shape (m,)
    images : tuple, shape (m,)
        Paths, PIL images, or arrays; see `Pair`. Files are opened when their pixels are needed.
    labels : tuple of str, shape (m,), or None
    meta : tuple of mappings, shape (m,)
    source : str
        Where the pairs came from.

    Raises
    ------
    DataError
        For columns of different lengths and for ids that occur twice.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    images: tuple[Any, ...]
    labels: tuple[str, ...] | None
    meta: tuple[Mapping[str, Any], ...]
    source: str

    def __post_init__(self) -> None:
        columns = {"texts": self.texts, "images": self.images, "labels": self.labels, "meta": self.meta}
        for name, column in columns.items():
            if column is not None and len(column) != len(self.ids):
                raise DataError(f"{self.source}: {len(self.ids)} ids, but {name} has {len(column)} entries")
        first: dict[str, int] = {}
        for row, identifier in enumerate(self.ids):
            if identifier in first:
                raise DataError(
                    f"{self.source}: id {identifier!r} occurs twice, in pairs {first[identifier]} and {row} "
                    "(counted from 0): ids must be unique"
                )
            first[identifier] = row

    @classmethod
    def of(cls, pairs: Iterable[Pair], *, source: str) -> ImageTextPairs:
        """Put pairs together.

        Raises
        ------
        DataError
            For ids that occur twice, and for labels that some pairs have and others lack.
        """
        rows = tuple(pairs)
        labels = tuple(row.label for row in rows if row.label is not None)
        if labels and len(labels) < len(rows):
            bare = next(row.id for row in rows if row.label is None)
            raise DataError(f"{source}: pair {bare!r} has no label, others have: label all pairs or none")
        return cls(
            ids=tuple(row.id for row in rows),
            texts=tuple(row.text for row in rows),
            images=tuple(row.image for row in rows),
            labels=labels or None,
            meta=tuple(row.meta for row in rows),
            source=source,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def inputs(self) -> dict[str, list[Any]]:
        """The pairs as an image-text classifier takes them: ``{"text": [...], "image": [...]}``."""
        return {"text": list(self.texts), "image": list(self.images)}

    def rows(self, index: Index) -> ImageTextPairs:
        """Return the pairs at ``index``, in that order."""
        at = index if isinstance(index, slice) or len(index) else slice(0)
        chosen = np.arange(len(self))[at].tolist()
        return ImageTextPairs(
            ids=tuple(self.ids[i] for i in chosen),
            texts=tuple(self.texts[i] for i in chosen),
            images=tuple(self.images[i] for i in chosen),
            labels=None if self.labels is None else tuple(self.labels[i] for i in chosen),
            meta=tuple(self.meta[i] for i in chosen),
            source=self.source,
        )

    def digest(self) -> str:
        """SHA-256 of ids, texts, labels and pixels, whatever files hold them; ``meta`` plays no part.

        Raises
        ------
        DataError
            For an image that cannot be read.
        """
        total = hashlib.sha256()
        for row, image in enumerate(self.images):
            label = None if self.labels is None else self.labels[row]
            kind, pixels = _content(image, f"{self.source}: pair {self.ids[row]!r}")
            inner = hashlib.sha256(pixels).hexdigest()
            total.update(repr((self.ids[row], self.texts[row], label, kind, inner)).encode() + b"\n")
        return total.hexdigest()


def plain_picture(image: Any, where: str) -> Any:
    """Return an image as a decoded PIL image of a mode that PNG knows.

    Floats are accepted where they are multiples of 1/255.

    Raises
    ------
    DataError
        Starting with ``where``: for a file that is missing or damaged, and for what is no 8-bit image.
    """
    from PIL import Image

    if isinstance(image, np.ndarray):
        levels = _levels(image, where)
        return Image.fromarray(levels[:, :, 0] if levels.ndim == 3 and levels.shape[2] == 1 else levels)
    if isinstance(image, str | Path):
        return _decoded(Path(image), where)
    if not isinstance(image, Image.Image):
        kind = type(image).__name__
        raise DataError(f"{where}: an image must be a path, a PIL image or an array, got {kind}")
    return _in_plain_mode(image, where)


def existing_file(path: Path, where: str) -> Path:
    """Return the path; raise DataError, starting with ``where``, unless a file is there."""
    if not path.is_file():
        raise DataError(f"{where}: there is no image file {str(path)!r}")
    return path


def label_name(value: Any, classes: Mapping[Any, str] | None, where: str) -> str:
    """Return the name of a label as a file has it.

    Parameters
    ----------
    value : str, bool or int
    classes : mapping of values to names, optional
        Without it a string is its own name, and other values are named as JSON spells them.

    Raises
    ------
    DataError
        Starting with ``where``: for a value that has no name.
    """
    if classes is not None:
        if isinstance(value, str | bool | int) and value in classes:
            return classes[value]
        known = ", ".join(repr(key) for key in classes)
        raise DataError(f"{where}: label must be one of {known}, got {value!r}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise DataError(f"{where}: label must be a string, a whole number or a truth value, got {value!r}")


def _content(image: Any, where: str) -> tuple[tuple[Any, ...], bytes]:
    """Return what kind of pixels there are, and the pixels."""
    if isinstance(image, np.ndarray) and image.dtype.kind == "f":
        values = np.ascontiguousarray(image, dtype="<f8")
        return ("float", values.shape), values.tobytes()
    picture = plain_picture(image, where)
    return (picture.mode, picture.size), picture.tobytes()


def _levels(image: NDArray[Any], where: str) -> NDArray[np.uint8]:
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or not image.size:
        raise DataError(f"{where}: an image must have shape (H, W) or (H, W, 1, 3 or 4), got {image.shape}")
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    levels = np.rint(image * 255.0) if image.dtype.kind == "f" else None
    if levels is None or not ((levels >= 0) & (levels <= 255)).all() or not (levels / 255.0 == image).all():
        raise DataError(
            f"{where}: an image must hold uint8 or multiples of 1/255 in [0, 1], got other {image.dtype}: "
            "round it first"
        )
    return np.ascontiguousarray(levels.astype(np.uint8))


def _decoded(path: Path, where: str) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(existing_file(path, where)) as picture:
            return _in_plain_mode(picture, where)
    except UnidentifiedImageError:
        raise DataError(f"{where}: {str(path)!r} is no image that can be read") from None
    except OSError as error:
        raise DataError(f"{where}: {str(path)!r} cannot be read: {error.strerror or error}") from error


def _in_plain_mode(picture: Any, where: str) -> Any:
    """Return the picture with all its pixels in memory; palettes become RGBA, CMYK and the like RGB."""
    try:
        picture.load()
        if picture.mode in _WRITABLE:
            return picture
        if picture.mode == "F":
            raise DataError(f"{where}: an image must hold integers, got floats (mode F) of unknown range")
        return picture.convert("RGBA" if picture.mode in ("P", "PA") else "RGB")
    except (OSError, SyntaxError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where}: the image is damaged: {reason}") from error
