"""What `certify` and `demo tabular` do: make or continue a run directory, run by run; say what came out."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any

from hybridcert.cli.console import results
from hybridcert.cli.interrupts import Interrupted
from hybridcert.cli.progress import Prefixed, ProgressLine
from hybridcert.cli.rules import option_name
from hybridcert.cli.summary import print_summary
from hybridcert.errors import ModelError
from hybridcert.experiments.config_paths import locate
from hybridcert.experiments.execution import Execution
from hybridcert.experiments.identity import check_same_sweep
from hybridcert.experiments.run_directory import (
    CONFIG_FILE,
    SWEEP_COMPLETE,
    check_resumable,
    check_vacant,
    going_on,
    is_complete,
    last_taken,
    next_vacant,
    stored_copies,
    together,
)
from hybridcert.experiments.run_files import write_sweep_index
from hybridcert.experiments.runs import Data, Run, do_run, load
from hybridcert.experiments.sweep import SweepRun, expand
from hybridcert.reports.write import write_report, write_sweep_report


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What was asked for on the command line.

    Attributes
    ----------
    raw : mapping
        The configuration as read, with a sweep if it has one.
    source : Path
        The file that it came from.
    command : tuple of str
        Command and arguments without options, as typed.
    out, data : Path or None
    resume : bool
    limit : int or None
    execution : Execution
    mlflow : str or None
        Where to log finished runs.
    """

    raw: dict[str, Any]
    source: Path
    command: tuple[str, ...]
    out: Path | None
    resume: bool = False
    limit: int | None = None
    data: Path | None = None
    execution: Execution = dataclasses.field(default_factory=Execution)
    mlflow: str | None = None

    def place(self) -> Path:
        """Return the run directory: a vacant one or, with ``resume``, one to continue.

        Raises
        ------
        DataError
            When the one that was asked for is neither.
        """
        out = self.out
        if out is None:
            out = (last_taken if self.resume else next_vacant)(Path("runs"), self.source.stem)
        (check_resumable if self.resume else check_vacant)(out)
        return out

    def to_continue(self, target: Path) -> str:
        """Return the command that continues the run in ``target``."""
        arguments = ["hybridcert", *self.command, "--out", str(target), "--resume"]
        given = {"limit": self.limit, "data": self.data, "mlflow": self.mlflow}
        for field in dataclasses.fields(self.execution):
            value = getattr(self.execution, field.name)
            given[field.name] = None if value == field.default else value
        for key, value in given.items():
            if value is not None:
                arguments += [option_name(key), str(value)]
        return shlex.join(arguments)


def run_job(job: Job, *, as_json: bool) -> None:
    """Run a configuration and print what came out.

    Raises
    ------
    HybridCertError
        For anything that is wrong with configuration, data, model, options or run directory.
    Interrupted
        With what is kept and how to continue.
    """
    locate(job.raw, job.source.parent)
    if job.data is not None and isinstance(job.raw.get("data"), dict):
        job.raw["data"]["path"] = str(job.data.resolve())
    runs = expand(job.raw, source=str(job.source))
    target = job.place()
    if job.mlflow is not None:
        from hybridcert.experiments.tracking import check_tracking

        check_tracking(job.mlflow)
    if job.resume and not target.exists():
        sys.stderr.write(f"there is no {target} yet: starting from the beginning\n")
    try:
        _do_all(job, runs, target)
        print_summary(target, results(), as_json=as_json)
        if job.mlflow is not None:
            _log([target / run.directory for run in runs], job.mlflow)
    except KeyboardInterrupt:
        raise Interrupted(_what_is_kept(job, runs, target)) from None
    except ModelError as error:
        if not stored_copies(target):
            raise
        raise ModelError(f"{error}; {_what_is_kept(job, runs, target)}") from error


def _do_all(job: Job, runs: list[SweepRun], target: Path) -> None:
    """Do every run that is not complete."""
    tables = _load_all(runs)
    jobs = [
        Run(
            config=run.config,
            data=tables[run.config.data.model_dump_json()],
            title=f"{job.source.stem} {run.directory}".strip(),
            limit=job.limit,
            execution=job.execution,
        )
        for run in runs
    ]
    with ProgressLine() as progress:
        if "sweep" not in job.raw:
            do_run(jobs[0], target, resume=job.resume, finish=write_report, report=progress)
            return
        if job.resume and (target / CONFIG_FILE).is_file():
            check_same_sweep(target / CONFIG_FILE, job.raw)
        news = False
        with going_on(target, job.raw, resume=job.resume):
            for number, (run, what) in enumerate(zip(runs, jobs, strict=True), start=1):
                report = Prefixed(progress, f"run {number} of {len(runs)}: ")
                directory = target / run.directory
                news |= do_run(what, directory, resume=job.resume, finish=write_report, report=report)
            if news or not is_complete(target):
                with together(target, last=SWEEP_COMPLETE) as hidden:
                    write_sweep_index(hidden, runs, title=job.source.stem)
                    write_sweep_report(target, hidden)


def _load_all(runs: list[SweepRun]) -> dict[str, Data]:
    """Return the data of every run by its section of the configuration."""
    tables: dict[str, Data] = {}
    for run in runs:
        section = run.config.data.model_dump_json()
        if section not in tables:
            tables[section] = load(run.config)
    return tables


def _what_is_kept(job: Job, runs: list[SweepRun], target: Path) -> str:
    """Say in one line what an interrupted run leaves behind, and how to continue."""
    complete = sum(is_complete(target / run.directory) for run in runs)
    if is_complete(target):
        return f"{target} is complete; show it again with: {job.to_continue(target)}"
    copies = sum(
        stored_copies(target / run.directory) for run in runs if not is_complete(target / run.directory)
    )
    kept = [f"{complete} of {len(runs)} runs"] if complete else []
    kept += [f"the answers to {copies:,} noisy copies"] if copies else []
    if not kept:
        return "nothing was written"
    return f"{' and '.join(kept)} are kept in {target}; continue with: {job.to_continue(target)}"


def _log(directories: list[Path], uri: str) -> None:
    from hybridcert.experiments.tracking import log_run

    for directory in directories:
        run = log_run(directory, uri)
        if run is not None:
            sys.stderr.write(f"logged to MLflow: run {run}\n")
