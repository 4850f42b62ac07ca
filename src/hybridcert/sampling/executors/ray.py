"""The executor of many machines: actors on a Ray cluster, one per worker, replaced here when they fail."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.blocks import Work, described
from hybridcert.sampling.executors.executor import Session
from hybridcert.sampling.executors.pool import Died, Event, Pool
from hybridcert.sampling.executors.processes import available_cores, check_timeout, check_whole
from hybridcert.sampling.executors.worker import Answer, Ready, Started, answer, rebuild

CONNECT = 10.0
"""Seconds that the address of a cluster may take to answer."""


@dataclasses.dataclass(frozen=True, slots=True)
class RayCluster:
    """Workers on a Ray cluster; needs the extra ``hybridcert[ray]``.

    Every worker is an actor with one core that gets the pickled classifier once. hybridcert, and what the
    classifier imports, have to be importable on every node, in the same versions.

    Parameters
    ----------
    address : str, optional
        Of a running cluster, as `ray.init` takes it. Without one, a cluster of this machine alone is
        started for the session and ended with it. Where the calling process is connected already, that
        connection is used, and kept.
    workers : int >= 1, optional
        Default: as many as the cluster has cores, or GPUs if those are fewer.
    num_gpus : float >= 0
        GPUs per worker; Ray chooses which, and shows them to the worker alone.
    timeout : seconds > 0, optional
        For one task, counted from when its worker was free to begin with it; starting and loading are not
        timed.
    """

    address: str | None = None
    workers: int | None = None
    num_gpus: float = 0.0
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None:
            check_whole("workers", self.workers, 1)
        number = isinstance(self.num_gpus, int | float) and not isinstance(self.num_gpus, bool)
        if not number or not 0 <= self.num_gpus < math.inf:
            raise ParameterError(f"num_gpus must be a finite number >= 0, got {self.num_gpus!r}")
        check_timeout(self.timeout)

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[Session]:
        """Return a session with actors; see `Executor`."""
        ray = _imported()
        pickled = _pickled(ray, work)
        with self._connected(ray):
            crew = _Actors(ray, pickled, size=self._size(ray), num_gpus=self.num_gpus)
            try:
                yield Pool(crew, self.timeout)
            finally:
                crew.close()

    @contextlib.contextmanager
    def _connected(self, ray: Any) -> Iterator[None]:
        if ray.is_initialized():
            yield
            return
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if self.address is None:
                cores = max(available_cores(), self.workers or 1)
                ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
            else:
                _check_reachable(self.address)
                ray.init(address=self.address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            where = "this machine" if self.address is None else repr(self.address)
            raise ParameterError(
                f"no Ray cluster at {where}: {described(error)}; pass the address of a running cluster, or "
                "use executor=Processes()"
            ) from error
        try:
            yield
        finally:
            ray.shutdown()

    def _size(self, ray: Any) -> int:
        """Return how many workers to have at most; a worker that fits no node would never start."""
        most = max(node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"])
        if self.num_gpus > most:
            raise ParameterError(
                f"num_gpus must be at most {most:g}, what a node of the Ray cluster has, got "
                f"{self.num_gpus:g}"
            )
        if self.workers is not None:
            return self.workers
        resources = ray.cluster_resources()
        cores = int(resources.get("CPU", 0.0))
        gpus = int(resources.get("GPU", 0.0) / self.num_gpus) if self.num_gpus > 0 else cores
        return max(1, min(cores, gpus))


def _check_reachable(address: str) -> None:
    """Raise OSError or ValueError where ``host:port`` does not answer; Ray tries for minutes, then exits."""
    host, separator, port = address.rpartition("://")[2].rpartition(":")
    if separator:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT).close()


def _imported() -> Any:
    # read when Ray is imported; it would write about each death to standard output, which is not its own
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed while executing a task")
    try:
        import ray
        import ray.cloudpickle
        import ray.exceptions
    except ImportError as error:
        raise ParameterError(
            "executor=RayCluster() needs Ray, which is not installed: pip install 'hybridcert[ray]'"
        ) from error
    return ray


def _pickled(ray: Any, work: Work) -> bytes:
    try:
        pickled: bytes = ray.cloudpickle.dumps(work)
    except Exception as error:
        raise ModelError(
            f"the classifier cannot be pickled for other processes: {described(error)}; open what cannot be "
            "pickled in load(), or use executor=Serial()"
        ) from error
    return pickled


class _Holder:
    """The actor: the work, once rebuilt, and what can be asked of it."""

    def start(self, pickled: bytes) -> Ready | ModelError:
        """Rebuild the work; return the error rather than raise it, so that it arrives as it is."""
        try:
            self._work = rebuild(pickled)
        except ModelError as error:
            return error
        return Ready()

    def answer(self, task: bytes) -> Answer:
        """Do one task."""
        return answer(self._work, task)


class _Actors:
    """Actors by number, as `Pool` wants them.

    An actor does its tasks in order, so the first that is not answered is the one that it works on; but one
    that dies may have been at the next, if the answer to the first was still on its way.
    """

    advice = "hybridcert and what the classifier imports have to be importable on every node of the cluster"

    def __init__(self, ray: Any, work: bytes, *, size: int, num_gpus: float) -> None:
        self.size = size
        self._ray = ray
        self._work = ray.put(work)
        self._kind = ray.remote(_Holder).options(
            num_cpus=1, num_gpus=num_gpus, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        self._actors: dict[int, Any] = {}
        self._asked: dict[int, deque[Any]] = {}
        self._begun: list[int] = []

    def start(self, worker: int) -> None:
        self._actors[worker] = self._kind.remote()
        self._asked[worker] = deque([self._actors[worker].start.remote(self._work)])

    def send(self, worker: int, task: bytes) -> None:
        if not self._asked[worker]:
            self._begun.append(worker)
        self._asked[worker].append(self._actors[worker].answer.remote(task))

    def end(self, worker: int) -> None:
        self._ray.kill(self._actors.pop(worker), no_restart=True)
        del self._asked[worker]
        self._begun = [other for other in self._begun if other != worker]

    def close(self) -> None:
        for worker in list(self._actors):
            self.end(worker)

    def events(self, timeout: float | None) -> list[tuple[int, Event]]:
        heard: list[tuple[int, Event]] = [(worker, Started()) for worker in self._begun]
        self._begun = []
        first = [asked[0] for asked in self._asked.values() if asked]
        if not heard:
            self._ray.wait(first, num_returns=1, timeout=timeout)
        for worker, asked in self._asked.items():
            heard += [(worker, event) for event in self._answered(asked)]
        return heard

    def _answered(self, asked: deque[Any]) -> Iterator[Event]:
        """Yield what one actor has answered, and that it began with the next task after each answer."""
        while asked and self._ray.wait([asked[0]], num_returns=1, timeout=0)[0]:
            try:
                event: Event = self._ray.get(asked.popleft())
            except self._ray.exceptions.RayError as error:
                yield Died(f"died ({described(error)})", certain=False)
                return
            yield event
            if asked:
                yield Started()
