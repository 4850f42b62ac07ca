"""`hybridcert attack`: attack what a run certified, inside its certified budgets and beyond them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridcert.cli import options
from hybridcert.cli.interrupts import held
from hybridcert.cli.rules import read_value

EXAMPLE = "Example: hybridcert attack examples/adult.yaml --data adult.parquet --run runs/adult"

_VIOLATED = 1


def command(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.yaml",
            help="What was certified; its section `attack`, if any, says how to attack.",
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="DIR",
            help="The run to attack. Default: the newest complete one of runs/NAME, runs/NAME-2, ... that "
            "belongs to the configuration and data; without any, certify first.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="File or folder instead of the configured data.path."),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option("--inputs", metavar="N", help="Attack N of the certified inputs, >= 1. Default: 20."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where outcomes go. Default: attack in the run."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the outcomes in --out, or with the certification that was interrupted before.",
        ),
    ] = False,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers", metavar="N", help="Processes that attack inputs, >= 1. Default: this one alone."
        ),
    ] = None,
    recheck: Annotated[
        Path | None,
        typer.Option(
            "--recheck", metavar="FILE", help="Judge this counterexample again, on other copies, and stop."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Attack certified inputs, and print the paper's Table 4 with the numbers found.

    The smoothed classifier is attacked within the largest certified budget of each input, where no attack
    may succeed, and within larger ones. The base classifier is attacked without noise beside it.
    Fresh copies judge what was found. The exit code is 0 if no certified claim turned out to be false,
    and 1 if one did: the counterexample is saved.
    """
    processes = 1 if workers is None else read_value("workers", workers)
    count = None if inputs is None else read_value("limit", inputs, lambda _: "--inputs")
    with held():
        from hybridcert.cli.attack_job import AttackJob, recheck_job, run_attack
        from hybridcert.experiments.config import read_mapping

    job = AttackJob(
        raw=read_mapping(config),
        source=config,
        run=run,
        data=data,
        inputs=count,
        out=out,
        resume=resume,
        workers=processes,
    )
    if recheck is not None:
        false = recheck_job(job, recheck, as_json=as_json)
    else:
        false = run_attack(job, as_json=as_json)
    if false:
        raise typer.Exit(_VIOLATED)
