"""Gaussian noise: the shifted normal law of the log likelihood ratio, G_P(s) = Φ(s/m + m/2).

The dual bound proven here sums one Φ per atom; ``docs/numerics.md`` adds up its rounding. Proposals come from
`search`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from hybridcert.certificate import normal, search
from hybridcert.certificate.directed import EXP_ERROR, UNIT_ROUNDOFF, Floats, step_down, step_up
from hybridcert.certificate.proposal import Estimate, Proposal
from hybridcert.certificate.search import best_threshold as best_threshold
from hybridcert.certificate.spectrum import LikelihoodSpectrum


def dual_lower(spectrum: LikelihoodSpectrum, m: Floats, p: Floats, u: Floats, *, high: bool) -> Floats:
    """Return lower bounds on D(u; m) at clean score p, row by row.

    Parameters
    ----------
    m, p, u : float arrays, shape (rows,)
        m ≥ 1e-100 and |u| ≤ 690.
    high : bool
        Whether all p are at least ½ (then 1 − p is exact, and complementary tails are summed) or none is.
    """
    t = np.exp(u)
    t_lower, t_upper = t * (1 - 2 * EXP_ERROR), t * (1 + 2 * EXP_ERROR)
    summation = (len(spectrum) + 8) * UNIT_ROUNDOFF
    scaled = u - spectrum.log_ratio[:, None]  # shape (atoms, rows)
    scaled /= m
    half = m * (0.5 + 2.0**-51)  # a little more than m/2: covers the rounding of the arguments
    phi = scaled - half
    accepted = _sum_lower(normal.cdf_lower(phi, out=phi), spectrum.adversarial_lower, summation)
    np.add(scaled, half, out=phi)
    if high:
        np.negative(phi, out=phi)
        rejected = _sum_lower(normal.cdf_lower(phi, out=phi), spectrum.clean_lower, summation)
        slack = step_down(rejected - (1.0 - p))
    else:
        below = spectrum.clean_upper @ normal.cdf_upper(phi, out=phi) * (1 + summation)
        slack = step_down(p - step_up(below + normal.UNDERFLOW + spectrum.ratio_zero_upper))
    exchanged = slack * np.where(slack < 0.0, t_upper, t_lower)
    rounding = 4 * UNIT_ROUNDOFF * (accepted + np.abs(exchanged)) + normal.UNDERFLOW
    mismatch = t_upper * _mismatch(spectrum, m, u)
    return step_down((accepted + exchanged) - (rounding + mismatch))


def propose_radius(spectrum: LikelihoodSpectrum, p: Floats, threshold: Floats) -> Proposal:
    """Propose (m, u) with V(m) = threshold (see `search.propose_radius`)."""
    return Proposal(*search.propose_radius(spectrum, p, threshold))


def follow(spectrum: LikelihoodSpectrum, shift: Floats, p: Floats, log_t: Floats) -> Floats:
    """Return ``log_t``, the best u at a shift nearby: what it is off now costs to second order only."""
    return log_t


def estimate(spectrum: LikelihoodSpectrum, m: Floats, p: Floats) -> Estimate:
    """Estimate V(m), for m > 0; its slope in m is −t Σ p_k φ(a_k)."""
    u = best_threshold(spectrum, m, p)
    t = np.exp(u)
    with np.errstate(invalid="ignore"):
        a = (u[:, None] - spectrum.log_ratio) / m[:, None] + 0.5 * m[:, None]
    tail = np.where(
        p >= 0.5,
        ndtr(-a) @ spectrum.clean_lower - (1.0 - p),
        p - spectrum.ratio_zero_upper - ndtr(a) @ spectrum.clean_lower,
    )
    value = ndtr(a - m[:, None]) @ spectrum.adversarial_lower + t * tail
    return Estimate(value, u, t * (normal.density(a) @ spectrum.clean_lower))


def quantile(p: Floats) -> Floats:
    """Return Φ⁻¹(p)."""
    return np.asarray(ndtri(p))


def reach(m: Floats) -> Floats:
    """Return m·(9 + m/2): the adversarial law is accepted to within Φ(−9)."""
    width = np.minimum(m, 100.0)
    return np.asarray(1e-6 + width * (9.0 + 0.5 * width))


def cdf_clean(s: Floats, m: float) -> Floats:
    """Return Φ(s/m + m/2)."""
    return normal.cdf(s / m + 0.5 * m)


def cdf_adversarial(s: Floats, m: float) -> Floats:
    """Return Φ(s/m − m/2)."""
    return normal.cdf(s / m - 0.5 * m)


def _sum_lower(weights: Floats, masses: Floats, summation: float) -> Floats:
    total = masses @ weights
    return np.maximum(total * (1 - summation) - normal.UNDERFLOW, 0.0)


def _mismatch(spectrum: LikelihoodSpectrum, m: Floats, u: Floats) -> Floats:
    """Loss, in units of t, from thresholds u − ℓ_k that were rounded: δ·min(1, δ/m), δ their error.

    The factor 2 covers e^δ − 1 ≤ 2δ for δ ≤ 1; a larger error (|ℓ| beyond 1e14) leaves no bound.
    """
    farthest = float(np.abs(spectrum.log_ratio).max(initial=0.0))
    error = 2 * (spectrum.log_ratio_error + UNIT_ROUNDOFF * (np.abs(u) + farthest))
    return np.where(error < 1.0, error * np.minimum(1.0, error / m), np.inf)
