"""What a classifier answers about both halves of a pair, with a reason where there is no answer."""

from __future__ import annotations

import dataclasses
from typing import Any

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
    """

    smoothed: SmoothedClassifier
    blank: Any
    safe: str
    seed: int
    executor: Executor | None = None
    retries: Retries | None = None
    store: RunStore | None = None

    def clean(self, pairs: ImageTextPairs) -> list[Answers]:
        """Return the answers without noise; pairs that cannot be read are found by halving."""
        m = len(pairs)
        blanks, empty = [self.blank] * m, [""] * m
        X = _table(
            [*pairs.texts, *empty, *pairs.texts],
            [*blanks, *pairs.images, *pairs.images],
            _QUESTIONS * pairs.ids,
        )
        try:
            found = self.smoothed.ask(X, **self._options())
        except ModelError as error:
            return [Answers((None,) * _QUESTIONS, (_line(error),) * _QUESTIONS)] * m
        except DataError as error:
            if m == 1:
                return [Answers((None,) * _QUESTIONS, (None,) * _QUESTIONS, _line(error))]
            return self.clean(pairs.rows(slice(m // 2))) + self.clean(pairs.rows(slice(m // 2, m)))
        classes = self.smoothed.classes_
        rows = [range(row, _QUESTIONS * m, m) for row in range(m)]
        failures = [tuple(found.failures.get(at) for at in where) for where in rows]
        named = [
            tuple(None if at in found.failures else str(classes[found.counts[at].argmax()]) for at in where)
            for where in rows
        ]
        return [Answers(labels, reasons) for labels, reasons in zip(named, failures, strict=True)]

    def noisy(self, pairs: ImageTextPairs, *, samples: int) -> list[tuple[Half, Half]]:
        """Return what noise alone does to (text, no image) and (no text, image) of each pair."""
        m = len(pairs)
        X = _table([*pairs.texts, *[""] * m], [*[self.blank] * m, *pairs.images], 2 * pairs.ids)
        halves = self._hits(X, samples)
        return list(zip(halves[:m], halves[m:], strict=True))

    def nothing(self, *, samples: int) -> Half:
        """Return what noise alone does to (no text, no image)."""
        return self._hits(_table([""], [self.blank], ("nothing",)), samples)[0]

    def _options(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "executor": self.executor,
            "retries": self.retries,
            "store": self.store,
        }

    def _hits(self, X: pd.DataFrame, samples: int) -> list[Half]:
        try:
            found = self.smoothed.explore(X, samples=samples, **self._options())
        except ModelError as error:
            return [Half(None, _line(error))] * len(X)
        safe = class_index(self.smoothed.classes_, self.safe)
        return [
            Half(None, found.failures[row])
            if row in found.failures
            else Half(int(found.samples[row] - counts[safe]), None)
            for row, counts in enumerate(found.counts)
        ]


def _table(texts: list[str], images: list[Any], names: tuple[str, ...]) -> pd.DataFrame:
    """Return a table whose rows are called by the ids of their pairs, so that errors name those."""
    column = np.empty(len(images), dtype=object)
    for row, image in enumerate(images):
        column[row] = image
    return pd.DataFrame({"text": pd.Series(texts, dtype=object), "image": column}).set_axis(list(names))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
