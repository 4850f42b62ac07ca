"""Randomized response: every field keeps its symbol ρ times as likely as it takes any given other one.

Source: Warner 1965; k-ary randomized response, Kairouz et al. 2014. With K symbols the rate is
β = (K−1)/(K−1+ρ), so that all fields share the ratio ρ whatever their size. Their spectra then merge: d
changed fields give at most 2d+1 atoms. In terms of local differential privacy log ρ is the budget of a field.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

from hybridcert.certificate.channel import ChannelPair
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Positions, real
from hybridcert.kernels.replacement import Replacement, check_alphabet, replacement_pair


@dataclasses.dataclass(frozen=True, slots=True)
class RandomizedResponse(Replacement):
    """Keep each eligible symbol with probability ρ/(K−1+ρ), else take another of its K − 1, uniformly.

    Parameters
    ----------
    ratio : float > 0
        ρ: how much likelier the true symbol is than any other one.

    Raises
    ------
    ParameterError
        For a ratio not positive or not finite.
    """

    ratio: float
    name: ClassVar[str] = "randomized-response"

    def __post_init__(self) -> None:
        if not 0.0 < self.ratio < math.inf:
            raise ParameterError(f"ratio must be a finite number > 0, got {self.ratio!r}")

    @classmethod
    def from_log_ratio(cls, epsilon: float) -> RandomizedResponse:
        """Return the kernel with ρ = e^``epsilon``, rounded to a float64; certificates use that."""
        if not abs(epsilon) <= 700.0:
            raise ParameterError(f"the log ratio must be in [-700, 700], got {epsilon!r}")
        return cls(math.exp(epsilon))

    def rate(self, size: int) -> Fraction:
        """Return the replacement probability of a position with ``size`` symbols."""
        check_alphabet(size)
        return (int(size) - 1) / (int(size) - 1 + Fraction(self.ratio))

    def exposure_of_sizes(self, alphabet_sizes: Sequence[int]) -> Positions:
        """Return the exposure of any input over these alphabets: their sizes, counted."""
        counts = Counter(alphabet_sizes)
        for size in counts:
            check_alphabet(size)
        return tuple(sorted((int(size), count) for size, count in counts.items()))

    def options(self, position_class: Any) -> tuple[ChannelPair, ...]:
        """Return the one option of positions with alphabets of that size."""
        return (replacement_pair(position_class, self.rate(position_class)),)

    def rates(self, alphabet_sizes: Sequence[int]) -> Sequence[Fraction]:
        """Return the replacement probability of each position."""
        return [self.rate(size) for size in alphabet_sizes]

    def parameters(self) -> dict[str, object]:
        """Return the parameters as plain values by name."""
        return {"ratio": self.ratio}

    def law_parameters(self) -> dict[str, object]:
        """Return the parameters as an issued certificate states them."""
        return {"ratio": real(self.ratio)}
