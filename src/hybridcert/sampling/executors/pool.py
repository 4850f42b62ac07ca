"""Who does which task: shared by all executors with workers, which only start, feed, hear and end them.

Each worker has at most one task that it works on and one in line behind it, so that it goes on while the
calling process is busy with the last answer. A worker that fails takes the task that it worked on with it,
and only that one: the one in line goes to another worker.
"""

from __future__ import annotations

import dataclasses
import pickle
import time
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from hybridcert.errors import HybridCertError, ModelError, ParameterError
from hybridcert.sampling.blocks import Outcome, Task
from hybridcert.sampling.executors.worker import Answer, Ready, Started

DEPTH = 2
"""Tasks that a worker holds at most: the one that it works on, and the next."""

PATIENCE = 3
"""Workers that may die in a row while they start, once one has; then, those that live go on alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Died:
    """The worker is no more.

    Parameters
    ----------
    how : completes "worker …"
    certain : whether all its answers have been heard, so that the first of its tasks is the one it died of
    """

    how: str
    certain: bool = True


Event = Ready | Started | Answer | Died | HybridCertError
"""What is heard of a worker; an error is a defect that no other worker would be spared."""


class Crew(Protocol):
    """Workers, numbered from 0: the part in which executors differ."""

    size: int
    """How many workers there are at most."""
    advice: str
    """What to do where workers cannot be started."""

    def start(self, worker: int) -> None:
        """Start a worker under a free number; returns before it is ready."""

    def send(self, worker: int, task: bytes) -> None:
        """Give a ready worker a pickled task, behind those that it has; returns at once."""

    def events(self, timeout: float | None) -> Iterable[tuple[int, Event]]:
        """Wait for news until ``timeout`` seconds have passed, and return all there are, oldest first."""

    def end(self, worker: int) -> None:
        """End a worker at once, whatever it does, unless it has ended; its number is free again."""

    def close(self) -> None:
        """End all workers at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    """A task; ``alone`` where it shares no worker, because it may have been what a worker died of."""

    task: Task
    alone: bool = False


@dataclasses.dataclass(slots=True)
class _Member:
    """What is known of a living worker; ``since`` is when it began with the first of its jobs."""

    jobs: deque[_Job] = dataclasses.field(default_factory=deque)
    ready: bool = False
    since: float | None = None


class Pool:
    """A session over a crew.

    Parameters
    ----------
    crew : the workers
    timeout : seconds, or None
        How long a worker may take for one task, from when it began with it.
    """

    def __init__(self, crew: Crew, timeout: float | None) -> None:
        self._crew = crew
        self._timeout = timeout
        self._members: dict[int, _Member] = {}
        self._waiting: deque[_Job] = deque()
        self._outcomes: deque[Outcome] = deque()
        self._ever_ready = False
        self._stillborn = 0

    @property
    def capacity(self) -> int:
        """Enough for every worker to have a task in line."""
        return DEPTH * self._crew.size

    def submit(self, task: Task) -> None:
        """Take a task; see `Session`."""
        self._waiting.append(_Job(task))
        self._assign()

    def next(self) -> Outcome:
        """Wait for an outcome; see `Session`."""
        while not self._outcomes:
            if not self._waiting and not any(member.jobs for member in self._members.values()):
                raise RuntimeError("no task is outstanding")
            for worker, event in self._crew.events(self._until_overdue()):
                self._hear(worker, event)
            self._end_overdue()
            self._assign()
        return self._outcomes.popleft()

    def _assign(self) -> None:
        """Feed idle workers, start workers for what is left, then put tasks in line behind others."""
        ready = sorted((m for m in self._members.items() if m[1].ready), key=lambda m: len(m[1].jobs))
        for depth in range(DEPTH):
            for worker, member in ready:
                if self._waiting and len(member.jobs) == depth:
                    if any(job.alone for job in (*member.jobs, self._waiting[0])) and depth > 0:
                        continue
                    member.jobs.append(self._waiting.popleft())
                    self._crew.send(worker, pickle.dumps(member.jobs[-1].task, protocol=5))
            if depth == 0:
                self._start(len(self._waiting))

    def _start(self, tasks: int) -> None:
        """Start workers until each of so many tasks has one on its way, or no number is free."""
        enough = PATIENCE if self._ever_ready else 1
        if self._stillborn >= enough and self._members:
            return
        coming = sum(not member.ready for member in self._members.values())
        for worker in range(self._crew.size):
            if worker not in self._members and coming < tasks:
                self._crew.start(worker)
                self._members[worker] = _Member()
                coming += 1

    def _hear(self, worker: int, event: Event) -> None:
        member = self._members[worker]
        match event:
            case Ready():
                member.ready = self._ever_ready = True
                self._stillborn = 0
            case Started():
                member.since = time.monotonic()
            case Answer(defect=True):
                raise ModelError(event.error)
            case Answer():
                task = member.jobs.popleft().task
                member.since = None
                self._outcomes.append(Outcome(task, event.cells, event.seconds, event.error))
            case Died(how, certain):
                self._bury(worker, f"worker {how}", certain=certain)
            case HybridCertError():
                raise event

    def _bury(self, worker: int, reason: str, *, certain: bool = True) -> None:
        """Blame a worker's end on the task that it worked on, if any; give back the others.

        Where that may have been any of several, none is blamed, and each is done again by itself.
        """
        self._crew.end(worker)
        member = self._members.pop(worker)
        if not member.ready:
            self._stillborn += 1
            if not self._members and (not self._ever_ready or self._stillborn >= PATIENCE):
                raise ParameterError(f"{reason} while starting: {self._crew.advice}")
        if not certain and len(member.jobs) > 1:
            member.jobs = deque(_Job(job.task, alone=True) for job in member.jobs)
        elif member.since is not None:
            self._outcomes.append(Outcome(member.jobs.popleft().task, None, 0.0, reason))
        self._waiting.extendleft(reversed(member.jobs))

    def _until_overdue(self) -> float | None:
        begun = [member.since for member in self._members.values() if member.since is not None]
        if self._timeout is None or not begun:
            return None
        return max(0.0, min(begun) + self._timeout - time.monotonic())

    def _end_overdue(self) -> None:
        if self._timeout is None:
            return
        now = time.monotonic()
        for worker, member in list(self._members.items()):
            if member.since is not None and now - member.since >= self._timeout:
                self._bury(worker, f"worker ended: no answer within {self._timeout:g} s")
