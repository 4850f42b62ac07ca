"""The continuous part of an input: its features in play as one vector, and steps that lower the objective.

Source: paper, Algorithm 1, line 5 (ℓ₂-projected gradient steps; Madry et al. 2018, Salman et al. 2019). Steps
are normalised, since only the direction of a derivative is of use where the budget says how far to go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.attacks.distance import Ball
from hybridcert.certificate.directed import Floats
from hybridcert.joint_threat import JointThreat
from hybridcert.kernels.gaussian import GaussianNoise

_REACHES = (2.0, 1.0, 0.5, 0.25, 0.125)
"""Lengths of the steps that are tried, in units of ε; the first crosses the ball."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Where the features in play stand: modality by modality, in the order of their names.

    Attributes
    ----------
    columns : mapping of modality name to (features,) int
    """

    columns: Mapping[str, npt.NDArray[np.intp]]

    @staticmethod
    def of(joint: JointThreat) -> Features:
        """Return the eligible features of every continuous modality with noise."""
        surfaces = joint.noise.surfaces
        return Features(
            {name: np.array(surfaces[name].eligible, dtype=np.intp) for name in joint.noise.continuous}
        )

    def gathered(self, row: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """Return the features of one input as a vector."""
        parts = [np.asarray(row[name], dtype=np.float64)[columns] for name, columns in self.columns.items()]
        return np.concatenate(parts) if parts else np.empty(0)

    def parts(self, vector: Floats) -> Iterator[tuple[str, npt.NDArray[np.intp], Floats]]:
        """Yield the modality, the columns and the values of each part of a vector."""
        end = 0
        for name, columns in self.columns.items():
            start, end = end, end + columns.size
            yield name, columns, vector[start:end]


def ball(joint: JointThreat, clean: Floats, epsilon: float) -> Ball:
    """Return the inputs within ``epsilon`` in the distance that certificates of this noise bound."""
    scales = np.ones_like(clean)
    if joint.budget.norm == "mahalanobis":
        surfaces = joint.noise.surfaces
        scales = np.concatenate(
            [
                np.broadcast_to(np.asarray(kernel.sigma, dtype=np.float64), (len(surfaces[name].eligible),))
                for name, kernel in joint.noise.continuous.items()
                if isinstance(kernel, GaussianNoise)
            ]
        )
    return Ball(clean, scales, "l1" if joint.budget.norm == "l1" else "l2", epsilon)


def steps(around: Ball, point: Floats, slopes: Floats) -> Iterator[Floats]:
    """Yield points of the ball that lie downhill from one: long steps first.

    Parameters
    ----------
    slopes : (features,) float
        Derivative of the objective, or an estimate of it; finite.
    """
    steepest_slope = float(np.abs(slopes).max(initial=0.0))
    if steepest_slope == 0.0:
        return
    scaled = slopes / steepest_slope * around.scales  # per unit of distance
    largest = float(np.abs(scaled).max())
    here = around.shift(point)
    if around.norm == "l1":  # the steepest way in ℓ₁ is along one feature
        corner = np.zeros_like(scaled)
        steepest = int(np.abs(scaled).argmax())
        corner[steepest] = -around.radius * np.sign(scaled[steepest])
        for share in (1.0, 0.5, 0.25):
            yield around.nearest((1.0 - share) * here + share * corner)
    scaled = scaled / largest
    direction = -scaled / float(np.linalg.norm(scaled))
    for reach in _REACHES:
        yield around.nearest(here + reach * around.radius * direction)


def random_points(around: Ball, point: Floats, stream: np.random.Generator, count: int) -> Iterator[Floats]:
    """Yield points of the ball in random directions, half of them from the clean input, half from a point."""
    here = around.shift(point)
    for i in range(count):
        direction = stream.standard_normal(here.size)
        length = float(np.linalg.norm(direction)) or 1.0
        origin = here if i % 2 else np.zeros_like(here)
        yield around.nearest(origin + around.radius * direction / length)
