"""What a classifier answers about both halves of a pair, with a reason where there is no answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from hybridcert.datasets.image_text import ImageTextPairs
from hybridcert.errors import DataError, ModelError
from hybridcert.sampling.classifier import class_index
from hybridcert.sampling.engine import Retries
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.store import RunStore
from hybridcert.smoothing import SmoothedClassifier

_QUESTIONS = 3
_HOPELESS = 3
"""So many pairs that fail one by one, with no success between them, mean a classifier that does not work."""

_Found = TypeVar("_Found")


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """What was answered, without noise, about (text, no image), (no text, image) and (text, image).

    Attributes
    ----------
    labels : tuple of three str or None
    failures : tuple of three str or None
        Why there is no answer.
    unreadable : str
        Why the pair cannot be encoded at all; empty where it can.
    """

    labels: tuple[str | None, ...]
    failures: tuple[str | None, ...]
    unreadable: str = ""

    @property
    def failed(self) -> bool:
        """Whether there is no answer at all."""
        return not any(self.labels)


@dataclasses.dataclass(frozen=True, slots=True)
class Half:
    """How many noisy copies of one input were answered otherwise than "safe", or why nobody knows."""

    hits: int | None
    failure: str | None


UNASKED = Half(None, None)
"""An input of which no noisy copies were drawn."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Asker:
    """Asks a smoothed classifier about pairs whose text or image is taken away.

    Parameters
    ----------
    smoothed : SmoothedClassifier
    blank : image as the classifier takes it
    safe : label
        Every other answer to a noisy copy is a hit.
    seed : int >= 0
    executor, retries, store : optional

    Notes
    -----
    Where the classifier breaks down on several pairs they are halved, so that one that breaks it does not
    take others along; alone it is given up. After three of these with no success between them its ModelError
    goes on to the caller: the classifier does not work at all, and no pair is to blame.
    `check` settles that for fewer, where no more are to come.
    """

    smoothed: SmoothedClassifier
    blank: Any
    safe: str
    seed: int
    executor: Executor | None = None
    retries: Retries | None = None
    store: RunStore | None = None
    _broken: list[ModelError] = dataclasses.field(default_factory=list, init=False)

    def clean(self, pairs: ImageTextPairs) -> list[Answers]:
        """Return the answers without noise; pairs that cannot be read, or answered, are found by halving.

        Raises
        ------
        ModelError
            When the classifier does not work at all.
        """
        nobody = (None,) * _QUESTIONS
        return _halving(
            pairs,
            self._clean,
            unreadable=lambda reason: Answers(nobody, nobody, reason),
            broken=lambda error: Answers(nobody, (self._given_up(error),) * _QUESTIONS),
        )

    def noisy(self, pairs: ImageTextPairs, *, samples: int) -> list[tuple[Half, Half]]:
        """Return what noise alone does to (text, no image) and (no text, image) of each pair.

        Raises
        ------
        ModelError
            When the classifier does not work at all.
        """

        def asked(some: ImageTextPairs) -> list[tuple[Half, Half]]:
            return self._noisy(some, samples)

        return _halving(pairs, asked, broken=lambda error: (Half(None, self._given_up(error)),) * 2)

    def nothing(self, *, samples: int) -> Half:
        """Return what noise alone does to (no text, no image).

        Raises
        ------
        ModelError
            When there is no answer: without one nothing can be said about any pair.
        """
        return self._hits(_table([""], [self.blank], ("nothing",)), samples)[0]

    def check(self) -> None:
        """Ask once more about (no text, no image) if the last pairs failed, to see who is to blame for it.

        Raises
        ------
        ModelError
            When the classifier does not answer that either: then it is not those pairs.
        """
        if self._broken:
            options = self._options() | {"store": None}  # it may know the answer, but not who still answers
            self.smoothed.ask(_table([""], [self.blank], ("nothing",)), **options)
            self._broken.clear()

    def _clean(self, pairs: ImageTextPairs) -> list[Answers]:
        m = len(pairs)
        blanks, empty = [self.blank] * m, [""] * m
        X = _table(
            [*pairs.texts, *empty, *pairs.texts],
            [*blanks, *pairs.images, *pairs.images],
            _QUESTIONS * pairs.ids,
        )
        found = self.smoothed.ask(X, **self._options())
        self._broken.clear()
        classes = self.smoothed.classes_
        rows = [range(row, _QUESTIONS * m, m) for row in range(m)]
        failures = [tuple(found.failures.get(at) for at in where) for where in rows]
        named = [
            tuple(None if at in found.failures else str(classes[found.counts[at].argmax()]) for at in where)
            for where in rows
        ]
        return [Answers(labels, reasons) for labels, reasons in zip(named, failures, strict=True)]

    def _noisy(self, pairs: ImageTextPairs, samples: int) -> list[tuple[Half, Half]]:
        m = len(pairs)
        X = _table([*pairs.texts, *[""] * m], [*[self.blank] * m, *pairs.images], 2 * pairs.ids)
        halves = self._hits(X, samples)
        return list(zip(halves[:m], halves[m:], strict=True))

    def _given_up(self, error: ModelError) -> str:
        """Return why a single pair failed; raise that error if others did just before it."""
        self._broken.append(error)
        if len(self._broken) >= _HOPELESS:
            raise error
        return _line(error)

    def _options(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "executor": self.executor,
            "retries": self.retries,
            "store": self.store,
        }

    def _hits(self, X: pd.DataFrame, samples: int) -> list[Half]:
        found = self.smoothed.explore(X, samples=samples, **self._options())
        self._broken.clear()
        safe = class_index(self.smoothed.classes_, self.safe)
        return [
            Half(None, found.failures[row])
            if row in found.failures
            else Half(int(found.samples[row] - counts[safe]), None)
            for row, counts in enumerate(found.counts)
        ]


def _halving(
    pairs: ImageTextPairs,
    asked: Callable[[ImageTextPairs], list[_Found]],
    *,
    broken: Callable[[ModelError], _Found],
    unreadable: Callable[[str], _Found] | None = None,
) -> list[_Found]:
    """Ask about pairs, one entry for each; halve what fails until it fails alone, and let it be judged."""
    m = len(pairs)
    try:
        return asked(pairs)
    except ModelError as error:
        if m == 1:
            return [broken(error)]
    except DataError as error:
        if unreadable is None:
            raise
        if m == 1:
            return [unreadable(_line(error))]
    halves = (pairs.rows(slice(m // 2)), pairs.rows(slice(m // 2, m)))
    return [one for half in halves for one in _halving(half, asked, broken=broken, unreadable=unreadable)]


def _table(texts: list[str], images: list[Any], names: tuple[str, ...]) -> pd.DataFrame:
    """Return a table whose rows are called by the ids of their pairs, so that errors name those."""
    column = np.empty(len(images), dtype=object)
    for row, image in enumerate(images):
        column[row] = image
    return pd.DataFrame({"text": pd.Series(texts, dtype=object), "image": column}).set_axis(list(names))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
