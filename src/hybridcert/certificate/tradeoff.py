"""The dual bound: from (spectrum, shift, p, log t) to a number that no attacker can get below.

Weak duality (theory: Neyman & Pearson 1933; Theorem 4.2): for every t = e^u and every shift m,

    p_adv ≥ D(u; m) = W(u; m) + t (p − F(u; m)),

with F and W the clean and adversarial mass at likelihood ratio at most t. A badly chosen u costs
tightness, never soundness. All rounding is directed; ``docs/numerics.md`` proves the margins. The part with a
shift is up to the continuous noise: `gaussian`, `laplace`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.directed import EXP_ERROR, UNIT_ROUNDOFF, Floats, step_down, step_up
from hybridcert.certificate.normal import UNDERFLOW
from hybridcert.certificate.shift_law import shift_law
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError

_CELLS = 1 << 15  # rows x atoms evaluated at a time: the working set stays in the second-level cache
_LOG_LIMIT = 690.0  # |log t| beyond which e^u nears the end of the range of normal floats
_LAST_SCORE = 1.0 - 2.0**-53
_SMALLEST_SHIFT = 1e-100  # smaller shifts are evaluated at this one, which can only lower the bound


@dataclasses.dataclass(frozen=True, slots=True)
class DualBound:
    """Lower bounds on the worst-case smoothed score, with their witnesses.

    Attributes
    ----------
    value : float array
        Lower bound on p_adv, in [0, 1].
    log_t : float array
        The witness u: ``value`` ≤ D(u; shift). It is −inf where the bound is the trivial 0.
    """

    value: Floats
    log_t: Floats


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Tradeoff:
    """Trade-off between clean and adversarial law: a discrete spectrum times a continuous shift.

    Parameters
    ----------
    spectrum : LikelihoodSpectrum
        The discrete part; ``LikelihoodSpectrum.identity()`` when no discrete feature changes.
    shift : float
        m = ε/σ ≥ 0; for several Gaussian modalities √Σ(ε_i/σ_i)² (`combined_shift`).
    noise : {"gaussian", "laplace"}
        Gaussian: ε is an ℓ₂ distance and σ the standard deviation. Laplace: ε is an ℓ₁ distance and σ the
        scale.
    """

    spectrum: LikelihoodSpectrum
    shift: float = 0.0
    noise: str = "gaussian"

    def __post_init__(self) -> None:
        shift_law(self.noise)
        if not (self.shift >= 0.0 and math.isfinite(self.shift)):
            raise ParameterError(f"shift must be a finite number >= 0, got {self.shift!r}")

    def lower(self, p_lower: npt.ArrayLike) -> DualBound:
        """Return the certified worst-case score at clean score ``p_lower``.

        Guarantee: no classifier with clean score at least ``p_lower`` has a score below ``value`` at any
        input whose discrete law is Q and whose continuous part moved by at most ``shift``·σ.

        Parameters
        ----------
        p_lower : float array in [0, 1], any shape

        Raises
        ------
        ParameterError
            For probabilities outside [0, 1] or NaN.

        Examples
        --------
        >>> import hybridcert as hc
        >>> spectrum = hc.UniformReplacement(beta=0.25).spectrum(alphabet_sizes=[50_000])
        >>> bound = hc.Tradeoff(spectrum, shift=0.5).lower(0.98)
        >>> 0.22 < float(bound.value) < 0.23
        True
        """
        return worst_case_lower(self.spectrum, p_lower, self.shift, noise=self.noise)

    def dual_bound(self, p_lower: npt.ArrayLike, log_t: npt.ArrayLike) -> Floats:
        """Return a lower bound on D(log_t; shift) at clean score ``p_lower``; may be negative."""
        p, u = np.broadcast_arrays(np.asarray(p_lower, dtype=np.float64), np.asarray(log_t, dtype=np.float64))
        if not np.all((p >= 0.0) & (p <= 1.0)):
            raise ParameterError("p_lower must be in [0, 1]")
        return dual_bound_lower(self.spectrum, np.full(p.shape, self.shift), p, u, noise=self.noise)

    def cdf_clean(self, log_t: npt.ArrayLike) -> Floats:
        """Return F(u; m), the clean mass accepted at threshold t = e^u (an estimate, no direction)."""
        distance = np.asarray(log_t, dtype=np.float64)[..., None] - self.spectrum.log_ratio
        zero = 1.0 - self.spectrum.clean_lower.sum()
        return np.asarray(
            zero + self._accept(distance, shift_law(self.noise).cdf_clean) @ self.spectrum.clean_lower
        )

    def cdf_adversarial(self, log_t: npt.ArrayLike) -> Floats:
        """Return W(u; m), the adversarial mass accepted at threshold t = e^u (an estimate, no direction)."""
        distance = np.asarray(log_t, dtype=np.float64)[..., None] - self.spectrum.log_ratio
        accepted = self._accept(distance, shift_law(self.noise).cdf_adversarial)
        return np.asarray(accepted @ self.spectrum.adversarial_lower)

    def _accept(self, distance: Floats, cdf: Callable[[Floats, float], Floats]) -> Floats:
        return cdf(distance, self.shift) if self.shift > 0.0 else (distance >= 0.0).astype(np.float64)


def combined_shift(epsilons: npt.ArrayLike, sigmas: npt.ArrayLike) -> float:
    """Return m = √Σ(ε_i/σ_i)², rounded up: the one shift that several Gaussian modalities amount to."""
    budget, scale = np.broadcast_arrays(
        np.atleast_1d(np.asarray(epsilons, dtype=np.float64)), np.asarray(sigmas, dtype=np.float64)
    )
    if not np.all((budget >= 0.0) & np.isfinite(budget) & (scale > 0.0)):
        raise ParameterError("every epsilon must be >= 0 and every sigma > 0")
    if not budget.any():
        return 0.0
    return math.hypot(*step_up(budget / scale)) * (1 + 4 * UNIT_ROUNDOFF)


def worst_case_lower(
    spectrum: LikelihoodSpectrum, p_lower: npt.ArrayLike, shift: npt.ArrayLike, *, noise: str = "gaussian"
) -> DualBound:
    """Return certified worst-case scores for arrays of clean scores and shifts (see `Tradeoff.lower`).

    ``p_lower`` in [0, 1] and ``shift`` ≥ 0 broadcast against each other.
    """
    law = shift_law(noise)
    p, m = np.broadcast_arrays(np.asarray(p_lower, dtype=np.float64), np.asarray(shift, dtype=np.float64))
    inside = (p >= 0.0) & (p <= 1.0)
    if not inside.all():
        raise ParameterError(f"p_lower must be in [0, 1], got {p[~inside].flat[0]}")
    real = (m >= 0.0) & ~np.isnan(m)
    if not real.all():
        raise ParameterError(f"shift must be a number >= 0, got {m[~real].flat[0]}")
    flat_p, flat_m = p.reshape(-1), m.reshape(-1)
    log_t = law.best_threshold(spectrum, flat_m, np.minimum(flat_p, _LAST_SCORE))
    log_t = np.where(np.isneginf(log_t), log_t, np.clip(log_t, -_LOG_LIMIT, _LOG_LIMIT))
    value = dual_bound_lower(spectrum, flat_m, flat_p, log_t, noise=noise)
    certain = np.flatnonzero(flat_p == 1.0)
    if certain.size and len(spectrum):  # V(1) is the adversarial mass in the support: accept all of it
        everything = spectrum.log_ratio.max() + law.reach(flat_m[certain])
        other = dual_bound_lower(spectrum, flat_m[certain], flat_p[certain], everything, noise=noise)
        better = other > value[certain]
        log_t[certain] = np.where(better, everything, log_t[certain])
        value[certain] = np.where(better, other, value[certain])
    positive = value > 0.0
    return DualBound(
        np.where(positive, value, 0.0).reshape(p.shape), np.where(positive, log_t, -np.inf).reshape(p.shape)
    )


def dual_bound_lower(
    spectrum: LikelihoodSpectrum, shift: Floats, p: Floats, log_t: Floats, *, noise: str = "gaussian"
) -> Floats:
    """Return a lower bound on D(log_t; shift) at clean score p, elementwise.

    Parameters
    ----------
    shift, p, log_t : float arrays of one shape
        Each is taken as exact. ``log_t`` outside ±690 gives the trivial bound 0 (−inf included).
    noise : {"gaussian", "laplace"}
    """
    law = shift_law(noise)
    out = np.zeros(p.shape)
    flat = out.reshape(-1)
    m, p, u = shift.reshape(-1), p.reshape(-1), log_t.reshape(-1)
    m = np.where(m > 0.0, np.maximum(m, _SMALLEST_SHIFT), 0.0)
    usable, none, upper = np.abs(u) <= _LOG_LIMIT, m == 0.0, p >= 0.5
    for unshifted, high in itertools.product((True, False), repeat=2):
        rows = np.flatnonzero(usable & (none == unshifted) & (upper == high))
        step = max(1, _CELLS // max(1, len(spectrum)))
        for start in range(0, rows.size, step):
            part = rows[start : start + step]
            if unshifted:
                flat[part] = _unshifted(spectrum, p[part], u[part], high=high)
            else:
                flat[part] = law.dual_lower(spectrum, m[part], p[part], u[part], high=high)
    return out


def _unshifted(spectrum: LikelihoodSpectrum, p: Floats, u: Floats, *, high: bool) -> Floats:
    """One block of `dual_bound_lower` at m = 0; ``high``: all p ≥ ½ (complementary form)."""
    t = np.exp(u)
    t_lower, t_upper = t * (1 - 2 * EXP_ERROR), t * (1 + 2 * EXP_ERROR)
    summation = (len(spectrum) + 8) * UNIT_ROUNDOFF
    if high:  # Σ min(q, t p_k) − t (1 − p); 1 − p is exact
        overlap = np.minimum(spectrum.adversarial_lower, t_lower[:, None] * spectrum.clean_lower)
        return _difference(overlap.sum(axis=1) * (1 - summation), t_upper * (1.0 - p)) - UNDERFLOW
    # t p − Σ max(t p_k − q, 0); a little more than t p_k covers the rounding of product and difference
    clean = (t_upper * (1 + 8 * UNIT_ROUNDOFF))[:, None] * spectrum.clean_upper
    excess = np.maximum(clean - spectrum.adversarial_lower, 0.0).sum(axis=1)
    lost = (excess + t_upper * spectrum.ratio_zero_upper) * (1 + summation)
    return _difference(t_lower * p, lost) - UNDERFLOW


def _difference(gain_lower: Floats, loss_upper: Floats) -> Floats:
    return step_down(step_down(gain_lower) - step_up(loss_upper))
