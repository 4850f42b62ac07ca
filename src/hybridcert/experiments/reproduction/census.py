"""The census table and its runs: ordinary runs of `certify`, each in a directory of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hybridcert.errors import ConfigError
from hybridcert.experiments.config_files import read_mapping
from hybridcert.experiments.config_paths import without_places
from hybridcert.experiments.config_tabular import TabularConfig
from hybridcert.experiments.execution import Execution
from hybridcert.experiments.reproduction.settings import FOLDER, TABLE
from hybridcert.experiments.runs import Run, do_run, load
from hybridcert.experiments.sweep import SweepRun, expand
from hybridcert.experiments.training import Report


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Census:
    """The configurations that figure 2 is measured with, and where their runs go.

    Attributes
    ----------
    runs : tuple of SweepRun
    place : Path
        Directory that holds the directories of the runs.
    limit : int or None
        Rows of the test set, at most.
    execution : Execution
    resume : bool
    finish : callable(directory)
        Adds the report of a run to its directory.
    report : Report or None
    """

    runs: tuple[SweepRun, ...]
    place: Path
    limit: int | None
    execution: Execution
    resume: bool
    finish: Callable[[Path], object]
    report: Report | None

    def results(self, run: SweepRun) -> pd.DataFrame:
        """Do a run, or what is left of it, and return its results: one row per input and budget."""
        config = run.config
        assert isinstance(config, TabularConfig)
        directory = self.place / run.directory
        do_run(
            Run(
                config=config,
                data=load(config),
                title=f"census income {run.directory}".strip(),
                limit=self.limit,
                execution=self.execution,
            ),
            directory,
            resume=self.resume,
            finish=self.finish,
            report=self.report,
        )
        return pd.read_parquet(directory / "results.parquet")


def census_runs(data: Path | None) -> tuple[SweepRun, ...]:
    """Return the configurations, one for each combination of noise.

    Parameters
    ----------
    data : Path, optional
        The table; it is fetched from OpenML without.

    Raises
    ------
    ConfigError
        For a path that is no file.
    """
    raw = raw_census()
    if data is not None:
        if not data.is_file():
            raise ConfigError(f"--data must be the file of the census table for figure2, got {str(data)!r}")
        raw["data"]["path"] = str(data.resolve())
    return tuple(expand(raw, source=TABLE))


def raw_census() -> dict[str, Any]:
    """Return the configuration as it ships, with its sweep."""
    return read_mapping(FOLDER / f"{TABLE}.yaml")


def census_identity(runs: tuple[SweepRun, ...]) -> list[Mapping[str, Any]]:
    """Return what the counts of the runs depend on, but for the data, which have a digest of their own."""
    return [without_places(run.config.resolved()) for run in runs]
