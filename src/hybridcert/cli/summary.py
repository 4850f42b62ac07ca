"""What a command prints when a run is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridcert.baselines.naive_product import UNSOUND
from hybridcert.certificate.directed import format_exact
from hybridcert.cli.console import print_json
from hybridcert.cli.cost import cost_line
from hybridcert.cli.filter_summary import filter_record, print_filter
from hybridcert.documents.issue import FILE_NAME
from hybridcert.reports import naive, stopping, terms, wording
from hybridcert.reports.run_data import RunData, SweepData, read_directory
from hybridcert.reports.tables import certified_accuracy, certified_count, headline, percent, short_names

if TYPE_CHECKING:
    from rich.console import Console


def print_summary(directory: Path, console: Console, *, as_json: bool) -> None:
    """Print what the run or sweep in a directory found, and where its report lies."""
    found = read_directory(directory)
    if (found.runs[0] if isinstance(found, SweepData) else found).benign is not None:
        if as_json:
            print_json(filter_record(found, directory))
        else:
            print_filter(found, directory, console)
    elif as_json:
        print_json(_record(found))
    elif isinstance(found, SweepData):
        for values, run in zip(found.values, found.runs, strict=True):
            pairs = zip(short_names(found.keys), values, strict=True)
            console.print("[bold]" + ", ".join(f"{key} = {value}" for key, value in pairs) + "[/]")
            for sentence in stopping.sentences(run):
                console.print(sentence, markup=False)
            _print_counts(run, console)
            if naive.applies(run):
                console.print(f"{UNSOUND}: {naive.counts(run)}\n", markup=False)
        for sentence in dict.fromkeys(map(wording.meaning, found.runs)):
            console.print(sentence, markup=False)
        console.print()
        _print_cost(found.runs, console)
        console.print(f"report: {directory / 'report.html'}", markup=False)
        _print_check(directory, found.runs[0], console)
    else:
        print_run(found, console)


def print_run(run: RunData, console: Console) -> None:
    """Print one run: result and meaning, certified counts, accuracy, cost, report."""
    console.print(wording.result(run), markup=False)
    console.print(wording.meaning(run), markup=False)
    for sentence in stopping.sentences(run):
        console.print(sentence, markup=False)
    console.print()
    _print_counts(run, console)
    for extra in run.extras:
        _print_extra(extra, console)
    if naive.applies(run):
        _print_naive(run, console)
    _print_cost([run], console)
    console.print(f"report: {run.directory / 'report.html'}", markup=False)
    _print_check(run.directory, run, console)


def _print_cost(runs: Sequence[RunData], console: Console) -> None:
    costs = [run.environment["cost"] for run in runs if "cost" in run.environment]
    if costs:
        console.print(cost_line(costs), markup=False)


def _print_counts(run: RunData, console: Console) -> None:
    from rich.table import Table

    found = headline(run)
    table = Table(
        box=None,
        pad_edge=False,
        title=f"{terms.counted(run)}, of {found.inputs} inputs",
        title_justify="left",
        title_style="",
    )
    continuous = run.norm != "none"
    table.add_column("ε" if continuous else "", justify="left", no_wrap=True)
    for eps in run.eps:
        table.add_column(format_exact(eps) if continuous else "", justify="right", no_wrap=True)
    for budget in run.budgets:
        counts = [certified_count(run, budget, eps) for eps in run.eps]
        table.add_row(run.name_of(budget), *map(str, counts))
    console.print(table)
    parts = []
    if found.clean_right is not None:
        parts.append(f"base classifier right without noise {_share(found.clean_right, found.inputs)}")
    if found.right is not None:
        parts.append(f"{terms.unattacked(run)} {_share(found.right, found.inputs)}")
    parts.append(f"abstained {_share(found.abstained, found.inputs)}")
    if found.constant is not None:
        labels, count = found.constant
        parts.append(f"trivial rival: {terms.rival(run, labels)}, {_share(count, found.inputs)}")
    console.print("; ".join(parts), markup=False)
    console.print()


def _print_extra(extra: Mapping[str, Any], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, title=Text(extra["title"]), title_justify="left", title_style="")
    for number, column in enumerate(extra["columns"]):
        table.add_column(Text(str(column)), justify="right" if number else "left")
    for row in extra["rows"]:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    console.print(table)
    if extra.get("text"):
        console.print(extra["text"], markup=False)
    console.print()


def _print_naive(run: RunData, console: Console) -> None:
    """Print the rival that is wrong: one line per budget, after everything that is a certificate."""
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        title=f"{UNSOUND}: the naive product, all ε > 0 together",
        title_justify="left",
        title_style="",
    )
    table.add_column("")
    table.add_column("claims", justify="right")
    table.add_column("not supported by the joint certificate", justify="right")
    for name, rows in naive.by_budget(run):
        table.add_row(name, str(rows["claimed"].sum()), str(rows["unsupported"].sum()))
    console.print(table)
    console.print(f"{naive.REASON} {naive.counts(run)}", markup=False)
    console.print()


def _print_check(directory: Path, run: RunData, console: Console) -> None:
    issued = run.directory / FILE_NAME
    if issued.is_file() and issued.stat().st_size:
        console.print(f"check every certificate: hybridcert verify {directory}", markup=False)


def _share(count: int, inputs: int) -> str:
    return f"{count}/{inputs} ({percent(count, inputs)} %)"


def _record(found: RunData | SweepData) -> dict[str, Any]:
    if isinstance(found, SweepData):
        return {
            "directory": str(found.directory),
            "report": str(found.directory / "report.html"),
            "runs": [
                {"values": dict(zip(found.keys, values, strict=True)), **_record(run)}
                for values, run in zip(found.values, found.runs, strict=True)
            ],
        }
    counts = headline(found)
    table = certified_accuracy(found)
    points = table[[*found.budget_columns, "eps", "certified"]].to_dict("records")
    claims = naive.naive_product(found)
    target = stopping.target_of(found)
    return {
        "directory": str(found.directory),
        "report": str(found.directory / "report.html"),
        "inputs": counts.inputs,
        "clean_right": counts.clean_right,
        "claim": found.settings.get("claim"),
        "norm": found.norm,
        "smoothed_right": counts.right if terms.is_decisive(found) else None,
        "abstained": counts.abstained,
        "failed": stopping.failed(found),
        "target": None if target is None else {"d": target.d, "eps": target.eps, "met": target.met},
        "constant_right": None if counts.constant is None else counts.constant[1],
        "certified": points,
        "tables": [dict(extra) for extra in found.extras],
        "unsound_naive_product": None
        if found.rank is not None
        else {
            "sound": False,
            "guarantee": "none",
            "claimed": int(claims["claimed"].sum()),
            "unsupported": int(claims["unsupported"].sum()),
        },
        "cost": dict(found.environment.get("cost", {})),
    }
