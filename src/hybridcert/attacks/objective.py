"""The smoothed objective of a search: Monte Carlo estimates on common random numbers.

Every candidate of a round is corrupted with fresh generators of the same key, so that differences between
candidates are differences between inputs and not between draws. Another round has other copies; a search
that kept them would fit its candidates to them. Nothing here bounds anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from hybridcert.attacks.budget import Method
from hybridcert.certificate.directed import Floats
from hybridcert.errors import ModelError
from hybridcert.kernels.deletion import PADDING, RandomDeletion
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.sampling.blocks import block_copies, checked_answers
from hybridcert.sampling.classifier import Classifier
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.scores import DifferentiableClassifier, ScoringClassifier, Sensitivity
from hybridcert.sampling.streams import Stage
from hybridcert.threats import DiscreteSurface

Row = Mapping[str, npt.NDArray[Any]]
"""One encoded input, arrays without a leading axis."""

_BYTES = 1 << 28
"""Copies of candidates are asked about together as long as their arrays take no more room."""
_CLEARLY = 4.0
"""A label is clearly lost where the mean margin lies so many standard deviations below 0."""


class Estimate(NamedTuple):
    """How good a candidate is; less is better, the score first where copies tell candidates apart by it.

    Attributes
    ----------
    score : float
        Share of copies that answered with the label; of the input itself, 0 or 1, without smoothing.
    loss : float
        A smooth stand-in that still tells candidates apart where all copies agree.
    """

    score: float
    loss: float


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is attacked, and how it is asked.

    Attributes
    ----------
    classifier : Classifier
    noise : SmoothingNoise
    label : int
        Index of the class whose score is to fall.
    method : {"gradient", "score", "decision"}
    smoothed : bool
        False: the classifier itself is attacked. Noise then only finds directions.
    """

    classifier: Classifier
    noise: SmoothingNoise
    label: int
    method: Method
    smoothed: bool

    def values(self, batch: Row) -> Floats:
        """Return the margin of each row, or 1 and 0 for the label and any other answer."""
        rows = len(next(iter(batch.values())))
        if self.method == "decision":
            answers = checked_answers(
                self.classifier.predict_encoded(batch), len(self.classifier.classes_), rows
            )
            return np.asarray(answers == self.label, dtype=np.float64)
        return self.checked(cast(ScoringClassifier, self.classifier).margins(batch, self.label), rows)

    @staticmethod
    def checked(margins: Floats, rows: int) -> Floats:
        """Return margins; raise ModelError unless there is a finite one for each row."""
        margins = np.asarray(margins, dtype=np.float64)
        if margins.shape != (rows,) or not np.isfinite(margins).all():
            raise ModelError(
                f"margins must return {rows} finite numbers, got shape {margins.shape}: use method 'decision'"
            )
        return margins


class Round:
    """The copies of one round, and what the classifier says about them.

    Parameters
    ----------
    subject : Subject
    key : bytes
        Of the clean input, from `RowStreams.keys`; the same for every candidate.
    block : int
        Number of the round; different ones share no randomness.
    copies : int >= 1
    """

    def __init__(self, subject: Subject, key: bytes, *, block: int, copies: int) -> None:
        self._subject, self._key, self._block, self._copies = subject, key, block, copies
        self._first: Floats | None = None
        self._drawn: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}
        self.calls = 0

    def estimates(self, rows: Sequence[Row], *, copies: int | None = None) -> list[Estimate]:
        """Return estimates of the objective at some inputs; the first input of a round sets its unit.

        Parameters
        ----------
        rows : sequence of encoded inputs
        copies : int, optional
            Ask about the first so many copies only.
        """
        subject, drawn = self._subject, self._copies if copies is None else copies
        if not subject.smoothed:
            own = self._values(rows, copies=0)[:, 0]
            self._first = own[:1] if self._first is None else self._first
            asks = subject.method == "decision"
            guide = self._values(rows, copies=drawn).mean(axis=1) if asks else own
            return [Estimate(float(v > 0.0), float(g)) for v, g in zip(own, guide, strict=True)]
        values = self._values(rows, copies=drawn)
        shares = (values > 0.0).mean(axis=1)
        losses = self._squashed(values).mean(axis=1)
        return [Estimate(float(s), float(v)) for s, v in zip(shares, losses, strict=True)]

    @property
    def won(self) -> bool:
        """Whether the first input of the round has lost the label, as far as its copies can tell.

        No copy answers with the label; and where there are margins, their mean lies four standard deviations
        below 0, which leaves a normal tail of 3e-5: few copies say nothing of scores as small as that.
        """
        assert self._first is not None
        first, near = self._first, 0.0
        if self._subject.method != "decision":
            scale = float(np.abs(first).max()) or 1.0
            near = float((first / scale).mean() + _CLEARLY * (first / scale).std())
        return bool((first <= 0.0).all()) and near <= 0.0

    def sensitivity(self, row: Row) -> Sensitivity:
        """Return derivatives of the mean margin over the copies of one input, or of the input itself."""
        subject = self._subject
        drawn = self.noisy(row) if subject.smoothed else {n: a[None] for n, a in row.items()}
        batch = {name: _stacked([array]) for name, array in drawn.items()}
        origins = self.origins(row, batch)
        classifier = cast(DifferentiableClassifier, subject.classifier)
        rows, limit = len(next(iter(batch.values()))), block_copies(subject.classifier)
        found, start = None, 0
        while start < rows:  # added up one by one: a derivative by every symbol may be large
            part = {name: array[start : start + limit] for name, array in batch.items()}
            places = {name: array[start : start + limit] for name, array in origins.items()}
            further = self._checked(classifier.sensitivity(part, subject.label, places), row, part)
            found = further if found is None else _joined(found, further)
            start += limit
        assert found is not None
        self.calls += rows
        return found

    def correlation(self, row: Row) -> dict[str, Floats]:
        """Estimate the derivative of the mean value over copies from the noise that they already carry.

        For Gaussian noise E[f(x + ξ) ξ]/σ², for Laplace noise E[f(x + ξ) sgn ξ]/b (Stein 1981), by continuous
        modality, shape (features,); 0 where a feature has no noise.
        """
        values = self._squashed(self._values([row], copies=self._copies))[0]
        centred = values - values.mean()
        slopes = {}
        for name, kernel in self._subject.noise.continuous.items():
            noise = self.noisy(row)[name] - row[name]
            slopes[name] = np.zeros(noise.shape[1])
            columns = list(self._subject.noise.surfaces[name].eligible)
            drawn = noise[:, columns]
            scale = np.asarray(kernel.sigma if isinstance(kernel, GaussianNoise) else 1.0)
            weights = drawn / scale**2 if isinstance(kernel, GaussianNoise) else np.sign(drawn)
            slopes[name][columns] = centred @ weights / len(centred)
        return slopes

    def noisy(self, row: Row) -> dict[str, npt.NDArray[Any]]:
        """Return the copies of one input; modalities that are the same array as before are drawn once."""
        for name in row:
            if name not in self._drawn or self._drawn[name][0] is not row[name]:
                self._drawn[name] = (row[name], self._draw(name, row))
        return {name: self._drawn[name][1] for name in row}

    def origins(self, row: Row, batch: Row) -> dict[str, npt.NDArray[np.intp]]:
        """Return which position of the input each symbol of a batch was taken over from, −1 for none."""
        found = {}
        noise = self._subject.noise
        for name, kernel in noise.kernels.items():
            if not isinstance(noise.surfaces[name], DiscreteSurface):
                continue
            places = np.where(row[name] != PADDING, np.arange(row[name].size), PADDING)
            if isinstance(kernel, RandomDeletion) and self._subject.smoothed:  # the same draws, of numbers
                found[name] = self._draw(name, {**row, name: places}).astype(np.intp)
            else:
                found[name] = np.where(batch[name] == row[name], places, -1).astype(np.intp)
        return found

    def _checked(self, found: Sensitivity, row: Row, batch: Row) -> Sensitivity:
        """Return derivatives; raise ModelError unless they fit the input and are finite."""
        self._subject.checked(found.margins, len(next(iter(batch.values()))))
        advice = "use method 'score'"
        for name in self._subject.noise.continuous:
            slopes = found.continuous.get(name)
            if slopes is None or slopes.shape != row[name].shape or not np.isfinite(slopes).all():
                raise ModelError(
                    f"sensitivity must return {row[name].size} finite derivatives by {name!r}, got "
                    f"{'none' if slopes is None else f'shape {slopes.shape}'}: {advice}"
                )
        for name, slopes in found.discrete.items():
            if slopes.ndim != 2 or len(slopes) < row[name].size or np.isinf(slopes).any():
                raise ModelError(
                    f"sensitivity must return a row of derivatives, or NaN, for each of {row[name].size} "
                    f"positions of {name!r}, got shape {slopes.shape}: {advice}"
                )
        return found

    def _draw(self, name: str, row: Row) -> npt.NDArray[Any]:
        one = {n: a[None] for n, a in row.items()}
        return self._subject.noise.draw_modality(
            name, one, 0, self._copies, self._key, stage=Stage.ATTACK, block=self._block
        )

    def _squashed(self, values: Floats) -> Floats:
        """Map margins into (0, 1) by a logistic function as wide as the first margins of the round spread.

        Copies far from the boundary, on either side, then have little weight: what counts is how many
        copies lie on which side, and which way those near the boundary move.
        """
        first = values[0] if self._first is None else self._first
        self._first = first
        if self._subject.method == "decision":
            return values
        largest = float(np.abs(first).max()) or 1.0  # squares and sums of large margins would overflow
        width = float((first / largest).std()) or float(np.abs(first / largest).mean()) or 1.0
        with np.errstate(over="ignore"):
            return np.asarray(expit(values / largest / width))

    def _values(self, rows: Sequence[Row], *, copies: int) -> Floats:
        """Return the value of each copy, shape (inputs, copies); with 0 copies of each input, (inputs, 1)."""
        limit, asked = block_copies(self._subject.classifier), max(1, copies)
        size = asked * sum(array.nbytes for array in rows[0].values())
        together = max(1, min(limit // asked, _BYTES // max(1, size)))
        values = []
        for start in range(0, len(rows), together):
            part = rows[start : start + together]
            drawn = [self.noisy(row) if copies else {n: a[None] for n, a in row.items()} for row in part]
            batch = {name: _stacked([d[name][:asked] for d in drawn]) for name in part[0]}
            for first in range(0, len(part) * asked, limit):
                values.append(self._subject.values({n: a[first : first + limit] for n, a in batch.items()}))
        self.calls += len(rows) * asked
        return np.concatenate(values).reshape(len(rows), asked)


def _stacked(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Put copies of several inputs below one another; shorter sequences are padded."""
    width = max(part.shape[1] for part in parts)
    padded = [
        part
        if part.shape[1] == width
        else np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=PADDING)
        for part in parts
    ]
    return np.concatenate(padded)


def _joined(a: Sensitivity, b: Sensitivity) -> Sensitivity:
    """Return the derivatives of the mean margin over two batches; where one says nothing it adds 0."""
    share = len(a.margins) / (len(a.margins) + len(b.margins))

    def mean(first: Floats, second: Floats) -> Floats:
        unknown = np.isnan(first) & np.isnan(second)
        added = share * np.nan_to_num(first) + (1.0 - share) * np.nan_to_num(second)
        added[unknown] = np.nan
        return np.asarray(added)

    return Sensitivity(
        np.concatenate([a.margins, b.margins]),
        {name: mean(a.continuous[name], b.continuous[name]) for name in a.continuous},
        {name: mean(a.discrete[name], b.discrete[name]) for name in a.discrete},
    )
