"""One configured run from beginning to end: enter its directory, sample what is lacking, write all files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hybridcert.datasets.tables import Table
from hybridcert.experiments.config import Config
from hybridcert.experiments.config_pairs import PairsConfig
from hybridcert.experiments.config_tabular import TabularConfig
from hybridcert.experiments.config_text import TextConfig
from hybridcert.experiments.execution import Execution
from hybridcert.experiments.identity import check_same_files, check_same_run, run_identity
from hybridcert.experiments.kept_inputs import of_fields, of_pairs, of_texts
from hybridcert.experiments.pairs import PairsResult, canvas_of, extras, run_pairs, write_false_alarms
from hybridcert.experiments.pairs_data import GuardPairs, load_pairs
from hybridcert.experiments.run_directory import CONFIG_FILE, STORE_FILE, going_on, is_complete, together
from hybridcert.experiments.run_files import (
    describe_data,
    describe_environment,
    describe_pairs,
    write_run,
)
from hybridcert.experiments.tabular import TabularResult, load_table, run_tabular
from hybridcert.experiments.text import TextResult, Texts, load_texts, run_text, write_benign
from hybridcert.experiments.training import Report, steps
from hybridcert.sampling.store import RunStore

Data = Table | Texts | GuardPairs
"""What a run is about, as `load` returns it."""

Found = TabularResult | TextResult | PairsResult

_OpenStore = Callable[[Mapping[str, Any]], RunStore]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What is to be run.

    Attributes
    ----------
    config : Config
    data : Table, Texts or GuardPairs
        As `load` returns it for this configuration.
    title : str
    limit : int or None
        Certify the first rows of the test set only.
    execution : Execution
    """

    config: Config
    data: Data
    title: str
    limit: int | None
    execution: Execution

    @property
    def whole(self) -> Table | GuardPairs:
        """All the data."""
        return self.data.table if isinstance(self.data, Texts) else self.data

    def split(self) -> tuple[Table, Table]:
        """Return the rows of a table to train on and those to certify."""
        assert isinstance(self.whole, Table)
        assert isinstance(self.config, TabularConfig | TextConfig)
        section = self.config.data
        train, test = self.whole.split(test_rows=section.test_rows, seed=section.split_seed)
        return train, test if self.limit is None else test.head(self.limit)

    def chosen(self) -> GuardPairs:
        """Return the pairs to certify or to count as benign: nothing is trained."""
        assert isinstance(self.data, GuardPairs)
        assert isinstance(self.config, PairsConfig)
        return self.data.chosen(self.config.data, limit=self.limit)

    def rows(self) -> int:
        """Return how many rows are asked about."""
        return len(self.chosen()) if isinstance(self.data, GuardPairs) else len(self.split()[1].X)


def load(config: Config) -> Data:
    """Load the data that a configuration names; see `load_table`, `load_texts` and `load_pairs`."""
    match config:
        case PairsConfig():
            return load_pairs(config.data)
        case TextConfig():
            return load_texts(config.data)
        case TabularConfig():
            return load_table(config.data)


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
        See `run_tabular`, `run_text` and `run_pairs`.
    """
    identity = run_identity(run.config, run.whole, rows=run.rows())
    if resume and (directory / STORE_FILE).is_file():
        check_same_run(directory / STORE_FILE, identity)
    elif resume and (directory / CONFIG_FILE).is_file():
        check_same_files(directory, identity)
    if resume and is_complete(directory):
        return False
    with going_on(directory, run.config.resolved(), resume=resume) as opened:

        def open_store(model: Mapping[str, Any]) -> RunStore:
            return opened.open_store(identity | {"model": dict(model)})

        found, data, further = _done(run, open_store, report)
        with together(directory) as hidden:
            _write(hidden, run, found, data, further, report)
            finish(hidden)
    return True


def _done(
    run: Run, open_store: _OpenStore, report: Report | None
) -> tuple[Found, dict[str, Any], Sequence[Mapping[str, Any]]]:
    """Return what was found, a description of the data, and further tables."""
    found: Found
    if isinstance(run.config, PairsConfig):
        pairs = run.chosen()
        found = run_pairs(run.config, pairs, execution=run.execution, open_store=open_store, report=report)
        assert isinstance(run.data, GuardPairs)
        return found, describe_pairs(run.data, chosen=pairs), extras(run.config, found)

    def of_trained(digest: str) -> RunStore:
        return open_store({"sha256": digest})

    train, test = run.split()
    assert isinstance(run.whole, Table)
    data = describe_data(run.whole, train=train, test=test)
    if isinstance(run.config, TextConfig):
        found = run_text(
            run.config,
            train=train,
            test=test,
            execution=run.execution,
            open_store=of_trained,
            report=report,
        )
        assert isinstance(run.data, Texts)
        data |= {
            "duplicates_left_out": run.data.duplicates,
            "certified_rows": len(found.run),
            "false_alarm_rows": len(found.benign),
        }
    else:
        found = run_tabular(
            run.config,
            train=train,
            test=test,
            execution=run.execution,
            open_store=of_trained,
            report=report,
        )
    return found, data, ()


def _write(
    directory: Path,
    run: Run,
    found: Found,
    data: Mapping[str, Any],
    further: Sequence[Mapping[str, Any]],
    report: Report | None,
) -> None:
    if isinstance(found, TextResult):
        write_benign(directory, found)
    if isinstance(found, PairsResult):
        write_false_alarms(directory, found)
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
            failures={} if isinstance(found, TabularResult) else found.benign_failures,
        ),
        extras=further,
        inputs=_inputs(run),
        thresholds=() if isinstance(run.config, TabularConfig) else run.config.report.thresholds,
        progress=steps(report, "verifying"),
    )


def _inputs(run: Run) -> pd.DataFrame | None:
    """Return what the certified inputs are, in the order of the results; None if they are not kept."""
    if not run.config.report.inputs:
        return None
    if isinstance(run.config, PairsConfig):
        chosen = run.chosen()
        certified = chosen.rows(chosen.flagged).pairs
        return of_pairs(certified.texts, certified.images, canvas_of(run.config))
    _, test = run.split()
    if isinstance(run.config, TabularConfig):
        return of_fields(test.X)
    flagged = test.y == run.config.certificate.label
    return of_texts(test.X.loc[flagged, run.config.data.text])
