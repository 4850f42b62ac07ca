"""A threat against a smoothing law: which budgets there are, and which spectra they can lead to."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.candidate import AttackSet
from hybridcert.certificate.confidence import LabelBounds
from hybridcert.certificate.frontier import Radii, adversarial_value, radius
from hybridcert.certificate.multiclass import TopRadii, radius_top
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.certification import BudgetPoint
from hybridcert.documents.claims import Claim, ScoreAbove
from hybridcert.documents.evidence import JointAttack, JointCandidate, Setting
from hybridcert.errors import ParameterError
from hybridcert.kernels.continuous import JointBudget, joint_budget
from hybridcert.kernels.discrete import DiscreteKernel, Exposure
from hybridcert.kernels.positions import PositionKernel
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import symbol_counts
from hybridcert.threats import ContinuousSurface, DiscreteSurface, DiscreteThreat, Edit, Indel, Insertion

Threat = DiscreteThreat | Mapping[str, DiscreteThreat] | None
"""One threat, one per discrete modality, or None: no discrete change at all (d = 0)."""

Exposures = Mapping[str, Hashable]
"""What about an input matters for its spectra, by discrete modality with noise."""


@dataclasses.dataclass(frozen=True, slots=True)
class JointThreat:
    """Discrete threats on named modalities, together with a shift of every smoothed continuous one.

    Attributes
    ----------
    noise : SmoothingNoise
    threats : mapping of modality name to DiscreteThreat
    budget : JointBudget
        What a radius measures, and the shift it amounts to: radius = scale · shift.
    unit : str
    """

    noise: SmoothingNoise
    threats: Mapping[str, DiscreteThreat]
    budget: JointBudget
    unit: str

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
        budget = joint_budget(noise.continuous)
        return JointThreat(noise, threats, budget, _unit(noise, budget))

    @property
    def budgets(self) -> list[tuple[int, ...]]:
        """Every combination of budgets, one entry per threat; the empty tuple where there is none."""
        return list(itertools.product(*(range(threat.max_d + 1) for threat in self.threats.values())))

    def exposures(self, inputs: Batch) -> tuple[list[Exposures], npt.NDArray[np.intp]]:
        """Return the distinct cases among the inputs, and which case each input is."""
        surfaces = self.noise.surfaces
        names = [n for n in sorted(self.noise.kernels) if isinstance(surfaces[n], DiscreteSurface)]
        rows = len(next(iter(inputs.values())))
        known: dict[tuple[Hashable, ...], int] = {}
        case = np.zeros(rows, dtype=np.intp)
        for row in range(rows):
            exposure = tuple(
                self._kernel(name).exposure(*self.noise.exposed(inputs, name, row)) for name in names
            )
            case[row] = known.setdefault(exposure, len(known))
        return [dict(zip(names, exposure, strict=True)) for exposure in known], case

    def check_room(self, inputs: Batch) -> None:
        """Raise ParameterError where an attacker's longer sequences would be refused, not answered."""
        for name, threat in self.threats.items():
            surface, counts = self.noise.surfaces[name], symbol_counts(inputs[name])
            assert isinstance(surface, DiscreteSurface)
            if not surface.sequence or not isinstance(threat, Insertion | Indel | Edit) or counts is None:
                continue
            longest, most = int(counts.max(initial=0)), len(surface.alphabet_sizes)
            longer = longest + threat.max_d
            if longer > most:
                raise ParameterError(
                    f"modality {name!r}: {threat.max_d} symbols inserted into the longest input make "
                    f"{longer}, and the classifier takes at most {most}: let it take more, it has to answer"
                )

    def attack(self, d: tuple[int, ...], exposures: Exposures) -> JointAttack:
        """Candidates of the worst case at a budget: one choice per threatened modality, composed."""
        return _composed(self.parts(d, exposures))

    def parts(self, d: tuple[int, ...], exposures: Exposures) -> tuple[AttackSet, ...]:
        """Return the attack set of each threatened modality; equal ones are one object."""
        return tuple(
            self._part(name, threat, budget, exposures[name])
            for (name, threat), budget in zip(self.threats.items(), d, strict=True)
        )

    def _part(self, name: str, threat: DiscreteThreat, d: int, exposure: Exposure) -> AttackSet:
        """Return the attack set of one modality; of a sequence with fewer than d positions all change."""
        surface, kernel = self.noise.surfaces[name], self._kernel(name)
        assert isinstance(surface, DiscreteSurface)
        if surface.sequence and isinstance(kernel, PositionKernel):
            d = min(d, sum(count for _, count in exposure))
        return kernel.candidates(threat, d, exposure)

    def point(
        self,
        d: tuple[int, ...],
        claim: Claim,
        bounds: LabelBounds,
        cases: Sequence[Exposures],
        case: npt.NDArray[np.intp],
    ) -> BudgetPoint:
        """Certificates of all inputs at one budget."""
        rows = case.size
        found = [self.parts(d, exposures) for exposures in cases]
        distinct = {tuple(map(id, parts)): parts for parts in found}  # equal attack sets are one object
        composed = {key: _composed(parts) for key, parts in distinct.items()}
        number = {key: n for n, key in enumerate(composed)}
        kind = np.array([number[tuple(map(id, parts))] for parts in found], dtype=np.intp)[case]
        certified, r, m = np.zeros(rows, dtype=np.bool_), np.zeros(rows), np.zeros(rows)
        log_t, p_adv = np.zeros((rows, 1 if isinstance(claim, ScoreAbove) else 2)), np.zeros(rows)
        for n, attack in enumerate(composed.values()):
            part = np.flatnonzero(kind == n)
            if not part.size:
                continue
            radii = self._radii(claim, bounds, part, attack)
            certified[part], r[part], m[part] = radii.certified, radii.radius, radii.shift
            log_t[part] = radii.log_t.reshape(part.size, -1)
            p_adv[part] = adversarial_value(
                p_lower=bounds.p_lower[part],
                spectrum=[c.spectrum for c in attack.candidates],
                sigma=self.budget.scale,
                epsilon=0.0,
                noise=self.budget.noise,
            )[0]
        if self.budget.norm == "none":  # no continuous feature has noise: what holds, holds at radius 0
            r, m = np.zeros(rows), np.zeros(rows)
        reported = d if len(d) > 1 else sum(d)  # one threat: its d itself; none: 0
        attacks = tuple(composed[tuple(map(id, parts))] for parts in found)
        if isinstance(claim, ScoreAbove):
            one = Radii(certified=certified, radius=r, log_t=log_t[:, 0], shift=m)
            return BudgetPoint(reported, one, p_adv, attacks)
        two = TopRadii(certified=certified, radius=r, log_t=log_t, shift=m)
        return BudgetPoint(reported, two, p_adv, attacks)

    def setting(self, claim: Claim, exposures: Exposures) -> Setting:
        """The sections of a certificate that describe noise and threat, for one case."""
        discrete = [
            {"modality": name, **self._kernel(name).law(exposure), **self._symbols(name)}
            for name, exposure in exposures.items()
        ]
        continuous = [
            {"modality": name, **kernel.law(len(surface.eligible)), "unit": surface.unit}
            for name, kernel in self.noise.continuous.items()
            if isinstance(surface := self.noise.surfaces[name], ContinuousSurface)
        ]
        threats = [{"modality": name, **threat.described()} for name, threat in self.threats.items()]
        return Setting(
            claim,
            {"discrete": discrete, "continuous": continuous},
            {"discrete": threats, "continuous": {"norm": self.budget.norm, "unit": self.unit}},
            "none" if self.budget.norm == "none" else self.budget.noise,
            self.budget.scale,
        )

    def _radii(
        self, claim: Claim, bounds: LabelBounds, part: npt.NDArray[np.intp], attack: JointAttack
    ) -> Radii | TopRadii:
        spectra = [candidate.spectrum for candidate in attack.candidates]
        p_lower, scale, noise = bounds.p_lower[part], self.budget.scale, self.budget.noise
        if isinstance(claim, ScoreAbove):
            return radius(
                p_lower=p_lower, spectrum=spectra, sigma=scale, threshold=claim.threshold, noise=noise
            )
        return radius_top(
            p_lower=p_lower, p_upper=bounds.p_upper[part], spectrum=spectra, sigma=scale, noise=noise
        )

    def _symbols(self, name: str) -> dict[str, str]:
        surface = self.noise.surfaces[name]
        assert isinstance(surface, DiscreteSurface)
        return {"symbols": surface.symbols} if surface.symbols else {}

    def _kernel(self, name: str) -> DiscreteKernel:
        kernel: Any = self.noise.kernels[name]
        return kernel  # type: ignore[no-any-return]


def _unit(noise: SmoothingNoise, budget: JointBudget) -> str:
    names = list(noise.continuous)
    if budget.norm == "none":
        return "no continuous noise"
    if budget.norm == "mahalanobis":
        return f"noise scales: √Σ(δ_j/σ_j)² over {', '.join(names)}"
    surface = noise.surfaces[names[0]]
    assert isinstance(surface, ContinuousSurface)
    return surface.unit


def _composed(parts: Sequence[AttackSet]) -> JointAttack:
    candidates = [JointCandidate((), LikelihoodSpectrum.identity())]
    for part in parts:
        candidates = [
            JointCandidate((*a.changes, b.change), a.spectrum.compose(b.spectrum))
            for a in candidates
            for b in part.candidates
        ]
    remarks = [part.worst_case for part in parts]
    worst = next((r for r in ("envelope", "enumeration", "dominance") if r in remarks), "single")
    return JointAttack(tuple(candidates), worst)
