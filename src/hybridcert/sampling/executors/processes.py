"""The executor of one machine: worker processes that are started afresh and replaced when they fail."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import multiprocessing
import multiprocessing.connection
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.blocks import Work, described
from hybridcert.sampling.executors.executor import Session
from hybridcert.sampling.executors.pool import Event, Pool
from hybridcert.sampling.executors.worker_process import WorkerProcess, end_if_starting

SECOND_LOOK = 1.0
"""Seconds between looks for dead workers whose descendants keep their pipes open."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclasses.dataclass(frozen=True, slots=True)
class Processes:
    """Worker processes on this machine.

    Every worker is a fresh interpreter that gets the pickled classifier once. Workers start when there are
    tasks for them. One that dies, or takes longer than ``timeout`` over a task, is replaced.

    Parameters
    ----------
    workers : int >= 1, optional
        Default: the cores that this process may use.
    num_gpus : int >= 0
        GPUs that the workers share in turn: each sees one of them, the first of ``CUDA_VISIBLE_DEVICES``
        where that is set. 0 leaves the variable as it is.
    threads : int >= 1
        Threads of numerical libraries in each worker, by the variables of OpenMP, OpenBLAS and MKL.
    timeout : seconds > 0, optional
        For one task, counted from when its worker began with it. Starting and loading are not timed.

    Notes
    -----
    The main script is imported by workers only where the classifier refers to it (a class or function that it
    defines); then what it runs has to stand under ``if __name__ == "__main__":``.
    """

    workers: int | None = None
    num_gpus: int = 0
    threads: int = 1
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None:
            check_whole("workers", self.workers, 1)
        check_whole("num_gpus", self.num_gpus, 0)
        check_whole("threads", self.threads, 1)
        check_timeout(self.timeout)

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[Session]:
        """Return a session with processes; see `Executor`."""
        end_if_starting()
        process = multiprocessing.current_process()
        if process.daemon:
            raise ParameterError(
                f"executor=Processes() cannot be used in {process.name}, a daemonic process, which may not "
                "start others: use executor=Serial()"
            )
        crew = _Crew(
            _pickled(work),
            size=available_cores() if self.workers is None else self.workers,
            threads=self.threads,
            devices=_devices(self.num_gpus),
        )
        pool = Pool(crew, self.timeout)
        try:
            yield pool
        finally:
            crew.close()


def available_cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_whole(name: str, value: object, least: int) -> None:
    """Raise ParameterError unless ``value`` is an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ParameterError(f"{name} must be an integer >= {least}, got {value!r}")


def check_timeout(timeout: object) -> None:
    """Raise ParameterError unless ``timeout`` is None or a positive number of seconds."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise ParameterError(f"timeout must be a finite number of seconds > 0, or None, got {timeout!r}")


def _pickled(work: Work) -> bytes:
    try:
        return pickle.dumps(work, protocol=5)
    except Exception as error:
        raise ModelError(
            f"the classifier cannot be pickled for other processes: {described(error)}; define what it uses "
            "at the top of a module and open what cannot be pickled in load(), or use executor=Serial()"
        ) from error


def _devices(num_gpus: int) -> tuple[str, ...]:
    """Return the devices that workers get in turn; none where they are left to themselves."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if num_gpus == 0 or visible is None:
        return tuple(map(str, range(num_gpus)))
    devices = tuple(name.strip() for name in visible.split(",") if name.strip())
    if len(devices) < num_gpus:
        raise ParameterError(
            f"num_gpus must be at most {len(devices)} where CUDA_VISIBLE_DEVICES is {visible!r}, "
            f"got {num_gpus}"
        )
    return devices[:num_gpus]


class _Crew:
    """Worker processes by number, as `Pool` wants them."""

    advice = (
        "its own output may say why; a script that defines a part of the classifier has to put what it runs "
        'under `if __name__ == "__main__":`; executor=Serial() needs no workers'
    )

    def __init__(self, work: bytes, *, size: int, threads: int, devices: Sequence[str]) -> None:
        self.size = size
        self._work = work
        self._threads = threads
        self._devices = devices
        self._workers: dict[int, WorkerProcess] = {}

    def start(self, worker: int) -> None:
        environment = dict.fromkeys(THREADS, str(self._threads))
        if self._devices:
            environment["CUDA_VISIBLE_DEVICES"] = self._devices[worker % len(self._devices)]
        self._workers[worker] = WorkerProcess(self._work, environment)

    def send(self, worker: int, task: bytes) -> None:
        self._workers[worker].send(task)

    def end(self, worker: int) -> None:
        self._workers.pop(worker).end()

    def close(self) -> None:
        for worker in list(self._workers):
            self.end(worker)

    def events(self, timeout: float | None) -> list[tuple[int, Event]]:
        ends: list[Any] = []
        for process in self._workers.values():
            ends += [process.pipe, process.process.sentinel]
        multiprocessing.connection.wait(ends, SECOND_LOOK if timeout is None else min(timeout, SECOND_LOOK))
        return [(worker, event) for worker, process in self._workers.items() for event in process.events()]
