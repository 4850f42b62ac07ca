"""`hybridcert demo`: the main job on data and a model that ship with the package."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from hybridcert.cli import options
from hybridcert.cli.console import results
from hybridcert.cli.interrupts import Interrupted, held
from hybridcert.cli.kept import kept_in
from hybridcert.errors import ParameterError

EXAMPLE = "Example: hybridcert demo --out runs/first-look"


class Demo(enum.StrEnum):
    """What can be shown."""

    MULTIMODAL = "multimodal"
    TABULAR = "tabular"
    VLM = "vlm"


def command(
    which: Annotated[
        Demo,
        typer.Argument(
            metavar="[multimodal|tabular|vlm]",
            help="An image-text filter under suffix tokens and image noise; census data under changed fields "
            "and numbers; or a small vision-language guard under suffixes and insertions (extra `vlm`).",
        ),
    ] = Demo.MULTIMODAL,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Run directory to write. Default: runs/demo-..."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue in --out, by default the last of runs/demo-... (not multimodal)."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Certify held-out inputs of a demo, without a network: train, smooth, sample, bound, report."""
    match which:
        case Demo.TABULAR:
            _tabular(out, resume=resume, as_json=as_json)
        case Demo.VLM:
            _vlm(out, resume=resume, as_json=as_json)
        case Demo.MULTIMODAL:
            if resume:
                raise ParameterError(
                    "--resume: demo multimodal takes 20 seconds and keeps nothing: run it anew"
                )
            _multimodal(out, as_json=as_json)


def _tabular(out: Path | None, *, resume: bool, as_json: bool) -> None:
    with held():
        import hybridcert.experiments.config as experiments
        from hybridcert.cli.job import Job, run_job
    source = Path(experiments.__file__).with_name("demo-tabular.yaml")
    raw = experiments.read_mapping(source)
    job = Job(raw=raw, source=source, command=("certify", str(source)), out=out, resume=resume)
    run_job(job, as_json=as_json)


def _multimodal(out: Path | None, *, as_json: bool) -> None:
    with held():
        from hybridcert.cli.progress import ProgressLine
        from hybridcert.cli.summary import print_summary
        from hybridcert.experiments.multimodal import DemoSettings, run_demo
        from hybridcert.experiments.multimodal_report import write_demo
        from hybridcert.experiments.run_directory import check_vacant, next_vacant, staged
        from hybridcert.reports.write import write_report
    target = next_vacant(Path("runs"), "demo-multimodal") if out is None else out
    check_vacant(target)
    with staged(target) as scratch, ProgressLine() as progress:
        write_demo(scratch, run_demo(DemoSettings(), report=progress))
        write_report(scratch)
    print_summary(target, results(), as_json=as_json)


def _vlm(out: Path | None, *, resume: bool, as_json: bool) -> None:
    with held():
        from hybridcert.cli.progress import ProgressLine
        from hybridcert.cli.summary import print_summary
        from hybridcert.experiments.run_directory import (
            check_resumable,
            check_vacant,
            is_complete,
            last_taken,
            next_vacant,
        )
        from hybridcert.experiments.vlm_demo import DemoSettings
        from hybridcert.experiments.vlm_demo_report import do_demo
        from hybridcert.reports.write import write_report
        from hybridcert.sampling.executors.processes import Processes
    runs = Path("runs")
    target = out or (last_taken if resume else next_vacant)(runs, "demo-vlm")
    (check_resumable if resume else check_vacant)(target)
    if not (resume and is_complete(target)):
        try:
            with ProgressLine() as progress:
                do_demo(
                    DemoSettings(),
                    target,
                    resume=resume,
                    executor=Processes(),
                    finish=write_report,
                    report=progress,
                )
        except KeyboardInterrupt:
            raise Interrupted(kept_in(target)) from None
    print_summary(target, results(), as_json=as_json)
