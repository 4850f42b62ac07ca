"""Laplace noise on a continuous modality, for ℓ₁ budgets (Teng et al. 2019)."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from hybridcert.certificate.directed import Floats
from hybridcert.kernels.continuous import check_scale
from hybridcert.threats import ContinuousSurface


@dataclasses.dataclass(frozen=True, slots=True)
class LaplaceNoise:
    """Add independent Laplace(0, ``scale``) to every eligible feature.

    Parameters
    ----------
    scale : float > 0
        The scale b of the density e^{−|x|/b}/(2b) (standard deviation √2·b), in the unit that the modality
        declares. Certified radii are ℓ₁ distances in that unit.

    Raises
    ------
    ParameterError
        For a ``scale`` that is not positive or not finite.

    References
    ----------
    Teng et al. 2019; Yang et al. 2020.
    """

    scale: float
    name: ClassVar[str] = "laplace"

    def __post_init__(self) -> None:
        check_scale("scale", self.scale)

    @property
    def one_scale(self) -> float:
        """The scale, which all features share."""
        return self.scale

    def parameters(self) -> dict[str, Any]:
        """Return the parameters as plain values by name."""
        return {"scale": self.scale}

    def law(self, features: int) -> dict[str, Any]:
        """Return the noise as an issued certificate states it: the scale as a hexadecimal float."""
        return {"kernel": self.name, "scale": float(self.scale).hex(), "features": features}

    def check_surface(self, surface: ContinuousSurface) -> None:
        """Accept every continuous modality."""

    def sample(self, values: Floats, stream: np.random.Generator) -> Floats:
        """Return noisy copies of ``values``, shape (copies, features), drawn in float64.

        The noise is b·(E − E') for independent standard exponentials E and E', which has a Laplace law
        without the logarithm of a uniform number on a grid.
        """
        noisy = stream.standard_exponential(values.shape)
        noisy -= stream.standard_exponential(values.shape)
        noisy *= self.scale
        noisy += values
        return noisy
