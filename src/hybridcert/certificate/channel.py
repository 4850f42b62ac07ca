"""One changed position: the clean and the adversarial law of its noisy symbol, in exact rationals.

Outcomes count by their likelihood ratio alone. The hockey-stick curve H(t) = Σ max(t·P − Q, 0) says all that
tests can do with a pair of laws: the trade-off curve is V(p) = max_t (t·p − H(t)), so a pair whose H is
nowhere smaller has a V that is nowhere larger (Blackwell order), and products keep that order.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from hybridcert.certificate.directed import Floats
from hybridcert.certificate.powers import power_spectrum, told_apart_upper
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError

LARGEST_SLOPE = Fraction(2) ** 900
"""Up to here, and down to its inverse, slopes and quotients of masses by slopes are ordinary floats."""


@dataclasses.dataclass(frozen=True, slots=True)
class ChannelPair:
    """The laws of one noisy symbol before and after the adversary's change.

    Parameters
    ----------
    ratios : tuple of Fraction >= 0, increasing
        Likelihood ratios Q/P of the outcomes that the clean law produces.
    masses : tuple of Fraction > 0
        Their masses under the clean law; they sum to 1.

    Notes
    -----
    Adversarial mass is ratio · mass; what is missing to 1 lies on outcomes that the clean law never produces.
    """

    ratios: tuple[Fraction, ...]
    masses: tuple[Fraction, ...]
    _sums: tuple[tuple[Fraction, Fraction], ...] = dataclasses.field(init=False, repr=False, compare=False)
    _hash: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sums = list(itertools.accumulate(self.masses, initial=Fraction(0)))
        attacked = itertools.accumulate(self.adversarial, initial=Fraction(0))
        object.__setattr__(self, "_sums", tuple(zip(sums, attacked, strict=True)))
        object.__setattr__(self, "_hash", hash((self.ratios, self.masses)))
        if sums[-1] != 1 or self._sums[-1][1] > 1:
            raise ParameterError(
                f"a pair of laws must have clean mass 1 and adversarial mass at most 1, got {sums[-1]} and "
                f"{self._sums[-1][1]}"
            )

    def __hash__(self) -> int:
        """Return the hash, computed once: fractions are slow to hash."""
        return self._hash

    @staticmethod
    def of(outcomes: Iterable[tuple[Fraction, Fraction]]) -> ChannelPair:
        """Group outcomes, each with its clean and its adversarial probability, by likelihood ratio."""
        clean: dict[Fraction, Fraction] = {}
        for p, q in outcomes:
            if p > 0:
                clean[q / p] = clean.get(q / p, Fraction(0)) + p
        ratios = tuple(sorted(clean))
        return ChannelPair(ratios, tuple(clean[ratio] for ratio in ratios))

    @property
    def adversarial(self) -> tuple[Fraction, ...]:
        """Masses under the adversarial law, ratio by ratio."""
        return tuple(ratio * mass for ratio, mass in zip(self.ratios, self.masses, strict=True))

    def hockey_stick(self, t: Fraction) -> Fraction:
        """Return H(t) = Σ max(t·P − Q, 0) for t >= 0."""
        clean, adversarial = self.sums_below(t)
        return t * clean - adversarial

    def sums_below(self, t: Fraction) -> tuple[Fraction, Fraction]:
        """Return the clean and the adversarial mass of the outcomes of ratio below ``t``."""
        return self._sums[bisect.bisect_left(self.ratios, t)]

    def estimates(self, t: Floats) -> Floats:
        """Return H(t)/t in floats, for slopes t > 0; right up to rounding between 2⁻⁹⁰⁰ and 2⁹⁰⁰."""
        ratios = np.array([float(min(ratio, LARGEST_SLOPE)) for ratio in self.ratios])
        below = np.searchsorted(ratios, t)
        clean = np.cumsum([0.0, *map(float, self.masses)])
        adversarial = np.cumsum([0.0, *map(float, self.adversarial)])
        return np.asarray(clean[below] - adversarial[below] / t)

    def dominates(self, other: ChannelPair) -> bool:
        """Return whether no test is better for the adversary against ``other`` than against this pair.

        H is linear between the ratios, 0 at t = 0, and beyond all ratios the difference of two of them is
        constant: so it is enough to compare at the ratios of both.
        """
        return _dominates(self, other)

    def spectrum(self, times: int, *, base: Fraction | None = None) -> LikelihoodSpectrum:
        """Return the likelihood spectrum of ``times`` independent changes of this kind.

        Parameters
        ----------
        times : int >= 0
        base : Fraction, optional
            A number that every positive ratio is an integer power of, where one is known.
        """
        if times < 0:
            raise ParameterError(f"positions must be an integer >= 0, got {times!r}")
        if times == 0 or self.ratios == (Fraction(1),):
            return LikelihoodSpectrum.identity()
        if self.ratios == (Fraction(0),):
            return LikelihoodSpectrum.disjoint()
        told_apart = self.masses[0] if self.ratios[0] == 0 else Fraction(0)
        positive = [i for i, ratio in enumerate(self.ratios) if ratio > 0]
        return power_spectrum(
            [self.ratios[i] for i in positive],
            [self.masses[i] for i in positive],
            times,
            zero=told_apart_upper(told_apart, times),
            base=base,
        )


@functools.lru_cache(maxsize=1 << 16)
def _dominates(first: ChannelPair, second: ChannelPair) -> bool:
    return all(first.hockey_stick(t) >= second.hockey_stick(t) for t in (*first.ratios, *second.ratios))
