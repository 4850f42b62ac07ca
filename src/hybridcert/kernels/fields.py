"""Replacement with a rate of its own for each field: coarse fields may need more noise than fine ones."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from hybridcert.certificate.channel import ChannelPair
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Positions, check_beta, real
from hybridcert.kernels.replacement import Replacement, check_alphabet, replacement_pair
from hybridcert.threats import DiscreteSurface


@dataclasses.dataclass(frozen=True, slots=True, init=False)
class FieldReplacement(Replacement):
    """Replace the symbol of eligible position j, with probability ``betas[j]``, by another of its alphabet.

    Parameters
    ----------
    betas : sequence of float in (0, 1]
        One rate for each eligible position, in their order.

    Raises
    ------
    ParameterError
        For a rate outside (0, 1].
    """

    betas: tuple[float, ...]
    name: ClassVar[str] = "fields"

    def __init__(self, betas: Sequence[float]) -> None:
        object.__setattr__(self, "betas", tuple(betas))
        for beta in self.betas:
            check_beta(beta)

    def exposure_of_sizes(self, alphabet_sizes: Sequence[int]) -> Positions:
        """Return the exposure of any input over these alphabets: pairs (size, rate), counted."""
        counts = Counter(zip(alphabet_sizes, self.rates(alphabet_sizes), strict=True))
        for size, _ in counts:
            check_alphabet(size)
        return tuple(sorted(((int(size), float(beta)), count) for (size, beta), count in counts.items()))

    def options(self, position_class: Any) -> tuple[ChannelPair, ...]:
        """Return the one option of positions with that size and rate."""
        size, beta = position_class
        return (replacement_pair(size, beta),)

    def rates(self, alphabet_sizes: Sequence[int]) -> Sequence[float]:
        """Return the replacement probability of each position."""
        if len(alphabet_sizes) != len(self.betas):
            raise ParameterError(
                f"betas must hold one rate for each of the {len(alphabet_sizes)} eligible positions, got "
                f"{len(self.betas)}"
            )
        return self.betas

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Raise ParameterError unless there is a rate for each eligible position."""
        Replacement.check_surface(self, surface)
        self.rates(surface.eligible_sizes)

    def parameters(self) -> dict[str, object]:
        """Return the parameters as plain values by name."""
        return {"betas": list(self.betas)}

    def law_parameters(self) -> dict[str, object]:
        """Return the parameters as an issued certificate states them: the rates stand with the positions."""
        return {}

    def described_class(self, position_class: Any) -> object:
        """Return a pair (size, rate) as an issued certificate states it."""
        size, beta = position_class
        return {"size": size, "beta": real(beta)}
