"""Noise that treats the positions of an input independently, and what its adversary can do to them."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from hybridcert.certificate.attack_set import PositionClass, attack_set
from hybridcert.certificate.candidate import AttackSet
from hybridcert.certificate.channel import ChannelPair
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Codes, Positions, check_budget, check_threat
from hybridcert.threats import DiscreteSurface, DiscreteThreat, Fields, Substitution


class PositionKernel(abc.ABC):
    """Noise on fixed positions. Each belongs to a class, which fixes what the adversary can turn it into."""

    __slots__ = ()
    name: ClassVar[str]
    serves: ClassVar[tuple[type[DiscreteThreat], ...]] = (Substitution, Fields)

    @abc.abstractmethod
    def exposure(self, codes: Codes, alphabet_sizes: Sequence[int]) -> Positions:
        """Return the classes of one input's eligible positions, counted and sorted."""

    @abc.abstractmethod
    def options(self, position_class: Any) -> tuple[ChannelPair, ...]:
        """Return the pairs of laws that a position of this class can be given."""

    @abc.abstractmethod
    def parameters(self) -> dict[str, object]:
        """Return the parameters as plain values by name."""

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Raise ParameterError unless every position holds a symbol of a declared alphabet."""
        if surface.open:
            raise ParameterError(
                f"the {self.name} kernel needs a declared alphabet, this classifier reads any symbol: "
                "declare one, or use RandomDeletion"
            )

    @abc.abstractmethod
    def sample(self, codes: Codes, alphabet_sizes: Sequence[int], stream: np.random.Generator) -> Codes:
        """Return noisy copies of ``codes``, shape (copies, positions), drawn from ``stream``."""

    def limit(self, threat: DiscreteThreat, position_class: Any) -> int | None:
        """Return how many positions of a class the threat may change; None: as many as there are."""
        del threat, position_class
        return None

    def candidates(self, threat: DiscreteThreat, d: int, exposure: Positions) -> AttackSet:
        """Return the candidates of the worst case over which ``d`` positions change, and how.

        Raises
        ------
        ParameterError
            For a threat that the kernel does not serve, or ``d`` above the number of positions.
        """
        check_threat(self.name, threat, self.serves)
        check_budget(d, sum(count for _, count in exposure))
        classes = []
        for position_class, count in exposure:
            limit = self.limit(threat, position_class)
            most = min(count, d) if limit is None else min(count, d, limit)
            classes.append(PositionClass(self.options(position_class), most))
        return attack_set(tuple(classes), d)

    def law(self, exposure: Positions) -> dict[str, object]:
        """Return the kernel and the positions as an issued certificate states them, JSON-ready."""
        positions = [[self.described_class(kind), count] for kind, count in exposure]
        return {"kernel": self.name, **self.law_parameters(), "positions": positions}

    @abc.abstractmethod
    def law_parameters(self) -> dict[str, object]:
        """Return the parameters as an issued certificate states them, JSON-ready."""

    def described_class(self, position_class: Any) -> object:
        """Return a class of positions as an issued certificate states it, JSON-ready."""
        return position_class


class SizedPositionKernel(PositionKernel):
    """Noise whose classes follow from the alphabet of each position alone."""

    __slots__ = ()

    @abc.abstractmethod
    def exposure_of_sizes(self, alphabet_sizes: Sequence[int]) -> Positions:
        """Return the exposure of every input over positions of the given sizes."""

    def exposure(self, codes: Codes, alphabet_sizes: Sequence[int]) -> Positions:
        """Return the exposure of one input: what stands in it plays no part."""
        del codes
        return self.exposure_of_sizes(alphabet_sizes)

    def spectra(
        self, threat: DiscreteThreat, d: int, alphabet_sizes: Sequence[int]
    ) -> list[LikelihoodSpectrum]:
        """Return the spectra of `candidates` where only the alphabets are known."""
        return self.candidates(threat, d, self.exposure_of_sizes(alphabet_sizes)).spectra
