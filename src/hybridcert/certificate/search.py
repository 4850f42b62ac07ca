"""Proposals for witnesses: fast, vectorised, and without any guarantee.

The dual bound is sound at every (u, m), so nothing here has to be trusted: `tradeoff` and `frontier`
evaluate what is proposed with directed rounding and report only that. Working in probit space makes the
Gaussian certificate linear, so few Newton steps suffice; a bracket guards every step because F is flat
between atoms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtri

from hybridcert.certificate import normal
from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.spectrum import LikelihoodSpectrum

_INNER_STEPS = 100
_OUTER_STEPS = 80
_CLOSE = 1e-14
_CELLS = 1 << 17  # rows x atoms at a time: the working set stays in the cache
_NODES = 160  # exact solves that an interpolated batch rests on
_WORTHWHILE = 4 * _NODES


@dataclasses.dataclass(frozen=True, slots=True)
class _Problem:
    """Rows (p, threshold) of one spectrum; ``high`` rows work with complementary masses."""

    spectrum: LikelihoodSpectrum
    p: Floats
    high: Bools
    target: Floats  # 1 − p where high, else p
    target_probit: Floats

    @staticmethod
    def of(spectrum: LikelihoodSpectrum, p: Floats) -> _Problem:
        high = p >= 0.5
        target = np.where(high, 1.0 - p, p)
        return _Problem(spectrum, p, high, target, ndtri(target))

    def rows(self, index: np.ndarray) -> _Problem:
        return _Problem(
            self.spectrum, self.p[index], self.high[index], self.target[index], self.target_probit[index]
        )

    def clean(self, m: Floats, u: Floats) -> tuple[Floats, Floats, Floats]:
        """Return mass (F, or 1 − F where high), Σ p_k φ(a_k) and the arguments a_k."""
        a = (u[:, None] - self.spectrum.log_ratio) / m[:, None] + 0.5 * m[:, None]
        sign = np.where(self.high, -1.0, 1.0)
        mass = normal.cdf(a * sign[:, None]) @ self.spectrum.clean_lower
        mass += np.where(self.high, 0.0, self.spectrum.ratio_zero_upper)
        return mass, normal.density(a) @ self.spectrum.clean_lower, a

    def surplus(self, mass: Floats) -> Floats:
        """Return p − F from the mass that `clean` returned."""
        return np.where(self.high, mass - self.target, self.target - mass)


def best_threshold(spectrum: LikelihoodSpectrum, shift: Floats, p: Floats) -> Floats:
    """Propose u with F(u; shift) = p, elementwise; −inf where no positive bound exists."""
    u = np.full(p.shape, -np.inf)
    if len(spectrum) == 0:
        return u
    possible = p > spectrum.ratio_zero_upper
    discrete = np.flatnonzero(possible & (shift == 0.0))
    u[discrete] = _knapsack_threshold(spectrum, p[discrete])
    smooth = np.flatnonzero(possible & (shift > 0.0))
    step = max(1, _CELLS // len(spectrum))
    for start in range(0, smooth.size, step):
        part = smooth[start : start + step]
        problem = _Problem.of(spectrum, p[part])
        u[part] = _solve_threshold(problem, shift[part], _first_threshold(problem, shift[part]))
    return u


def _knapsack_threshold(spectrum: LikelihoodSpectrum, p: Floats) -> Floats:
    """The log ratio of the atom that the fractional knapsack splits at clean mass p."""
    order = np.argsort(spectrum.log_ratio, kind="stable")
    masses = spectrum.clean_lower[order]
    below = spectrum.ratio_zero_upper + np.cumsum(masses)
    above = np.concatenate([np.cumsum(masses[::-1])[::-1][1:], [0.0]])
    by_below = np.searchsorted(below, p)
    by_above = above.size - np.searchsorted(above[::-1], 1.0 - p, side="right")
    index = np.clip(np.where(p >= 0.5, by_above, by_below), 0, masses.size - 1)
    return np.asarray(spectrum.log_ratio[order][index])


def _first_threshold(problem: _Problem, m: Floats) -> Floats:
    """Treat every atom but the one the knapsack splits as a step: right for small m, decent for all."""
    spectrum = problem.spectrum
    ratio = _knapsack_threshold(spectrum, problem.p)
    order = np.argsort(spectrum.log_ratio, kind="stable")
    masses, ratios = spectrum.clean_lower[order], spectrum.log_ratio[order]
    index = np.searchsorted(ratios, ratio)
    above = np.concatenate([np.cumsum(masses[::-1])[::-1], [0.0]])[index + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = 1.0 - (np.where(problem.high, problem.target, 1.0 - problem.p) - above) / masses[index]
    return ratio + m * ndtri(np.clip(fraction, 1e-9, 1 - 1e-9)) - 0.5 * m * m


def _bracket(problem: _Problem, m: Floats) -> tuple[Floats, Floats]:
    zero = problem.spectrum.ratio_zero_upper
    conditional = np.where(
        problem.high, -ndtri(problem.target / (1.0 - zero)), ndtri((problem.p - zero) / (1.0 - zero))
    )
    centre = m * np.clip(conditional, -40.0, 40.0) - 0.5 * m * m
    return centre + problem.spectrum.log_ratio.min() - m, centre + problem.spectrum.log_ratio.max() + m


def _solve_threshold(problem: _Problem, m: Floats, u: Floats) -> Floats:
    """Solve F(u; m) = p for u by Newton steps in probit space inside a shrinking bracket."""
    lo, hi = _bracket(problem, m)
    u = np.clip(u, lo, hi)
    active = np.arange(u.size)
    for _ in range(_INNER_STEPS):
        part = problem.rows(active)
        mass, slope, _ = part.clean(m[active], u[active])
        surplus = part.surplus(mass)
        lo[active] = np.where(surplus >= 0.0, u[active], lo[active])
        hi[active] = np.where(surplus <= 0.0, u[active], hi[active])
        with np.errstate(all="ignore"):
            probit = ndtri(mass)
            distance = np.where(part.high, probit - part.target_probit, part.target_probit - probit)
            step = distance * m[active] * normal.density(probit) / slope
        proposal = u[active] + step
        bad = ~((proposal > lo[active]) & (proposal < hi[active]))
        proposal = np.where(bad, 0.5 * (lo[active] + hi[active]), proposal)
        moved = np.abs(proposal - u[active])
        u[active] = proposal
        settled = (moved <= _CLOSE * (1.0 + np.abs(proposal))) | (surplus == 0.0)
        active = active[~settled]
        if active.size == 0:
            break
    return u


def _value(problem: _Problem, m: Floats, u: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return estimates of D, −∂D/∂m = t Σ p_k φ(a_k), p − F and ∂F/∂m (and ∂F/∂u = third/m in closed form)."""
    mass, slope, a = problem.clean(m, u)
    surplus = problem.surplus(mass)
    t = np.exp(u)
    accepted = normal.cdf(a - m[:, None]) @ problem.spectrum.adversarial_lower
    drift = (normal.density(a) * (1.0 - a / m[:, None])) @ problem.spectrum.clean_lower
    return accepted + t * surplus, t * slope, surplus, drift


def propose_radius(spectrum: LikelihoodSpectrum, p: Floats, threshold: Floats) -> tuple[Floats, Floats]:
    """Propose (m, u) with V(m) = threshold, elementwise, for rows with V(0) > threshold.

    Rows that share a threshold in large numbers are interpolated between exact solves and polished.
    """
    m, u = np.empty_like(p), np.empty_like(p)
    values, group, counts = np.unique(threshold, return_inverse=True, return_counts=True)
    few = counts[group] < _WORTHWHILE
    index = np.flatnonzero(few)
    m[index], u[index] = _solve_rows(spectrum, p[index], threshold[index])
    for number, value in enumerate(values):
        if counts[number] >= _WORTHWHILE:
            rows = np.flatnonzero(group == number)
            m[rows], u[rows] = _interpolated(spectrum, p[rows], float(value))
    return m, u


def _interpolated(spectrum: LikelihoodSpectrum, p: Floats, threshold: float) -> tuple[Floats, Floats]:
    order = np.argsort(p, kind="stable")
    chosen = p[order[np.linspace(0, p.size - 1, _NODES).astype(np.intp)]]
    nodes = np.unique(chosen)
    if nodes.size < 4:
        return _solve_rows(spectrum, p, np.full_like(p, threshold))
    node_m, node_u = _solve_rows(spectrum, nodes, np.full_like(nodes, threshold))
    x = _probit_axis(nodes)
    if not np.all(np.diff(x) > 0.0):
        return _solve_rows(spectrum, p, np.full_like(p, threshold))
    at = _probit_axis(p)
    m = np.asarray(PchipInterpolator(x, node_m)(at))
    u = np.asarray(PchipInterpolator(x, node_u)(at))
    ceiling = at - ndtri(threshold)

    def polish(problem: _Problem, index: np.ndarray) -> tuple[Floats, Floats, Floats]:
        return _polish(problem, m[index], u[index], ceiling[index], threshold)

    m, u, last = _by_blocks(spectrum, p, polish)
    rough = np.flatnonzero(~(last <= 1e-9 * m))
    if rough.size:
        m[rough], u[rough] = _solve_rows(spectrum, p[rough], np.full(rough.size, threshold))
    return m, u


def _by_blocks(
    spectrum: LikelihoodSpectrum,
    p: Floats,
    solve: Callable[[_Problem, np.ndarray], tuple[Floats, Floats, Floats]],
) -> tuple[Floats, Floats, Floats]:
    """Run ``solve`` over blocks of rows small enough for the cache."""
    results = np.empty((3, p.size))
    step = max(1, _CELLS // max(1, len(spectrum)))
    for start in range(0, p.size, step):
        index = np.arange(start, min(start + step, p.size))
        results[:, index] = solve(_Problem.of(spectrum, p[index]), index)
    return results[0], results[1], results[2]


def _probit_axis(p: Floats) -> Floats:
    return np.asarray(np.where(p >= 0.5, -ndtri(1.0 - p), ndtri(p)))


def _polish(
    problem: _Problem, m: Floats, u: Floats, ceiling: Floats, threshold: float
) -> tuple[Floats, Floats, Floats]:
    """Two joint Newton steps for F(u; m) = p, D(u; m) = threshold; also the size of the last one."""
    moved = np.full_like(m, np.inf)
    for _ in range(2):
        with np.errstate(all="ignore"):
            value, fall, surplus, drift = _value(problem, m, u)
            step = (value - threshold) / fall
            rise = fall / np.exp(u) / m
            new_m = np.minimum(np.where(m + step > 0.0, m + step, 0.5 * m), ceiling)
            shift = (surplus - drift * (new_m - m)) / rise
        moved = np.where(np.isfinite(shift) & np.isfinite(step), np.abs(new_m - m), np.inf)
        u = np.where(np.isfinite(shift), u + np.clip(shift, -2.0, 2.0), u)
        m = np.where(np.isfinite(new_m), new_m, m)
    return m, u, moved


def _solve_rows(spectrum: LikelihoodSpectrum, p: Floats, threshold: Floats) -> tuple[Floats, Floats]:
    def solve(problem: _Problem, index: np.ndarray) -> tuple[Floats, Floats, Floats]:
        m, u = _solve_radius(problem, threshold[index])
        return m, u, np.zeros_like(m)

    m, u, _ = _by_blocks(spectrum, p, solve)
    return m, u


def _solve_radius(problem: _Problem, threshold: Floats) -> tuple[Floats, Floats]:
    """Solve V(m) = threshold: Newton in probit space on m, with the inner threshold solved for each m."""
    target = ndtri(threshold)
    hi = _probit_axis(problem.p) - target
    lo = np.zeros_like(hi)
    m = 0.7 * hi
    u = _first_threshold(problem, m)
    active = np.arange(m.size)
    for _ in range(_OUTER_STEPS):
        part = problem.rows(active)
        u[active] = _solve_threshold(part, m[active], u[active])
        value, fall, _, _ = _value(part, m[active], u[active])
        above = value > threshold[active]
        lo[active] = np.where(above, m[active], lo[active])
        hi[active] = np.where(above, hi[active], m[active])
        with np.errstate(all="ignore"):
            probit = ndtri(value)
            proposal = m[active] + (probit - target[active]) * normal.density(probit) / fall
        bad = ~((proposal > lo[active]) & (proposal < hi[active]))
        proposal = np.where(bad, 0.5 * (lo[active] + hi[active]), proposal)
        moved = np.abs(proposal - m[active])
        m[active] = proposal
        active = active[~(moved <= _CLOSE * proposal)]
        if active.size == 0:
            break
    return m, _solve_threshold(problem, m, u)
