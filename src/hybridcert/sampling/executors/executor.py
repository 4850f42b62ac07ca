"""The seam between counting and where it is done: executors hand tasks to workers, and outcomes back."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from hybridcert.sampling.blocks import Outcome, Task, Work


class Session(Protocol):
    """An executor at work; workers start when there are tasks for them.

    A task that raises, kills its worker or takes too long comes back as an outcome with an error, and so do
    no other tasks: whatever else its worker was given is done elsewhere, unnoticed. The worker is replaced.
    """

    @property
    def capacity(self) -> int:
        """How many tasks to keep submitted so that no worker waits; more than that are kept in line."""

    def submit(self, task: Task) -> None:
        """Take a task; returns at once."""

    def next(self) -> Outcome:
        """Wait for any submitted task and return its outcome; each task comes back once, in no order.

        Raises
        ------
        ModelError
            If an answer is no class index, or the classifier cannot be rebuilt or loaded in a worker.
        ParameterError
            If workers cannot be started here.
        RuntimeError
            If no task is outstanding.
        """


class Executor(Protocol):
    """Where tasks are done: a frozen, picklable description without a state of its own."""

    def open(self, work: Work) -> AbstractContextManager[Session]:
        """Return a session for this work; leaving it, by an exception too, ends all workers at once.

        Raises
        ------
        ModelError
            If the classifier cannot be pickled and the executor has to.
        ParameterError
            If the executor cannot be used here.
        """
