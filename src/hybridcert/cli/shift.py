"""The continuous side of a query: which noise, and what a radius or a distance means under it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from hybridcert.certificate.tradeoff import combined_shift
from hybridcert.cli.rules import Given, Spell, required
from hybridcert.errors import ParameterError
from hybridcert.kernels.continuous import ContinuousKernel, JointBudget, joint_budget
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.kernels.laplace import LaplaceNoise


@dataclasses.dataclass(frozen=True, slots=True)
class Shift:
    """Noise on continuous modalities, one for each σ; ``sigma`` None: nothing continuous changes."""

    noise: str
    sigma: float | tuple[float, ...] | None

    @property
    def kernels(self) -> dict[str, ContinuousKernel]:
        """The noise of each modality by the name it has in issued certificates."""
        if self.sigma is None:
            return {}
        if self.noise == "laplace":
            assert isinstance(self.sigma, float)
            return {"continuous": LaplaceNoise(self.sigma)}
        if isinstance(self.sigma, float):
            return {"continuous": GaussianNoise(self.sigma)}
        return {f"continuous {i}": GaussianNoise(s) for i, s in enumerate(self.sigma, start=1)}

    @property
    def budget(self) -> JointBudget:
        """What a radius measures."""
        if isinstance(self.sigma, tuple):
            return JointBudget("mahalanobis", 1.0, "gaussian")
        return joint_budget(self.kernels)

    @property
    def measure(self) -> str:
        """What a radius measures, in words."""
        return {
            "l2": "l2, in the units of --sigma",
            "l1": "l1, in the units of --sigma",
            "mahalanobis": "in multiples of the noise, scale 1: the root of the sum of (eps/sigma)^2",
            "none": "no continuous noise: nothing continuous may change",
        }[self.budget.norm]

    def distance(self, eps: float | tuple[float, ...]) -> float:
        """Return the budget that ``eps`` amounts to, in the units of a radius, rounded up."""
        if isinstance(eps, tuple):
            assert self.sigma is not None
            return combined_shift(eps, self.sigma)
        return eps

    def described(self) -> dict[str, Any]:
        """Return the noise as JSON-ready values; ``noise`` and ``norm`` only where they are not the usual."""
        sigma = list(self.sigma) if isinstance(self.sigma, tuple) else self.sigma
        if self.budget.norm == "l2":
            return {"sigma": sigma}
        return {"sigma": sigma, "noise": self.noise, "norm": self.budget.norm}


def read_shift(given: Given, spell: Spell) -> Shift:
    """Build the continuous noise from checked values.

    Raises
    ------
    ParameterError
        For a scale that is missing, or does not go with the noise.
    """
    noise = given.get("noise", "gaussian")
    if noise == "none":
        for key in ("sigma", "scale", "eps"):
            if key in given:
                raise ParameterError(f"{spell(key)} does not apply to {spell('noise')} none: leave it out")
        return Shift(noise, None)
    if noise != "laplace" and "scale" in given:
        raise ParameterError(
            f"{spell('scale')} does not apply to {spell('noise')} {noise}: use {spell('sigma')} or "
            f"{spell('noise')} laplace"
        )
    if "sigma" in given and "scale" in given:
        raise ParameterError(f"{spell('sigma')} and {spell('scale')} exclude each other: give one of them")
    sigma = given.get("scale", given.get("sigma"))
    if sigma is None:
        raise required("sigma", "", spell)
    if noise == "laplace" and isinstance(sigma, tuple):
        raise ParameterError(
            f"{spell('sigma')} must be one number with {spell('noise')} laplace, got {len(sigma)} of them"
        )
    return Shift(noise, sigma)


def read_eps(given: Given, shift: Shift, spell: Spell) -> float | tuple[float, ...]:
    """Return the distance asked for: one number, or one for each σ where there are several.

    Raises
    ------
    ParameterError
        For the wrong number of distances, or one beyond float64 in multiples of σ.
    """
    sigma = shift.sigma
    eps: float | tuple[float, ...] = given.get(
        "eps", (0.0,) * len(sigma) if isinstance(sigma, tuple) else 0.0
    )
    expected = len(sigma) if isinstance(sigma, tuple) else None
    if (len(eps) if isinstance(eps, tuple) else None) != expected:
        wanted = (
            "be one number" if expected is None else f"list {expected} numbers, one for each {spell('sigma')}"
        )
        got = f"{len(eps)} of them" if isinstance(eps, tuple) else repr(eps)
        raise ParameterError(f"{spell('eps')} must {wanted}, got {got}")
    if not math.isfinite(shift.distance(eps) / shift.budget.scale):
        shown = ",".join(map(repr, eps)) if isinstance(eps, tuple) else repr(eps)
        scales = ",".join(map(repr, sigma)) if isinstance(sigma, tuple) else repr(sigma)
        raise ParameterError(
            f"{spell('eps')} must be a finite multiple of {spell('sigma')} = {scales}, got {shown}"
        )
    return eps
