"""A reproduction from beginning to end: enter its directory, measure what is lacking, write all files."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hybridcert.errors import ConfigError, DataError
from hybridcert.experiments.config_files import read_mapping
from hybridcert.experiments.execution import Execution
from hybridcert.experiments.reproduction.bench import Bench
from hybridcert.experiments.reproduction.census import Census, census_identity, census_runs
from hybridcert.experiments.reproduction.finding import Finding
from hybridcert.experiments.reproduction.registry import Artefact
from hybridcert.experiments.reproduction.settings import DEFAULT, PairsSetting, read_setting
from hybridcert.experiments.reproduction.writing import COMPARISON_FILE, write_finding, write_index
from hybridcert.experiments.run_directory import (
    COMPLETE,
    CONFIG_FILE,
    OpenRun,
    going_on,
    is_complete,
    together,
)
from hybridcert.experiments.run_files import describe_environment
from hybridcert.experiments.sweep import SweepRun
from hybridcert.experiments.training import Report
from hybridcert.sampling.store_identity import check_same, flatten

TABLE_ENDINGS = (".parquet", ".pq", ".csv", ".csv.gz")
"""How the file of a census table may end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What is to be reproduced.

    Attributes
    ----------
    artefacts : tuple of Artefact
    setting : PairsSetting or None
        None where nothing is about pairs.
    census : tuple of SweepRun
        Empty where nothing is about the census table.
    limit : int or None
        Pairs, and test rows, at most.
    execution : Execution
    """

    artefacts: tuple[Artefact, ...]
    setting: PairsSetting | None
    census: tuple[SweepRun, ...]
    limit: int | None
    execution: Execution

    @staticmethod
    def of(
        artefacts: tuple[Artefact, ...],
        *,
        setting: str | None = None,
        data: Path | None = None,
        limit: int | None = None,
        execution: Execution | None = None,
    ) -> Request:
        """Read the settings that the artefacts need.

        Parameters
        ----------
        setting : str, optional
            Name or file of a setting of pairs.
        data : Path, optional
            Where both kinds are asked for, a table by its ending, or else pairs.

        Raises
        ------
        ConfigError, DataError
            For settings and data that cannot be used.
        """
        kinds = {artefact.about for artefact in artefacts}
        if setting is not None and "pairs" not in kinds:
            raise ConfigError(f"--setting is about pairs, and {artefacts[0].id} has none, got {setting!r}")
        if data is not None and not data.exists():
            raise DataError(f"--data: {data} does not exist")
        is_table = data is not None and (
            "pairs" not in kinds or ("table" in kinds and data.name.endswith(TABLE_ENDINGS))
        )
        return Request(
            artefacts=artefacts,
            setting=read_setting(setting or DEFAULT, data=None if is_table else data)
            if "pairs" in kinds
            else None,
            census=census_runs(data if is_table else None) if "table" in kinds else (),
            limit=limit,
            execution=execution or Execution(),
        )

    def identity(self) -> dict[str, Any]:
        """Return what a directory is known by."""
        return {
            "reproduce": [artefact.id for artefact in self.artefacts],
            "limit": self.limit,
            "setting": None if self.setting is None else self.setting.identity(),
            "census": census_identity(self.census),
        }


def reproduce(
    request: Request,
    directory: Path,
    *,
    resume: bool,
    finish: Callable[[Path], object],
    finish_run: Callable[[Path], object],
    report: Report | None = None,
) -> None:
    """Measure every artefact that is not there yet, and write its files.

    One artefact lies in ``directory`` itself; several in a directory each, with an index beside them.

    Parameters
    ----------
    resume : bool
        Continue with the counts in the directory, if there are any.
    finish : callable(directory)
        Adds figure and page of a finding, or of an index, before the files appear in their place.
    finish_run : callable(directory)
        Adds the report of a run of `certify` that an artefact rests on.

    Raises
    ------
    RunMismatchError
        When the directory holds another reproduction.
    ConfigError, DataError, ModelError, StoreError
        For anything that cannot be used.
    """
    identity = request.identity()
    if resume and (directory / CONFIG_FILE).is_file():
        check_same(directory / CONFIG_FILE, flatten(read_mapping(directory / CONFIG_FILE)), flatten(identity))
    if resume and is_complete(directory):
        return
    single = len(request.artefacts) == 1
    with going_on(directory, identity, resume=resume) as opened:
        work = _Work(request, directory, opened, finish_run, report)
        try:
            index = []
            for artefact in request.artefacts:
                place = directory if single else directory / artefact.id
                index.append(_measured(work, artefact, place, finish))
            if not single:
                texts = [(directory / one["id"] / COMPARISON_FILE).read_text("utf-8") for one in index]
                with together(directory) as hidden:
                    environment = {"title": "the paper, reproduced", "parts": index}
                    write_index(hidden, index, environment, comparisons=texts)
                    finish(hidden)
        finally:
            work.close()


def _measured(
    work: _Work, artefact: Artefact, place: Path, finish: Callable[[Path], object]
) -> dict[str, Any]:
    """Measure one artefact, unless its directory is complete, and say where it is."""
    if not (place / COMPLETE).is_file():
        work.say(artefact.id)
        started = time.perf_counter()
        finding = artefact.measure(work.subject(artefact, place))
        environment = work.environment(artefact, finding, time.perf_counter() - started)
        place.mkdir(exist_ok=True)
        with together(place) as hidden:
            write_finding(hidden, artefact.id, finding, environment)
            finish(hidden)
    return {"id": artefact.id, "title": artefact.title, "directory": place.name}


class _Work:
    """What the artefacts of one request are measured with."""

    def __init__(
        self,
        request: Request,
        directory: Path,
        opened: OpenRun,
        finish_run: Callable[[Path], object],
        report: Report | None,
    ) -> None:
        self._request = request
        self._finish_run = finish_run
        self._report = report
        self._opened = opened
        self._calls: dict[str, int] = {}

    @functools.cached_property
    def bench(self) -> Bench:
        """The bench of all artefacts about pairs."""
        assert self._request.setting is not None
        return Bench(
            self._request.setting,
            limit=self._request.limit,
            execution=self._request.execution,
            open_store=self._opened.open_store,
            report=self._report,
        )

    def subject(self, artefact: Artefact, place: Path) -> Bench | Census:
        """Return what an artefact is measured on."""
        if artefact.about == "table":
            return Census(
                runs=self._request.census,
                place=place,
                limit=self._request.limit,
                execution=self._request.execution,
                resume=self._opened.resume,
                finish=self._finish_run,
                report=self._report,
            )
        self._calls = dict(self.bench.calls)
        return self.bench

    def environment(self, artefact: Artefact, finding: Finding, seconds: float) -> Mapping[str, Any]:
        """Return what a finding may depend on, and what it cost."""
        if artefact.about == "table":
            first = self._request.census[0].config
            return describe_environment(
                title=finding.title,
                seed=first.certificate.seed,
                data={"runs": finding.facts["runs"]},
                model={"estimator": "see the runs"},
                cost={"model_calls": 0, "sampling_seconds": seconds, "seconds": seconds},
            )
        setting, bench = self.bench.setting, self.bench
        pairs = bench.pairs
        spent = {key: count - self._calls.get(key, 0) for key, count in bench.calls.items()}
        return describe_environment(
            title=finding.title,
            seed=setting.claim.seed,
            data={
                "source": pairs.source,
                "sha256": pairs.sha256,
                "examined": pairs.examined,
                "pairs": len(pairs.pairs),
            },
            model=bench.guard(bench.slots, setting.noise.sigma).described,
            cost={**spent, "sampling_seconds": seconds, "seconds": seconds},
        )

    def say(self, name: str) -> None:
        """Report which artefact comes next."""
        if self._report is not None:
            self._report(name, 0, 0)

    def close(self) -> None:
        """Close what the guards hold open."""
        if "bench" in vars(self):
            self.bench.close()
