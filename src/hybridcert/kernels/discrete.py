"""What every discrete kernel offers to certificates and to the sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError
from hybridcert.threats import DiscreteSurface, DiscreteThreat

Codes = npt.NDArray[np.int64]
"""Symbols as integers from 0 to alphabet size − 1, shape (copies, positions)."""


class DiscreteKernel(Protocol):
    """Noise on symbols: immutable, its meaning fixed at construction."""

    @property
    def name(self) -> str:
        """Command-line name."""

    @property
    def beta(self) -> float:
        """Corruption rate."""

    def spectra(
        self, threat: DiscreteThreat, d: int, alphabet_sizes: Sequence[int]
    ) -> list[LikelihoodSpectrum]:
        """Return the candidates of the worst case at budget ``d`` over positions of the given sizes.

        The certified value is the minimum over the candidates. Raises ParameterError when the kernel
        cannot serve the threat or ``d`` exceeds the number of positions.
        """

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Raise ParameterError when the noise makes no sense on such a modality."""

    def sample(self, codes: Codes, alphabet_sizes: Sequence[int], stream: np.random.Generator) -> Codes:
        """Return noisy copies of ``codes``, shape (copies, positions), drawn from ``stream``."""


def check_beta(beta: float) -> None:
    """Raise ParameterError unless ``beta`` is in (0, 1]."""
    if not 0.0 < beta <= 1.0:
        raise ParameterError(f"beta must be in (0, 1], got {beta!r}")


def check_budget(d: int, positions: int) -> None:
    """Raise ParameterError unless ``d`` changes fit into ``positions`` eligible positions."""
    if d < 0:
        raise ParameterError(f"d must be an integer >= 0, got {d!r}")
    if d > positions:
        raise ParameterError(f"d must be at most the number of eligible positions, {positions}, got {d}")


def check_threat(kernel: str, threat: DiscreteThreat, served: tuple[type[DiscreteThreat], ...]) -> None:
    """Raise ParameterError unless ``kernel`` certifies against the kind of ``threat``."""
    if not isinstance(threat, served):
        names = " or ".join(kind.name for kind in served)
        raise ParameterError(f"the {kernel} kernel certifies against {names}, got threat {threat.name}")


def corrupted(beta: float, copies: int, stream: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Draw ``copies`` independent events of probability ``beta``.

    64 random bits are compared with β·2⁶⁴. Where they hit its whole part, and β < 2⁻¹² leaves a fraction,
    64 more bits decide, so the rate is β to within 2⁻¹²⁸.
    """
    scaled = beta * 2.0**64  # a power of two: exact
    whole = int(scaled)
    if whole == 2**64:
        return np.ones(copies, dtype=np.bool_)
    bits = stream.integers(0, 2**64, size=copies, dtype=np.uint64)
    events = bits < np.uint64(whole)
    fraction = int((scaled - whole) * 2.0**64)
    if fraction:
        ties = np.flatnonzero(bits == np.uint64(whole))
        events[ties] = stream.integers(0, 2**64, size=ties.size, dtype=np.uint64) < np.uint64(fraction)
    return events
