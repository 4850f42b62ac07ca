"""Absorbing noise: each position turns into a mask symbol with probability β.

Source: paper A.8 (absorbing kernel). With d changed positions the clean and the adversarial input are told
apart unless all of them are masked: clean mass 1 − β^d at ratio 0 and β^d at ratio 1.
"""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from hybridcert.certificate.directed import WIDE, enclose
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Codes, check_beta, check_budget, check_threat, corrupted
from hybridcert.threats import DiscreteSurface, DiscreteThreat, Fields, Substitution


@dataclasses.dataclass(frozen=True, slots=True)
class Absorbing:
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
        if positions < 0:
            raise ParameterError(f"positions must be an integer >= 0, got {positions!r}")
        if positions == 0:
            return LikelihoodSpectrum.identity()
        masked = WIDE.power(decimal.Decimal(self.beta), positions)
        lower, upper = enclose([masked])
        return LikelihoodSpectrum.build(
            (),
            np.zeros((1, 0), dtype=np.int64),
            clean=(lower, upper),
            adversarial_lower=lower.copy(),
            ratio_zero_upper=float(enclose([WIDE.subtract(1, masked)])[1][0]),
        )

    def spectra(
        self, threat: DiscreteThreat, d: int, alphabet_sizes: Sequence[int]
    ) -> list[LikelihoodSpectrum]:
        """Return the one worst case: all d changes count alike, whatever the alphabets."""
        check_threat(self.name, threat, (Substitution, Fields))
        check_budget(d, len(alphabet_sizes))
        return [self.spectrum(d)]

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Raise ParameterError unless the classifier understands a mask symbol."""
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
