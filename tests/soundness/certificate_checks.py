"""Numbers that the package reports, each held against the exact dual bound of every change at hand.

By weak duality no witness lifts the dual bound above the exact worst-case score. So a reported number is
proven to be at or below the exact one when, for each change of the adversary, some witness of the package
reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from dual_oracle import Law, Witness, proves
from instances import Instance

import hybridcert as hc
from hybridcert.certificate.tradeoff import worst_case_lower


class Checker:
    """Holds the laws of an instance, and counts the certificates it found to be sound."""

    def __init__(self, instance: Instance, noise: str, scale: float) -> None:
        self.spectra = instance.spectra
        self.laws = [Law(change) for change in instance.changes]
        self.noise, self.scale = noise, scale
        self.certificates = 0

    def values(self, p: Sequence[float], epsilon: float) -> np.ndarray:
        """Worst-case scores at a distance: at or below the exact ones."""
        found = [
            hc.adversarial_value(
                p_lower=p, spectrum=spectrum, sigma=self.scale, epsilon=epsilon, noise=self.noise
            )
            for spectrum in self.spectra
        ]
        values, _ = hc.adversarial_value(
            p_lower=p, spectrum=self.spectra, sigma=self.scale, epsilon=epsilon, noise=self.noise
        )
        shift = Fraction(epsilon) / Fraction(self.scale)
        for i, (score, value) in enumerate(zip(p, values.tolist(), strict=True)):
            assert 0.0 <= value <= score
            if value > 0.0:
                witnesses = [known(log_t[i]) for _, log_t in found]
                self._proven(shift, [(Fraction(score), witnesses)], value, strict=False)
        return np.asarray(values)

    def shifted_values(self, p: Sequence[float], shift: float) -> None:
        """The same, where the shift itself is given."""
        found = [worst_case_lower(spectrum, p, shift, noise=self.noise) for spectrum in self.spectra]
        values = np.min([bound.value for bound in found], axis=0)
        for i, (score, value) in enumerate(zip(p, values.tolist(), strict=True)):
            if value > 0.0:
                witnesses = [known(bound.log_t[i]) for bound in found]
                self._proven(Fraction(shift), [(Fraction(score), witnesses)], value, strict=False)

    def radii(self, p: Sequence[float], tau: Sequence[float]) -> None:
        """Radii of score claims: at the radius the score is still above the threshold."""
        p, tau = np.array(p), np.array(tau)

        def radius(spectrum: object) -> hc.Radii:
            return hc.radius(p_lower=p, spectrum=spectrum, sigma=self.scale, threshold=tau, noise=self.noise)

        reported, single = radius(self.spectra), [radius(spectrum) for spectrum in self.spectra]
        for i in np.flatnonzero(reported.certified):
            assert all(radii.certified[i] for radii in single)
            witnesses = [known(radii.log_t[i]) for radii in single]
            shift = self._shift(reported.radius[i])
            assert shift <= Fraction(float(reported.shift[i]))
            self._proven(shift, [(Fraction(float(p[i])), witnesses)], float(tau[i]), strict=True)

    def top_radii(self, p: Sequence[float], p_upper: Sequence[float]) -> None:
        """Radii of top-k claims: the claimed score and what its rival leaves add up to more than one."""
        p, rival = np.array(p), np.array(p_upper)

        def radius(spectrum: object) -> hc.TopRadii:
            return hc.radius_top(
                p_lower=p, p_upper=rival, spectrum=spectrum, sigma=self.scale, noise=self.noise
            )

        reported, single = radius(self.spectra), [radius(spectrum) for spectrum in self.spectra]
        for i in np.flatnonzero(reported.certified):
            assert all(radii.certified[i] for radii in single)
            scores = (Fraction(float(p[i])), 1 - Fraction(float(rival[i])))
            terms = [
                (score, [None, *(known(radii.log_t[i, k]) for radii in single)])
                for k, score in enumerate(scores)
            ]
            self._proven(self._shift(reported.radius[i]), terms, 1, strict=True)

    def _shift(self, radius: float) -> Fraction:
        assert 0.0 <= radius < math.inf
        return Fraction(float(radius)) / Fraction(self.scale)

    def _proven(
        self,
        shift: Fraction,
        terms: Sequence[tuple[Fraction, Sequence[Witness]]],
        bound: float,
        *,
        strict: bool,
    ) -> None:
        for law in self.laws:
            assert proves(law, self.noise, shift, terms, bound, strict=strict), (
                f"not below the exact value: {bound!r} at shift {shift}, {terms}, {self.noise}, {law.change}"
            )
        self.certificates += 1


def known(log_t: float) -> Witness:
    """A witness as the package gives it: −∞ stands for the trivial bound."""
    return float(log_t) if math.isfinite(log_t) else None
