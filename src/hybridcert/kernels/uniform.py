"""Uniform replacement: each position keeps its symbol with probability 1 − β, else takes another one.

Source: paper A.8 (uniform kernel); Lee et al. 2019. A position with an alphabet of V symbols that the
adversary changed has likelihood ratios ρ⁻¹, 1, ρ with ρ = (1−β)(V−1)/β, and clean masses 1−β,
β(V−2)/(V−1), β/(V−1); equal positions give 2d+1 atoms, keyed by the exponent of ρ.
"""

from __future__ import annotations

import dataclasses
import decimal
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

import numpy as np

from hybridcert.certificate.directed import WIDE, enclose
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Codes, check_beta, check_budget, check_threat, corrupted
from hybridcert.threats import DiscreteSurface, DiscreteThreat, Fields, Substitution

_NEGLIGIBLE = decimal.Decimal("1e-300")


@dataclasses.dataclass(frozen=True, slots=True)
class UniformReplacement:
    """Replace each eligible symbol, with probability ``beta``, by another of its alphabet, uniformly.

    Parameters
    ----------
    beta : float in (0, 1]
        Replacement probability; 1 leaves no symbol as it was.

    Raises
    ------
    ParameterError
        For ``beta`` outside (0, 1].
    """

    beta: float
    name: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        check_beta(self.beta)

    def spectrum(self, alphabet_sizes: Sequence[int]) -> LikelihoodSpectrum:
        """Return the likelihood spectrum when exactly the given positions differ.

        Parameters
        ----------
        alphabet_sizes : sequence of int >= 2, length d
            Alphabet size of each changed position; empty for "nothing changed".
        """
        spectrum = LikelihoodSpectrum.identity()
        for size, count in sorted(Counter(alphabet_sizes).items()):
            check_alphabet(size)
            spectrum = spectrum.compose(self._equal_positions(int(size), count))
        return spectrum

    def worst_sizes(self, alphabet_sizes: Sequence[int], d: int) -> list[tuple[int, ...]]:
        """Return the choices of d positions that can be worst for the defender, as tuples of sizes.

        For β ≤ 1 − 1/K_min a larger alphabet is more informative (Blackwell order), so the d largest are
        worst; otherwise all distinct choices are listed.
        """
        check_budget(d, len(alphabet_sizes))
        for size in alphabet_sizes:
            check_alphabet(size)
        sizes = sorted(alphabet_sizes, reverse=True)
        if d == 0 or Fraction(self.beta) <= 1 - Fraction(1, int(sizes[-1])) or len(set(sizes)) == 1:
            return [tuple(sizes[:d])]
        return _distinct_choices(Counter(sizes), d)

    def spectra(
        self, threat: DiscreteThreat, d: int, alphabet_sizes: Sequence[int]
    ) -> list[LikelihoodSpectrum]:
        """Return the candidates of the worst case over which d positions change (see `worst_sizes`)."""
        check_threat(self.name, threat, (Substitution, Fields))
        return [self.spectrum(sizes) for sizes in self.worst_sizes(alphabet_sizes, d)]

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Accept every modality whose eligible positions have an alphabet of at least two."""
        for size in surface.eligible_sizes:
            check_alphabet(size)

    def sample(self, codes: Codes, alphabet_sizes: Sequence[int], stream: np.random.Generator) -> Codes:
        """Return noisy copies of ``codes``, shape (copies, positions), drawn from ``stream``."""
        noisy = codes.copy()
        for position, size in enumerate(alphabet_sizes):
            column = noisy[:, position]
            changed = np.flatnonzero(corrupted(self.beta, len(column), stream))
            other = stream.integers(0, int(size) - 1, size=changed.size)
            column[changed] = other + (other >= column[changed])
        return noisy

    def _equal_positions(self, size: int, d: int) -> LikelihoodSpectrum:
        """Law of a sum of d steps −1, 0, +1 by the recurrence for powers of a trinomial."""
        beta, v = Fraction(self.beta), size
        stay, same, move = 1 - beta, beta * Fraction(v - 2, v - 1), beta * Fraction(1, v - 1)
        if stay == 0:  # singular on both sides: only symbols that neither input holds are shared
            if same == 0:
                return LikelihoodSpectrum.disjoint()
            shared = WIDE.power(_decimal(same), d)
            lower, upper = enclose([shared])
            return LikelihoodSpectrum.build(
                (),
                np.zeros((1, 0), dtype=np.int64),
                clean=(lower, upper),
                adversarial_lower=lower.copy(),
                ratio_zero_upper=_told_apart_upper(move, d),
            )
        descending = _trinomial_half(_decimal(stay), _decimal(same), _decimal(move), d)
        ascending = _trinomial_half(_decimal(move), _decimal(same), _decimal(stay), d)
        masses = descending + ascending[-2::-1]  # exponent −d … d
        mirrored = masses[::-1]
        keep = [i for i, (p, q) in enumerate(zip(masses, mirrored, strict=True)) if max(p, q) > _NEGLIGIBLE]
        if not keep:
            return LikelihoodSpectrum.disjoint()
        dropped = len(masses) * 1e-300 if len(keep) < len(masses) else 0.0
        return LikelihoodSpectrum.build(
            (stay * (v - 1) / beta,),
            np.array(keep, dtype=np.int64)[:, None] - d,
            clean=enclose([masses[i] for i in keep]),
            adversarial_lower=enclose([mirrored[i] for i in keep])[0],
            ratio_zero_upper=dropped,
        )


def check_alphabet(size: int) -> None:
    """Raise ParameterError unless ``size`` is an integer of at least 2."""
    if int(size) != size or size < 2:
        raise ParameterError(f"alphabet size must be an integer >= 2, got {size!r}")


def _told_apart_upper(move: Fraction, d: int) -> float:
    """Bound 1 − (1 − move)^d from above: as a difference of 80 digits, or by d·move where that cancels."""
    with decimal.localcontext(WIDE, prec=80):
        shared = (1 - decimal.Decimal(move.numerator) / move.denominator) ** d
        difference = 1 - shared + decimal.Decimal(d + 10).scaleb(-78)
    return float(enclose([min(difference, _decimal(d * move))])[1][0])


def _decimal(value: Fraction) -> decimal.Decimal:
    return WIDE.divide(decimal.Decimal(value.numerator), decimal.Decimal(value.denominator))


def _trinomial_half(
    a: decimal.Decimal, b: decimal.Decimal, c: decimal.Decimal, d: int
) -> list[decimal.Decimal]:
    """Return the coefficients of x⁰ … x^d of (a + b x + c x²)^d.

    From P Q' = d P' Q for Q = P^d: a (k+1) Q[k+1] = b (d−k) Q[k] + c (2d−k+1) Q[k−1]. Every term is
    non-negative for k ≤ d, so the relative error stays below (6 d + 10)·1e-33.
    """
    with decimal.localcontext(WIDE):
        ratio_b, ratio_c = b / a, c / a
        coefficients = [a**d]
        before = decimal.Decimal(0)
        for k in range(d):
            current = coefficients[-1]
            coefficients.append((ratio_b * (d - k) * current + ratio_c * (2 * d - k + 1) * before) / (k + 1))
            before = current
    return coefficients


def _distinct_choices(counts: Counter[int], d: int) -> list[tuple[int, ...]]:
    """Return every multiset of d sizes that the positions allow."""
    partial: list[tuple[int, ...]] = [()]
    for size, count in counts.items():
        partial = [p + (size,) * k for p in partial for k in range(min(count, d - len(p)) + 1)]
        if len(partial) > 100_000:
            raise ParameterError(
                f"d = {d} among {sum(counts.values())} fields leaves over 100000 choices to compare: use "
                "beta <= 1 - 1/(smallest alphabet), where the largest fields are worst"
            )
    return [p for p in partial if len(p) == d]
