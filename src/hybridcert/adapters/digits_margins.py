"""How far the digits filter's answer is from the other one, and which pixels and words would change it.

A pair is unsafe where both readers read the same digit. What counts is a digit's lead among the scores of the
digit reader, and among those of the caption reader; the digit whose smaller lead is largest decides. Where it
is read by neither or one of them, the margin is that smaller lead. Where both read it, it is half the
harmonic mean of the two, so that losing either lead lowers it: the smaller alone would hide the image from an
attack wherever the caption is read less surely.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NEVER = -float(np.finfo(np.float64).max)
"""Margin of "unsafe" where the readers know no digit in common."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Leads:
    """Lead of every answer of a reader over the best other one.

    Attributes
    ----------
    leads : (rows, answers) float
        In the reader's logits. Above 0 for the answer that it gives, the first of the largest scores, below 0
        for all others: where whole-number scores tie, half a step stands for who comes first.
    first, second : (rows,) int
        The answer that it gives, and the best other one.
    """

    leads: Floats
    first: NDArray[np.intp]
    second: NDArray[np.intp]

    @classmethod
    def of(cls, scores: NDArray[Any], scale: float) -> Leads:
        """Compare whole-number scores (rows, answers), at least two; ``scale`` makes logits of them."""
        rows = np.arange(len(scores))
        first = scores.argmax(axis=1)
        others = scores.astype(np.float64)
        top = others[rows, first]
        leads = others - top[:, None]
        leads[leads == 0.0] = -0.5
        others[rows, first] = -np.inf
        second = others.argmax(axis=1)
        lead = top - others[rows, second]
        leads[rows, first] = np.where(lead == 0.0, 0.5, lead)
        return cls(leads * scale, first, second)

    def signs(self, answer: NDArray[np.intp]) -> Floats:
        """Return the derivative of the lead of one answer a row with respect to the logits."""
        rows = np.arange(len(answer))
        signs = np.zeros_like(self.leads)
        signs[rows, answer] = 1.0
        signs[rows, np.where(answer == self.first, self.second, self.first)] = -1.0
        return signs


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How close two readers are to reading the same digit.

    Attributes
    ----------
    margins : (rows,) float
        Above 0 where both give the same digit as their answer, below 0 elsewhere.
    digit_slopes, caption_slopes : (rows, answers) float
        Derivatives of the margins with respect to the logits of each reader.
    """

    margins: Floats
    digit_slopes: Floats
    caption_slopes: Floats

    @classmethod
    def of(cls, digit: Leads, caption: Leads, pairs: NDArray[np.intp]) -> Agreement:
        """Find the digit on which both readers agree most.

        Parameters
        ----------
        pairs : (digits, 2) int
            For each digit that both readers know, its column among the scores of either.
        """
        rows = np.arange(len(digit.leads))
        if not len(pairs):
            return cls(np.full(len(rows), _NEVER), np.zeros_like(digit.leads), np.zeros_like(caption.leads))
        shown, named = digit.leads[:, pairs[:, 0]], caption.leads[:, pairs[:, 1]]
        best = np.minimum(shown, named).argmax(axis=1)
        a, b = shown[rows, best], named[rows, best]
        read = (a > 0.0) & (b > 0.0)
        total = np.where(read, a + b, 1.0)
        return cls(
            np.where(read, a * (b / total), np.minimum(a, b)),
            np.where(read, (b / total) ** 2, a <= b)[:, None] * digit.signs(pairs[best, 0]),
            np.where(read, (a / total) ** 2, a > b)[:, None] * caption.signs(pairs[best, 1]),
        )


def common(first: NDArray[np.int64], second: NDArray[np.int64], *, none: int) -> NDArray[np.intp]:
    """Return where each value but ``none`` that both arrays hold stands in either, shape (values, 2)."""
    values, left, right = np.intersect1d(first, second, return_indices=True)
    kept = values != none
    return np.stack([left[kept], right[kept]], axis=1)
