"""Gaussian noise on a continuous modality (Cohen et al. 2019)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from hybridcert.certificate.directed import Floats
from hybridcert.certificate.frontier import check_sigma


@dataclasses.dataclass(frozen=True, slots=True)
class GaussianNoise:
    """Add independent N(0, ``sigma``²) to every eligible feature.

    Parameters
    ----------
    sigma : float > 0
        Standard deviation, in the unit that the modality declares. Certified radii come in that unit.

    Raises
    ------
    ParameterError
        For ``sigma`` not positive or not finite.
    """

    sigma: float
    name: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        check_sigma(self.sigma)

    def sample(self, values: Floats, stream: np.random.Generator) -> Floats:
        """Return noisy copies of ``values``, any shape, drawn in float64."""
        noisy = stream.standard_normal(values.shape)
        noisy *= self.sigma
        noisy += values
        return noisy
