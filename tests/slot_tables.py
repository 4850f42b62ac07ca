"""A classifier on three slots whose smoothed scores are known exactly, for any noise and number of slots."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

import hybridcert as hc
from exact_laws import Row, product_row
from hybridcert.threats import ContinuousSurface, DiscreteSurface

SIZES = (3, 2, 3)
COLUMNS = (0, 2, 3)
"""Column 1 of the text is no slot: neither noise nor adversary reach it."""
WORD = (1, 0, 2)

KERNELS = {
    "uniform": hc.UniformReplacement(0.375),
    "fields": hc.FieldReplacement([0.25, 0.5, 0.375]),
    "randomized-response": hc.RandomizedResponse(2.5),
    "absorbing": hc.Absorbing(0.375),
    "synonyms": hc.SynonymReplacement({0: [1], 1: [0]}),
    "matrix": hc.MatrixKernel([[Fraction(5, 8), Fraction(3, 8)], [Fraction(1, 4), Fraction(3, 4)]]),
    "flips": hc.SparseFlips(0.25, 0.5),
}
BITS = ("synonyms", "matrix", "flips")
"""Kernels that want the same alphabet everywhere."""


def sizes_for(kernel: str) -> tuple[int, ...]:
    """Alphabets of the three slots."""
    return (2, 2, 2) if kernel in BITS else SIZES


def word_for(kernel: str) -> tuple[int, ...]:
    """The clean symbols of the three slots."""
    return (1, 0, 1) if kernel in BITS else WORD


def slot_row(kernel: str, slot: int, symbol: int) -> Row:
    """Law of one noisy slot, from the definition of the noise; masks are coded one past the alphabet."""
    size, noise = sizes_for(kernel)[slot], KERNELS[kernel]
    if kernel == "absorbing":
        return {symbol: 1 - Fraction(noise.beta), size: Fraction(noise.beta)}
    if kernel == "synonyms":
        return {0: Fraction(1, 2), 1: Fraction(1, 2)}
    if kernel == "matrix":
        return dict(enumerate(map(Fraction, noise.rows[symbol])))
    if kernel == "flips":
        up, down = Fraction(noise.p_plus), Fraction(noise.p_minus)
        return {0: down, 1: 1 - down} if symbol else {0: 1 - up, 1: up}
    if kernel == "randomized-response":
        rate = (size - 1) / (size - 1 + Fraction(noise.ratio))
    else:
        rate = Fraction(noise.betas[slot] if kernel == "fields" else noise.beta)
    return {z: 1 - rate if z == symbol else rate / (size - 1) for z in range(size)}


def noisy_row(kernel: str, word: Sequence[int], slots: int) -> Row:
    """Law of all symbols when the first ``slots`` have noise."""
    return product_row(
        [slot_row(kernel, slot, x) if slot < slots else {x: Fraction(1)} for slot, x in enumerate(word)]
    )


def conditional_row(row: Row, word: Sequence[int], slots: int) -> Row:
    """The same law given that everything behind ``slots`` came out clean."""
    kept = {z: p for z, p in row.items() if z[slots:] == tuple(word[slots:])}
    total = sum(kept.values(), Fraction(0))
    return {z: p / total for z, p in kept.items() if p}


@dataclasses.dataclass(frozen=True)
class Table:
    """Looks the answer up by the three slots; the number tells equal words apart."""

    answers: tuple[int, ...]
    sizes: tuple[int, ...] = SIZES
    shifted: bool = False

    classes_ = np.array(["a", "b", "c"])

    def surfaces(self):
        sizes = (self.sizes[0], 2, *self.sizes[1:])
        tag = ContinuousSurface(1, (0,), "units")
        return {"text": DiscreteSurface(sizes, COLUMNS, mask=True, symbols="words"), "tag": tag}

    def encode(self, X):
        return {"text": np.asarray(X["text"]), "tag": np.asarray(X["tag"], dtype=np.float64)}

    def predict_encoded(self, batch):
        shape = tuple(size + 1 for size in self.sizes)
        codes = np.ravel_multi_index(tuple(batch["text"][:, COLUMNS].T), shape)
        answers = np.array(self.answers)[codes]
        return np.where(batch["tag"][:, 0] > 0, answers, 0) if self.shifted else answers

    def score(self, row: Row, label: int) -> Fraction:
        """The exact smoothed score of a label under a law of the symbols."""
        shape = tuple(size + 1 for size in self.sizes)
        return sum(
            (p for z, p in row.items() if self.answers[np.ravel_multi_index(z, shape)] == label), Fraction(0)
        )


def table_for(kernel: str, seed: int, *, shifted: bool = False, likely: float = 0.8) -> Table:
    """A table with random answers, label 1 with probability ``likely``; masked symbols have answers too."""
    sizes = sizes_for(kernel)
    cells = math.prod(size + 1 for size in sizes)
    shares = [(1 - likely) / 2, likely, (1 - likely) / 2]
    answers = np.random.default_rng(seed).choice(3, size=cells, p=shares)
    return Table(tuple(answers.tolist()), sizes, shifted)


def inputs_for(kernel: str, rows: int = 1) -> dict[str, np.ndarray]:
    """So many inputs with the same word and different tags."""
    first, *rest = word_for(kernel)
    return {"text": np.tile([first, 1, *rest], (rows, 1)), "tag": 1.0 + np.arange(rows)[:, None]}


def words_within(kernel: str, word: Sequence[int], slots: int, d: int) -> list[tuple[int, ...]]:
    """All words that differ from one in at most d of the first ``slots`` slots."""
    spaces = [range(size) if slot < slots else [word[slot]] for slot, size in enumerate(sizes_for(kernel))]
    return [
        other
        for other in itertools.product(*spaces)
        if sum(a != b for a, b in zip(other, word, strict=True)) <= d
    ]
