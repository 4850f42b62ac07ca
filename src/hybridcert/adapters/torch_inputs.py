"""Images, numbers and codes that a torch module reads: from what users have to arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.adapters.canvas import Canvas
from hybridcert.errors import DataError, ParameterError
from hybridcert.kernels.deletion import PADDING
from hybridcert.threats import ContinuousSurface, DiscreteSurface, Surface

IMAGE, NUMERIC, TOKENS = "image", "numeric", "tokens"


@dataclasses.dataclass(frozen=True, slots=True)
class TensorInputs:
    """Which of the three modalities there are.

    Parameters
    ----------
    image : Canvas, optional
    numeric : ContinuousSurface, optional
        Features of a table, in units of the caller.
    tokens : DiscreteSurface, optional
        Codes at positions, or a sequence.

    Raises
    ------
    ParameterError
        When there is none, or one of another type.
    """

    image: Canvas | None = None
    numeric: ContinuousSurface | None = None
    tokens: DiscreteSurface | None = None

    def __post_init__(self) -> None:
        kinds = {IMAGE: Canvas, NUMERIC: ContinuousSurface, TOKENS: DiscreteSurface}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise ParameterError(f"{name} must be a {kind.__name__} or None, got {value!r}")
        if not self.names:
            raise ParameterError("a module needs inputs: pass image=, numeric= or tokens=")

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities there are."""
        return tuple(name for name in (IMAGE, NUMERIC, TOKENS) if getattr(self, name) is not None)

    def surfaces(self) -> dict[str, Surface]:
        """What each modality is made of."""
        return {
            name: self.image.surface() if name == IMAGE and self.image is not None else getattr(self, name)
            for name in self.names
        }

    def encode(self, X: Any) -> dict[str, npt.NDArray[Any]]:
        """Check inputs and return their arrays.

        Parameters
        ----------
        X : mapping or DataFrame with one entry for each modality; with one modality also its rows alone
            ``image``: paths, PIL images or arrays, see `Canvas.read`; ``numeric``: (m, features);
            ``tokens``: (m, positions) integers, for sequences rows of any length.

        Raises
        ------
        DataError
            Naming the row: an image that cannot be read, a number that is not finite, a code outside its
            alphabet.
        """
        columns, rows = self._columns(X)
        arrays: dict[str, npt.NDArray[Any]] = {}
        if self.image is not None:
            read = [self.image.read(i, name=f"row {r!r}") for i, r in zip(columns[IMAGE], rows, strict=True)]
            arrays[IMAGE] = np.stack(read) if read else np.empty((0, self.image.features))
        if self.numeric is not None:
            arrays[NUMERIC] = _numbers(columns[NUMERIC], rows, self.numeric.features)
        if self.tokens is not None:
            arrays[TOKENS] = _codes(columns[TOKENS], rows, self.tokens)
        return arrays

    def _columns(self, X: Any) -> tuple[dict[str, list[Any]], list[Hashable]]:
        """Return the rows of each modality, and their names."""
        names = self.names
        if isinstance(X, Mapping | pd.DataFrame):
            if set(X.keys()) != set(names):
                found = ", ".join(sorted(map(str, X.keys()))) or "nothing"
                raise DataError(f"inputs must have {', '.join(names)}, got {found}")
            columns = {name: list(X[name]) for name in names}
        elif len(names) == 1 and isinstance(X, Sequence | np.ndarray) and not isinstance(X, str):
            columns = {names[0]: list(X)}
        else:
            raise DataError(
                f"inputs must be a mapping or table with {', '.join(names)}, got {type(X).__name__}"
            )
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"modalities must have as many rows as one another, got {lengths}")
        rows = list(X.index) if isinstance(X, pd.DataFrame) else list(range(lengths[names[0]]))
        return columns, rows


def _numbers(column: list[Any], rows: list[Hashable], features: int) -> npt.NDArray[np.float64]:
    result = np.empty((len(column), features))
    for at, (values, row) in enumerate(zip(column, rows, strict=True)):
        try:
            found = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(f"row {row!r}: numeric must hold numbers, got {values!r}") from None
        if found.shape != (features,):
            raise DataError(f"row {row!r}: numeric must have shape ({features},), got {found.shape}")
        if not np.isfinite(found).all():
            raise DataError(f"row {row!r}: numeric must be finite, got {found[~np.isfinite(found)][0]}")
        result[at] = found
    return result


def _codes(column: list[Any], rows: list[Hashable], surface: DiscreteSurface) -> npt.NDArray[np.int64]:
    sizes = np.asarray(surface.alphabet_sizes, dtype=np.int64)
    read = []
    for values, row in zip(column, rows, strict=True):
        found = np.asarray(values)
        if found.size == 0:
            found = found.astype(np.int64)
        fits = found.size <= sizes.size if surface.sequence else found.size == sizes.size
        if found.ndim != 1 or not fits or found.dtype.kind not in "iu":
            least = "at most " if surface.sequence else ""
            raise DataError(
                f"row {row!r}: tokens must be {least}{sizes.size} integers, got shape {found.shape} of "
                f"{found.dtype}"
            )
        if surface.sequence:
            found = found[: np.flatnonzero(found != PADDING).max(initial=-1) + 1]
        wrong = (found < 0) | (found >= sizes[: found.size])
        if wrong.any():
            at = int(np.argmax(wrong))
            raise DataError(
                f"row {row!r}, position {at}: code must be in [0, {sizes[at] - 1}], got {found[at]}"
            )
        read.append(found)
    width = max([1, *(codes.size for codes in read)]) if surface.sequence else sizes.size
    result = np.full((len(read), width), PADDING, dtype=np.int64)
    for at, codes in enumerate(read):
        result[at, : codes.size] = codes
    return result
