"""Tables with numeric and categorical columns: read from Parquet, CSV or OpenML, split into train and test.

Parquet and CSV give the same columns: a categorical column's levels are its distinct values, sorted, over
the whole table; missing values stay missing (the classifier makes them a level of their own).
"""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet

from hybridcert.errors import DataError

_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".csv.gz")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Inputs and targets of a table, with the row labels of the file.

    Attributes
    ----------
    X : DataFrame, shape (rows, numeric + categorical columns)
    y : Series, shape (rows,)
        Targets, none missing.
    source : str
        Where the table came from.
    """

    X: pd.DataFrame
    y: pd.Series
    source: str

    def digest(self) -> str:
        """SHA-256 of names and cells: equal content has equal digests, whatever the file format."""
        whole = self.X.assign(**{f"target:{self.y.name}": self.y})
        return hashlib.sha256(whole.to_csv(index=False).encode()).hexdigest()

    def split(self, *, test_rows: int, seed: int) -> tuple[Table, Table]:
        """Return (train, test): a random choice of ``test_rows`` rows is held out.

        The test rows come in random order, so a prefix of them is a random sample too.
        """
        if not 1 <= test_rows < len(self.X):
            raise DataError(
                f"test_rows must be in [1, {len(self.X) - 1}] for a table of {len(self.X)} rows, "
                f"got {test_rows}"
            )
        order = np.random.Generator(np.random.PCG64(seed)).permutation(len(self.X))
        return self._rows(order[test_rows:]), self._rows(order[:test_rows])

    def head(self, rows: int) -> Table:
        """Return the first rows."""
        return self._rows(np.arange(min(rows, len(self.X))))

    def _rows(self, index: np.ndarray) -> Table:
        return Table(self.X.iloc[index], self.y.iloc[index], self.source)


def read_table(path: Path, *, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a Parquet or CSV file.

    Parameters
    ----------
    text : sequence of column names
        Columns of a CSV file that hold free text: read as it stands, an empty cell is an empty text.

    Raises
    ------
    DataError
        For a file that cannot be read, has no rows, repeats a column, or is of another kind.
    """
    name = path.name.lower()
    if not name.endswith(_PARQUET + _CSV):
        raise DataError(f"{path}: expected a file ending in {', '.join(_PARQUET + _CSV)}")
    try:
        table = _read_parquet(path) if name.endswith(_PARQUET) else _read_csv(path, text)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except DataError:
        raise
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path} is empty") from error
    except (pyarrow.ArrowException, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if len(table) == 0:
        raise DataError(f"{path} has no rows")
    return table


def fetch_openml_table(name: str, version: int) -> pd.DataFrame:
    """Fetch a table from OpenML through scikit-learn, which caches it.

    Raises
    ------
    DataError
        When it cannot be fetched.
    """
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "Retrying...", said once more by the error
            frame = fetch_openml(name=name, version=version, as_frame=True, parser="auto").frame
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"OpenML table {name!r} version {version} cannot be fetched ({reason}): "
            "give a file with --data PATH"
        ) from error
    return pd.DataFrame(frame)


def select(
    table: pd.DataFrame,
    *,
    source: str,
    target: str,
    numeric: Sequence[str],
    categorical: Sequence[str],
    drop: Sequence[str] = (),
    levels: Mapping[str, Sequence[Any]] | None = None,
) -> Table:
    """Pick inputs and targets from a table, with one schema whatever the file format.

    ``levels`` declares the alphabets of categorical columns; without it a column's alphabet is what occurs.

    Raises
    ------
    DataError
        For a column that is missing, repeated, or has no role; for a missing target, a number that is not
        finite, and a category that was not declared. The message names the cell; rows count from 0.
    """
    levels = levels or {}
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise DataError(f"{source}: duplicate column {twice[0]!r}")
    known = [str(c) for c in table.columns]
    for column in (target, *numeric, *categorical, *drop):
        if column not in known:
            raise DataError(f"{source}: missing column {column!r}; it has {', '.join(known)}")
    unused = [c for c in known if c not in {target, *numeric, *categorical, *drop}]
    if unused:
        raise DataError(
            f"{source}: column {unused[0]!r} has no role: list it under numeric, categorical or drop_columns"
        )
    y = _plain(table[target])
    if y.isna().any():
        at = y.index[y.isna()][0]
        raise DataError(f"{source}: target column {target!r}, row {at!r}: value is missing")
    if y.nunique() < 2:
        raise DataError(f"{source}: target column {target!r} has a single value, {y.iloc[0]!r}")
    columns = {c: _number_column(table[c], source) for c in numeric}
    columns |= {c: _category_column(table[c], levels.get(c), source) for c in categorical}
    order = [c for c in known if c in columns]
    return Table(pd.DataFrame({c: columns[c] for c in order}), y, source)


def _read_parquet(path: Path) -> pd.DataFrame:
    names = pyarrow.parquet.read_schema(path).names
    _refuse_repeated(names, path)
    return pd.read_parquet(path)


def _read_csv(path: Path, text: Sequence[str]) -> pd.DataFrame:
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, skipinitialspace=True)
    _refuse_repeated([str(v) for v in header.iloc[0]], path)
    table = pd.read_csv(
        path,
        keep_default_na=False,
        na_values=[""],
        skipinitialspace=True,
        dtype=dict.fromkeys(text, str),
    )
    return table.fillna({name: "" for name in text if name in table})


def _refuse_repeated(names: Sequence[str], path: Path) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: duplicate column {name!r}")


def _plain(values: pd.Series) -> pd.Series:
    """The cells as plain objects or numbers: no category dtype, no file-specific string dtype."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    return values if pd.api.types.is_numeric_dtype(values) else values.astype(object)


def _number_column(values: pd.Series, source: str) -> pd.Series:
    plain = _plain(values)
    number = pd.to_numeric(plain, errors="coerce").astype(np.float64)
    broken = np.flatnonzero(~np.isfinite(number.to_numpy()))
    if broken.size:
        at = int(broken[0])
        raise DataError(
            f"{source}: numeric column {values.name!r}, row {values.index[at]!r}: "
            f"must be a finite number, got {_shown(plain.iloc[at])}"
        )
    return number


def _category_column(values: pd.Series, declared: Sequence[Any] | None, source: str) -> pd.Series:
    plain = _plain(values)
    present = plain.notna()
    levels = _sorted(plain[present].unique()) if declared is None else list(dict.fromkeys(declared))
    unseen = np.flatnonzero(present & ~plain.isin(levels))
    if unseen.size:
        at = int(unseen[0])
        raise DataError(
            f"{source}: categorical column {values.name!r}, row {values.index[at]!r}: unseen category "
            f"{_shown(plain.iloc[at])}; allowed: {', '.join(map(str, levels))}"
        )
    return pd.Series(pd.Categorical(plain, categories=levels), index=values.index, name=values.name)


def _sorted(levels: Iterable[Any]) -> list[Any]:
    return sorted(levels, key=lambda v: (str(type(v)), v))


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(value)
    return "a missing value (NaN)" if pd.isna(value) else str(value)  # type: ignore[call-overload]
