"""The executor without workers: tasks are done in this process, one after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import deque
from collections.abc import Iterator

from hybridcert.errors import ModelError
from hybridcert.sampling.blocks import Outcome, Task, Work, described, perform
from hybridcert.sampling.executors.executor import Session


@dataclasses.dataclass(frozen=True, slots=True)
class Serial:
    """Everything in this process; the classifier is asked as it is and need not be picklable.

    An exception of the classifier, MemoryError among them, is the outcome of its task. ModelError, a
    keyboard interrupt and the like end the run; a call that never returns, or that takes the process with
    it, cannot be helped here.
    """

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[Session]:
        """Return a session in this process."""
        yield _SerialSession(work)


class _SerialSession:
    """Does a task when its outcome is asked for."""

    capacity = 1

    def __init__(self, work: Work) -> None:
        self._work = work
        self._loaded = False
        self._tasks: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def next(self) -> Outcome:
        if not self._tasks:
            raise RuntimeError("no task is outstanding")
        if not self._loaded:
            self._work.load()
            self._loaded = True
        task = self._tasks.popleft()
        started = time.perf_counter()
        try:
            cells, error = perform(self._work, task), None
        except ModelError:
            raise
        except Exception as raised:
            cells, error = None, described(raised)
        return Outcome(task, cells, time.perf_counter() - started, error)
