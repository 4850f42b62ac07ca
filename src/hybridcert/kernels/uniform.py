"""Uniform replacement: each position keeps its symbol with probability 1 − β, else takes another one.

Source: paper A.8 (uniform kernel); Lee et al. 2019. Equal positions give 2d+1 atoms, keyed by the exponent of
ρ = (1−β)(K−1)/β. For β ≤ 1 − 1/K_min a larger alphabet dominates, so the d largest fields are worst; the
comparison of pairs of laws finds that, and whatever holds at larger rates.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from hybridcert.certificate.channel import ChannelPair
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.kernels.discrete import Positions, check_beta, real
from hybridcert.kernels.replacement import Replacement, check_alphabet, replacement_pair


@dataclasses.dataclass(frozen=True, slots=True)
class UniformReplacement(Replacement):
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
        for size, count in self.exposure_of_sizes(alphabet_sizes):
            spectrum = spectrum.compose(replacement_pair(size, self.beta).spectrum(count))
        return spectrum

    def exposure_of_sizes(self, alphabet_sizes: Sequence[int]) -> Positions:
        """Return the exposure of any input over these alphabets: their sizes, counted."""
        counts = Counter(alphabet_sizes)
        for size in counts:
            check_alphabet(size)
        return tuple(sorted((int(size), count) for size, count in counts.items()))

    def options(self, position_class: Any) -> tuple[ChannelPair, ...]:
        """Return the one option of positions with alphabets of that size."""
        return (replacement_pair(position_class, self.beta),)

    def rates(self, alphabet_sizes: Sequence[int]) -> Sequence[float]:
        """Return the replacement probability of each position."""
        return [self.beta] * len(alphabet_sizes)

    def parameters(self) -> dict[str, object]:
        """Return the parameters as plain values by name."""
        return {"beta": self.beta}

    def law_parameters(self) -> dict[str, object]:
        """Return the parameters as an issued certificate states them."""
        return {"beta": real(self.beta)}
