"""Options that say where model calls are made; results do not depend on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hybridcert.cli.interrupts import held
from hybridcert.cli.rules import option_name, read_value
from hybridcert.errors import ParameterError

if TYPE_CHECKING:
    from hybridcert.experiments.execution import Execution

_PANEL = "Where the model is asked (results do not depend on it)"


def _option(name: str, metavar: str, text: str) -> object:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=_PANEL)


Executor = Annotated[
    str | None,
    _option(
        "--executor",
        "NAME",
        "processes, serial (this process alone) or ray (extra `ray`). Default: processes, or serial for "
        "little work and for guards on pairs, which every process would load.",
    ),
]
Workers = Annotated[
    str | None,
    _option("--workers", "N", "processes, ray: workers, >= 1. Default: one for each core."),
]
RayAddress = Annotated[
    str | None,
    _option("--ray-address", "A", "ray: a running cluster, such as auto. Default: start a local one."),
]
NumGpus = Annotated[
    str | None,
    _option(
        "--num-gpus",
        "N",
        "processes: GPUs that workers share in turn. ray: GPUs of each worker, also 0.5.",
    ),
]
Timeout = Annotated[
    str | None,
    _option("--timeout", "S", "processes, ray: seconds that one model call may take. Default: any time."),
]
Attempts = Annotated[
    str | None,
    _option(
        "--attempts",
        "N",
        "So often noisy copies are drawn, always the same ones, before their input is reported as failed. "
        "Default: 3.",
    ),
]


def read_execution(
    *,
    executor: str | None,
    workers: str | None,
    ray_address: str | None,
    num_gpus: str | None,
    timeout: str | None,
    attempts: str | None,
) -> Execution:
    """Check the options, alone and together.

    Raises
    ------
    ParameterError
        Naming the option, its value and the range, or the executor that it belongs to.
    """
    given = {
        "executor": executor,
        "workers": workers,
        "num_gpus": num_gpus,
        "timeout": timeout,
        "attempts": attempts,
    }
    values = {key: read_value(key, raw) for key, raw in given.items() if raw is not None}
    chosen = values.get("executor")
    if ray_address is not None:
        if chosen != "ray":
            got = chosen or "processes"
            raise ParameterError(f"--ray-address belongs to --executor ray, got --executor {got}")
        values["ray_address"] = ray_address
    if chosen == "serial":
        for key in ("workers", "num_gpus", "timeout"):
            if key in values:
                raise ParameterError(
                    f"{option_name(key)} belongs to --executor processes or ray, got --executor serial"
                )
    gpus = values.get("num_gpus", 0.0)
    if chosen != "ray" and gpus != int(gpus):
        raise ParameterError(f"--num-gpus must be an integer >= 0 with --executor processes, got {num_gpus}")
    with held():
        from hybridcert.experiments.execution import Execution
    return Execution(**values)
