"""Proposals for witnesses: fast, vectorised, and without any guarantee.

The dual bound is sound at every (u, m), so nothing here has to be trusted: `tradeoff` and `frontier`
evaluate what is proposed with directed rounding and report only that.

The largest shift m at which V(m) exceeds the threshold τ solves, with its u, the equations W(u; m) = τ and
F(u; m) = p. The first one alone gives u for each m, whatever p is: a curve along which F increases with m.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.interpolation import LevelCurve
from hybridcert.certificate.mixture import INVERSE_SQRT_2PI, NOISE, Laws
from hybridcert.certificate.spectrum import LikelihoodSpectrum

_STEPS = 80
_CLOSE = 1e-8  # relative; the error left after such a Newton step is of the order of its square
_CELLS = 1 << 15  # atoms x rows at a time: the working set stays in the second-level cache
_NODES = 192  # points of the curve that a large batch is interpolated from
_WORTHWHILE = 1024  # rows from which that is faster than to solve each
_BELOW = 2.0**-46  # a threshold just below an atom's ratio keeps that atom's rounding out of the bound
_EDGE = 8  # rows next to the end of certification that are solved, not interpolated


def best_threshold(spectrum: LikelihoodSpectrum, shift: Floats, p: Floats) -> Floats:
    """Propose u with F(u; shift) = p, elementwise; −inf where no positive bound exists."""
    u = np.full(p.shape, -np.inf)
    possible = p > spectrum.ratio_zero_upper
    if len(spectrum) == 0 or p.size == 0:
        return u
    laws = Laws.of(spectrum)
    with np.errstate(all="ignore"):
        rows = np.flatnonzero(possible & (shift == 0.0))
        ratio = laws.clean.log_ratio[laws.clean.split(*laws.tail(p[rows]))[0], 0]
        u[rows] = ratio - _BELOW * (1.0 + np.abs(ratio))
        for part in _blocks(np.flatnonzero(possible & (shift > 0.0)), len(spectrum)):
            u[part] = laws.clean.quantile(shift[part], *laws.tail(p[part]))
    return u


def propose_radius(
    spectrum: LikelihoodSpectrum, p: Floats, threshold: Floats
) -> tuple[Floats, Floats, Floats]:
    """Propose (m, u) with V(m) = threshold, elementwise; m is 0 where V(0) is not above it.

    The third array is −∂D/∂m there: what a unit of m costs. Rows that share a threshold in large numbers
    (their p ascending) are interpolated; small batches, and rows where that is doubtful, are solved.
    """
    found = np.zeros((p.size, 3))
    rest = (p > spectrum.ratio_zero_upper) & (threshold < spectrum.adversarial_lower.sum())
    laws = Laws.of(spectrum)
    with np.errstate(all="ignore"):
        if p.size >= _WORTHWHILE:
            values, counts = np.unique(threshold[rest], return_counts=True)
            for value in values[counts >= _WORTHWHILE]:
                rows = np.flatnonzero(rest & (threshold == value))
                found[rows], rest[rows] = _interpolated(laws, p[rows], float(value))
        for part in _blocks(np.flatnonzero(rest), len(spectrum)):
            found[part] = _solve(laws, p[part], threshold[part], found[part])
    return found[:, 0], found[:, 1], found[:, 2]


def _blocks(rows: npt.NDArray[np.intp], atoms: int) -> Iterator[npt.NDArray[np.intp]]:
    step = max(1, _CELLS // max(1, atoms))
    return (rows[start : start + step] for start in range(0, rows.size, step))


def _interpolated(laws: Laws, p: Floats, threshold: float) -> tuple[Floats, Bools]:
    """Return (m, u, −∂D/∂m) of rows with ascending p, and which rows are still to be solved."""
    found, rest = np.zeros((p.size, 3)), np.ones(p.size, dtype=np.bool_)
    atom, probit = laws.adversarial.split(np.array([threshold]), np.array([False]))
    masses, k = laws.clean.masses, int(atom[0])
    below = laws.ratio_zero + masses[:k].sum() + masses[k] * ndtr(probit[0])
    above = masses[k + 1 :].sum() + masses[k] * ndtr(-probit[0])
    first = int(
        np.searchsorted(p, min(below, 1.0 - above))
    )  # the two differ by what ratio_zero is rounded up
    rest[: max(0, first - _EDGE)] = False
    inner = slice(first + _EDGE, None)
    if p[inner].size < _WORTHWHILE:
        return found, rest
    least, most = _solve(laws, p[inner][[0, -1]], np.full(2, threshold))[:, 0]
    curve = LevelCurve.through(_graded(max(least, 1e-4 * most), most), laws, threshold)
    if curve is not None:
        found[inner], trusted = curve.at(p[inner])
        rest[inner] = ~trusted
    return found, rest


def _graded(least: float, most: float) -> Floats:
    """Return shifts whose spacing is proportional to m/(1 + m): the curve has features of size min(m, 1)."""
    m = np.geomspace(least, most, 8 * _NODES)
    scale = np.log(m) + m
    return np.interp(np.linspace(scale[0], scale[-1], _NODES), scale, m)


def _solve(laws: Laws, p: Floats, threshold: Floats, guess: Floats | None = None) -> Floats:
    """Return (m, u, −∂D/∂m) as columns: Newton's method along the curve W(u; m) = τ, in probits of F.

    A ``guess`` (in the same columns) is taken up where its m is positive.
    """
    target, upper = laws.tail(p)
    sign, probit = np.where(upper, -1.0, 1.0), ndtri(target)
    lo, hi = np.zeros_like(p), np.where(upper, -ndtri(1.0 - p), ndtri(p)) - ndtri(threshold)
    m, u = _start(laws, target, upper, threshold)
    if guess is not None:
        given = (m > 0.0) & (guess[:, 0] > 0.0) & np.isfinite(guess[:, 1])
        m, u = np.where(given, guess[:, 0], m), np.where(given, guess[:, 1], u)
    m = np.minimum(m, hi)
    fall = np.ones_like(m)
    active = np.flatnonzero(m > 0.0)
    for _ in range(_STEPS):
        if active.size == 0:
            break
        here, wanted, level = m[active], target[active], threshold[active]
        v = laws.level(here, level, u[active])
        a, correction, slope, drift = laws.along(here, v, level)
        mass = np.maximum(laws.clean.tail(a, sign[active]) + sign[active] * correction, 0.0)
        z = ndtri(mass)
        gap = sign[active] * (probit[active] - z)
        step = gap * np.exp(-0.5 * z * z) * INVERSE_SQRT_2PI / slope
        left = lo[active] = np.where(gap > 0.0, here, lo[active])
        right = hi[active] = np.where(gap < 0.0, here, hi[active])
        small, hit = np.abs(step) <= _CLOSE * here, np.abs(mass - wanted) <= NOISE * wanted
        newton = small | ((here + step > left) & (here + step < right))
        m[active] = np.where(newton, here + step, np.where(hit, here, 0.5 * (left + right)))
        u[active] = v + (m[active] - here) * drift
        fall[active] = np.exp(v) * slope
        active = active[~(small | hit) & (right - left > NOISE * here)]
    return np.stack([m, u, fall], axis=1)


def _start(laws: Laws, target: Floats, upper: Bools, threshold: Floats) -> tuple[Floats, Floats]:
    """Treat every atom as a step but the two that p and the threshold split; m = 0 where V(0) is below.

    Both equations then give u, and the difference m: ℓ + m y − m²/2 = ℓ' + m z + m²/2. Where ℓ > ℓ', a
    small m contradicts the steps, so it is not taken up.
    """
    atom, y = laws.clean.split(target, upper)
    other, z = laws.adversarial.split(threshold, np.zeros(threshold.shape, dtype=np.bool_))
    ratio = laws.clean.log_ratio[other, 0]
    apart = laws.clean.log_ratio[atom, 0] - ratio
    m = 0.5 * (y - z + np.sqrt(np.square(y - z) + 4.0 * np.maximum(apart, 0.0)))
    m = np.where(atom > other, np.maximum(m, 1.0), np.where((atom == other) & (y > z), m, 0.0))
    return m, ratio + m * (z + 0.5 * m)
