"""Laplace noise: an ℓ₁ shift of m scales, whose log likelihood ratio lies in [−m, m].

Among the shifts of ℓ₁ length m·b none is worse than one along a single axis. Proof: let V_m(p) be the worst
score there. Half-lines attain it (the likelihood ratio of two shifted Laplace laws is monotone), so
V_m∘V_n = V_{m+n}. Moving one coordinate after the other, by m_1, m_2, …, keeps the score at or above
V_{m_n}∘…∘V_{m_1}(p) = V_{Σ m_j}(p). So the one-dimensional pair of laws is at least as informative as any
other (Blackwell), and products with discrete noise keep that order. (Teng et al. 2019; Yang et al. 2020.)

With masses (p_k, q_k) and t = e^u the dual function of the theory page simplifies: an atom contributes

    h_k(t) = min(t p_k, e^{−m/2} √(t p_k q_k), q_k),        D(u; m) = Σ h_k(t) − t (1 − p),

continuous and concave in t, although the accepted mass F jumps at u = ℓ_k ± m. No ratio ℓ_k is needed, so
nothing is lost to its rounding; ``docs/numerics.md`` adds up the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from hybridcert.certificate import search
from hybridcert.certificate.directed import EXP_ERROR, UNIT_ROUNDOFF, Bools, Floats, step_down, step_up
from hybridcert.certificate.normal import UNDERFLOW
from hybridcert.certificate.proposal import Estimate, Proposal, Rows, crossing
from hybridcert.certificate.spectrum import LikelihoodSpectrum

_CELLS = 1 << 15  # rows x atoms at a time: the working set stays in the second-level cache
_FARTHEST = 1380.0  # e^{−m/2} of a larger shift nears the end of the range of normal floats
_BELOW = 2.0**-46  # u just below ℓ_k − m keeps the rounding of that atom out of the bound


def dual_lower(spectrum: LikelihoodSpectrum, m: Floats, p: Floats, u: Floats, *, high: bool) -> Floats:
    """Return lower bounds on D(u; m) at clean score p, row by row.

    Parameters
    ----------
    m, p, u : float arrays, shape (rows,)
        m ≥ 0 and |u| ≤ 690.
    high : bool
        Whether all p are at least ½ (then 1 − p is exact) or none is.
    """
    summation = (len(spectrum) + 8) * UNIT_ROUNDOFF
    t = np.exp(u)
    t_lower, t_upper = t * (1 - 2 * EXP_ERROR), t * (1 + 2 * EXP_ERROR)
    damping = np.where(m <= _FARTHEST, np.exp(-0.5 * np.minimum(m, _FARTHEST)), 0.0) * (1 - 2 * EXP_ERROR)
    root = np.sqrt(spectrum.adversarial_lower)
    if high:  # Σ h_k(t) − t (1 − p)
        between = (np.exp(0.5 * u) * (1 - 2 * EXP_ERROR))[:, None] * np.sqrt(spectrum.clean_lower)
        between *= root
        between *= damping[:, None]
        gain = np.minimum(t_lower[:, None] * spectrum.clean_lower, between)
        np.minimum(gain, spectrum.adversarial_lower, out=gain)
        kept = step_down(gain.sum(axis=1) * (1 - summation))
        return step_down(kept - step_up(t_upper * (1.0 - p))) - UNDERFLOW
    # t p − Σ (t p_k − h_k(t)): each term grows with p_k and falls with q_k
    clean = (t_upper * (1 + 8 * UNIT_ROUNDOFF))[:, None] * spectrum.clean_upper
    between = np.sqrt(clean)
    between *= root
    between *= damping[:, None]
    excess = np.maximum(clean - np.minimum(between, spectrum.adversarial_lower), 0.0).sum(axis=1)
    lost = (excess + t_upper * spectrum.ratio_zero_upper) * (1 + summation)
    return step_down(step_down(t_lower * p) - step_up(lost)) - UNDERFLOW


def best_threshold(spectrum: LikelihoodSpectrum, shift: Floats, p: Floats) -> Floats:
    """Propose the u that maximises D(u; shift), elementwise; −inf where no positive bound exists."""
    u = search.best_threshold(spectrum, np.zeros_like(shift), p)
    rows = np.flatnonzero((shift > 0.0) & ~np.isneginf(u))
    if rows.size:
        u[rows] = _Sums.of(spectrum).maximiser(shift[rows], p[rows])[0]
    return u


def estimate(spectrum: LikelihoodSpectrum, m: Floats, p: Floats) -> Estimate:
    """Estimate V(m), for m > 0 and p above the mass at ratio 0."""
    columns = np.zeros((3, p.size))
    sums = _Sums.of(spectrum)
    step = max(1, _CELLS // max(1, len(spectrum)))
    with np.errstate(all="ignore"):
        for start in range(0, p.size, step):
            part = slice(start, start + step)
            columns[:, part] = sums.estimate(m[part], p[part])
    return Estimate(*columns)


def propose_radius(spectrum: LikelihoodSpectrum, p: Floats, threshold: Floats) -> Proposal:
    """Propose (m, u) with V(m) = threshold, elementwise; m is 0 where V(0) is not above it."""
    found = np.zeros((3, p.size))
    with np.errstate(all="ignore"):
        farthest = quantile(p) - quantile(threshold)
        possible = (p > spectrum.ratio_zero_upper) & (threshold < spectrum.adversarial_lower.sum())
        rows = np.flatnonzero(possible & (farthest > 0.0))
        if rows.size:
            above = estimate(spectrum, np.zeros(rows.size), p[rows]).value > threshold[rows]
            rows = rows[above]

        def value(active: Rows, m: Floats) -> tuple[Floats, Floats]:
            there = estimate(spectrum, m, p[rows[active]])
            return there.value, there.fall

        if rows.size:
            m = crossing(value, threshold[rows], farthest[rows])
            there = estimate(spectrum, m, p[rows])
            found[:, rows] = m, there.log_t, there.fall
    return Proposal(*found)


def follow(spectrum: LikelihoodSpectrum, shift: Floats, p: Floats, log_t: Floats) -> Floats:
    """Return the best u at ``shift``: it moves with m where it sits at an atom, and being off costs there."""
    return _Sums.of(spectrum).maximiser(shift, p)[0]


def quantile(p: Floats) -> Floats:
    """Return the p-quantile of the standard Laplace law."""
    return np.where(p < 0.5, np.log(2.0 * p), -np.log(2.0 * (1.0 - p)))


def reach(m: Floats) -> Floats:
    """Return m: there the adversarial law is accepted as a whole."""
    return np.asarray(np.minimum(m, _FARTHEST) * (1.0 + 1e-9) + 1e-6)


def cdf_clean(s: Floats, m: float) -> Floats:
    """Return G_P(s): 1 − ½e^{−(s+m)/2} between −m and m."""
    inside = 1.0 - 0.5 * np.exp(-0.5 * np.clip(s + m, 0.0, 2.0 * m))
    return np.where(s < -m, 0.0, np.where(s < m, inside, 1.0))


def cdf_adversarial(s: Floats, m: float) -> Floats:
    """Return G_Q(s): ½e^{(s−m)/2} between −m and m."""
    inside = 0.5 * np.exp(0.5 * np.clip(s - m, -2.0 * m, 0.0))
    return np.where(s < -m, 0.0, np.where(s < m, inside, 1.0))


@dataclasses.dataclass(frozen=True, slots=True)
class _Sums:
    """Atoms by ascending ratio, and their partial sums: F at any u in logarithmic time (estimates).

    With i atoms at ℓ_k ≤ u + m and j of them at ℓ_k ≤ u − m,
    F(u) = p_0 + Σ_{k<i} p_k − ½ e^{−(u+m)/2} Σ_{j≤k<i} √(p_k q_k).
    """

    log_ratio: Floats
    clean: Floats
    adversarial: Floats
    root: Floats
    below: Floats  # Σ_{k<i} p_k + p_0
    above: Floats  # Σ_{k≥i} p_k
    roots: Floats  # Σ_{k<i} √(p_k q_k)
    ratio_zero: float

    @staticmethod
    def of(spectrum: LikelihoodSpectrum) -> _Sums:
        order = np.argsort(spectrum.log_ratio)
        clean, adversarial = spectrum.clean_lower[order], spectrum.adversarial_lower[order]
        root = np.sqrt(clean) * np.sqrt(adversarial)
        zero = spectrum.ratio_zero_upper
        return _Sums(
            spectrum.log_ratio[order],
            clean,
            adversarial,
            root,
            zero + np.concatenate([[0.0], np.cumsum(clean)]),
            np.concatenate([np.cumsum(clean[::-1])[::-1], [0.0]]),
            np.concatenate([[0.0], np.cumsum(root)]),
            zero,
        )

    def maximiser(self, m: Floats, p: Floats) -> tuple[Floats, Floats]:
        """Return the u at which F passes p, and its drift in m: −1 or 1 at an atom ℓ_k ∓ m, else 0.

        Two binary searches find the atoms between whose ends u lies; there F(u) = p is solved exactly.
        """
        ratio, last = self.log_ratio, self.log_ratio.size
        m = np.minimum(m, 1e6)  # every u is beyond its limit there

        def entering(k: Rows) -> Bools:
            at = ratio[k] - m
            return self._short(p, m, at, k, np.minimum(np.searchsorted(ratio, at - m, side="right"), k))

        def leaving(k: Rows) -> Bools:
            at = ratio[k] + m
            return self._short(p, m, at, np.maximum(np.searchsorted(ratio, at + m, side="right"), k + 1), k)

        i = np.maximum(_count(entering, p.size, last), 1)
        j = _count(leaving, p.size, last)
        padded = np.concatenate([[-np.inf], ratio, [np.inf]])
        starts = np.stack([padded[i] - m, padded[j] + m])
        ends = np.stack([padded[i + 1] - m, padded[j + 1] + m])
        lo, hi = starts.max(axis=0), ends.min(axis=0)
        missing = np.where(p >= 0.5, (1.0 - p) - self.above[i], self.below[i] - p)
        with np.errstate(all="ignore"):
            u = -m - 2.0 * np.log(2.0 * np.maximum(missing, 0.0) / (self.roots[i] - self.roots[j]))
        free = np.where(np.isnan(u), lo, u)
        drift = np.where(free <= lo, np.where(starts[0] >= starts[1], -1.0, 1.0), 0.0)
        drift = np.where(free >= hi, np.where(ends[0] <= ends[1], -1.0, 1.0), drift)
        u = np.clip(free, lo, hi)
        return np.where(drift < 0.0, u - _BELOW * (1.0 + np.abs(u) + 2.0 * m), u), drift

    def _short(self, p: Floats, m: Floats, u: Floats, i: Rows, j: Rows) -> Bools:
        """Return whether F(u) < p, from i and j."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            between = 0.5 * np.exp(-0.5 * (u + m)) * (self.roots[i] - self.roots[j])
        return np.where(p >= 0.5, self.above[i] + between > 1.0 - p, self.below[i] - between < p)

    def estimate(self, m: Floats, p: Floats) -> Floats:
        """Return V(m), u and −dV/dm as rows."""
        u, drift = self.maximiser(m, p)
        t, damped = np.exp(u)[:, None], np.exp(0.5 * (u - m))[:, None]
        all_clean, between = t * self.clean, damped * self.root
        kept = np.minimum(np.minimum(all_clean, between), self.adversarial)
        lost = (all_clean - kept).sum(axis=1)
        clean = t[:, 0]
        value = np.where(p >= 0.5, kept.sum(axis=1) - clean * (1.0 - p), clean * (p - self.ratio_zero) - lost)
        whole = between >= self.adversarial
        inside = np.where((between < all_clean) & ~whole, between, 0.0).sum(axis=1)
        accepted = np.where(whole & (all_clean > between), self.adversarial, 0.0).sum(axis=1)
        fall = 0.5 * inside
        fall = np.where(drift < 0.0, value - accepted, fall)
        fall = np.where(drift > 0.0, inside + accepted - value, fall)
        return np.stack([value, u, fall])


def _count(holds: Callable[[Rows], Bools], rows: int, last: int) -> Rows:
    """Return how many of the indices 0 … last − 1 satisfy a condition that holds up to some index."""
    lo, hi = np.zeros(rows, dtype=np.intp), np.full(rows, last, dtype=np.intp)
    while (hi > lo).any():
        middle = np.minimum((lo + hi) // 2, last - 1)
        ok = holds(middle) & (lo < hi)
        lo = np.where(ok, middle + 1, lo)
        hi = np.where(ok, hi, np.minimum(middle, hi))
    return lo
