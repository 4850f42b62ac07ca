"""The tables of a report. Shares are exact counts; bounds and percentages are rounded down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.certificate.directed import Bools, format_down
from hybridcert.documents.issue import FILE_NAME
from hybridcert.reports import terms
from hybridcert.reports.run_data import Budget, RunData, SweepData

_DIGITS = 9


@dataclasses.dataclass(frozen=True, slots=True)
class Headline:
    """Counts over all inputs of a run; ``clean_right`` and ``right`` are None without true labels.

    Attributes
    ----------
    inputs : int
    clean_right : int or None
        Inputs that the base classifier answers rightly without noise.
    right : int or None
        Inputs whose true label is claimed and certified at d = 0, ε = 0; `terms.unattacked` names what that
        means: a right answer, or a score above the threshold, or a place among the k strongest.
    abstained : int
        Inputs about which nothing is proven, even at d = 0, ε = 0.
    constant : tuple of labels and count, or None
        The trivial rival: always to answer the most frequent true label (for top-k claims the k most frequent
        ones) is right on so many inputs, at every budget and every ε. None without true labels, or where
        they are all alike.
    """

    inputs: int
    clean_right: int | None
    right: int | None
    abstained: int
    constant: tuple[tuple[str, ...], int] | None


def answered(rows: pd.DataFrame) -> pd.Series:
    """Return which inputs the classifier did not fail on; of the others no answer is known."""
    if "stopped" not in rows:
        return pd.Series(True, index=rows.index)
    return rows["stopped"] != "failed"


def headline(run: RunData) -> Headline:
    """Count accuracy and abstentions."""
    rows = run.at(run.budgets[0])
    clean_right = None
    if run.has_target and "clean_label" in rows:
        clean_right = int(((rows["clean_label"] == rows["target"]) & answered(rows)).sum())
    return Headline(
        inputs=len(rows),
        clean_right=clean_right,
        right=certified_count(run, run.budgets[0], 0.0) if run.has_target else None,
        abstained=int((~rows["certified"]).sum()),
        constant=_constant(rows["target"], run.rank or 1) if run.has_target else None,
    )


def _constant(target: pd.Series, rank: int) -> tuple[tuple[str, ...], int] | None:
    counts = target.value_counts()
    if len(counts) < 2:
        return None
    return tuple(map(str, counts.index[:rank])), int(counts.iloc[:rank].sum())


def reached(run: RunData, budget: Budget) -> npt.NDArray[np.float64]:
    """Radii, ascending, of the inputs that are certified at a budget and, if labels are known, right."""
    rows = run.at(budget)
    counted = rows["certified"].to_numpy(dtype=bool) & is_right(run, rows)
    return np.sort(rows["radius"].to_numpy(dtype=np.float64, na_value=0.0)[counted])


def is_right(run: RunData, rows: pd.DataFrame) -> Bools:
    """Whether each row's label is the true one; yes throughout where true labels are not known."""
    if not run.has_target:
        return np.ones(len(rows), dtype=np.bool_)
    return (rows["label"] == rows["target"]).to_numpy(dtype=bool)


def certified_count(run: RunData, budget: Budget, eps: float) -> int:
    """Count inputs that are right and certified at a budget with a radius of at least ``eps``."""
    return int((reached(run, budget) >= eps).sum())


def certified_accuracy(run: RunData) -> pd.DataFrame:
    """Certified accuracy at every budget and every ε of the grid, one row each."""
    inputs = headline(run).inputs
    rows = []
    for budget in run.budgets:
        for eps in run.eps:
            count = certified_count(run, budget, eps)
            rows.append(
                {
                    **dict(zip(run.budget_columns, budget, strict=True)),
                    "eps": eps,
                    "certified": count,
                    "inputs": inputs,
                    "percent": percent(count, inputs),
                }
            )
    return pd.DataFrame(rows)


def radii(run: RunData) -> pd.DataFrame:
    """One row per input and budget: label, counts, bound, radius (empty where not certified).

    ``certificate_line`` is the line of the input's certificate in ``certificates.jsonl``, where there is one.
    """
    columns = [
        c
        for c in ("input", "target", "label", "clean_label", "successes", "samples", "stopped")
        if c in run.results
    ]
    table = run.results[[*columns, "p_lower", *run.budget_columns, "certified", "radius"]].copy()
    number_certificates(run, table)
    table["p_lower"] = [format_down(float(p), _DIGITS) for p in table["p_lower"]]
    table["radius"] = ["" if pd.isna(r) else format_down(float(r), _DIGITS) for r in table["radius"]]
    return table


def number_certificates(run: RunData, table: pd.DataFrame) -> None:
    """Say in which line of ``certificates.jsonl`` each row's certificate stands: they follow the inputs.

    Inputs of which no copy was drawn have none.
    """
    if (run.directory / FILE_NAME).is_file():
        drawn = run.results["samples"] > 0
        line = drawn.groupby([run.results[c] for c in run.budget_columns]).cumsum()
        table.insert(1, "certificate_line", line.astype("Int64").where(drawn))


def summary(run: RunData) -> pd.DataFrame:
    """Accuracy and abstentions, one row each."""
    found = headline(run)
    counts: dict[str, int | None] = {
        "right without noise (base classifier)": found.clean_right,
        terms.unattacked(run): found.right,
        "abstained": found.abstained,
    }
    if found.constant is not None:
        labels, count = found.constant
        counts[f"trivial rival: {terms.rival(run, labels)}"] = count
    return pd.DataFrame(
        [
            {"what": what, "count": k, "inputs": found.inputs, "percent": percent(k, found.inputs)}
            for what, k in counts.items()
            if k is not None
        ]
    )


def combined(sweep: SweepData, table: Callable[[RunData], pd.DataFrame]) -> pd.DataFrame:
    """Return one table, such as `certified_accuracy`, of all runs of a sweep, the swept values in front.

    A key whose short name the table has already keeps its whole name.
    """
    parts = []
    for values, run in zip(sweep.values, sweep.runs, strict=True):
        part = table(run)
        names = zip(sweep.keys, short_names(sweep.keys), values, strict=True)
        for at, (key, short, value) in enumerate(names):
            part.insert(at, key if short in part else short, [value] * len(part))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def short_names(keys: tuple[str, ...]) -> list[str]:
    """Return the last parts of dotted keys, or the whole keys where those are not distinct."""
    short = [key.rsplit(".", 1)[-1] for key in keys]
    return short if len(set(short)) == len(short) else list(keys)


def name_of(sweep: SweepData, number: int) -> str:
    """Spell the swept values of one run, such as "beta = 0.85"."""
    pairs = zip(short_names(sweep.keys), sweep.values[number], strict=True)
    return ", ".join(f"{key} = {value}" for key, value in pairs)


def percent(count: int, inputs: int) -> str:
    """Return 100·count/inputs with one decimal, rounded down."""
    tenths = 1000 * count // inputs
    return f"{tenths // 10}.{tenths % 10}"
