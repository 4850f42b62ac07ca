"""Radii and worst-case values over budgets, vectorised over inputs.

The radius at a discrete budget is r = σ · sup{m : V(m) > τ} (theory: Theorem 4.2 with the sound rule
"V > τ, V nonincreasing"). `search` proposes a witness (m, u) for each input; here it is stepped back until
the directed dual bound at the witness exceeds τ, so what is returned is a lower bound at any tolerance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.directed import UNIT_ROUNDOFF, Bools, Floats, step_down, step_up
from hybridcert.certificate.search import best_threshold, propose_radius
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.certificate.tradeoff import dual_bound_lower, worst_case_lower
from hybridcert.errors import ParameterError

Spectra = LikelihoodSpectrum | Sequence[LikelihoodSpectrum]
"""One spectrum, or the candidates of a worst case: the adversary picks the one that hurts most."""

_BACK_OFFS = 48
_ROUNDING = 512 * UNIT_ROUNDOFF  # what rounding usually costs the dual bound, relative to its terms
_SPARE = 1e-11  # of a radius: more than this is not given away without a second try


@dataclasses.dataclass(frozen=True, slots=True)
class Radius:
    """One certificate: ``radius`` and ``log_t`` are None where nothing is certified, not even ε = 0."""

    certified: bool
    radius: float | None
    log_t: float | None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Radii:
    """Certified radii of many inputs at one discrete budget.

    Attributes
    ----------
    certified : bool array, shape (n,)
        Whether the claim holds at ε = 0 and so at the given discrete budget at all.
    radius : float array, shape (n,)
        Lower bound on the certified ℓ₂ radius, in the units of σ; 0 where not certified (see ``certified``).
    log_t, shift : float array, shape (n,)
        The witness: D(log_t; shift) > threshold and radius ≤ σ·shift; NaN-free, 0 where not certified.
    """

    certified: Bools
    radius: Floats
    log_t: Floats
    shift: Floats

    def without_radius(self) -> Radii:
        """Return the same claims at ε = 0 only: what is left when no continuous feature has noise."""
        return Radii(self.certified, np.zeros_like(self.radius), self.log_t, np.zeros_like(self.shift))

    def __len__(self) -> int:
        """Return the number of inputs."""
        return int(self.certified.size)

    def __getitem__(self, index: int) -> Radius:
        """Return the certificate of one input."""
        if not self.certified[index]:
            return Radius(False, None, None)
        return Radius(True, float(self.radius[index]), float(self.log_t[index]))

    def __iter__(self) -> Iterator[Radius]:
        """Iterate over the certificates."""
        return (self[i] for i in range(len(self)))


def radius(
    *,
    p_lower: npt.ArrayLike,
    spectrum: Spectra,
    sigma: float,
    threshold: npt.ArrayLike,
) -> Radii:
    """Return the certified radius of each input.

    Guarantee: if the clean smoothed score is at least ``p_lower``, then at every input within the discrete
    budget that ``spectrum`` describes and within ``radius`` in ℓ₂, the score is above ``threshold``. The
    value never exceeds the exact radius and is within 1e-9 relative of it (outside the underflow range).

    Parameters
    ----------
    p_lower : float array, shape (n,) or scalar, in [0, 1)
        Lower confidence bounds on the smoothed score.
    spectrum : LikelihoodSpectrum or sequence of them
        The discrete part at this budget; a sequence means the worst case over its members.
    sigma : float > 0
        Standard deviation of the Gaussian noise; the radius comes in the same units.
    threshold : float or array in (0, 1)
        The score that has to be exceeded.

    Raises
    ------
    ParameterError
        For values outside these ranges.

    References
    ----------
    Theorem 4.2 of the paper; Cohen et al. 2019 for d = 0; Lee et al. 2019 for ε = 0.

    Examples
    --------
    >>> import hybridcert as hc
    >>> spectrum = hc.UniformReplacement(beta=0.25).spectrum(alphabet_sizes=[50_000])
    >>> hc.radius(p_lower=[0.98, 0.7], spectrum=spectrum, sigma=1.0, threshold=4.6e-5).certified
    array([ True, False])
    """
    check_sigma(sigma)
    p, tau = np.broadcast_arrays(
        np.atleast_1d(np.asarray(p_lower, dtype=np.float64)), np.asarray(threshold, dtype=np.float64)
    )
    _check(p, (p >= 0.0) & (p < 1.0), "p_lower must be in [0, 1)")
    _check(tau, (tau > 0.0) & (tau < 1.0), "threshold must be in (0, 1)")
    one_threshold = np.ndim(threshold) == 0
    keys = p if one_threshold else p + 1j * tau  # complex numbers sort by their real part first
    distinct, index = np.unique(keys.reshape(-1), return_inverse=True)
    score = distinct.real
    level = np.full(score.shape, threshold, dtype=np.float64) if one_threshold else distinct.imag
    certified = np.ones(score.shape, dtype=np.bool_)
    shift = np.full(score.shape, np.inf)
    log_t = np.zeros(score.shape)
    for candidate in _candidates(spectrum):
        rows = np.flatnonzero(certified)
        ok, m, u = _largest_shift(candidate, score[rows], level[rows])
        certified[rows] = ok
        smaller = m < shift[rows]
        shift[rows] = np.where(smaller, m, shift[rows])
        log_t[rows] = np.where(smaller, u, log_t[rows])
    shift, log_t = np.where(certified, shift, 0.0), np.where(certified, log_t, 0.0)
    r = np.maximum(step_down(sigma * shift), 0.0)
    index = index.reshape(-1)
    return Radii(certified[index], r[index], log_t[index], shift[index])


def adversarial_value(
    *, p_lower: npt.ArrayLike, spectrum: Spectra, sigma: float, epsilon: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Return lower bounds on the worst-case score p_adv at ``epsilon``, and their witnesses log t.

    Guarantee: if the clean score is at least ``p_lower``, no input within the discrete budget of ``spectrum``
    and within ℓ₂ distance ``epsilon`` has a smoothed score below the value.

    Parameters
    ----------
    p_lower : float array in [0, 1]
    spectrum : LikelihoodSpectrum or sequence of them
        A sequence means the worst case over its members.
    sigma : float > 0
    epsilon : float array >= 0, in the units of ``sigma``
        Broadcast against ``p_lower``; so are the results.

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """
    check_sigma(sigma)
    distance = np.asarray(epsilon, dtype=np.float64)
    _check(distance, (distance >= 0.0) & np.isfinite(distance), "eps must be a finite number >= 0")
    shift = np.where(distance > 0.0, step_up(distance / sigma), 0.0)
    bounds = [worst_case_lower(candidate, p_lower, shift) for candidate in _candidates(spectrum)]
    values = np.stack([bound.value for bound in bounds])
    worst = values.argmin(axis=0)[None]
    log_t = np.stack([bound.log_t for bound in bounds])
    return np.take_along_axis(values, worst, 0)[0], np.take_along_axis(log_t, worst, 0)[0]


def check_sigma(sigma: float) -> None:
    """Raise ParameterError unless ``sigma`` is a positive finite number."""
    if not (sigma > 0.0 and math.isfinite(sigma)):
        raise ParameterError(f"sigma must be a finite number > 0, got {sigma!r}")


def _check(values: Floats, ok: npt.ArrayLike, rule: str) -> None:
    inside = np.asarray(ok, dtype=np.bool_)
    if not inside.all():
        raise ParameterError(f"{rule}, got {values[~inside].flat[0]}")


def _candidates(spectrum: Spectra) -> Sequence[LikelihoodSpectrum]:
    candidates = [spectrum] if isinstance(spectrum, LikelihoodSpectrum) else list(spectrum)
    if not candidates:
        raise ParameterError("at least one spectrum is needed, got an empty sequence")
    return candidates


def _largest_shift(spectrum: LikelihoodSpectrum, p: Floats, tau: Floats) -> tuple[Bools, Floats, Floats]:
    """Return whether ε = 0 is certified, and the largest proven shift with its log t."""
    m, u, fall = propose_radius(spectrum, p, tau)
    m, ok = _step_back(spectrum, p, tau, m, u, fall)  # V is nonincreasing in m: this proves ε = 0 as well
    rows = np.flatnonzero(~ok)
    if rows.size:
        zero = np.zeros(rows.size)
        m[rows], u[rows] = 0.0, best_threshold(spectrum, zero, p[rows])
        ok[rows] = dual_bound_lower(spectrum, zero, p[rows], u[rows]) > tau[rows]
    return ok, m, u


def _step_back(
    spectrum: LikelihoodSpectrum, p: Floats, tau: Floats, m: Floats, u: Floats, fall: Floats
) -> tuple[Floats, Bools]:
    """Shrink proposed shifts until the directed dual bound exceeds the threshold; also whether it does.

    ``fall`` = −∂D/∂m turns what is missing of the bound into a step, and what it has to spare into a higher
    second proposal. It sets the pace, not the verdict.
    """
    best, proven = np.zeros_like(m), np.zeros(m.shape, dtype=np.bool_)
    rows = np.flatnonzero(np.isfinite(m) & np.isfinite(u) & (m > 0.0) & (fall > 0.0))
    top, slope = m[rows], fall[rows]
    with np.errstate(over="ignore"):
        margin = _ROUNDING * (tau[rows] + np.exp(u[rows]) * np.minimum(p[rows], 1.0 - p[rows]))
    back = np.minimum(8 * UNIT_ROUNDOFF * top + margin / slope, _SPARE * top)
    for attempt in range(_BACK_OFFS):
        trial = np.maximum(top - back, 0.5 ** (attempt + 1) * top)
        step = (dual_bound_lower(spectrum, trial, p[rows], u[rows]) - tau[rows]) / slope
        passed = step > 0.0
        best[rows[passed]] = np.maximum(best[rows[passed]], trial[passed])
        proven[rows[passed]] = True
        higher = passed & (step > _SPARE * top) & (attempt == 0)
        top = np.where(higher, trial + step, top)
        back = np.where(higher, back, np.clip(back - 1.25 * step, 1.5 * back, 4.0 * back))
        left = higher | ~passed
        rows, top, slope, back = rows[left], top[left], slope[left], back[left]
        if rows.size == 0:
            break
    return best, proven
