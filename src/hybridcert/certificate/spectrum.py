"""The likelihood spectrum: all that a certificate needs to know about discrete noise.

Atoms (p_k, q_k, ℓ_k): mass under the clean law P, mass under the adversarial law Q, and log ratio
ℓ_k = log(q_k / p_k); besides, clean mass at ratio 0. Adversarial mass outside the clean support is the
deficit 1 − Σ q_k; the optimal adversary wastes it, so it is left out and never renormalised away.
(Theory: the likelihood ratios γ of Lee et al. 2019 and of Theorem 4.2, grouped by value.)
"""

from __future__ import annotations

import dataclasses
import decimal
import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.directed import UNIT_ROUNDOFF, WIDE, Floats, step_down, step_up
from hybridcert.errors import ParameterError

MAX_ATOMS = 2_000_000
"""Composition refuses to build more atoms than this (64 MB)."""

_SMALLEST = 1e-290
"""Atoms whose masses are both below this are coarsened away: they only blur the underflow range."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class LikelihoodSpectrum:
    """Law of the discrete likelihood ratio, with directed masses.

    Atoms are keyed exactly: atom k has ratio ∏_b ``bases[b] ** exponents[k, b]`` with rational bases, so
    equal ratios merge on integers and never on floats.

    Parameters
    ----------
    bases : tuple of Fraction
        Distinct rational numbers other than 1, positive.
    exponents : int array, shape (atoms, len(bases))
        Distinct rows.
    clean_lower, clean_upper : float array, shape (atoms,)
        Enclosure of the mass under the clean law.
    adversarial_lower : float array, shape (atoms,)
        Lower bound on the mass under the adversarial law.
    ratio_zero_upper : float
        Upper bound on the clean mass that the adversarial law never produces (ratio 0).

    Notes
    -----
    The exact masses satisfy Σ clean + ratio_zero = 1 and Σ adversarial ≤ 1. Only the bounds that the
    dual certificate needs are stored, so every operation may round away from the claim.
    """

    bases: tuple[Fraction, ...]
    exponents: npt.NDArray[np.int64]
    clean_lower: Floats
    clean_upper: Floats
    adversarial_lower: Floats
    ratio_zero_upper: float
    log_ratio: Floats = dataclasses.field(init=False)
    log_ratio_error: float = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        logs = np.array([_log(base) for base in self.bases], dtype=np.float64)
        terms = self.exponents * logs
        ratio = terms.sum(axis=1)
        size = float(np.abs(terms).sum(axis=1).max(initial=0.0))
        object.__setattr__(self, "log_ratio", ratio)
        object.__setattr__(self, "log_ratio_error", (len(self.bases) + 5) * UNIT_ROUNDOFF * size)
        for field in ("exponents", "clean_lower", "clean_upper", "adversarial_lower", "log_ratio"):
            getattr(self, field).setflags(write=False)

    def __len__(self) -> int:
        """Return the number of atoms at finite log ratio."""
        return int(self.log_ratio.size)

    @property
    def _is_identity(self) -> bool:
        return not self.bases and len(self) == 1 and self.ratio_zero_upper == 0 and self.clean_lower[0] == 1

    @staticmethod
    def identity() -> LikelihoodSpectrum:
        """Return the spectrum of "nothing changed": one atom of mass 1 at log ratio 0."""
        one = np.ones(1)
        return LikelihoodSpectrum((), np.zeros((1, 0), dtype=np.int64), one, one.copy(), one.copy(), 0.0)

    @staticmethod
    def disjoint() -> LikelihoodSpectrum:
        """Return the spectrum of laws without common support: all clean mass at ratio 0, no bound above 0."""
        none = np.zeros(0)
        return LikelihoodSpectrum((), np.zeros((0, 0), dtype=np.int64), none, none.copy(), none.copy(), 1.0)

    @staticmethod
    def build(
        bases: tuple[Fraction, ...],
        exponents: npt.NDArray[np.int64],
        *,
        clean: tuple[Floats, Floats],
        adversarial_lower: Floats,
        ratio_zero_upper: float,
    ) -> LikelihoodSpectrum:
        """Build a spectrum from enclosures: merge equal ratios, drop empty atoms, coarsen underflow.

        Coarsening moves an atom's clean mass to ratio 0 and its adversarial mass outside the clean
        support, which can only lower the certified value.
        """
        lower, upper = clean
        real = [i for i, base in enumerate(bases) if base != 1]
        bases, exponents = tuple(bases[i] for i in real), exponents[:, real]
        if exponents.shape[1] == 0:
            keys, index = exponents[:1], np.zeros(len(exponents), dtype=np.intp)
        else:
            keys, index = np.unique(exponents, axis=0, return_inverse=True)
        if len(keys) < len(exponents):
            slack = 2 * len(exponents) * UNIT_ROUNDOFF
            lower = _merged(index, lower, len(keys), 1 - slack)
            upper = _merged(index, upper, len(keys), 1 + slack)
            adversarial_lower = _merged(index, adversarial_lower, len(keys), 1 - slack)
        else:
            order = np.argsort(index)
            lower, upper, adversarial_lower = lower[order], upper[order], adversarial_lower[order]
        keep = (upper >= _SMALLEST) | (adversarial_lower >= _SMALLEST)
        ratio_zero_upper = float(step_up(ratio_zero_upper)) if ratio_zero_upper > 0 else 0.0
        if not keep.all():
            dropped = float(upper[~keep].sum()) * (1 + len(keys) * UNIT_ROUNDOFF)
            ratio_zero_upper = float(step_up(ratio_zero_upper + dropped)) if dropped > 0 else ratio_zero_upper
        return LikelihoodSpectrum(
            bases, keys[keep], lower[keep], upper[keep], adversarial_lower[keep], ratio_zero_upper
        )

    def compose(self, other: LikelihoodSpectrum) -> LikelihoodSpectrum:
        """Return the spectrum of two independent discrete modalities: atoms (p_j p_k, ℓ_j + ℓ_k).

        Raises
        ------
        ParameterError
            When more than ``MAX_ATOMS`` atoms would be needed.
        """
        if self._is_identity or other._is_identity:
            return other if self._is_identity else self
        count = len(self) * len(other)
        if count > MAX_ATOMS:
            raise ParameterError(
                f"the joint spectrum would have {count} atoms, allowed up to {MAX_ATOMS}: lower d, or let "
                "fields of similar size share one alphabet size (the larger one is sound)"
            )
        bases = self.bases + tuple(base for base in other.bases if base not in self.bases)
        exponents = (
            _spread(self.exponents, self.bases, bases)[:, None, :]
            + _spread(other.exponents, other.bases, bases)[None, :, :]
        ).reshape(count, len(bases))
        rest = step_up(step_up(1.0 - self.ratio_zero_upper) * other.ratio_zero_upper)
        zero = float(step_up(self.ratio_zero_upper + rest)) if rest > 0.0 else self.ratio_zero_upper
        return LikelihoodSpectrum.build(
            bases,
            exponents,
            clean=(
                np.maximum(step_down(np.outer(self.clean_lower, other.clean_lower)), 0.0).ravel(),
                step_up(np.outer(self.clean_upper, other.clean_upper)).ravel(),
            ),
            adversarial_lower=np.maximum(
                step_down(np.outer(self.adversarial_lower, other.adversarial_lower)), 0.0
            ).ravel(),
            ratio_zero_upper=zero,
        )


def _spread(
    exponents: npt.NDArray[np.int64], bases: tuple[Fraction, ...], onto: tuple[Fraction, ...]
) -> npt.NDArray[np.int64]:
    spread = np.zeros((len(exponents), len(onto)), dtype=np.int64)
    for column, base in enumerate(bases):
        spread[:, onto.index(base)] = exponents[:, column]
    return spread


def _merged(index: npt.NDArray[np.intp], masses: Floats, atoms: int, rounding: float) -> Floats:
    return np.asarray(np.bincount(index, masses, atoms) * rounding, dtype=np.float64)


def _log(base: Fraction) -> float:
    """Return log(base) to within one unit in the last place."""
    if base <= 0 or base == 1:
        raise ParameterError(f"a ratio base must be positive and not 1, got {base}")
    offset = base - 1
    if abs(offset) < Fraction(1, 1000):
        return math.log1p(float(offset))
    quotient = WIDE.divide(decimal.Decimal(base.numerator), decimal.Decimal(base.denominator))
    return float(quotient.ln(WIDE))
