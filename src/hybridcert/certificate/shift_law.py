"""Continuous noise as a certificate sees it: the law of its log likelihood ratio under a shift m.

A law is a module, `gaussian` or `laplace`, with the functions of `ShiftLaw`. What they propose and estimate
carries no guarantee; the one that proves, ``dual_lower``, rounds in one direction.
"""

from __future__ import annotations

from typing import Protocol

from hybridcert.certificate import gaussian, laplace
from hybridcert.certificate.directed import Floats
from hybridcert.certificate.proposal import Estimate, Proposal
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError


class ShiftLaw(Protocol):
    """What is asked of a continuous noise; arrays have one entry a row."""

    def dual_lower(
        self, spectrum: LikelihoodSpectrum, m: Floats, p: Floats, u: Floats, *, high: bool
    ) -> Floats:
        """Return lower bounds on D(u; m) at clean score p, for m > 0, |u| ≤ 690; ``high``: all p ≥ ½."""

    def best_threshold(self, spectrum: LikelihoodSpectrum, shift: Floats, p: Floats) -> Floats:
        """Propose the u that maximises D(u; shift); −inf where no positive bound exists."""

    def estimate(self, spectrum: LikelihoodSpectrum, m: Floats, p: Floats) -> Estimate:
        """Estimate V(m), for m > 0."""

    def propose_radius(self, spectrum: LikelihoodSpectrum, p: Floats, threshold: Floats) -> Proposal:
        """Propose (m, u) with V(m) = threshold (p ascending); m is 0 where V(0) is not above it."""

    def follow(self, spectrum: LikelihoodSpectrum, shift: Floats, p: Floats, log_t: Floats) -> Floats:
        """Propose u at ``shift`` > 0, when ``log_t`` is the best one at a shift nearby."""

    def quantile(self, p: Floats) -> Floats:
        """Return, without discrete change, the shift that takes a score of p to ½; negative below ½."""

    def reach(self, m: Floats) -> Floats:
        """Return how far above the largest ratio u has to be to accept (nearly) everything."""

    def cdf_clean(self, s: Floats, m: float) -> Floats:
        """Return G_P(s), as an estimate, for m > 0."""

    def cdf_adversarial(self, s: Floats, m: float) -> Floats:
        """Return G_Q(s), as an estimate, for m > 0."""


_LAWS: dict[str, ShiftLaw] = {"gaussian": gaussian, "laplace": laplace}


def shift_law(noise: str) -> ShiftLaw:
    """Return the law of this name; raise ParameterError for any other."""
    if noise not in _LAWS:
        raise ParameterError(f"noise must be {' or '.join(_LAWS)}, got {noise!r}")
    return _LAWS[noise]
