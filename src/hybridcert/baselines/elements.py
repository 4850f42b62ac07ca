"""Basic elements of an input, of which a classifier is shown some: columns, tokens, patches of an image.

All are plain values, so that a selection is known again by how it prints. What stands in the place of an
element that is not shown has no influence on any guarantee: a filler that is also a real value, such as mid
grey, makes views ambiguous to the classifier, and the overlap of two laws of views can only grow by that. How
well the classifier copes with the filler decides how large the clean score is.
"""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.directed import Bools
from hybridcert.certificate.ranges import check_count
from hybridcert.errors import DataError, ParameterError
from hybridcert.kernels.deletion import PADDING
from hybridcert.sampling.streams import symbol_counts
from hybridcert.threats import ContinuousSurface, DiscreteSurface, Surface

Row = npt.NDArray[Any]


class Elements(Protocol):
    """What one modality is made of; immutable, with a `repr` that says everything."""

    def check_surface(self, surface: Surface) -> None:
        """Raise ParameterError where a modality is not made of such elements."""

    def count(self, row: Row) -> int:
        """Return the number of elements of one input; raise DataError for an array that does not fit."""

    def shown(self, row: Row, kept: Bools) -> Row:
        """Return views of one input, shape (views, width), given ``kept``, shape (views, elements)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Columns:
    """Fixed positions, each an element: slots, fields, numbers.

    Parameters
    ----------
    filler : int, float or tuple of them
        What stands in the place of an element that is not shown; one value, or one for each column.
    columns : tuple of int, optional
        The columns that are elements; all others are always shown, and must stay as they are. Default: all.

    Raises
    ------
    ParameterError
        For a filler that is no number, or not one for each column.
    """

    filler: float | tuple[float, ...]
    columns: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        values = self.filler if isinstance(self.filler, tuple) else (self.filler,)
        for value in values:
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(value):
                raise ParameterError(f"filler must be a finite number, got {value!r}")
        if self.columns is not None:
            if list(self.columns) != sorted(set(self.columns)) or min(self.columns, default=0) < 0:
                raise ParameterError(f"columns must list increasing positions >= 0, got {self.columns}")
            if isinstance(self.filler, tuple) and len(self.filler) != len(self.columns):
                raise ParameterError(
                    f"filler must have one value for each of {len(self.columns)} columns, got {len(values)}"
                )

    @staticmethod
    def masks(surface: DiscreteSurface) -> Columns:
        """Return the eligible positions of a modality, not shown as its mask symbol.

        Raises
        ------
        ParameterError
            For a modality without a mask symbol, or a sequence.
        """
        if not surface.mask or surface.sequence:
            raise ParameterError(
                "surface must have fixed positions and a mask symbol: use Columns(filler) with a symbol of "
                "your own, or Tokens() for a sequence"
            )
        return Columns(surface.eligible_sizes, surface.eligible)

    def check_surface(self, surface: Surface) -> None:
        """Raise ParameterError for sequences, and for fillers that the classifier cannot read."""
        if isinstance(surface, ContinuousSurface):
            return
        if surface.sequence:
            raise ParameterError("Columns are fixed positions: for a sequence use Tokens()")
        sizes = surface.alphabet_sizes
        columns = range(len(sizes)) if self.columns is None else self.columns
        fillers = self.filler if isinstance(self.filler, tuple) else (self.filler,) * len(columns)
        for column, filler in zip(columns, fillers, strict=False):
            most = sizes[column] - (not surface.mask) if column < len(sizes) else -1
            if filler != int(filler) or not 0 <= filler <= most:
                raise ParameterError(
                    f"filler of column {column} must be a code in [0, {most}], got {filler!r}"
                )

    def count(self, row: Row) -> int:
        """Return the number of columns that are elements."""
        columns = self._columns(row)
        if isinstance(self.filler, tuple) and len(self.filler) != len(columns):
            raise DataError(
                f"filler must have one value for each of {len(columns)} columns, got {len(self.filler)}"
            )
        if columns and columns[-1] >= len(row):
            raise DataError(f"columns must be in [0, {len(row) - 1}], got {columns[-1]}")
        return len(columns)

    def shown(self, row: Row, kept: Bools) -> Row:
        """Return views with the filler in the columns that are not kept."""
        columns = list(self._columns(row))
        filler = np.broadcast_to(np.asarray(self.filler), len(columns))
        views = np.tile(row, (len(kept), 1))
        views[:, columns] = np.where(kept, row[columns], filler.astype(row.dtype))
        return views

    def _columns(self, row: Row) -> tuple[int, ...]:
        return tuple(range(len(row))) if self.columns is None else self.columns


@dataclasses.dataclass(frozen=True, slots=True)
class Tokens:
    """Symbols of a sequence, with `PADDING` behind its end; those that are not shown are left out."""

    def check_surface(self, surface: Surface) -> None:
        """Raise ParameterError for anything but a sequence."""
        if not (isinstance(surface, DiscreteSurface) and surface.sequence):
            raise ParameterError("Tokens() are a sequence: for fixed positions use Columns(filler)")

    def count(self, row: Row) -> int:
        """Return the number of symbols before the padding."""
        counts = symbol_counts(row[None])
        if counts is None:
            raise DataError(f"tokens must be integer codes in one row, got {row.dtype} of shape {row.shape}")
        return int(counts[0])

    def shown(self, row: Row, kept: Bools) -> Row:
        """Return views in which the kept symbols close up, padded to the width of the input."""
        order = np.argsort(~kept, axis=1, kind="stable")
        views = np.full((len(kept), len(row)), PADDING, dtype=row.dtype)
        symbols = np.broadcast_to(row[: kept.shape[1]], kept.shape)
        views[:, : kept.shape[1]] = np.take_along_axis(np.where(kept, symbols, PADDING), order, axis=1)
        return views


@dataclasses.dataclass(frozen=True, slots=True)
class Patches:
    """Rectangles of an image, flattened with its channels first; those that are not shown have one value.

    Parameters
    ----------
    channels, height, width : int >= 1
    patch : (int, int)
        Height and width of a patch, all channels of it; patches at the lower and right edge may be smaller.
    fill : float
        Mid grey by default.

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """

    channels: int
    height: int
    width: int
    patch: tuple[int, int]
    fill: float = 0.5

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width"):
            check_count(name, getattr(self, name))
        if not isinstance(self.patch, tuple) or len(self.patch) != 2:
            raise ParameterError(f"patch must be a pair (height, width), got {self.patch!r}")
        check_count("height of a patch", self.patch[0], most=self.height)
        check_count("width of a patch", self.patch[1], most=self.width)
        if not isinstance(self.fill, numbers.Real) or not np.isfinite(self.fill):
            raise ParameterError(f"fill must be a finite number, got {self.fill!r}")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches below one another, and side by side."""
        return -(-self.height // self.patch[0]), -(-self.width // self.patch[1])

    @property
    def features(self) -> int:
        """Number of values of an image."""
        return self.channels * self.height * self.width

    def check_surface(self, surface: Surface) -> None:
        """Raise ParameterError for anything but images of this size."""
        found = surface.features if isinstance(surface, ContinuousSurface) else None
        if found != self.features:
            raise ParameterError(f"an image must have {self.features} features, got {found}")

    def count(self, row: Row) -> int:
        """Return the number of patches."""
        features = self.features
        if row.dtype.kind != "f" or row.shape != (features,):
            raise DataError(f"images must have {features} floats, got {row.dtype} of shape {row.shape}")
        return self.grid[0] * self.grid[1]

    def shown(self, row: Row, kept: Bools) -> Row:
        """Return views with the fill value in the patches that are not kept."""
        pixels = np.arange(self.height * self.width)
        patch = pixels // self.width // self.patch[0] * self.grid[1] + pixels % self.width // self.patch[1]
        visible = np.tile(kept[:, patch], (1, self.channels))
        return np.where(visible, row, self.fill)
