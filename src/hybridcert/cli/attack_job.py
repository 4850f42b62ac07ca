"""What `attack` does: find or make the run, attack it, say what came out."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from hybridcert.cli.attack_summary import print_attack, print_recheck
from hybridcert.cli.console import results
from hybridcert.cli.interrupts import Interrupted
from hybridcert.cli.progress import ProgressLine
from hybridcert.errors import ConfigError, ModelError
from hybridcert.experiments.attack.belonging import newest_belonging
from hybridcert.experiments.attack.files import attack_directory, recheck_counterexample
from hybridcert.experiments.attack.log import OUTCOMES_FILE
from hybridcert.experiments.attack.section import AttackSection
from hybridcert.experiments.config_paths import locate
from hybridcert.experiments.execution import Execution
from hybridcert.experiments.run_directory import is_unfinished, last_taken, next_vacant, stored_copies
from hybridcert.experiments.runs import Run, do_run, load
from hybridcert.experiments.sweep import SweepRun, expand
from hybridcert.reports.write import write_report

RUNS = Path("runs")


@dataclasses.dataclass(slots=True)
class AttackJob:
    """What was asked for on the command line, and which run it came to.

    Attributes
    ----------
    raw : mapping
        The configuration as read.
    source : Path
        The file that it came from.
    run, data, out : Path or None
    inputs : int or None
    resume : bool
    workers : int
    """

    raw: dict[str, Any]
    source: Path
    run: Path | None
    data: Path | None
    inputs: int | None
    out: Path | None
    resume: bool
    workers: int

    def configured(self) -> tuple[Run, AttackSection]:
        """Return what is attacked and how; the data are loaded.

        Raises
        ------
        ConfigError, DataError
            For a configuration that means nothing or several runs, and for broken data.
        """
        locate(self.raw, self.source.parent)
        if self.data is not None and isinstance(self.raw.get("data"), dict):
            self.raw["data"]["path"] = str(self.data.resolve())
        chosen = self._one_of(expand(self.raw, source=str(self.source)))
        section = chosen.config.attack or AttackSection()
        if self.inputs is not None:
            section = section.model_copy(update={"inputs": self.inputs})
        title = f"{self.source.stem} {chosen.directory}".strip()
        run = Run(
            config=chosen.config, data=load(chosen.config), title=title, limit=None, execution=Execution()
        )
        return run, section

    def _one_of(self, runs: list[SweepRun]) -> SweepRun:
        if "sweep" not in self.raw:
            return runs[0]
        names = [run.directory for run in runs]
        if self.run is None or self.run.name not in names:
            raise ConfigError(
                f"{self.source} is a sweep, of which one run is attacked at a time: name it with --run, such "
                f"as --run {RUNS / self.source.stem / names[0]} (of {', '.join(names)})"
            )
        return runs[names.index(self.run.name)]

    def to_continue(self) -> str:
        """Return the command that goes on."""
        given: dict[str, object] = {
            "--run": self.run,
            "--data": self.data,
            "--inputs": self.inputs,
            "--out": self.out,
        }
        if self.workers > 1:
            given["--workers"] = self.workers
        options = [part for name, value in given.items() if value is not None for part in (name, str(value))]
        return shlex.join(["hybridcert", "attack", str(self.source), *options, "--resume"])


def run_attack(job: AttackJob, *, as_json: bool) -> bool:
    """Attack a run, certified first if there is none; print what came out; return whether a claim is false.

    Raises
    ------
    HybridCertError
        For anything that is wrong with configuration, data, model, run or options.
    Interrupted
        With what is kept and how to go on.
    """
    run, section = job.configured()
    with ProgressLine() as progress:
        if job.run is None:
            job.run = newest_belonging(run, RUNS, job.source.stem) or _certified(job, run, progress)
        job.out = job.out or job.run / "attack"
        try:
            attacked = attack_directory(
                run,
                job.run,
                job.out,
                section=section,
                resume=job.resume,
                workers=job.workers,
                report=progress,
            )
        except KeyboardInterrupt:
            raise Interrupted(_what_is_kept(job)) from None
        except ModelError as error:
            raise ModelError(f"{error}; {_what_is_kept(job)}") from error
    print_attack(attacked, job.run, results(), config=job.source, as_json=as_json)
    return bool(attacked.campaign.violations)


def recheck_job(job: AttackJob, path: Path, *, as_json: bool) -> bool:
    """Judge a counterexample again; return whether it is confirmed.

    Raises
    ------
    HybridCertError
        For anything that is wrong with configuration, data, model, run or file.
    """
    run, section = job.configured()
    directory = job.run or newest_belonging(run, RUNS, job.source.stem)
    if directory is None:
        raise ConfigError(
            f"there is no run of {job.source} in {RUNS}: name the one that was attacked with --run"
        )
    with ProgressLine() as progress:
        found = recheck_counterexample(
            run, directory, path, seed=section.seed + 1, alpha=section.alpha, report=progress
        )
    print_recheck(found, path, results(), as_json=as_json)
    return found.confirmed


def _certified(job: AttackJob, run: Run, progress: ProgressLine) -> Path:
    """Certify as `certify` would, and return the run directory."""
    last = last_taken(RUNS, job.source.stem)
    going_on = job.resume and is_unfinished(last)
    target = last if going_on else next_vacant(RUNS, job.source.stem)
    sys.stderr.write(f"no complete run of {job.source} in {RUNS}: certifying into {target} first\n")
    try:
        do_run(run, target, resume=going_on, finish=write_report, report=progress)
    except KeyboardInterrupt:
        copies = stored_copies(target)
        kept = (
            f"the answers to {copies:,} noisy copies are kept in {target}"
            if copies
            else "nothing was written"
        )
        raise Interrupted(f"{kept}; continue with: {job.to_continue()}" if copies else kept) from None
    return target


def _what_is_kept(job: AttackJob) -> str:
    """Say in one line what an interrupted attack leaves behind, and how to go on."""
    assert job.out is not None
    path = job.out / OUTCOMES_FILE
    lines = path.read_text(encoding="utf-8").split("\n")[1:-1] if path.is_file() else []
    if not lines:
        return f"no attack was finished; begin again with: {job.to_continue()}"
    inputs = len({json.loads(line)["input"] for line in lines})
    return (
        f"{len(lines)} outcomes on {inputs} input{'s' * (inputs > 1)} are kept in {job.out}, of which an "
        f"input that is not complete is attacked again; continue with: {job.to_continue()}"
    )
