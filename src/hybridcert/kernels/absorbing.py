"""Absorbing noise: each position turns into a mask symbol with probability β.

Source: paper A.8 (absorbing kernel). With d changed positions the clean and the adversarial input are told
apart unless all of them are masked: clean mass 1 − β^d at ratio 0 and β^d at ratio 1.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from hybridcert.certificate.channel import ChannelPair
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Codes, Positions, check_beta, real
from hybridcert.kernels.draws import corrupted
from hybridcert.kernels.positions import SizedPositionKernel
from hybridcert.threats import DiscreteSurface


@dataclasses.dataclass(frozen=True, slots=True)
class Absorbing(SizedPositionKernel):
    """Replace each eligible symbol by the mask with probability ``beta``.

    Parameters
    ----------
    beta : float in (0, 1]

    Raises
    ------
    ParameterError
        For ``beta`` outside (0, 1].
    """

    beta: float
    name: ClassVar[str] = "absorbing"

    def __post_init__(self) -> None:
        check_beta(self.beta)

    def spectrum(self, positions: int) -> LikelihoodSpectrum:
        """Return the likelihood spectrum when exactly ``positions`` positions differ."""
        return _pair(self.beta).spectrum(positions)

    def exposure_of_sizes(self, alphabet_sizes: Sequence[int]) -> Positions:
        """Return the exposure of any input over these alphabets: only the number of positions counts."""
        return (("symbol", len(alphabet_sizes)),) if len(alphabet_sizes) else ()

    def options(self, position_class: Any) -> tuple[ChannelPair, ...]:
        """Return the one option of every position."""
        del position_class
        return (_pair(self.beta),)

    def parameters(self) -> dict[str, object]:
        """Return the parameters as plain values by name."""
        return {"beta": self.beta}

    def law_parameters(self) -> dict[str, object]:
        """Return the parameters as an issued certificate states them."""
        return {"beta": real(self.beta)}

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Raise ParameterError unless the classifier understands a mask symbol."""
        SizedPositionKernel.check_surface(self, surface)
        if not surface.mask:
            raise ParameterError(
                "the absorbing kernel needs a classifier with a mask symbol, this one has none: use "
                "UniformReplacement"
            )

    def sample(self, codes: Codes, alphabet_sizes: Sequence[int], stream: np.random.Generator) -> Codes:
        """Return noisy copies, shape (copies, positions); the mask is the code one past each alphabet."""
        noisy = codes.copy()
        for position, size in enumerate(alphabet_sizes):
            noisy[corrupted(self.beta, len(noisy), stream), position] = size
        return noisy


@functools.lru_cache(maxsize=256)
def _pair(beta: float) -> ChannelPair:
    masked = Fraction(beta)
    return ChannelPair.of([(masked, masked), (1 - masked, Fraction(0)), (Fraction(0), 1 - masked)])
