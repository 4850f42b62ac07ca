"""What every continuous kernel offers to certificates and to the sampler, and what a joint radius means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from hybridcert.certificate.directed import Floats
from hybridcert.errors import ParameterError
from hybridcert.threats import ContinuousSurface


class ContinuousKernel(Protocol):
    """Noise on real features: immutable, its meaning fixed at construction."""

    @property
    def name(self) -> str:
        """Command-line name."""

    @property
    def one_scale(self) -> float | None:
        """The scale that all features share; None where each has its own."""

    def parameters(self) -> dict[str, Any]:
        """Return the parameters as plain values by name."""

    def law(self, features: int) -> dict[str, Any]:
        """Return the noise as an issued certificate states it, JSON-ready, without modality and unit."""

    def check_surface(self, surface: ContinuousSurface) -> None:
        """Raise ParameterError when the noise does not fit such a modality."""

    def sample(self, values: Floats, stream: np.random.Generator) -> Floats:
        """Return noisy copies of ``values``, shape (copies, eligible features), drawn in float64."""


class JointBudget(NamedTuple):
    """What a certified radius means.

    Attributes
    ----------
    norm : {"l2", "mahalanobis", "l1", "none"}
        The distance it bounds: ℓ₂ or ℓ₁ in the unit of the only continuous modality, √Σ(δ_j/σ_j)² over all
        Gaussian features, or nothing at all.
    scale : float
        A radius is ``scale`` times the shift m.
    noise : {"gaussian", "laplace"}
        The law of the shift, as the functions of `hybridcert.certificate` name it.
    """

    norm: Literal["l2", "mahalanobis", "l1", "none"]
    scale: float
    noise: Literal["gaussian", "laplace"]


def joint_budget(kernels: Mapping[str, ContinuousKernel]) -> JointBudget:
    """Return what a radius means under these kernels, one per continuous modality.

    Independent Gaussians with shifts δ_j amount to one with shift √Σ(δ_j/σ_j)² (Neyman & Pearson: the
    likelihood ratio depends on the projection onto δ/σ only). Laplace noise has no such rule together with
    another continuous modality.

    Raises
    ------
    ParameterError
        For Laplace noise next to another continuous modality.
    """
    if not kernels:
        return JointBudget("none", 1.0, "gaussian")
    laplace = [modality for modality, kernel in kernels.items() if kernel.name == "laplace"]
    if laplace and len(kernels) > 1:
        raise ParameterError(
            f"laplace noise must be the only continuous noise, got it on {laplace[0]!r} "
            f"among {', '.join(sorted(kernels))}: use gaussian noise on all of them"
        )
    [first, *others] = kernels.values()
    if first.one_scale is None or others:
        return JointBudget("mahalanobis", 1.0, "gaussian")
    if laplace:
        return JointBudget("l1", first.one_scale, "laplace")
    return JointBudget("l2", first.one_scale, "gaussian")


def check_scale(name: str, value: float) -> float:
    """Return ``value`` as a float; raise ParameterError unless it is a positive finite number."""
    if isinstance(value, bool) or not (value > 0.0 and math.isfinite(value)):
        raise ParameterError(f"{name} must be a finite number > 0, got {value!r}")
    return float(value)
