"""`hybridcert certify`: sample, bound and certify a data set; write a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridcert.cli import execution, options
from hybridcert.cli.interrupts import held
from hybridcert.cli.rules import read_value

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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in --out (default: the last of runs/NAME, runs/NAME-2, ...) with the "
            "counts that it has. Another configuration, other data or another model is refused.",
        ),
    ] = False,
    limit: Annotated[
        str | None,
        typer.Option(
            "--limit",
            metavar="N",
            help="Certify the first N test rows (of pairs: take the first N) only, >= 1.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="File or folder instead of the configured data.path."),
    ] = None,
    executor: execution.Executor = None,
    workers: execution.Workers = None,
    ray_address: execution.RayAddress = None,
    num_gpus: execution.NumGpus = None,
    timeout: execution.Timeout = None,
    attempts: execution.Attempts = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            "--mlflow",
            metavar="URI",
            help="Log the finished run to this MLflow tracking server, such as http://localhost:5000 "
            "(extra `mlflow`).",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Certify a table's test rows, a filter on texts, or a guard on pairs of prompt and image.

    Samples noisy copies, bounds scores and computes radii.

    Counts are kept in the run directory as they are drawn, so that a run that was interrupted or killed
    goes on with --resume and ends with the same certificates. Results, environment and report appear there
    together at the end. Each statement holds with probability at least 1 - alpha, input by input.
    """
    rows = None if limit is None else read_value("limit", limit)
    chosen = execution.read_execution(
        executor=executor,
        workers=workers,
        ray_address=ray_address,
        num_gpus=num_gpus,
        timeout=timeout,
        attempts=attempts,
    )
    with held():
        from hybridcert.cli.job import Job, run_job
        from hybridcert.experiments.config import read_mapping

    raw = read_mapping(config)
    run_job(
        Job(
            raw=raw,
            source=config,
            command=("certify", str(config)),
            out=out,
            resume=resume,
            limit=rows,
            data=data,
            execution=chosen,
            mlflow=mlflow,
        ),
        as_json=as_json,
    )
