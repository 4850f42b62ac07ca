"""Replacement by another symbol: what the kernels with a rate per position have in common.

A position with an alphabet of K symbols keeps its symbol with probability 1 − β, else takes one of the K − 1
others, all alike. If the adversary changed it, the likelihood ratios are ρ⁻¹, 1, ρ with ρ = (1−β)(K−1)/β,
and the clean masses 1−β, β(K−2)/(K−1), β/(K−1).
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from hybridcert.certificate.channel import ChannelPair
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Codes
from hybridcert.kernels.draws import corrupted
from hybridcert.kernels.positions import SizedPositionKernel
from hybridcert.threats import DiscreteSurface


class Replacement(SizedPositionKernel):
    """Keep or replace each eligible symbol, at a rate that depends on its position."""

    __slots__ = ()

    @abc.abstractmethod
    def rates(self, alphabet_sizes: Sequence[int]) -> Sequence[float | Fraction]:
        """Return the replacement probability of each position."""

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Accept every modality whose eligible positions have an alphabet of at least two."""
        SizedPositionKernel.check_surface(self, surface)
        for size in surface.eligible_sizes:
            check_alphabet(size)

    def sample(self, codes: Codes, alphabet_sizes: Sequence[int], stream: np.random.Generator) -> Codes:
        """Return noisy copies of ``codes``, shape (copies, positions), drawn from ``stream``."""
        noisy = codes.copy()
        rates = self.rates(alphabet_sizes)
        for position, (size, rate) in enumerate(zip(alphabet_sizes, rates, strict=True)):
            column = noisy[:, position]
            changed = np.flatnonzero(corrupted(rate, len(column), stream))
            other = stream.integers(0, int(size) - 1, size=changed.size)
            column[changed] = other + (other >= column[changed])
        return noisy


@functools.lru_cache(maxsize=4096)
def replacement_pair(size: int, beta: float | Fraction) -> ChannelPair:
    """Return the laws of one changed position: the clean symbol, the adversary's and all others."""
    rate = Fraction(beta)
    stay, move = 1 - rate, rate / (size - 1)
    return ChannelPair.of([(stay, move), (move, stay), ((size - 2) * move, (size - 2) * move)])


def check_alphabet(size: int) -> None:
    """Raise ParameterError unless ``size`` is an integer of at least 2."""
    if int(size) != size or size < 2:
        raise ParameterError(f"alphabet size must be an integer >= 2, got {size!r}")
