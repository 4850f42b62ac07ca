"""One task of a run: blocks of noisy copies are drawn, the classifier is asked once, answers are tallied.

A block is the unit of randomness: its copies depend on the key of its row, the stage and its number alone. So
a block that is drawn again, anywhere, has the same copies, and counts do not depend on who drew them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeGuard, cast

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.ranges import check_count
from hybridcert.errors import ModelError
from hybridcert.sampling.classifier import Batch, Classifier, Loadable
from hybridcert.sampling.copies import Copies, draws
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import Stage

Cells = npt.NDArray[np.int64]

BLOCK = 5_000
"""Copies drawn from one random stream at most; part of the meaning of a seed."""


class Tally(Protocol):
    """Turns the answers about one block into counts; picklable, and without a state of its own.

    A tally adds up: the counts of two blocks of one row, added, are the counts of both.
    """

    def cells(self, classes: int) -> int:
        """Return how many counts a block has when the classifier knows this many classes."""

    def __call__(
        self, answers: npt.NDArray[np.intp], drawn: Batch, clean: Mapping[str, Any], *, classes: int
    ) -> Cells:
        """Return the counts of one block.

        Parameters
        ----------
        answers : (copies,) class indices in [0, classes)
        drawn : the noisy copies, arrays with one row per copy
        clean : the row that they are copies of, arrays without the leading axis

        Returns
        -------
        counts : (cells,) int64; they sum to the number of copies
        """


class Inquiry(Protocol):
    """Asks the classifier about a block in a way of its own; picklable, stateless, adds up as tallies do."""

    def cells(self, classes: int) -> int:
        """Return how many counts a block has when the classifier knows this many classes."""

    def ask(self, classifier: Classifier, copies: Copies) -> Cells:
        """Return the counts of one block, (cells,) int64."""


def asks(tally: Tally | Inquiry) -> TypeGuard[Inquiry]:
    """Return whether a tally asks the classifier itself; runtime protocols would take longer to tell."""
    return hasattr(tally, "ask")


@dataclasses.dataclass(frozen=True, slots=True)
class ByLabel:
    """One count per class: how often it was the answer."""

    def cells(self, classes: int) -> int:
        """One cell per class."""
        return classes

    def __call__(
        self, answers: npt.NDArray[np.intp], drawn: Batch, clean: Mapping[str, Any], *, classes: int
    ) -> Cells:
        """Return how often each class was the answer, shape (classes,)."""
        return np.bincount(answers, minlength=classes).astype(np.int64, copy=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Copies of one row from one random stream.

    Parameters
    ----------
    row : int >= 0
        Index into the inputs and keys of the task.
    number : int >= 0
        Which of the row's streams at this stage.
    copies : int >= 1
    """

    row: int
    number: int
    copies: int


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What is the same for every task of a run; it goes to each worker once."""

    classifier: Classifier
    noise: SmoothingNoise
    tally: Tally | Inquiry = dataclasses.field(default_factory=ByLabel)

    @property
    def block_copies(self) -> int:
        """Copies in a block at most."""
        return block_copies(self.classifier)

    def load(self) -> None:
        """Let a `Loadable` classifier load itself, in the process that is about to ask it.

        Raises
        ------
        ModelError
            If it cannot.
        """
        if not isinstance(self.classifier, Loadable):
            return
        try:
            self.classifier.load()
        except Exception as error:
            raise ModelError(
                f"{type(self.classifier).__name__}.load() failed with {described(error)}; it has to work in "
                "every process that asks the classifier"
            ) from error


def block_copies(classifier: Classifier) -> int:
    """Return how many copies a classifier is asked about at most: `BLOCK`, unless it wants fewer."""
    most = getattr(classifier, "block_copies", BLOCK)
    check_count("block_copies", most)
    return min(BLOCK, int(most))


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """Blocks that are drawn, asked in one model call, and stored together.

    Parameters
    ----------
    number : int
        Tells tasks apart; executors only hand it back.
    inputs : mapping of modality name to array
        Only the rows that the blocks need.
    keys : one 16-byte key per row of ``inputs``, from `RowStreams.keys`
    blocks : at least one
    stage : what the copies are for
    """

    number: int
    inputs: Batch
    keys: tuple[bytes, ...]
    blocks: tuple[Block, ...]
    stage: Stage

    @property
    def copies(self) -> int:
        """Rows of the model call."""
        return sum(block.copies for block in self.blocks)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task: its counts, or one line about why there are none.

    Parameters
    ----------
    task : the task as it was submitted
    cells : (blocks, cells) int64, or None
    seconds : float
        Time that drawing, asking and counting took in the worker; 0 where no worker could tell.
    error : one line, or None; None exactly where there are counts
    """

    task: Task
    cells: Cells | None
    seconds: float
    error: str | None


def perform(work: Work, task: Task) -> Cells:
    """Draw the copies of every block, ask the classifier once about all of them, and count.

    Returns
    -------
    cells : (blocks, cells) int64
        A function of the work and of the task's keys, rows, blocks and stage alone.

    Raises
    ------
    ModelError
        If an answer is no class index: every draw counts, so there is no count without it.
    """
    if asks(work.tally):
        return np.stack([work.tally.ask(work.classifier, copies) for copies in _copies(work, task)])
    tally = cast("Tally", work.tally)
    if draws(work.classifier):
        return np.stack([_lazily(work, tally, copies) for copies in _copies(work, task)])
    drawn = [
        work.noise.draw(task.inputs, b.row, b.copies, task.keys[b.row], stage=task.stage, block=b.number)
        for b in task.blocks
    ]
    batch = {name: _stacked([d[name] for d in drawn]) for name in task.inputs}
    classes = len(work.classifier.classes_)
    answers = checked_answers(work.classifier.predict_encoded(batch), classes, task.copies)
    cells = np.empty((len(task.blocks), tally.cells(classes)), dtype=np.int64)
    end = 0
    for i, (block, copies) in enumerate(zip(task.blocks, drawn, strict=True)):
        start, end = end, end + block.copies
        clean = {name: array[block.row] for name, array in task.inputs.items()}
        cells[i] = tally(answers[start:end], copies, clean, classes=classes)
    return cells


def _copies(work: Work, task: Task) -> Iterator[Copies]:
    for b in task.blocks:
        yield Copies(work.noise, task.inputs, b.row, b.copies, task.keys[b.row], task.stage, b.number)


def _lazily(work: Work, tally: Tally, copies: Copies) -> Cells:
    """Let the classifier draw the copies of one block, and count its answers."""
    classes, classifier = len(work.classifier.classes_), work.classifier
    assert draws(classifier)
    answers = checked_answers(classifier.predict_copies(copies), classes, copies.count)
    clean = {name: copies.clean(name) for name in copies.inputs}
    return tally(answers, _Drawn(copies), clean, classes=classes)


class _Drawn(Mapping[str, npt.NDArray[Any]]):
    """The copies of a block by modality, each drawn when it is looked at."""

    def __init__(self, copies: Copies) -> None:
        self._copies = copies

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._copies.drawn(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._copies.inputs)

    def __len__(self) -> int:
        return len(self._copies.inputs)


def described(error: BaseException) -> str:
    """Return the kind of an exception and the first line of its message, as one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def _stacked(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the parts one below the other; a single part is not copied unless it is a view of the input."""
    if len(parts) == 1:
        return np.require(parts[0], requirements=["C", "W"])
    return np.concatenate(parts)


def checked_answers(answers: Any, classes: int, rows: int) -> npt.NDArray[np.intp]:
    """Return answers as class indices, shape (rows,); raise ModelError for anything else."""
    result = np.asarray(answers)
    if result.shape != (rows,) or result.dtype.kind not in "iu":
        raise ModelError(
            f"predict_encoded must return {rows} class indices, got shape {result.shape} of {result.dtype}"
        )
    if result.size and (result.min() < 0 or result.max() >= classes):
        wrong = result[(result < 0) | (result >= classes)][0]
        raise ModelError(f"predict_encoded must return indices in [0, {classes - 1}], got {wrong}")
    return result.astype(np.intp, copy=False)
