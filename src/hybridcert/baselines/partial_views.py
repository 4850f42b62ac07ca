"""A classifier that sees random parts of an input: how the parts are drawn, asked about and counted.

Subsampling and ablation differ in which subsets they draw; the rest is here. Counting goes through the
engine, with its executors and its store: the subset is drawn from the stream of the block, so counts depend
on seed, input and selection alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hybridcert.baselines.elements import Elements, Row
from hybridcert.certificate.directed import Bools
from hybridcert.certificate.ranges import check_count
from hybridcert.errors import DataError, ParameterError
from hybridcert.sampling.blocks import Cells, checked_answers
from hybridcert.sampling.classifier import Batch, Classifier
from hybridcert.sampling.copies import Copies
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import RowStreams, Stage
from hybridcert.threats import Surface

Bits = npt.NDArray[np.uint8]

_VALUES = 1 << 22
"""Array entries that are drawn or built at a time; part of the meaning of a seed where inputs are large."""


class Selection(Protocol):
    """Which elements of which modalities are shown: a law on subsets, known again by its `repr`."""

    @property
    def elements(self) -> Mapping[str, Elements]:
        """Elements of each modality that is shown in part."""

    def draw(self, counts: Mapping[str, int], views: int, stream: np.random.Generator) -> dict[str, Bools]:
        """Return which elements each view keeps, shape (views, count) for each modality."""


@dataclasses.dataclass(frozen=True, slots=True)
class PartialViews:
    """Asks about random parts of an input; one count for each class.

    Parameters
    ----------
    selection : Selection
    """

    selection: Selection

    def cells(self, classes: int) -> int:
        """One cell per class."""
        return classes

    def ask(self, classifier: Classifier, copies: Copies) -> Cells:
        """Return how often each class was the answer about the views of one block, shape (classes,).

        Views that show the same elements are the same row, so they are asked about once. Which elements
        those are is held in bits, and views are built in portions.
        """
        row = {name: copies.clean(name) for name in copies.inputs}
        counts = _counts(self.selection, row)
        stream = RowStreams.generator(copies.key, stage=copies.stage, block=copies.block, modality=0)
        drawn = [
            _packed(self.selection.draw(counts, part.stop - part.start, stream))
            for part in _portions(sum(counts.values()), copies.count)
        ]
        chosen, times = _distinct(np.concatenate(drawn))
        classes = len(classifier.classes_)
        cells = np.zeros(classes, dtype=np.int64)
        for part in _portions(sum(values.size for values in row.values()), times.size):
            batch = _views(self.selection, row, _unpacked(chosen[part], counts))
            answers = checked_answers(classifier.predict_encoded(batch), classes, times[part].size)
            np.add.at(cells, answers, times[part])
        return cells


class Unsmoothed(SmoothingNoise):
    """No noise on any modality: what classifiers are shown is up to a `PartialViews`.

    Parameters
    ----------
    surfaces : mapping of modality name to surface
    """

    __slots__ = ()

    def __init__(self, surfaces: Mapping[str, Surface]) -> None:
        object.__setattr__(self, "kernels", {})
        object.__setattr__(self, "surfaces", surfaces)


def views(selection: Selection, batch: Batch, *, copies: int, seed: int) -> dict[str, npt.NDArray[Any]]:
    """Return ``copies`` random views of every row, one row after the other: what to train a classifier on.

    They share no randomness with the copies of any certificate.

    Parameters
    ----------
    selection : Subsampling or Ablation
    batch : mapping of modality name to array
        Encoded rows.
    copies : int >= 1
    seed : int >= 0

    Raises
    ------
    DataError
        For a modality that the rows lack, or arrays that do not fit its elements.
    """
    check_count("copies", copies)
    check_modalities(selection, batch)
    parts = []
    for number, key in enumerate(RowStreams(seed).keys(batch)):
        row = {name: values[number] for name, values in batch.items()}
        stream = RowStreams.generator(key, stage=Stage.TRAIN, block=0, modality=0)
        parts.append(_views(selection, row, selection.draw(_counts(selection, row), copies, stream)))
    return {name: np.concatenate([part[name] for part in parts]) for name in batch}


def check_surfaces(selection: Selection, surfaces: Mapping[str, Surface]) -> None:
    """Raise ParameterError unless a classifier's modalities are made of what a selection says."""
    for name, elements in selection.elements.items():
        if name not in surfaces:
            known = ", ".join(sorted(surfaces))
            raise ParameterError(f"parts must be of a modality that may change, {known}, got {name!r}")
        try:
            elements.check_surface(surfaces[name])
        except ParameterError as error:
            raise ParameterError(f"modality {name!r}: {error}") from error


def check_modalities(selection: Selection, batch: Batch) -> None:
    """Raise DataError unless the rows have every modality of a selection, in arrays that fit."""
    for name, elements in selection.elements.items():
        if name not in batch:
            raise DataError(f"no modality {name!r}: the classifier reads {', '.join(sorted(batch))}")
        if len(batch[name]):
            elements.count(batch[name][0])


def sizes(selection: Selection, batch: Batch) -> dict[str, npt.NDArray[np.int64]]:
    """Return the number of elements of every row, shape (m,) for each modality of a selection."""
    check_modalities(selection, batch)
    return {
        name: np.array([elements.count(row) for row in batch[name]], dtype=np.int64)
        for name, elements in selection.elements.items()
    }


def subsets(elements: int, kept: int, count: int, stream: np.random.Generator) -> Bools:
    """Draw ``count`` subsets of ``kept`` out of ``elements``, all subsets alike; shape (count, elements)."""
    first = np.zeros(elements, dtype=np.bool_)
    first[:kept] = True
    return stream.permuted(np.tile(first, (count, 1)), axis=1)


def check_names(parts: Mapping[str, object]) -> None:
    """Raise ParameterError unless there is a modality to show in part."""
    if not isinstance(parts, Mapping) or not parts:
        raise ParameterError(f"parts must map at least one modality to what is shown of it, got {parts!r}")


def _counts(selection: Selection, row: Mapping[str, Row]) -> dict[str, int]:
    return {name: elements.count(row[name]) for name, elements in selection.elements.items()}


def _packed(kept: Mapping[str, Bools]) -> Bits:
    """Return which elements each view keeps, in bits, shape (views, bytes)."""
    return np.packbits(np.concatenate(list(kept.values()), axis=1), axis=1)


def _unpacked(bits: Bits, counts: Mapping[str, int]) -> dict[str, Bools]:
    ends = np.cumsum(list(counts.values()))
    kept = np.unpackbits(bits, axis=1, count=int(ends[-1])).astype(np.bool_)
    return dict(zip(counts, np.split(kept, ends[:-1], axis=1), strict=True))


def _distinct(bits: Bits) -> tuple[Bits, npt.NDArray[np.int64]]:
    """Return every choice once, and how often it was drawn."""
    if bits.shape[1] == 0:  # nothing to choose from
        return bits[:1], np.array([len(bits)], dtype=np.int64)
    chosen, times = np.unique(bits, axis=0, return_counts=True)
    return chosen, times.astype(np.int64)


def _views(
    selection: Selection, row: Mapping[str, Row], kept: Mapping[str, Bools]
) -> dict[str, npt.NDArray[Any]]:
    count = len(next(iter(kept.values())))
    return {
        name: selection.elements[name].shown(values, kept[name])
        if name in kept
        else np.repeat(values[None], count, axis=0)
        for name, values in row.items()
    }


def _portions(size: int, views: int) -> Iterator[slice]:
    step = max(1, _VALUES // max(1, size))
    return (slice(start, min(start + step, views)) for start in range(0, views, step))
