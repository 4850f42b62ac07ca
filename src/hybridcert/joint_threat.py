"""A threat against a smoothing law: which budgets there are, and which spectra they can lead to."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

from hybridcert.certificate.directed import Floats
from hybridcert.certificate.frontier import adversarial_value, radius
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.certification import BudgetPoint
from hybridcert.errors import ParameterError
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.threats import ContinuousSurface, DiscreteSurface, DiscreteThreat

Threat = DiscreteThreat | Mapping[str, DiscreteThreat] | None
"""One threat, one per discrete modality, or None: no discrete change at all (d = 0)."""


@dataclasses.dataclass(frozen=True, slots=True)
class JointThreat:
    """Discrete threats on named modalities, together with an ℓ₂ shift of every smoothed continuous one.

    Attributes
    ----------
    noise : SmoothingNoise
    threats : mapping of modality name to DiscreteThreat
    sigma, unit : float, str
        Radii are σ·shift. With several Gaussian modalities σ is 1 and a radius bounds √Σ(ε_i/σ_i)².
    continuous : bool
        Whether any continuous modality has noise; without, only ε = 0 can be certified.
    """

    noise: SmoothingNoise
    threats: Mapping[str, DiscreteThreat]
    sigma: float
    unit: str
    continuous: bool

    @staticmethod
    def of(noise: SmoothingNoise, threat: Threat) -> JointThreat:
        """Match a threat with the modalities that have noise.

        Raises
        ------
        ParameterError
            For a threat on a modality without noise, or an ambiguous one.
        """
        discrete = [n for n in sorted(noise.kernels) if isinstance(noise.surfaces[n], DiscreteSurface)]
        if isinstance(threat, DiscreteThreat):
            if len(discrete) != 1:
                raise ParameterError(
                    f"threat must be a mapping of modality to threat: {len(discrete)} discrete modalities "
                    f"have noise ({', '.join(discrete) or 'none'})"
                )
            threat = {discrete[0]: threat}
        if not isinstance(threat, Mapping | None):
            raise ParameterError(
                f"threat must be a threat, a mapping of modality to threat or None, got {threat!r}"
            )
        threats = dict(sorted((threat or {}).items()))
        for name, kind in threats.items():
            if not isinstance(kind, DiscreteThreat):
                raise ParameterError(
                    f"threat of modality {name!r} must be a threat such as Fields(1), got {kind!r}"
                )
            if name not in discrete:
                raise ParameterError(
                    f"threat names modality {name!r}, discrete modalities with noise: "
                    f"{', '.join(discrete) or 'none'}"
                )
        sigmas = {n: k.sigma for n, k in sorted(noise.kernels.items()) if isinstance(k, GaussianNoise)}
        if len(sigmas) == 1:
            [(name, sigma)] = sigmas.items()
            surface = noise.surfaces[name]
            assert isinstance(surface, ContinuousSurface)
            return JointThreat(noise, threats, sigma, surface.unit, continuous=True)
        unit = f"noise scales: √Σ(ε_i/σ_i)² over {', '.join(sigmas)}" if sigmas else "no continuous noise"
        return JointThreat(noise, threats, 1.0, unit, continuous=bool(sigmas))

    @property
    def budgets(self) -> list[tuple[int, ...]]:
        """Every combination of budgets, one entry per threat; the empty tuple where there is none."""
        return list(itertools.product(*(range(threat.max_d + 1) for threat in self.threats.values())))

    def spectra(self, budget: tuple[int, ...]) -> list[LikelihoodSpectrum]:
        """Candidates of the worst case at a budget: one choice per modality, composed."""
        candidates = [LikelihoodSpectrum.identity()]
        for (name, threat), d in zip(self.threats.items(), budget, strict=True):
            kernel, surface = self.noise.kernels[name], self.noise.surfaces[name]
            assert isinstance(surface, DiscreteSurface)
            assert not isinstance(kernel, GaussianNoise)
            options = kernel.spectra(threat, d, surface.eligible_sizes)
            candidates = [a.compose(b) for a in candidates for b in options]
        return candidates

    def point(self, budget: tuple[int, ...], p_lower: Floats, threshold: float) -> BudgetPoint:
        """Certificates of all inputs at one budget."""
        spectra = self.spectra(budget)
        radii = radius(p_lower=p_lower, spectrum=spectra, sigma=self.sigma, threshold=threshold)
        value, _ = adversarial_value(p_lower=p_lower, spectrum=spectra, sigma=self.sigma, epsilon=0.0)
        d = budget if len(budget) > 1 else sum(budget)  # one threat: its d itself; none: 0
        return BudgetPoint(d, radii if self.continuous else radii.without_radius(), value)
