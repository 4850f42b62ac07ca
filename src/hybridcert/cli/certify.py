"""`hybridcert certify`: sample, bound and certify a data set; write a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridcert.cli import options
from hybridcert.cli.console import results
from hybridcert.cli.query import read_value

if TYPE_CHECKING:
    from hybridcert.datasets.tables import Table
    from hybridcert.experiments.sweep import SweepRun
    from hybridcert.experiments.tabular import Report

EXAMPLE = "Example: hybridcert certify examples/adult.yaml --data adult.parquet --out runs/adult"


def command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="What to certify, and how.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Run directory to write; it must not exist or be empty. Default: runs/NAME.",
        ),
    ] = None,
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="N", help="Certify the first N test rows only, >= 1.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="Parquet or CSV file instead of the configured table."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Certify the test rows of a table: sample noisy copies, bound the scores, compute radii.

    Writes results, environment and a report into the run directory, all of it or nothing. Each statement
    holds with probability at least 1 - alpha, input by input.
    """
    rows = None if limit is None else read_value("limit", limit)
    from hybridcert.experiments.config import read_mapping

    certify(read_mapping(config), source=config, out=out, limit=rows, data=data, as_json=as_json)


def certify(
    raw: dict[str, Any],
    *,
    source: Path,
    out: Path | None,
    limit: int | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Run a configuration and print what came out; see `command`."""
    from hybridcert.experiments.sweep import expand

    _locate_data(raw, source, data)
    runs = expand(raw, source=str(source))

    from hybridcert.cli.progress import ProgressLine
    from hybridcert.cli.summary import print_summary
    from hybridcert.experiments.run_directory import check_vacant, next_vacant, staged, write_sweep_index
    from hybridcert.experiments.tabular import load_table
    from hybridcert.reports.write import write_report

    target = next_vacant(Path("runs"), source.stem) if out is None else out
    check_vacant(target)
    tables: dict[str, Table] = {}
    for run in runs:
        section = run.config.data
        if section.model_dump_json() not in tables:
            tables[section.model_dump_json()] = load_table(section)
    with staged(target) as scratch, ProgressLine() as progress:
        for number, run in enumerate(runs, start=1):
            prefix = f"run {number} of {len(runs)}: " if len(runs) > 1 else ""
            table = tables[run.config.data.model_dump_json()]
            _one(
                run,
                table,
                directory=scratch / run.directory,
                title=f"{source.stem} {run.directory}".strip(),
                limit=limit,
                report=_prefixed(progress, prefix),
            )
        if "sweep" in raw:
            write_sweep_index(scratch, raw, runs, title=source.stem)
        write_report(scratch)
    print_summary(target, results(), as_json=as_json)


def _one(
    run: SweepRun, table: Table, *, directory: Path, title: str, limit: int | None, report: Report
) -> None:
    from hybridcert.experiments.run_directory import describe_data, describe_environment, write_run
    from hybridcert.experiments.tabular import run_tabular

    train, test = table.split(test_rows=run.config.data.test_rows, seed=run.config.data.split_seed)
    if limit is not None:
        test = test.head(limit)
    found = run_tabular(run.config, train=train, test=test, report=report)
    write_run(
        directory,
        run=found.run,
        target=found.target,
        config=run.config.resolved(),
        environment=describe_environment(
            title=title,
            seed=run.config.certificate.seed,
            data=describe_data(table, train=train, test=test),
            model=found.model,
            cost=found.cost,
        ),
    )


def _prefixed(report: Report, prefix: str) -> Report:
    return lambda what, done, total: report(prefix + what, done, total)


def _locate_data(raw: dict[str, Any], source: Path, data: Path | None) -> None:
    """Put ``--data`` in place of the configured path; other paths are relative to the configuration."""
    section = raw.get("data")
    if not isinstance(section, dict):
        return
    if data is not None:
        section["path"] = str(data.resolve())
    elif isinstance(section.get("path"), str):
        section["path"] = str((source.parent / section["path"]).resolve())
