"""Texts with labels from a table, each text once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hybridcert.datasets.tables import Table
from hybridcert.errors import DataError


def select_texts(
    table: pd.DataFrame, *, source: str, text: str, target: str, deduplicate: bool
) -> tuple[Table, int]:
    """Return texts and targets with the row labels of the file, and how many duplicates were left out.

    Parameters
    ----------
    text, target : column names
        Other columns are ignored.
    deduplicate : bool
        Keep the first of equal texts, so that no test text was trained on. Texts are equal up to case and
        the kind and amount of whitespace.

    Raises
    ------
    DataError
        For a column that is missing or repeated, a cell that is no string, a missing target, a single
        target value, and equal texts with different targets.
    """
    for column in (text, target):
        found = int((table.columns == column).sum())
        if found != 1:
            known = ", ".join(map(str, table.columns))
            problem = "missing" if not found else "duplicate"
            raise DataError(f"{source}: {problem} column {column!r}; it has {known}")
    texts, y = table[text].astype(object), table[target].astype(object)
    for at, value in texts.items():
        if not isinstance(value, str):
            shown = "a missing value" if pd.isna(value) else repr(value)
            raise DataError(f"{source}: text column {text!r}, row {at!r}: must be a string, got {shown}")
    if y.isna().any():
        at = y.index[y.isna()][0]
        raise DataError(f"{source}: target column {target!r}, row {at!r}: value is missing")
    if y.nunique() < 2:
        raise DataError(f"{source}: target column {target!r} has a single value, {y.iloc[0]!r}")
    kept = np.ones(len(table), dtype=np.bool_)
    if deduplicate:
        same = texts.map(_essence)
        _refuse_conflicts(same, y, source)
        kept = ~same.duplicated().to_numpy()
    whole = Table(pd.DataFrame({text: texts[kept]}), y[kept], source)
    return whole, int((~kept).sum())


def _essence(text: str) -> str:
    return " ".join(text.split()).casefold()


def _refuse_conflicts(same: pd.Series, y: pd.Series, source: str) -> None:
    first = y.groupby(same.to_numpy()).transform("first")
    conflicts = np.flatnonzero((first != y).to_numpy())
    if conflicts.size:
        at = int(conflicts[0])
        other = int(np.flatnonzero((same == same.iloc[at]).to_numpy())[0])
        raise DataError(
            f"{source}: rows {y.index[other]!r} and {y.index[at]!r} have the same text but targets "
            f"{y.iloc[other]!r} and {y.iloc[at]!r}: remove one, or set data.deduplicate to false"
        )
