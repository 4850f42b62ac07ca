"""What every discrete kernel offers to certificates and to the sampler."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.candidate import AttackSet
from hybridcert.errors import ParameterError
from hybridcert.threats import DiscreteSurface, DiscreteThreat

Codes = npt.NDArray[np.int64]
"""Symbols as integers from 0 to alphabet size − 1, shape (copies, positions) unless said otherwise."""

Exposure = Any
"""What about an input matters for its spectra, hashable. For noise on fixed positions: pairs (class of
position, count), sorted, whose counts add up to the eligible positions."""

Positions = tuple[tuple[Any, int], ...]
"""The exposure of kernels on fixed positions."""


class DiscreteKernel(Protocol):
    """Noise on symbols: immutable and hashable, its meaning fixed at construction."""

    @property
    def name(self) -> str:
        """Command-line name."""

    def __hash__(self) -> int:
        """Return a hash by value."""

    def exposure(self, codes: Codes, alphabet_sizes: Sequence[int]) -> Exposure:
        """Return what about one input matters for its spectra.

        Parameters
        ----------
        codes : int array, shape (positions,)
            Symbols of the input at its eligible positions.
        alphabet_sizes : sequence of int, length positions
        """

    def candidates(self, threat: DiscreteThreat, d: int, exposure: Exposure) -> AttackSet:
        """Return the candidates of the worst case at budget ``d``, for inputs of that exposure.

        The certified value is the minimum over the candidates. Where fewer than ``d`` positions can be
        changed all of them change. Raises ParameterError when the kernel cannot serve the threat or ``d``
        exceeds the number of positions.
        """

    def law(self, exposure: Exposure) -> dict[str, object]:
        """Return the kernel and the positions as an issued certificate states them, JSON-ready."""

    def parameters(self) -> dict[str, object]:
        """Return the parameters as plain values by name."""

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Raise ParameterError when the noise makes no sense on such a modality."""

    def sample(self, codes: Codes, alphabet_sizes: Sequence[int], stream: np.random.Generator) -> Codes:
        """Return noisy copies of ``codes``, shape (copies, positions), drawn from ``stream``."""


def real(value: float | Fraction) -> str:
    """Write a number as an issued certificate does: a float by its bits, a rational as a quotient."""
    return str(value) if isinstance(value, Fraction) else float(value).hex()


def check_beta(beta: float) -> None:
    """Raise ParameterError unless ``beta`` is in (0, 1]."""
    if not 0.0 < beta <= 1.0:
        raise ParameterError(f"beta must be in (0, 1], got {beta!r}")


def check_budget(d: int, positions: int | None) -> None:
    """Raise ParameterError unless ``d`` changes fit into ``positions`` positions (None: any number)."""
    if d < 0:
        raise ParameterError(f"d must be an integer >= 0, got {d!r}")
    if positions is not None and d > positions:
        raise ParameterError(f"d must be at most the number of eligible positions, {positions}, got {d}")


def check_threat(kernel: str, threat: DiscreteThreat, served: tuple[type[DiscreteThreat], ...]) -> None:
    """Raise ParameterError unless ``kernel`` certifies against the kind of ``threat``."""
    if not isinstance(threat, served):
        names = " or ".join(kind.name for kind in served)
        raise ParameterError(f"the {kernel} kernel certifies against {names}, got threat {threat.name}")
