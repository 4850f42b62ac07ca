"""One super-position that dominates every option: for attack sets with too many incomparable changes.

A pair of laws has the trade-off curve V(p) = max_t (t·p − H(t)). Take supporting lines at the slopes
t_e = base^e only, and at each the largest H of all options: h_e. The curve v(p) = max(0, max_e (t_e·p − h_e))
lies below that of every option, so the pair with this curve dominates them all, and n copies of it dominate
every change of at most n positions. Its ratios are the slopes, integer powers of one base, so that n copies
have about n·(hi − lo) atoms.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from hybridcert.certificate.channel import LARGEST_SLOPE, ChannelPair
from hybridcert.certificate.powers import logarithm
from hybridcert.certificate.spectrum import LikelihoodSpectrum

_ATOMS = 4096  # of n copies together, about
_FEWEST, _MOST = 24, 256  # slopes

_NEAR = 1e-12  # an option whose H/t is this close to the largest, per atom summed, is compared exactly


@dataclasses.dataclass(frozen=True, slots=True)
class Envelope:
    """``d`` copies of a super-position with slopes base^lo, …, base^hi.

    Attributes
    ----------
    base : Fraction > 1
    exponents : pair of int
        lo and hi.
    d : int >= 1
    pair : ChannelPair
        The laws of one super-position.
    """

    base: Fraction
    exponents: tuple[int, int]
    d: int
    pair: ChannelPair

    @staticmethod
    def of(options: Sequence[ChannelPair], d: int) -> Envelope:
        """Return the super-position for ``d`` changes, each to any one of the options.

        The slopes cover the ratios of all options: beyond them a supporting line adds nothing.
        """
        positive = [ratio for pair in options for ratio in pair.ratios if ratio > 0]
        least, largest = min(positive, default=Fraction(1)), max(positive, default=Fraction(1))
        low, high = logarithm(least), logarithm(largest)
        base = _base((high - low) / max(_FEWEST, min(_MOST, _ATOMS // d)))
        width = logarithm(base)
        lo, hi = math.floor(low / width), math.ceil(high / width)
        if lo == hi:
            hi += 1
        return Envelope(base, (lo, hi), d, super_position(options, base, lo, hi))

    def described(self) -> dict[str, object]:
        """Return what an issued certificate says of the change."""
        return {"base": str(self.base), "exponents": list(self.exponents), "d": self.d}

    def spectrum(self) -> LikelihoodSpectrum:
        """Return the likelihood spectrum of the ``d`` copies."""
        return self.pair.spectrum(self.d, base=self.base)


def super_position(options: Sequence[ChannelPair], base: Fraction, lo: int, hi: int) -> ChannelPair:
    """Return the pair whose trade-off curve is max(0, max_e (base^e·p − h_e)), in exact rationals.

    h is convex in the slope, as a maximum of convex functions, so line e is the largest one exactly between
    its crossings with lines e − 1 and e + 1; none exceeds 1 at p = 1 because H(t) ≥ t − 1.
    """
    slopes = [base**e for e in range(lo, hi + 1)]
    heights = _heights(options, slopes)
    crossings = [heights[0] / slopes[0]]
    lines = list(zip(slopes, heights, strict=True))
    crossings += [(g - h) / (t - s) for (s, h), (t, g) in itertools.pairwise(lines)]
    lengths = [after - before for before, after in itertools.pairwise([*crossings, Fraction(1)])]
    atoms = [(Fraction(0), crossings[0]), *zip(slopes, lengths, strict=True)]
    kept = [(ratio, mass) for ratio, mass in atoms if mass > 0]
    return ChannelPair(tuple(ratio for ratio, _ in kept), tuple(mass for _, mass in kept))


def _heights(options: Sequence[ChannelPair], slopes: Sequence[Fraction]) -> list[Fraction]:
    """Return the largest H at each slope: floats find the few options that come into question."""
    options = list(dict.fromkeys(options))
    t_float = np.array([float(max(1 / LARGEST_SLOPE, min(t, LARGEST_SLOPE))) for t in slopes])
    rough = np.array([pair.estimates(t_float) for pair in options])
    near_by = _NEAR * max(1 + len(pair.ratios) for pair in options)  # sums of n floats err by n·2⁻⁵³
    found = []
    for t, column in zip(slopes, rough.T, strict=True):
        in_reach = 1 / LARGEST_SLOPE < t < LARGEST_SLOPE
        near = np.flatnonzero(column >= column.max() - near_by).tolist() if in_reach else range(len(options))
        sums = {options[i].sums_below(t) for i in near}  # beyond all ratios many options agree
        found.append(max(t * clean - adversarial for clean, adversarial in sums))
    return found


def _base(width: float) -> Fraction:
    """Return a number near e^width with few digits, so that its powers stay short."""
    excess = math.expm1(width) if width > 0 else 1.0
    mantissa, exponent = math.frexp(excess)
    return 1 + Fraction(round(mantissa * 8)) * Fraction(2) ** (exponent - 3)
