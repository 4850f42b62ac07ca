"""What an attack set comes down to: the few changes among which the worst one is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from hybridcert.certificate.spectrum import LikelihoodSpectrum


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One change that the adversary may make, and what it does to the law of the noise.

    Attributes
    ----------
    change : mapping
        JSON-ready description, as an issued certificate states it.
    spectrum : LikelihoodSpectrum
        Law of the likelihood ratio under that change.
    """

    change: Mapping[str, object]
    spectrum: LikelihoodSpectrum


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class AttackSet:
    """Candidates that cover an attack set: every change in it is at most as bad as one of them.

    Attributes
    ----------
    candidates : tuple of Candidate, not empty
        The certified value is the minimum over them.
    worst_case : str
        Why they cover: ``"single"`` (there is only one change), ``"dominance"`` (one is worse than all
        others), ``"enumeration"`` (all that nothing dominates) or ``"envelope"`` (a super-position).
    """

    candidates: tuple[Candidate, ...]
    worst_case: str

    @property
    def spectra(self) -> list[LikelihoodSpectrum]:
        """Likelihood spectra of the candidates."""
        return [candidate.spectrum for candidate in self.candidates]
