"""What a run directory keeps for its page beside the results: inputs, further thresholds, benign hits.

Directories of older versions, and those of `CertificationRun.save`, lack some of it; the page then says less.
"""

from __future__ import annotations

import dataclasses
import json
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


def read_kept(directory: Path, results: pd.DataFrame, budget_columns: Sequence[str]) -> Kept:
    """Read these tables.

    Parameters
    ----------
    results : DataFrame
        Those of the run, one row per input and budget. Files that another run left behind are refused: their
        radii and counts have to be these, where both say the same thing.
    budget_columns : sequence of str

    Raises
    ------
    DataError
        For a file that cannot be read, or that is about another run than the results.
    """
    inputs = _read(directory / _INPUTS, ("input", "counts"))
    if inputs is not None and not _counts_agree(inputs, results):
        raise DataError(f"{directory / _INPUTS} is about another run than results.parquet: remove it")
    further = _read(directory / _THRESHOLDS, ("input", *budget_columns, "threshold", "certified", "radius"))
    if further is not None and not _radii_agree(further, results, budget_columns):
        raise DataError(f"{directory / _THRESHOLDS} is about another run than results.parquet: remove it")
    alarms = _read(directory / _ALARMS, ("hits", "samples", "digest"))
    if alarms is not None:
        alarms = alarms.drop_duplicates("digest") if len(alarms) else None
    return Kept(inputs, further, alarms)


def _counts_agree(inputs: pd.DataFrame, results: pd.DataFrame) -> bool:
    """Whether the counts of each input have as many hits of the claimed label as the results say."""
    first = results.iloc[: len(inputs)]
    if "input" not in first or inputs["input"].tolist() != first["input"].tolist():
        return False
    pairs = zip(inputs["counts"], first["label"], first["successes"], strict=True)
    return all(json.loads(counts).get(str(label)) == hits for counts, label, hits in pairs)


def _radii_agree(further: pd.DataFrame, results: pd.DataFrame, budget_columns: Sequence[str]) -> bool:
    """Whether the radii at the run's own threshold are those of the results; ranks have none.

    Also whether all inputs follow each other in their order, at every budget and threshold.
    """
    if "threshold" not in results:
        return True
    columns = ["input", *budget_columns, "certified", "radius"]
    own = further[further["threshold"] == results["threshold"].iloc[0]][columns]
    if "input" not in results or len(own) != len(results):
        return False
    budgets = results[[*budget_columns]].drop_duplicates()
    names = results["input"].iloc[: len(results) // len(budgets)].tolist()
    known = further[[*budget_columns]].drop_duplicates()
    return (
        len(known) == len(budgets) == len(known.merge(budgets))
        and further["input"].tolist() == names * (len(further) // len(names))
        and all(_same(own[column], results[column]) for column in columns)
    )


def _same(one: pd.Series, other: pd.Series) -> bool:
    if one.name == "radius":
        one, other = (values.astype("Float64").fillna(-1.0) for values in (one, other))
    return one.tolist() == other.tolist()


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
