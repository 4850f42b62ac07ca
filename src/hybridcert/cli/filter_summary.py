"""What a command prints when a filter's run is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridcert.cli.cost import cost_line
from hybridcert.reports import filter_wording, stopping, wording
from hybridcert.reports.filter import Filter, combined_rows
from hybridcert.reports.run_data import RunData, SweepData
from hybridcert.reports.tables import name_of

if TYPE_CHECKING:
    from rich.console import Console


def print_filter(found: RunData | SweepData, directory: Path, console: Console) -> None:
    """Print results, the table of false alarms and certified shares, cost, and where the report lies."""
    runs = found.runs if isinstance(found, SweepData) else (found,)
    filters = [part for run in runs if (part := Filter.of(run)) is not None]
    names = [name_of(found, i) for i in range(len(runs))] if isinstance(found, SweepData) else [""]
    for name, run, part in zip(names, runs, filters, strict=True):
        sentence = filter_wording.result(run, part)
        console.print(f"{name}: {sentence}" if name else sentence, markup=False)
        for more in stopping.sentences(run):
            console.print(more, markup=False)
    console.print(wording.meaning(runs[0]), markup=False)
    console.print()
    _print_table(names, filters, console)
    console.print(filter_wording.columns_mean(filters[0]), markup=False)
    console.print()
    costs = [run.environment["cost"] for run in runs if "cost" in run.environment]
    if costs:
        console.print(cost_line(costs), markup=False)
    console.print(f"report: {directory / 'report.html'}", markup=False)


def filter_record(found: RunData | SweepData, directory: Path) -> dict[str, Any]:
    """Return the same for machines."""
    record: dict[str, Any] = {"directory": str(directory), "report": str(directory / "report.html")}
    if isinstance(found, SweepData):
        runs = zip(found.values, found.runs, strict=True)
        parts = [
            {"values": dict(zip(found.keys, values, strict=True)), **filter_record(run, run.directory)}
            for values, run in runs
        ]
        return record | {"runs": parts}
    part = Filter.of(found)
    assert part is not None
    points = [
        {
            "filter": point.name,
            "threshold": point.threshold,
            "flagged_from_hits": point.cutoff,
            "false_alarms": point.false_alarms,
            "false_alarm_share_upper": point.false_alarms_upper,
            "caught": point.caught,
            "certified": None
            if point.certified is None
            else [{"d": d, "inputs": k} for d, k in zip(part.budgets, point.certified, strict=True)],
        }
        for point in part.points
    ]
    counted = {"label": part.label, "inputs": part.inputs, "benign": part.benign, "copies": part.samples}
    counted["failed"] = stopping.failed(found)
    return record | counted | {"points": points, "cost": dict(found.environment.get("cost", {}))}


def _print_table(names: Sequence[str], filters: Sequence[Filter], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(filters[0].columns()):
        table.add_column(Text(column), justify="right" if number else "left", no_wrap=bool(number))
    for row in combined_rows(names, filters):
        table.add_row(*map(Text, row))
    console.print(table)
    console.print()
