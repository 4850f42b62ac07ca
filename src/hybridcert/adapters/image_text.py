"""Pairs of prompt and image as arrays: what stays fixed, what has noise, and how text becomes symbols."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.adapters.canvas import Canvas
from hybridcert.certificate.ranges import check_count
from hybridcert.errors import DataError, ParameterError
from hybridcert.kernels.deletion import PADDING
from hybridcert.threats import DiscreteSurface, Surface

PROMPT, SUFFIX, TEXT, IMAGE = "prompt", "suffix", "text", "image"
"""Modalities: a fixed prompt, the slots behind it, a prompt that is in play as a whole, an image."""


class Alphabet(Protocol):
    """The symbols that noise draws and the adversary writes; everything else is refused when it is read.

    The laws of replacement assume that the adversary's symbols are among these. A deployed filter has to
    refuse, or map, all others before it smooths.
    """

    size: int
    """Codes run from 0 to size − 1; ``size`` itself is the mask where there is one."""
    blank: int
    """Code of an empty slot."""
    mask: bool
    """Whether there is a mask symbol."""
    open: bool
    """Whether any symbol at all may occur, more than noise could draw from."""
    symbols: str
    """What one symbol is, for people."""

    def encode(self, text: str) -> list[int]:
        """Return the codes of a text; raise DataError for a symbol outside the alphabet."""


@dataclasses.dataclass(frozen=True, slots=True)
class SuffixSlots:
    """Noise and adversary write to slots behind the prompt (paper A.4: padded slots); the prompt is fixed.

    The system that is certified has to know where the slots begin, so dropping them is the trivial rival.

    Parameters
    ----------
    slots : int >= 1
    """

    slots: int

    def __post_init__(self) -> None:
        check_count("slots", self.slots)


@dataclasses.dataclass(frozen=True, slots=True)
class WholePrompt:
    """Noise and adversary act on every symbol of a prompt of any length; no boundary has to be known.

    Parameters
    ----------
    max_length : int >= 1
        Longest prompt, in symbols; longer ones are refused.
    """

    max_length: int

    def __post_init__(self) -> None:
        check_count("max_length", self.max_length)


Region = SuffixSlots | WholePrompt


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ImageTextInputs:
    """How a mapping or table with ``text``, ``image`` and, for slots, ``suffix`` becomes arrays.

    Arrays, one row per pair. `SuffixSlots`: ``prompt`` (UTF-8 bytes, padded with −1; fixed), ``suffix``
    (codes, one a slot). `WholePrompt`: ``text`` (codes, padded with −1). Both: ``image`` (floats,
    channels first, flattened), unless there is no canvas.

    Parameters
    ----------
    region : SuffixSlots or WholePrompt
    alphabet : Alphabet
    canvas : Canvas, optional
        None for text alone.
    """

    region: Region
    alphabet: Alphabet
    canvas: Canvas | None

    def __post_init__(self) -> None:
        if isinstance(self.region, SuffixSlots) and self.alphabet.open:
            raise ParameterError("slots need an alphabet of listed symbols, got one of any: list them")

    def surfaces(self) -> dict[str, Surface]:
        """What each modality is made of and where noise and adversary act."""
        surfaces: dict[str, Surface] = {}
        alphabet = self.alphabet
        if isinstance(self.region, SuffixSlots):
            slots = self.region.slots
            surfaces[SUFFIX] = DiscreteSurface(
                (alphabet.size,) * slots,
                tuple(range(slots)),
                mask=alphabet.mask,
                symbols=f"{alphabet.symbols}, in the slots behind the prompt",
            )
        else:
            longest = self.region.max_length
            surfaces[TEXT] = DiscreteSurface(
                (alphabet.size,) * longest,
                tuple(range(longest)),
                mask=alphabet.mask,
                sequence=True,
                open=alphabet.open,
                symbols=alphabet.symbols,
            )
        if self.canvas is not None:
            surfaces[IMAGE] = self.canvas.surface()
        return surfaces

    def encode(self, X: Any) -> dict[str, npt.NDArray[Any]]:
        """Check pairs and return their arrays.

        Parameters
        ----------
        X : mapping of str to sequence, or DataFrame
            ``text``: strings; ``image``: paths, PIL images or arrays, see `Canvas.read`; with slots
            optionally ``suffix``: strings that fill them from the left (default: empty slots).

        Raises
        ------
        DataError
            Naming the row: missing or damaged images, symbols outside the alphabet, texts that are too long.
        """
        columns, names = self._columns(X)
        arrays: dict[str, npt.NDArray[Any]] = {}
        texts = _strings(columns["text"], names, "text")
        if isinstance(self.region, SuffixSlots):
            suffixes = (
                _strings(columns["suffix"], names, "suffix") if "suffix" in columns else [""] * len(texts)
            )
            arrays[PROMPT] = as_bytes(texts)
            arrays[SUFFIX] = self._codes(
                suffixes, names, "suffix", self.region.slots, width=self.region.slots
            )
        else:
            arrays[TEXT] = self._codes(texts, names, "text", self.region.max_length, width=None)
        if self.canvas is not None:
            images = [
                self.canvas.read(image, name=f"row {name!r}")
                for image, name in zip(columns["image"], names, strict=True)
            ]
            arrays[IMAGE] = np.stack(images) if images else np.empty((0, self.canvas.features))
        return arrays

    def _columns(self, X: Any) -> tuple[dict[str, list[Any]], list[Any]]:
        """Return the columns and the names of their rows."""
        needed = {"text"} | ({"image"} if self.canvas is not None else set())
        allowed = needed | ({"suffix"} if isinstance(self.region, SuffixSlots) else set())
        if not isinstance(X, Mapping | pd.DataFrame):
            wanted = " and ".join(sorted(needed))
            raise DataError(f"pairs must be a mapping or table with {wanted}, got {type(X).__name__}")
        found = set(map(str, X.keys()))
        if not needed <= found <= allowed:
            wrong = sorted(needed - found) or sorted(found - allowed)
            verb = "lack" if not needed <= found else "have"
            raise DataError(f"pairs {verb} {wrong[0]!r}: columns must be {', '.join(sorted(allowed))}")
        columns = {name: list(X[name]) for name in sorted(found)}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"columns must have as many rows as one another, got {lengths}")
        names = list(X.index) if isinstance(X, pd.DataFrame) else list(range(lengths["text"]))
        return columns, names

    def _codes(
        self, texts: Sequence[str], names: Sequence[Any], column: str, most: int, *, width: int | None
    ) -> npt.NDArray[np.int64]:
        """Return codes, padded: to ``width`` with blanks, or to the longest text with `PADDING`."""
        rows = []
        for text, name in zip(texts, names, strict=True):
            try:
                codes = self.alphabet.encode(text)
            except DataError as error:
                raise DataError(f"row {name!r}, {column}: {error}") from error
            if len(codes) > most:
                raise DataError(
                    f"row {name!r}: {column} must have at most {most} symbols ({self.alphabet.symbols}), got "
                    f"{len(codes)}"
                )
            rows.append(codes)
        longest = max([1, *map(len, rows)])
        filler = PADDING if width is None else self.alphabet.blank
        result = np.full((len(rows), longest if width is None else width), filler, dtype=np.int64)
        for row, codes in enumerate(rows):
            result[row, : len(codes)] = codes
        return result


def as_bytes(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return texts as UTF-8 bytes, one row each, padded with −1."""
    rows = [np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8) for text in texts]
    result = np.full((len(rows), max([1, *map(len, rows)])), PADDING, dtype=np.int64)
    for row, values in enumerate(rows):
        result[row, : len(values)] = values
    return result


def as_text(values: npt.NDArray[np.int64]) -> str:
    """Return the text of one row of `as_bytes`."""
    return bytes(values[values != PADDING].astype(np.uint8)).decode("utf-8", "surrogatepass")


def _strings(column: Sequence[Any], names: Sequence[Any], what: str) -> list[str]:
    for value, name in zip(column, names, strict=True):
        if not isinstance(value, str):
            raise DataError(f"row {name!r}: {what} must be a string, got {value!r} ({type(value).__name__})")
    return list(column)


def check_region(region: Any) -> Region:
    """Return the region; raise ParameterError for anything else."""
    if not isinstance(region, Region):
        raise ParameterError(f"region must be SuffixSlots(slots) or WholePrompt(max_length), got {region!r}")
    return region
