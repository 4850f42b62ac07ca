"""One configured run from beginning to end: enter its directory, sample what is lacking, write all files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hybridcert.datasets.tables import Table
from hybridcert.experiments.config import Config
from hybridcert.experiments.config_text import TextConfig
from hybridcert.experiments.execution import Execution
from hybridcert.experiments.identity import check_same_files, check_same_run, run_identity
from hybridcert.experiments.run_directory import CONFIG_FILE, STORE_FILE, going_on, is_complete, together
from hybridcert.experiments.run_files import describe_data, describe_environment, write_run
from hybridcert.experiments.tabular import TabularResult, load_table, run_tabular
from hybridcert.experiments.text import TextResult, Texts, load_texts, run_text, write_benign
from hybridcert.experiments.training import Report, steps
from hybridcert.sampling.store import RunStore


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What is to be run.

    Attributes
    ----------
    config : Config
    data : Table or Texts
        As `load` returns it for this configuration.
    title : str
    limit : int or None
        Certify the first rows of the test set only.
    execution : Execution
    """

    config: Config
    data: Table | Texts
    title: str
    limit: int | None
    execution: Execution

    @property
    def table(self) -> Table:
        """All the data."""
        return self.data if isinstance(self.data, Table) else self.data.table

    def split(self) -> tuple[Table, Table]:
        """Return the rows to train on and those to certify."""
        section = self.config.data
        train, test = self.table.split(test_rows=section.test_rows, seed=section.split_seed)
        return train, test if self.limit is None else test.head(self.limit)


def load(config: Config) -> Table | Texts:
    """Load the data that a configuration names; see `load_table` and `load_texts`."""
    return load_texts(config.data) if isinstance(config, TextConfig) else load_table(config.data)


def do_run(
    run: Run,
    directory: Path,
    *,
    resume: bool,
    finish: Callable[[Path], object],
    report: Report | None = None,
) -> bool:
    """Do a run, or what is left of it, in its directory; return False where it was complete before.

    Parameters
    ----------
    resume : bool
        Continue with the counts in the directory, if there are any.
    finish : callable(directory)
        Adds further files to a directory that has all others, before they appear in their place.

    Raises
    ------
    RunMismatchError
        When the directory holds a run of another configuration, other data or another model.
    ConfigError, DataError, ModelError, StoreError
        See `run_tabular` and `run_text`.
    """
    train, test = run.split()
    identity = run_identity(run.config, run.table, rows=len(test.X))
    if resume and (directory / STORE_FILE).is_file():
        check_same_run(directory / STORE_FILE, identity)
    elif resume and (directory / CONFIG_FILE).is_file():
        check_same_files(directory, identity)
    if resume and is_complete(directory):
        return False
    with going_on(directory, run.config.resolved(), resume=resume) as opened:

        def open_store(digest: str) -> RunStore:
            return opened.open_store(identity | {"model": {"sha256": digest}})

        found: TabularResult | TextResult
        if isinstance(run.config, TextConfig):
            found = run_text(
                run.config,
                train=train,
                test=test,
                execution=run.execution,
                open_store=open_store,
                report=report,
            )
        else:
            found = run_tabular(
                run.config,
                train=train,
                test=test,
                execution=run.execution,
                open_store=open_store,
                report=report,
            )
        with together(directory) as hidden:
            _write(hidden, run, found, describe_data(run.table, train=train, test=test), report)
            finish(hidden)
    return True


def _write(
    directory: Path,
    run: Run,
    found: TabularResult | TextResult,
    data: dict[str, Any],
    report: Report | None,
) -> None:
    if isinstance(found, TextResult):
        assert isinstance(run.data, Texts)
        write_benign(directory, found)
        data = data | {
            "duplicates_left_out": run.data.duplicates,
            "certified_rows": len(found.run),
            "false_alarm_rows": len(found.benign),
        }
    write_run(
        directory,
        run=found.run,
        target=found.target,
        config=run.config.resolved(),
        environment=describe_environment(
            title=run.title,
            seed=run.config.certificate.seed,
            data=data,
            model=found.model,
            cost=found.cost,
            failures=found.benign_failures if isinstance(found, TextResult) else {},
        ),
        progress=steps(report, "verifying"),
    )
