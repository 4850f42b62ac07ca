"""Where and how model calls are made. Nothing of it changes a result."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from hybridcert.sampling.engine import Retries
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.executors.processes import Processes, available_cores
from hybridcert.sampling.executors.serial import Serial
from hybridcert.sampling.rounds import TASK

FEW_COPIES = 1_000_000
"""Up to so many copies, processes are not worth starting where nobody asked for them.

A worker takes one to two seconds to import and load what a classifier needs. In that time this process draws
and classifies some hundred thousand copies with a scikit-learn pipeline, and ten times as many where a linear
model is evaluated on codes.
"""

FEW_CHEAP_COPIES = 10 * FEW_COPIES
"""The same for models that are evaluated on codes."""

Name = Literal["processes", "serial", "ray"]


@dataclasses.dataclass(frozen=True, slots=True)
class Execution:
    """How a run asks its model.

    Attributes
    ----------
    executor : {"processes", "serial", "ray"}, optional
        None: processes, or this process alone for little work.
    workers : int >= 1, optional
        Default: the cores that this process may use; for Ray, those of the cluster.
    ray_address : str, optional
        Of a running Ray cluster; a local one is started without it.
    num_gpus : float >= 0
        GPUs that all processes share, or of each Ray worker.
    timeout : seconds > 0, optional
        For one model call.
    attempts : int >= 1
        So often a block is drawn before its input is given up.
    """

    executor: Name | None = None
    workers: int | None = None
    ray_address: str | None = None
    num_gpus: float = 0.0
    timeout: float | None = None
    attempts: int = 3

    @property
    def retries(self) -> Retries:
        """How often a block is drawn."""
        return Retries(self.attempts)

    def executor_for(self, copies: int, *, cheap: bool, task: int = TASK) -> Executor:
        """Return an executor for at most so many copies; it has no more workers than there are tasks.

        Parameters
        ----------
        copies : int
        cheap : bool
            Whether the model is evaluated on codes.
        task : int
            Copies in a task at most.
        """
        match self.executor:
            case "serial":
                return Serial()
            case "ray":
                from hybridcert.sampling.executors.ray import RayCluster

                return RayCluster(
                    address=self.ray_address,
                    workers=self.workers,
                    num_gpus=self.num_gpus,
                    timeout=self.timeout,
                )
            case None if not self.is_asked and copies <= (FEW_CHEAP_COPIES if cheap else FEW_COPIES):
                return Serial()
        tasks = -(-copies // task)
        workers = min(available_cores() if self.workers is None else self.workers, max(1, tasks))
        return Processes(workers=workers, num_gpus=int(self.num_gpus), timeout=self.timeout)

    @property
    def is_asked(self) -> bool:
        """Whether something asks for processes: an executor, workers, a time limit or GPUs."""
        return not (
            self.executor is None and self.workers is None and self.timeout is None and not self.num_gpus
        )


def describe_executor(executor: Executor) -> dict[str, Any]:
    """Return the executor's name and number of workers, as a run's cost states them."""
    workers = getattr(executor, "workers", 1)
    names = {"Serial": "serial", "Processes": "processes", "RayCluster": "ray"}
    kind = type(executor).__name__
    return {"executor": names.get(kind, kind), "workers": workers}
