"""Counting answers over noisy copies: blocks are drawn, grouped into batches, asked, tallied.

A block is the unit of randomness, a batch the unit of model calls; counts do not depend on how blocks are
grouped. Executors other than this serial one only have to hand out blocks differently.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.classifier import Batch, Classifier
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import RowStreams, Stage

BLOCK = 5_000
"""Copies drawn from one random stream; part of the meaning of a seed."""

BATCH = 40_000
"""Rows per model call at most: large enough to amortise a pipeline's overhead, small in memory."""

Counts = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Called with (copies classified, copies in all)."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Block:
    row: int
    number: int
    copies: int


def count_labels(
    classifier: Classifier,
    inputs: Batch,
    noise: SmoothingNoise,
    *,
    samples: int,
    seed: int,
    stage: Stage,
    progress: Progress | None = None,
) -> Counts:
    """Return how often each class answered, shape (rows, classes); every row sums to ``samples``.

    Equal rows share their noise, so they are asked once. Every draw counts: an answer that is not a class
    index ends the run with ModelError.
    """
    check_samples(samples)
    noise.check_inputs(inputs)
    keys = RowStreams(seed).keys(inputs)
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    blocks = list(_blocks(list(first.values()), samples))
    total = len(first) * samples
    counts = np.zeros((len(keys), len(classifier.classes_)), dtype=np.int64)
    done = 0
    for group in _groups(blocks):
        drawn = [noise.draw(inputs, b.row, b.copies, keys[b.row], stage=stage, block=b.number) for b in group]
        batch = {name: np.concatenate([d[name] for d in drawn]) for name in inputs}
        answers = _checked(classifier.predict_encoded(batch), len(classifier.classes_), batch)
        end = 0
        for block in group:
            start, end = end, end + block.copies
            counts[block.row] += np.bincount(answers[start:end], minlength=counts.shape[1])
        done += end
        if progress is not None:
            progress(done, total)
    return counts[[first[key] for key in keys]]


def check_samples(samples: int) -> None:
    """Raise ParameterError unless ``samples`` is a positive integer."""
    if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or samples < 1:
        raise ParameterError(f"samples must be an integer >= 1, got {samples!r}")


def _blocks(rows: list[int], samples: int) -> Iterator[_Block]:
    for row in rows:
        for number, start in enumerate(range(0, samples, BLOCK)):
            yield _Block(row, number, min(BLOCK, samples - start))


def _groups(blocks: list[_Block]) -> Iterator[list[_Block]]:
    group: list[_Block] = []
    size = 0
    for block in blocks:
        if group and size + block.copies > BATCH:
            yield group
            group, size = [], 0
        group.append(block)
        size += block.copies
    if group:
        yield group


def _checked(answers: npt.NDArray[Any], classes: int, batch: Batch) -> npt.NDArray[np.intp]:
    rows = len(next(iter(batch.values())))
    result = np.asarray(answers)
    if result.shape != (rows,) or result.dtype.kind not in "iu":
        raise ModelError(
            f"predict_encoded must return {rows} class indices, got shape {result.shape} of {result.dtype}"
        )
    if result.size and (result.min() < 0 or result.max() >= classes):
        wrong = result[(result < 0) | (result >= classes)][0]
        raise ModelError(f"predict_encoded must return indices in [0, {classes - 1}], got {wrong}")
    return result.astype(np.intp, copy=False)
