"""Top-k certificates: the claimed label stays among the k labels of largest smoothed score.

Let p_A bound the score of the claimed label A from below, p_B the k-th largest score of the others from
above, and let V be the worst-case score at some budget. Claim: if V(p_A) + V(1 − p_B) > 1, A is among the k
best labels at every input within the budget. Proof: there A scores at least V(p_A). All labels but A and
k − 1 others score at most p_B at the clean input. For such a label the event "another answer" has a clean
score of at least 1 − p_B, so at least V(1 − p_B) within the budget, and the label itself scores at most
1 − V(1 − p_B) < V(p_A). So at most k − 1 labels reach A. Both bounds are taken at the same change: with
several candidates for the worst one, the sum has to exceed 1 for each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.directed import Bools, Floats, step_down
from hybridcert.certificate.frontier import Spectra, candidates_of, check_sigma
from hybridcert.certificate.proposal import Estimate, Rows, crossing, step_back
from hybridcert.certificate.shift_law import ShiftLaw, shift_law
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.certificate.tradeoff import dual_bound_lower, worst_case_lower
from hybridcert.errors import ParameterError

_LAST_SCORE = 1.0 - 2.0**-53


@dataclasses.dataclass(frozen=True, slots=True)
class TopRadius:
    """One certificate: ``radius`` and ``log_t`` are None where nothing is certified, not even ε = 0."""

    certified: bool
    radius: float | None
    log_t: tuple[float, float] | None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TopRadii:
    """Certified radii of many top-k claims at one discrete budget.

    Attributes
    ----------
    certified : bool array, shape (n,)
        Whether the claim holds at ε = 0 and so at the given discrete budget at all.
    radius : float array, shape (n,)
        Lower bound on the certified radius, in the units of σ; 0 where not certified.
    log_t : float array, shape (n, 2)
        The witness: D(log_t[:, 0]; shift) at p_lower and D(log_t[:, 1]; shift) at 1 − p_upper add up to more
        than 1. 0 where not certified.
    shift : float array, shape (n,)
        radius ≤ σ·shift; 0 where not certified.
    """

    certified: Bools
    radius: Floats
    log_t: Floats
    shift: Floats

    def without_radius(self) -> TopRadii:
        """Return the same claims at ε = 0 only: what is left when no continuous feature has noise."""
        return TopRadii(self.certified, np.zeros_like(self.radius), self.log_t, np.zeros_like(self.shift))

    def __len__(self) -> int:
        """Return the number of inputs."""
        return int(self.certified.size)

    def __getitem__(self, index: int) -> TopRadius:
        """Return the certificate of one input."""
        if not self.certified[index]:
            return TopRadius(False, None, None)
        top, rival = self.log_t[index].tolist()
        return TopRadius(True, float(self.radius[index]), (top, rival))

    def __iter__(self) -> Iterator[TopRadius]:
        """Iterate over the certificates."""
        return (self[i] for i in range(len(self)))


def radius_top(
    *,
    p_lower: npt.ArrayLike,
    p_upper: npt.ArrayLike,
    spectrum: Spectra,
    sigma: float,
    noise: str = "gaussian",
) -> TopRadii:
    """Return the certified radius of each top-k claim.

    Guarantee: if the clean score of a label is at least ``p_lower``, and the k-th largest of the others at
    most ``p_upper``, then at every input within the discrete budget that ``spectrum`` describes and within
    ``radius`` in ℓ₂ (ℓ₁ with Laplace noise) the label is among the k labels of largest score. The value never
    exceeds the exact radius and is within 1e-9 relative of it for ``p_upper`` ≥ 1e-6 (below, 1 − p_upper is
    rounded down to a float).

    Parameters
    ----------
    p_lower : float array, shape (n,) or scalar, in [0, 1)
    p_upper : float array, shape (n,) or scalar, in (0, 1]
    spectrum : LikelihoodSpectrum or sequence of them
        The discrete part at this budget; a sequence means the worst case over its members.
    sigma : float > 0
        Standard deviation of the Gaussian noise, or scale of the Laplace noise; the radius comes in the same
        units.
    noise : {"gaussian", "laplace"}

    Raises
    ------
    ParameterError
        For values outside these ranges.

    References
    ----------
    Cohen et al. 2019, Theorem 1, and Jia et al. 2020 (top-k) for d = 0.

    Examples
    --------
    >>> import hybridcert as hc
    >>> from hybridcert.certificate.multiclass import radius_top
    >>> identity = hc.LikelihoodSpectrum.identity()
    >>> radius_top(p_lower=0.6, p_upper=0.2, spectrum=identity, sigma=1.0).radius.round(3)
    array([0.547])
    """
    check_sigma(sigma)
    law = shift_law(noise)
    p, rival = np.broadcast_arrays(
        np.atleast_1d(np.asarray(p_lower, dtype=np.float64)), np.asarray(p_upper, dtype=np.float64)
    )
    for name, values, inside in (
        ("p_lower must be in [0, 1)", p, (p >= 0.0) & (p < 1.0)),
        ("p_upper must be in (0, 1]", rival, (rival > 0.0) & (rival <= 1.0)),
    ):
        if not inside.all():
            raise ParameterError(f"{name}, got {values[~inside].flat[0]}")
    pairs = np.stack([p, _complement_lower(rival)], axis=1)
    distinct, index = np.unique(pairs, axis=0, return_inverse=True)
    scores = (distinct[:, 0], distinct[:, 1])
    certified = np.ones(len(distinct), dtype=np.bool_)
    shift, log_t = np.full(len(distinct), np.inf), np.zeros((len(distinct), 2))
    for candidate in candidates_of(spectrum):
        rows = np.flatnonzero(certified)
        ok, m, u = _largest_shift(candidate, (scores[0][rows], scores[1][rows]), law, noise)
        certified[rows] = ok
        smaller = m < shift[rows]
        shift[rows[smaller]], log_t[rows[smaller]] = m[smaller], u[smaller]
    shift, log_t = np.where(certified, shift, 0.0), np.where(certified[:, None], log_t, 0.0)
    r = np.maximum(step_down(sigma * shift), 0.0)
    index = index.reshape(-1)
    return TopRadii(certified[index], r[index], log_t[index], shift[index])


def _complement_lower(p: Floats) -> Floats:
    """Return 1 − p, rounded down where it is no float (it is one from ½ on)."""
    return np.where(p >= 0.5, 1.0 - p, np.minimum(step_down(1.0 - p), _LAST_SCORE))


def _largest_shift(
    spectrum: LikelihoodSpectrum, scores: tuple[Floats, Floats], law: ShiftLaw, noise: str
) -> tuple[Bools, Floats, Floats]:
    """Return whether ε = 0 is certified, and the largest proven shift with its pair of log t."""
    unshifted = [worst_case_lower(spectrum, p, 0.0) for p in scores]
    certified = unshifted[0].value + unshifted[1].value > 1.0  # exact: a sum rounded above 1 is above 1
    m, u = np.zeros(certified.shape), np.stack([bound.log_t for bound in unshifted], axis=1)
    rows = np.flatnonzero(certified)
    if rows.size:
        inner = (scores[0][rows], scores[1][rows])
        proposed, at, terms = _propose(spectrum, inner, law)

        def excess(part: Rows, shift: Floats) -> Floats:
            top, rival = (
                dual_bound_lower(
                    spectrum, shift, p[part], law.follow(spectrum, shift, p[part], e.log_t[part]), noise=noise
                )
                for p, e in zip(inner, at, strict=True)
            )
            return np.asarray((top + rival) - 1.0)

        best, proven = step_back(excess, proposed, at[0].fall + at[1].fall, terms)
        m[rows[proven]] = best[proven]
        for column, (p, e) in enumerate(zip(inner, at, strict=True)):
            u[rows[proven], column] = law.follow(spectrum, best[proven], p[proven], e.log_t[proven])
    return certified, m, u


def _propose(
    spectrum: LikelihoodSpectrum, scores: tuple[Floats, Floats], law: ShiftLaw
) -> tuple[Floats, tuple[Estimate, Estimate], Floats]:
    """Propose the shift at which two worst-case scores add up to 1; also both, and the size of D's terms."""

    def total(rows: Rows, m: Floats) -> tuple[Floats, Floats]:
        top, rival = (law.estimate(spectrum, m, p[rows]) for p in scores)
        return top.value + rival.value, top.fall + rival.fall

    with np.errstate(all="ignore"):
        farthest = law.quantile(
            np.maximum(*scores)
        )  # beyond it both are below ½ even without discrete change
        m = crossing(total, np.ones_like(farthest), farthest)
        at = (law.estimate(spectrum, m, scores[0]), law.estimate(spectrum, m, scores[1]))
        terms = 1.0 + sum(np.exp(e.log_t) * np.minimum(p, 1.0 - p) for e, p in zip(at, scores, strict=True))
    return m, at, np.asarray(terms)
