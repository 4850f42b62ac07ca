"""`hybridcert certify`: sample, bound and certify a data set; write a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridcert.cli import options
from hybridcert.cli.console import results
from hybridcert.cli.rules import read_value

if TYPE_CHECKING:
    from hybridcert.datasets.tables import Table
    from hybridcert.experiments.config import Config
    from hybridcert.experiments.config_tabular import TabularConfig
    from hybridcert.experiments.config_text import TextConfig
    from hybridcert.experiments.text import Texts
    from hybridcert.experiments.training import Report

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
    """Certify a table's test rows, or a filter on texts: sample noisy copies, bound scores, compute radii.

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
    from hybridcert.reports.write import write_report

    target = next_vacant(Path("runs"), source.stem) if out is None else out
    check_vacant(target)
    tables: dict[str, Table | Texts] = {}
    for run in runs:
        section = run.config.data.model_dump_json()
        if section not in tables:
            tables[section] = _load(run.config)
    with staged(target) as scratch, ProgressLine() as progress:
        for number, run in enumerate(runs, start=1):
            prefix = f"run {number} of {len(runs)}: " if len(runs) > 1 else ""
            _one(
                run.config,
                tables[run.config.data.model_dump_json()],
                directory=scratch / run.directory,
                title=f"{source.stem} {run.directory}".strip(),
                limit=limit,
                report=_prefixed(progress, prefix),
            )
        if "sweep" in raw:
            write_sweep_index(scratch, raw, runs, title=source.stem)
        write_report(scratch)
    print_summary(target, results(), as_json=as_json)


def _load(config: Config) -> Table | Texts:
    from hybridcert.experiments.config_text import TextConfig

    if isinstance(config, TextConfig):
        from hybridcert.experiments.text import load_texts

        return load_texts(config.data)
    from hybridcert.experiments.tabular import load_table

    return load_table(config.data)


def _one(
    config: Config, data: Table | Texts, *, directory: Path, title: str, limit: int | None, report: Report
) -> None:
    from hybridcert.datasets.tables import Table
    from hybridcert.experiments.config_text import TextConfig

    table = data if isinstance(data, Table) else data.table
    train, test = table.split(test_rows=config.data.test_rows, seed=config.data.split_seed)
    if limit is not None:
        test = test.head(limit)
    if isinstance(config, TextConfig):
        assert not isinstance(data, Table)
        _text(config, data, train=train, test=test, directory=directory, title=title, report=report)
    else:
        _tabular(config, table, train=train, test=test, directory=directory, title=title, report=report)


def _tabular(
    config: TabularConfig,
    table: Table,
    *,
    train: Table,
    test: Table,
    directory: Path,
    title: str,
    report: Report,
) -> None:
    from hybridcert.experiments.run_directory import describe_data, describe_environment, write_run
    from hybridcert.experiments.tabular import run_tabular

    found = run_tabular(config, train=train, test=test, report=report)
    write_run(
        directory,
        run=found.run,
        target=found.target,
        config=config.resolved(),
        environment=describe_environment(
            title=title,
            seed=config.certificate.seed,
            data=describe_data(table, train=train, test=test),
            model=found.model,
            cost=found.cost,
        ),
        progress=lambda done, total: report("verifying", done, total),
    )


def _text(
    config: TextConfig,
    texts: Texts,
    *,
    train: Table,
    test: Table,
    directory: Path,
    title: str,
    report: Report,
) -> None:
    from hybridcert.experiments.run_directory import describe_data, describe_environment
    from hybridcert.experiments.text import run_text, write_text_run

    found = run_text(config, train=train, test=test, report=report)
    data = describe_data(texts.table, train=train, test=test)
    write_text_run(
        directory,
        found,
        config=config,
        environment=describe_environment(
            title=title,
            seed=config.certificate.seed,
            data=data
            | {"duplicates_left_out": texts.duplicates, "certified_rows": len(found.run)}
            | {"false_alarm_rows": len(found.benign)},
            model=found.model,
            cost=found.cost,
        ),
        report=report,
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
