"""What a run directory keeps for its page beside the results: inputs, further thresholds, benign hits.

Directories of older versions, and those of `CertificationRun.save`, lack some of it; the page then says less.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow

from hybridcert.errors import DataError

_INPUTS = "inputs.parquet"
_THRESHOLDS = "thresholds.parquet"
_ALARMS = "false_alarms.parquet"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Tables of a run directory that may be missing.

    Attributes
    ----------
    inputs : DataFrame or None
        One row per input, in the order of the results: ``input``, ``counts``, and ``fields``, or ``text`` and
        ``image``.
    further : DataFrame or None
        Radii at further thresholds: ``input``, budgets, ``threshold``, ``certified``, ``radius``.
    alarms : DataFrame or None
        ``hits`` of ``samples`` copies of every distinct pair that should not be flagged.
    """

    inputs: pd.DataFrame | None = None
    further: pd.DataFrame | None = None
    alarms: pd.DataFrame | None = None


def read_kept(directory: Path, names: Sequence[object], budget_columns: Sequence[str]) -> Kept:
    """Read these tables.

    Parameters
    ----------
    names : sequence
        What the results call the inputs, in their order.

    Raises
    ------
    DataError
        For a file that cannot be read, or that is about other inputs than the results.
    """
    inputs = _read(directory / _INPUTS, ("input", "counts"))
    if inputs is not None and inputs["input"].tolist() != list(names):
        raise DataError(f"{directory / _INPUTS} is about other inputs than results.parquet: remove it")
    further = _read(directory / _THRESHOLDS, ("input", *budget_columns, "threshold", "certified", "radius"))
    if further is not None and not set(further["input"]) == set(names):
        raise DataError(f"{directory / _THRESHOLDS} is about other inputs than results.parquet: remove it")
    alarms = _read(directory / _ALARMS, ("hits", "samples", "digest"))
    if alarms is not None:
        alarms = alarms.drop_duplicates("digest") if len(alarms) else None
    return Kept(inputs, further, alarms)


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    for column in columns:
        if column not in table:
            raise DataError(f"{path} is not what a run writes: it has no column {column!r}")
    return table
