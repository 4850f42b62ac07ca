"""The columns of a table: fixed levels for categories, fixed scales for numbers.

The schema is learned once, from the training table or from declared levels. Encoding checks every cell
against it: certificates speak about these alphabets and these units, so nothing may slip past them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from hybridcert.errors import DataError, ParameterError
from hybridcert.threats import ContinuousSurface, DiscreteSurface

Column = Hashable
Scale = Mapping[Column, float] | None
"""Units of numeric noise: a declared scale per column, or None for training standard deviations."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CategoricalColumn:
    """Levels of one column in fixed order; a missing value is a level of its own, always the last."""

    name: Column
    levels: pd.Index
    dtype: Any

    @property
    def has_missing(self) -> bool:
        """Whether "missing" is one of the levels."""
        return bool(len(self.levels)) and bool(pd.isna(self.levels[-1]))

    def encode(self, values: pd.Series) -> npt.NDArray[np.int64]:
        """Codes of the cells; DataError names the first cell whose value is not a level."""
        known = self.levels[:-1] if self.has_missing else self.levels
        try:
            codes = known.get_indexer(pd.Index(values.astype(object)))
        except TypeError as error:
            raise DataError(f"column {self.name!r} holds cells that cannot be categories: {error}") from error
        missing = values.isna().to_numpy()
        if self.has_missing:
            codes[missing] = len(known)
        if (codes < 0).any():
            at = int(np.flatnonzero(codes < 0)[0])
            allowed = ", ".join(map(repr, self.levels[:12].tolist())) + (
                ", …" if len(self.levels) > 12 else ""
            )
            value = "missing" if missing[at] else repr(values.iloc[at])
            raise DataError(
                f"column {self.name!r}, row {values.index[at]!r}: unseen category {value}; allowed: {allowed}"
            )
        return codes.astype(np.int64)

    def decode(self, codes: npt.NDArray[np.int64]) -> Any:
        """Cells of the column as the training table held them."""
        if isinstance(self.dtype, pd.CategoricalDtype):
            pure = np.where(codes == len(self.dtype.categories), -1, codes) if self.has_missing else codes
            return pd.Categorical.from_codes(pure, dtype=self.dtype)
        cells = self.levels.to_numpy(dtype=object).take(codes)
        return cells if self.dtype == object else pd.array(cells, dtype=self.dtype)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TableSchema:
    """All columns that a classifier reads, and which of them may change.

    Attributes
    ----------
    order : tuple
        Columns in the order of the training table.
    categorical : tuple of CategoricalColumn
    numeric : tuple
        Names of the numeric columns.
    scale : float array, shape (numeric columns,)
        One unit of noise and of ε in each column.
    immutable : frozenset
        Columns without noise and without attack.
    unit : str
    frame : bool
        Whether inputs are data frames (else two-dimensional arrays).
    """

    order: tuple[Column, ...]
    categorical: tuple[CategoricalColumn, ...]
    numeric: tuple[Column, ...]
    scale: npt.NDArray[np.float64]
    immutable: frozenset[Column]
    unit: str
    frame: bool

    @staticmethod
    def learn(
        X: Any,
        *,
        numeric: Sequence[Column] | None,
        categorical: Sequence[Column] | None,
        immutable: Sequence[Column],
        levels: Mapping[Column, Sequence[Any]],
        scale: Scale,
    ) -> TableSchema:
        """Learn the schema of a training table; columns that are not listed go by their dtype."""
        table, frame = _as_table(X)
        numbers, categories = _roles(table, numeric, categorical)
        for name in immutable:
            if name not in numbers and name not in categories:
                raise ParameterError(f"immutable column {name!r} is not among the columns of the table")
        values = _numbers(table, numbers)
        return TableSchema(
            order=tuple(c for c in table.columns if c in set(numbers) | set(categories)),
            categorical=tuple(_learn_column(table[c], levels.get(c)) for c in categories),
            numeric=tuple(numbers),
            scale=_scales(values, numbers, scale, immutable),
            immutable=frozenset(immutable),
            unit="standard deviations of the training columns" if scale is None else "declared column units",
            frame=frame,
        )

    def surfaces(self) -> dict[str, DiscreteSurface | ContinuousSurface]:
        """Surfaces of the modalities "categorical" and "numeric"; one without columns is left out."""
        surfaces: dict[str, DiscreteSurface | ContinuousSurface] = {}
        if self.categorical:
            # a column with one level cannot change
            free = tuple(
                i
                for i, c in enumerate(self.categorical)
                if c.name not in self.immutable and len(c.levels) > 1
            )
            sizes = tuple(len(c.levels) for c in self.categorical)
            columns = ", ".join(str(self.categorical[i].name) for i in free)
            shown = f"columns: {columns}" if len(columns) < 180 else f"{len(free)} columns"
            surfaces["categorical"] = DiscreteSurface(sizes, free, symbols=shown)
        if self.numeric:
            free = tuple(i for i, c in enumerate(self.numeric) if c not in self.immutable)
            surfaces["numeric"] = ContinuousSurface(len(self.numeric), free, self.unit)
        return surfaces

    def encode(self, X: Any) -> dict[str, npt.NDArray[Any]]:
        """Codes and scaled numbers of a table, every cell checked."""
        table, frame = _as_table(X)
        if frame != self.frame:
            known = "a data frame" if self.frame else "an array"
            raise DataError(f"X must be {known} as in training, got {type(X).__name__}")
        if not frame and table.shape[1] != len(self.order):
            raise DataError(
                f"X has {table.shape[1]} features, but SmoothedClassifier is expecting {len(self.order)} "
                "features as input"
            )
        lacking = [c for c in self.order if c not in table.columns]
        if lacking:
            raise DataError(
                f"missing column {lacking[0]!r}: the classifier was trained on {list(self.order)}"
            )
        encoded: dict[str, npt.NDArray[Any]] = {}
        if self.categorical:
            encoded["categorical"] = np.stack([c.encode(table[c.name]) for c in self.categorical], axis=1)
        if self.numeric:
            encoded["numeric"] = _numbers(table, list(self.numeric)) / self.scale
        return encoded

    def decode(self, batch: Mapping[str, npt.NDArray[Any]]) -> Any:
        """Table of the encoded rows, in the form the training table had."""
        columns: dict[Column, Any] = {}
        for i, column in enumerate(self.categorical):
            columns[column.name] = column.decode(batch["categorical"][:, i])
        if self.numeric:
            numbers = batch["numeric"] * self.scale
            columns |= {name: numbers[:, i] for i, name in enumerate(self.numeric)}
        if self.frame:
            return pd.DataFrame({c: columns[c] for c in self.order}, copy=False)
        return np.stack([columns[c] for c in self.order], axis=1)


def _as_table(X: Any) -> tuple[pd.DataFrame, bool]:
    if sparse.issparse(X):
        raise DataError(f"sparse input is not supported, got {type(X).__name__}: pass X.toarray()")
    frame = isinstance(X, pd.DataFrame)
    if frame:
        table = X
        twice = table.columns[table.columns.duplicated()]
        if len(twice):
            raise DataError(f"duplicate column {twice[0]!r}")
    else:
        array = np.asarray(X)
        if array.ndim != 2:
            raise DataError(
                f"X must be a data frame or a two-dimensional array, got {array.ndim} dimension(s). "
                "Reshape your data: one row per input"
            )
        if array.dtype.kind == "c":
            raise DataError(
                "X must hold real numbers or categories, got complex numbers. Complex data not supported"
            )
        table = pd.DataFrame(array).infer_objects()
    if len(table) == 0:
        raise DataError(f"X has 0 sample(s) (shape={table.shape}) while a minimum of 1 is required.")
    if table.shape[1] == 0:
        raise DataError(f"X has 0 feature(s) (shape={table.shape}) while a minimum of 1 is required.")
    return table, frame


def _roles(
    table: pd.DataFrame, numeric: Sequence[Column] | None, categorical: Sequence[Column] | None
) -> tuple[list[Column], list[Column]]:
    listed = [*(numeric or ()), *(categorical or ())]
    for name in listed:
        if name not in table.columns:
            raise DataError(f"missing column {name!r}: the table has {list(table.columns)}")
        if listed.count(name) > 1:
            raise ParameterError(f"column {name!r} is listed more than once in numeric and categorical")
    rest = [c for c in table.columns if c not in listed]
    if numeric is not None and categorical is not None:
        if rest:
            raise DataError(
                f"column {rest[0]!r} is neither numeric nor categorical: list it (under immutable as well if "
                "the adversary cannot change it) or drop it"
            )
        return list(numeric), list(categorical)
    typed = {c for c in rest if pd.api.types.is_numeric_dtype(table[c]) and table[c].dtype != bool}
    numbers: list[Column] = [c for c in rest if c in typed] if numeric is None else list(numeric)
    categories: list[Column] = (
        [c for c in rest if c not in numbers] if categorical is None else list(categorical)
    )
    odd = [c for c in rest if c not in numbers and c not in categories]
    if odd:
        raise DataError(f"column {odd[0]!r} is numeric but not listed in numeric: list it or drop it")
    return numbers, categories


def _learn_column(values: pd.Series, declared: Sequence[Any] | None) -> CategoricalColumn:
    dtype = values.dtype
    missing = bool(values.isna().any())
    if isinstance(dtype, pd.CategoricalDtype):
        if declared is not None:
            raise ParameterError(
                f"levels of column {values.name!r} are those of its category dtype: drop them"
            )
        known = dtype.categories.tolist()
    elif declared is not None:
        known = list(dict.fromkeys(v for v in declared if not pd.isna(v)))
        missing = missing or any(pd.isna(v) for v in declared)
    else:
        try:
            known = values.dropna().unique().tolist()
        except TypeError as error:
            raise DataError(
                f"column {values.name!r} holds cells that cannot be categories: {error}"
            ) from error
        known.sort(key=lambda v: (str(type(v)), v))
    if missing and not values.isna().any() and dtype.kind in "biu":
        dtype = np.dtype(object)  # a declared missing value does not fit the column's own type
    cells = values[values.isna()]
    blank = [cells.iloc[0] if len(cells) and pd.api.types.is_object_dtype(dtype) else np.nan]
    levels = pd.Index([*known, *(blank if missing else [])], dtype=object)
    column = CategoricalColumn(values.name, levels, dtype)
    column.encode(values)
    return column


def _numbers(table: pd.DataFrame, names: list[Column]) -> npt.NDArray[np.float64]:
    result = np.empty((len(table), len(names)))
    for i, name in enumerate(names):
        column = table[name]
        try:
            result[:, i] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise DataError(f"numeric column {name!r} holds a value that is not a number: {error}") from error
        broken = np.flatnonzero(~np.isfinite(result[:, i]))
        if broken.size:
            at = int(broken[0])
            raise DataError(
                f"numeric column {name!r}, row {table.index[at]!r}: values must be finite, got "
                f"{result[at, i]} (NaN or infinity): impute it before certifying"
            )
    return result


def _scales(
    values: npt.NDArray[np.float64], names: list[Column], scale: Scale, immutable: Sequence[Column]
) -> npt.NDArray[np.float64]:
    """Units of the columns; immutable ones keep their own, so that their cells pass through unchanged."""
    if scale is None:
        with np.errstate(over="ignore"):
            spread = values.std(axis=0)
        constant = values.max(axis=0) == values.min(axis=0)
        broken = ~constant & ~((spread > 0.0) & np.isfinite(spread))
        if broken.any():
            name = names[int(np.argmax(broken))]
            raise DataError(
                f"numeric column {name!r}: its standard deviation is no finite number > 0: rescale it"
            )
        units = np.where(constant, 1.0, spread)
    else:
        units = _declared_scales(names, scale)
    return np.where([name in immutable for name in names], 1.0, units)


def _declared_scales(names: list[Column], scale: Mapping[Column, float]) -> npt.NDArray[np.float64]:
    unknown = [c for c in scale if c not in names]
    if unknown:
        raise ParameterError(f"scale names {unknown[0]!r}, numeric columns are {names}")
    lacking = [c for c in names if c not in scale]
    if lacking:
        raise ParameterError(f"scale must give a unit for every numeric column, {lacking[0]!r} is missing")
    units = np.array([float(scale[c]) for c in names])
    wrong = ~((units > 0.0) & np.isfinite(units))
    if wrong.any():
        raise ParameterError(f"scale of {names[int(np.argmax(wrong))]!r} must be > 0, got {units[wrong][0]}")
    return units
