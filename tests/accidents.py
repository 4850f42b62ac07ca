"""A classifier to which things happen, and tasks for executors."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from classifiers import Sign
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.sampling.blocks import Block, Outcome, Task, Work
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import RowStreams, Stage

ROWS = np.stack([np.linspace(-1, 1, 12), np.arange(12.0)], axis=1)


@dataclasses.dataclass
class Accidents(Sign):
    """`Sign`, but some rows, told by their second number, come with an accident; and it keeps a diary."""

    accidents: dict[float, str] = dataclasses.field(default_factory=dict)
    diary: Path | None = None
    variables: tuple[str, ...] = ()

    def load(self):
        """One file per call, named by the process, with what its environment says."""
        if "load" in self.accidents.values():
            raise OSError("no weights here")
        if "second" in self.accidents.values() and any(self.diary.iterdir()):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.diary is not None:
            number = len(list(self.diary.iterdir()))
            path = self.diary / f"{os.getpid()}-{number}"
            path.write_text("|".join(os.environ.get(name, "unset") for name in self.variables))

    def predict_encoded(self, batch):
        for row in np.unique(batch["numeric"][:, 1]):
            match self.accidents.get(row):
                case "raise":
                    raise ValueError(f"row {row:g} is broken\nand here is more about it")
                case "memory":
                    raise MemoryError
                case "exit":
                    os._exit(3)
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "hang":
                    time.sleep(3600)
                case "wrong":
                    return np.full(len(batch["numeric"]), 7)
        return super().predict_encoded(batch)


@dataclasses.dataclass(frozen=True)
class Wide:
    """So many cells that an answer fills a pipe many times over."""

    def cells(self, classes):
        return 20_000

    def __call__(self, answers, drawn, clean, *, classes):
        return np.bincount(answers, minlength=20_000)


def work_of(classifier, **kernels) -> Work:
    """What workers need of a classifier with noise."""
    kernels = kernels or {"numeric": GaussianNoise(0.5)}
    return Work(classifier, SmoothingNoise(kernels, classifier.surfaces()))


def tasks_of(work: Work, X, *, copies: int = 200) -> list[Task]:
    """One task per row with two blocks, and one more with a block of each row."""
    inputs = work.classifier.encode(X)
    keys = tuple(RowStreams(5).keys(inputs))
    tasks = [
        Task(
            number=row,
            inputs={name: array[row : row + 1] for name, array in inputs.items()},
            keys=keys[row : row + 1],
            blocks=(Block(0, 0, copies), Block(0, 1, copies // 2)),
            stage=Stage.ESTIMATE,
        )
        for row in range(len(keys))
    ]
    every = tuple(Block(row, 2, 50) for row in range(len(keys)))
    return [*tasks, Task(len(keys), inputs, keys, every, Stage.SELECT)]


def outcomes(executor, work: Work, tasks: list[Task]) -> dict[int, Outcome]:
    """What becomes of the tasks, by their numbers."""
    with executor.open(work) as session:
        found = {o.task.number: o for o in _drained(session, list(tasks))}
    assert len(found) == len(tasks)
    return found


def _drained(session, waiting: list[Task]) -> Iterator[Outcome]:
    running = 0
    while waiting or running:
        while waiting and running < session.capacity:
            session.submit(waiting.pop(0))
            running += 1
        yield session.next()
        running -= 1


def assert_same(left: dict[int, Outcome], right: dict[int, Outcome]) -> None:
    """The same cells, bit for bit, and no errors."""
    assert left.keys() == right.keys()
    for number, outcome in left.items():
        assert outcome.error is None
        assert right[number].error is None
        assert np.array_equal(outcome.cells, right[number].cells)
