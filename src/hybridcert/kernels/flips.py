"""Sparsity-aware bit flips: a 0 becomes 1 with probability p₊, a 1 becomes 0 with probability p₋.

Source: Bojchevski, Gasteiger & Günnemann 2020. Where ones are rare a small p₊ keeps them rare, and additions
and removals are certified apart. The ratios of an added and of a removed bit are inverse to each other, so
that a additions and b removals give a + b + 1 atoms.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from hybridcert.certificate.channel import ChannelPair
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Codes, Positions, real
from hybridcert.kernels.draws import corrupted
from hybridcert.kernels.positions import PositionKernel
from hybridcert.threats import Additions, DiscreteSurface, DiscreteThreat, Flips, Removals


@dataclasses.dataclass(frozen=True, slots=True)
class SparseFlips(PositionKernel):
    """Flip each eligible bit, a 0 with probability ``p_plus`` and a 1 with probability ``p_minus``.

    Parameters
    ----------
    p_plus, p_minus : float in [0, 1)

    Raises
    ------
    ParameterError
        For a probability outside [0, 1).
    """

    p_plus: float
    p_minus: float
    name: ClassVar[str] = "flips"
    serves: ClassVar[tuple[type[DiscreteThreat], ...]] = (Flips, Additions, Removals)

    def __post_init__(self) -> None:
        for name in ("p_plus", "p_minus"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ParameterError(f"{name} must be in [0, 1), got {getattr(self, name)!r}")

    def exposure(self, codes: Codes, alphabet_sizes: Sequence[int]) -> Positions:
        """Return the exposure of one input: how many of its bits are 0, how many 1."""
        del alphabet_sizes
        ones = int(codes.sum())
        return tuple((bit, count) for bit, count in ((0, codes.size - ones), (1, ones)) if count)

    def options(self, position_class: Any) -> tuple[ChannelPair, ...]:
        """Return the one option of bits of that value."""
        return (_pair(self.p_plus, self.p_minus, position_class),)

    def limit(self, threat: DiscreteThreat, position_class: Any) -> int | None:
        """Return how many zeros, or ones, the threat may flip."""
        if isinstance(threat, Flips):
            return threat.max_removals if position_class else threat.max_additions
        return None if position_class == isinstance(threat, Removals) else 0

    def parameters(self) -> dict[str, object]:
        """Return the parameters as plain values by name."""
        return {"p_plus": self.p_plus, "p_minus": self.p_minus}

    def law_parameters(self) -> dict[str, object]:
        """Return the parameters as an issued certificate states them."""
        return {"p_plus": real(self.p_plus), "p_minus": real(self.p_minus)}

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Raise ParameterError unless every eligible position is a bit."""
        PositionKernel.check_surface(self, surface)
        for size in surface.eligible_sizes:
            if size != 2:
                raise ParameterError(f"the flips kernel needs alphabets of size 2, got {size}")

    def sample(self, codes: Codes, alphabet_sizes: Sequence[int], stream: np.random.Generator) -> Codes:
        """Return noisy copies of ``codes``, shape (copies, positions), drawn from ``stream``."""
        del alphabet_sizes
        noisy = codes.ravel().copy()
        for bit, probability in ((0, self.p_plus), (1, self.p_minus)):
            places = np.flatnonzero(codes.ravel() == bit)
            noisy[places[corrupted(probability, places.size, stream)]] = 1 - bit
        return noisy.reshape(codes.shape)


@functools.lru_cache(maxsize=256)
def _pair(p_plus: float, p_minus: float, bit: int) -> ChannelPair:
    """Return the laws of a bit that was flipped, over the outcomes 1 and 0."""
    one_from_zero, one_from_one = Fraction(p_plus), 1 - Fraction(p_minus)
    clean, adversarial = (one_from_one, one_from_zero) if bit else (one_from_zero, one_from_one)
    return ChannelPair.of([(clean, adversarial), (1 - clean, 1 - adversarial)])
