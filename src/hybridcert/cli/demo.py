"""`hybridcert demo`: the main job on data and a model that ship with the package."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from hybridcert.cli import options
from hybridcert.cli.console import results
from hybridcert.cli.interrupts import held

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
    as_json: options.Json = False,
) -> None:
    """Certify held-out inputs of a demo, without a network: train, smooth, sample, bound, report."""
    match which:
        case Demo.TABULAR:
            _tabular(out, as_json=as_json)
        case Demo.VLM:
            _vlm(out, as_json=as_json)
        case Demo.MULTIMODAL:
            _multimodal(out, as_json=as_json)


def _tabular(out: Path | None, *, as_json: bool) -> None:
    with held():
        import hybridcert.experiments.config as experiments
        from hybridcert.cli.job import Job, run_job
    source = Path(experiments.__file__).with_name("demo-tabular.yaml")
    raw = experiments.read_mapping(source)
    run_job(Job(raw=raw, source=source, command=("certify", str(source)), out=out), as_json=as_json)


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


def _vlm(out: Path | None, *, as_json: bool) -> None:
    with held():
        from hybridcert.cli.progress import ProgressLine
        from hybridcert.cli.summary import print_summary
        from hybridcert.experiments.run_directory import check_vacant, next_vacant, staged
        from hybridcert.experiments.vlm_demo import DemoSettings, run_demo, store_of
        from hybridcert.experiments.vlm_demo_report import ANYWHERE, write_demo
        from hybridcert.reports.write import write_report
        from hybridcert.sampling.executors.processes import Processes
    target = next_vacant(Path("runs"), "demo-vlm") if out is None else out
    check_vacant(target)
    settings = DemoSettings()
    with staged(target) as scratch, ProgressLine() as progress:
        with store_of(scratch, settings) as store:
            found = run_demo(settings, store=store, executor=Processes(), report=progress)
        write_demo(scratch, found)
        write_report(scratch / ANYWHERE)
        write_report(scratch)
    print_summary(target, results(), as_json=as_json)
