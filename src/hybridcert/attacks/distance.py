"""Continuous distances with a proven upper bound, and inputs that are proven to lie within one.

What counts is the adversarial array, not the step that led to it: x + δ is rounded, and the distance of the
rounded input is bounded. Nothing is clipped: certificates hold on all of ℝᴰ, and so does the threat.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from hybridcert.certificate.directed import UNIT_ROUNDOFF, Floats

_LEAST_SQUARE = 2.0**-1074
"""A square, or a quotient, that underflows errs by at most this."""

_FAR = 1e150
"""Differences from here on are not squared: no budget reaches so far."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Ball:
    """All points within a distance of a clean one.

    Attributes
    ----------
    clean : (features,) float
    scales : (features,) float > 0
        What one unit of distance is for each feature: σ_j for Mahalanobis distances, else 1.
    norm : {"l2", "l1"}
        Of the scaled differences.
    radius : float >= 0
    """

    clean: Floats
    scales: Floats
    norm: Literal["l2", "l1"]
    radius: float

    def holds(self, point: Floats) -> bool:
        """Return whether a point is proven to lie in the ball."""
        return distance_upper(self.clean, point, scales=self.scales, norm=self.norm) <= self.radius

    def nearest(self, shift: Floats) -> Floats:
        """Return a point of the ball at, or close to, the projection of ``clean + scales · shift``.

        Guarantee: `holds` is True for it.
        """
        if not np.isfinite(shift).all():
            return self.clean
        inner = _projected(shift, self.norm, self.radius)
        slack = 4.0 * UNIT_ROUNDOFF
        while slack < 1.0:
            point = np.asarray(self.clean + self.scales * inner, dtype=np.float64)
            if self.holds(point):
                return point
            inner = inner * (1.0 - slack)
            slack *= 8.0
        return self.clean

    def shift(self, point: Floats) -> Floats:
        """Return the scaled difference to the clean point, rounded."""
        return np.asarray((point - self.clean) / self.scales)


def distance_upper(clean: Floats, point: Floats, *, scales: Floats, norm: Literal["l2", "l1"]) -> float:
    """Return an upper bound on the distance of two points as real numbers; 0 exactly where they are equal.

    The difference and the quotient err by a factor 1 + 2⁻⁵³ each, the square by one more; ``fsum`` adds
    without error but for its last rounding.

    Parameters
    ----------
    clean, point, scales : (features,) float, finite
    norm : {"l2", "l1"}
    """
    difference = np.abs(point - clean)
    if not difference.any():  # a difference of floats is 0 for equal ones only
        return 0.0
    with np.errstate(over="ignore", under="ignore"):
        scaled = difference / scales
        if not scaled.max() < _FAR:
            return math.inf
        terms = scaled if norm == "l1" else scaled * scaled
        total = math.fsum(terms.tolist()) + 4.0 * terms.size * _LEAST_SQUARE
    length = total if norm == "l1" else math.sqrt(total)
    return math.nextafter(length * (1.0 + 8.0 * UNIT_ROUNDOFF), math.inf)


def _projected(shift: Floats, norm: Literal["l2", "l1"], radius: float) -> Floats:
    """Project onto the ball of a norm around 0, up to rounding."""
    largest = float(np.abs(shift).max(initial=0.0))
    if largest == 0.0 or radius == 0.0:
        return np.zeros_like(shift)
    if norm == "l2":
        length = largest * float(np.linalg.norm(shift / largest))
        return shift * (radius / length) if length > radius else shift
    size = np.abs(shift)
    if float(size.sum()) <= radius:
        return shift
    ordered = np.sort(size)[::-1]  # Duchi et al. 2008, Figure 1
    excess = (np.cumsum(ordered) - radius) / np.arange(1, size.size + 1)
    last = int(np.flatnonzero(ordered > excess)[-1])
    return np.asarray(np.sign(shift) * np.maximum(size - excess[last], 0.0))
