"""Gaussian noise on a continuous modality (Cohen et al. 2019), isotropic or with one σ per feature."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from hybridcert.certificate.directed import Floats
from hybridcert.errors import ParameterError
from hybridcert.kernels.continuous import check_scale
from hybridcert.threats import ContinuousSurface


@dataclasses.dataclass(frozen=True, slots=True)
class GaussianNoise:
    """Add independent N(0, ``sigma``²) to every eligible feature.

    Parameters
    ----------
    sigma : float > 0, or a sequence with one for each eligible feature
        Standard deviation, in the unit that the modality declares. With a single number certified radii are
        ℓ₂ distances in that unit; with a sequence (kept as a tuple) they bound the Mahalanobis distance
        √Σ(δ_j/σ_j)², which is free of units.

    Raises
    ------
    ParameterError
        For a ``sigma`` that is not positive or not finite, or an empty sequence.

    References
    ----------
    Cohen et al. 2019; Fischer et al. 2020 and Eiras et al. 2022 for anisotropic noise.
    """

    sigma: float | Sequence[float]
    name: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        if not isinstance(self.sigma, Sequence | np.ndarray):
            check_scale("sigma", self.sigma)
            return
        scales = tuple(check_scale("sigma", value) for value in self.sigma)
        if not scales:
            raise ParameterError("sigma must be one number or one for each feature, got none")
        object.__setattr__(self, "sigma", scales)

    @property
    def one_scale(self) -> float | None:
        """The σ that all features share; None where each has its own."""
        return None if isinstance(self.sigma, Sequence) else self.sigma

    def parameters(self) -> dict[str, Any]:
        """Return the parameters as plain values by name."""
        return {"sigma": list(self.sigma) if isinstance(self.sigma, Sequence) else self.sigma}

    def law(self, features: int) -> dict[str, Any]:
        """Return the noise as an issued certificate states it: scales as hexadecimal floats."""
        sigma = self.sigma
        exact = [s.hex() for s in sigma] if isinstance(sigma, Sequence) else float(sigma).hex()
        return {"kernel": self.name, "sigma": exact, "features": features}

    def check_surface(self, surface: ContinuousSurface) -> None:
        """Raise ParameterError unless there is a σ for each eligible feature."""
        eligible = len(surface.eligible)
        if isinstance(self.sigma, Sequence) and len(self.sigma) != eligible:
            raise ParameterError(
                f"sigma must list {eligible} numbers, one per eligible feature, got {len(self.sigma)}"
            )

    def sample(self, values: Floats, stream: np.random.Generator) -> Floats:
        """Return noisy copies of ``values``, shape (copies, features), drawn in float64."""
        noisy = stream.standard_normal(values.shape)
        noisy *= self.sigma
        noisy += values
        return noisy
