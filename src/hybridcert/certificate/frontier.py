"""Radii and worst-case values over budgets, vectorised over inputs.

The radius at a discrete budget is r = σ · sup{m : V(m) > τ} (theory: Theorem 4.2 with the sound rule
"V > τ, V nonincreasing"). The law of the continuous noise proposes a witness (m, u) for each input; here it
is stepped back until the directed dual bound at the witness exceeds τ, so what is returned is a lower bound
at any tolerance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.directed import Bools, Floats, step_down, step_up
from hybridcert.certificate.proposal import Rows, step_back
from hybridcert.certificate.search import best_threshold
from hybridcert.certificate.shift_law import shift_law
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.certificate.tradeoff import dual_bound_lower, worst_case_lower
from hybridcert.errors import ParameterError

Spectra = LikelihoodSpectrum | Sequence[LikelihoodSpectrum]
"""One spectrum, or the candidates of a worst case: the adversary picks the one that hurts most."""


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
        Lower bound on the certified radius, in the units of σ; 0 where not certified (see ``certified``).
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
    noise: str = "gaussian",
) -> Radii:
    """Return the certified radius of each input.

    Guarantee: if the clean smoothed score is at least ``p_lower``, then at every input within the discrete
    budget that ``spectrum`` describes and within ``radius`` in ℓ₂ (ℓ₁ with Laplace noise), the score is above
    ``threshold``. The value never exceeds the exact radius and is within 1e-9 relative of it (outside the
    underflow range).

    Parameters
    ----------
    p_lower : float array, shape (n,) or scalar, in [0, 1)
        Lower confidence bounds on the smoothed score.
    spectrum : LikelihoodSpectrum or sequence of them
        The discrete part at this budget; a sequence means the worst case over its members.
    sigma : float > 0
        Standard deviation of the Gaussian noise, or scale of the Laplace noise; the radius comes in the same
        units.
    threshold : float or array in (0, 1)
        The score that has to be exceeded.
    noise : {"gaussian", "laplace"}

    Raises
    ------
    ParameterError
        For values outside these ranges.

    References
    ----------
    Theorem 4.2 of the paper; Cohen et al. 2019 and, for Laplace noise, Teng et al. 2019 for d = 0; Lee et al.
    2019 for ε = 0.

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
    for candidate in candidates_of(spectrum):
        rows = np.flatnonzero(certified)
        ok, m, u = _largest_shift(candidate, score[rows], level[rows], noise)
        certified[rows] = ok
        smaller = m < shift[rows]
        shift[rows] = np.where(smaller, m, shift[rows])
        log_t[rows] = np.where(smaller, u, log_t[rows])
    shift, log_t = np.where(certified, shift, 0.0), np.where(certified, log_t, 0.0)
    r = np.maximum(step_down(sigma * shift), 0.0)
    index = index.reshape(-1)
    return Radii(certified[index], r[index], log_t[index], shift[index])


def adversarial_value(
    *,
    p_lower: npt.ArrayLike,
    spectrum: Spectra,
    sigma: float,
    epsilon: npt.ArrayLike,
    noise: str = "gaussian",
) -> tuple[Floats, Floats]:
    """Return lower bounds on the worst-case score p_adv at ``epsilon``, and their witnesses log t.

    Guarantee: if the clean score is at least ``p_lower``, no input within the discrete budget of ``spectrum``
    and within ℓ₂ (Laplace noise: ℓ₁) distance ``epsilon`` has a smoothed score below the value.

    Parameters
    ----------
    p_lower : float array in [0, 1]
    spectrum : LikelihoodSpectrum or sequence of them
        A sequence means the worst case over its members.
    sigma : float > 0
    epsilon : float array >= 0, in the units of ``sigma``
        Broadcast against ``p_lower``; so are the results.
    noise : {"gaussian", "laplace"}

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """
    check_sigma(sigma)
    distance = np.asarray(epsilon, dtype=np.float64)
    _check(distance, (distance >= 0.0) & np.isfinite(distance), "eps must be a finite number >= 0")
    shift = np.where(distance > 0.0, step_up(distance / sigma), 0.0)
    bounds = [
        worst_case_lower(candidate, p_lower, shift, noise=noise) for candidate in candidates_of(spectrum)
    ]
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


def candidates_of(spectrum: Spectra) -> Sequence[LikelihoodSpectrum]:
    """Return the candidates of a worst case; raise ParameterError where there is none."""
    candidates = [spectrum] if isinstance(spectrum, LikelihoodSpectrum) else list(spectrum)
    if not candidates:
        raise ParameterError("at least one spectrum is needed, got an empty sequence")
    return candidates


def _largest_shift(
    spectrum: LikelihoodSpectrum, p: Floats, tau: Floats, noise: str
) -> tuple[Bools, Floats, Floats]:
    """Return whether ε = 0 is certified, and the largest proven shift with its log t."""
    law = shift_law(noise)
    proposal = law.propose_radius(spectrum, p, tau)

    def excess(rows: Rows, shift: Floats) -> Floats:
        u = law.follow(spectrum, shift, p[rows], proposal.log_t[rows])
        return dual_bound_lower(spectrum, shift, p[rows], u, noise=noise) - tau[rows]

    with np.errstate(over="ignore"):
        terms = tau + np.exp(proposal.log_t) * np.minimum(p, 1.0 - p)
    m, ok = step_back(excess, proposal.shift, proposal.fall, terms)  # V falls with m: ok at ε = 0 as well
    u = np.zeros_like(m)
    rows = np.flatnonzero(ok)
    if rows.size:
        u[rows] = law.follow(spectrum, m[rows], p[rows], proposal.log_t[rows])
    rows = np.flatnonzero(~ok)
    if rows.size:
        zero = np.zeros(rows.size)
        m[rows], u[rows] = 0.0, best_threshold(spectrum, zero, p[rows])
        ok[rows] = dual_bound_lower(spectrum, zero, p[rows], u[rows]) > tau[rows]
    return ok, m, u
