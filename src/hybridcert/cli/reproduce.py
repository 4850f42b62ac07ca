"""`hybridcert reproduce`: a table or figure of the paper, measured on what is available here."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridcert.cli import execution, options
from hybridcert.cli.console import print_json, results
from hybridcert.cli.interrupts import Interrupted, held
from hybridcert.cli.rules import read_value
from hybridcert.errors import ModelError

EXAMPLE = "Example: hybridcert reproduce table2 --out runs/table2"

_VIOLATED = 1


def command(
    artefact: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="figure2, figure4, figure5, table1, table2, table3, table4, table5, table6, or all for "
            "all of them.",
        ),
    ],
    setting: Annotated[
        str | None,
        typer.Option(
            "--setting",
            metavar="NAME|FILE",
            help="Guard, pairs and noise: digits (default; all of it ships), hateful_memes, mm_safetybench, "
            "or a file.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="The folder of the pairs that a setting names. figure2: the file of the census table, "
            "which is fetched from OpenML without. all: a .parquet, .pq, .csv or .csv.gz file is the "
            "table, anything else the pairs.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Directory to write. Default: runs/reproduce-ID."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue in --out (default: the last of runs/reproduce-ID) with the counts that it has.",
        ),
    ] = False,
    limit: Annotated[
        str | None,
        typer.Option("--limit", metavar="N", help="Take N pairs, or test rows, at most, >= 1."),
    ] = None,
    executor: execution.Executor = None,
    workers: execution.Workers = None,
    ray_address: execution.RayAddress = None,
    num_gpus: execution.NumGpus = None,
    timeout: execution.Timeout = None,
    attempts: execution.Attempts = None,
    as_json: options.Json = False,
) -> None:
    """Measure a table or figure of the paper again, and compare it with what the paper reports.

    Writes the table, the figure, a comparison made from the numbers, and a page with all of it. Exit code 1
    means that an attack inside a certified budget violated a certificate (table4).
    """
    chosen = execution.read_execution(
        executor=executor,
        workers=workers,
        ray_address=ray_address,
        num_gpus=num_gpus,
        timeout=timeout,
        attempts=attempts,
    )
    rows = None if limit is None else read_value("limit", limit)
    with held():
        from hybridcert.cli.progress import ProgressLine
        from hybridcert.experiments.reproduction.registry import artefacts_of
        from hybridcert.experiments.reproduction.run import Request, reproduce
        from hybridcert.experiments.run_directory import (
            check_resumable,
            check_vacant,
            last_taken,
            next_vacant,
        )
        from hybridcert.reports.reproduction_page import write_reproduction
        from hybridcert.reports.write import write_report
    artefacts = artefacts_of(artefact)
    request = Request.of(artefacts, setting=setting, data=data, limit=rows, execution=chosen)
    target = out or (last_taken if resume else next_vacant)(Path("runs"), f"reproduce-{artefact}")
    (check_resumable if resume else check_vacant)(target)
    try:
        with ProgressLine() as progress:
            reproduce(
                request,
                target,
                resume=resume,
                finish=write_reproduction,
                finish_run=write_report,
                report=progress,
            )
    except KeyboardInterrupt:
        raise Interrupted(_kept(target)) from None
    except ModelError as error:
        raise ModelError(f"{error}; {_kept(target)}") from error
    places = [target] if len(artefacts) == 1 else [target / one.id for one in artefacts]
    _show(target, places, as_json=as_json)


def _kept(target: Path) -> str:
    """Say what an interrupted reproduction leaves behind, its runs of `certify` included."""
    from hybridcert.experiments.run_directory import STORE_FILE, stored_copies

    copies = sum(stored_copies(store.parent) for store in target.rglob(STORE_FILE))
    if not copies:
        return "nothing was written"
    return (
        f"the answers to {copies:,} copies are kept in {target}; continue with the same command and "
        f"--out {target} --resume"
    )


def _show(target: Path, places: Sequence[Path], *, as_json: bool) -> None:
    """Print every finding, and end with exit code 1 where a certificate was violated."""
    findings = [json.loads((place / "finding.json").read_text(encoding="utf-8")) for place in places]
    if as_json:
        print_json(
            {
                "directory": str(target),
                "findings": [_record(found, place) for found, place in zip(findings, places, strict=True)],
            }
        )
    else:
        for found, place in zip(findings, places, strict=True):
            _print(found, place)
    if any(found["facts"].get("violations") for found in findings):
        sys.stderr.write("an attack inside a certified budget violated a certificate: see table4\n")
        raise typer.Exit(_VIOLATED)


def _record(found: dict[str, Any], place: Path) -> dict[str, Any]:
    with (place / "table.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    kept = {key: found[key] for key in ("id", "title", "paragraphs", "facts")}
    return {**kept, "directory": str(place), "table": table}


def _print(found: dict[str, Any], place: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    console = results()
    head, *rows = found["shown"]
    table = Table(box=None, pad_edge=False, title=Text(found["title"]), title_justify="left", title_style="")
    for number, column in enumerate(head):
        table.add_column(Text(column), justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print()
    for paragraph in found["paragraphs"]:
        console.print(paragraph, markup=False)
    console.print(f"report: {place / 'report.html'}\n", markup=False)
