"""Random deletion: each symbol is removed with probability β, and the rest closes up.

Source: theory page, section 3. n₋ clean symbols that the adversary removed have to be deleted by the noise
(clean mass β^n₋), n₊ inserted ones as well (adversarial mass β^n₊): one shared atom at β^(n₊−n₋). A
substitution is one of each. Pure insertions give the closed form V = β^n₊ Φ(Φ⁻¹(p) − m).
"""

from __future__ import annotations

import dataclasses
import decimal
import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

import numpy as np

from hybridcert.certificate.candidate import AttackSet, Candidate
from hybridcert.certificate.directed import WIDE, enclose
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Codes, check_beta, check_budget, check_threat, real
from hybridcert.kernels.draws import corrupted
from hybridcert.threats import (
    Deletion,
    DiscreteSurface,
    DiscreteThreat,
    Edit,
    Indel,
    Insertion,
    Substitution,
)

PADDING = -1
"""Code of "no symbol": fills the end of a row after deletions."""

_MOST_SPLITS = 1000  # of a budget into insertions and deletions


@dataclasses.dataclass(frozen=True, slots=True)
class RandomDeletion:
    """Delete each symbol of a sequence with probability ``beta``, independently.

    Parameters
    ----------
    beta : float in (0, 1]

    Raises
    ------
    ParameterError
        For ``beta`` outside (0, 1].
    """

    beta: float
    name: ClassVar[str] = "deletion"

    def __post_init__(self) -> None:
        check_beta(self.beta)

    def spectrum(self, *, insertions: int = 0, deletions: int = 0) -> LikelihoodSpectrum:
        """Return the likelihood spectrum when the adversary inserts and deletes so many symbols."""
        if insertions < 0 or deletions < 0:
            raise ParameterError(f"insertions and deletions must be >= 0, got {insertions} and {deletions}")
        beta = decimal.Decimal(self.beta)
        survive = WIDE.power(beta, deletions)
        lower, upper = enclose([survive]) if deletions else (np.ones(1), np.ones(1))
        adversarial = enclose([WIDE.power(beta, insertions)])[0] if insertions else np.ones(1)
        return LikelihoodSpectrum.build(
            (Fraction(self.beta),),
            np.array([[insertions - deletions]], dtype=np.int64),
            clean=(lower, upper),
            adversarial_lower=adversarial,
            ratio_zero_upper=float(enclose([WIDE.subtract(1, survive)])[1][0]) if deletions else 0.0,
        )

    def exposure_of_sizes(self, alphabet_sizes: Sequence[int]) -> int | None:
        """Return the exposure where only alphabets are known: None, a sequence of any length."""
        del alphabet_sizes
        return None

    def exposure(self, codes: Codes, alphabet_sizes: Sequence[int]) -> int | None:
        """Return the exposure of one input: the number of its symbols."""
        del alphabet_sizes
        return int((codes != PADDING).sum())

    def candidates(self, threat: DiscreteThreat, d: int, exposure: int | None) -> AttackSet:
        """Return the worst cases at budget ``d`` for a sequence of ``exposure`` symbols (None: any number).

        V falls in the number of insertions and of deletions alike, and a substitution is one of each, so
        d substitutions are worst within edit distance d. Where insertions and deletions share a budget, every
        way to split it counts: one more of the one makes the atom rarer, one more of the other its ratio.
        """
        check_threat(self.name, threat, (Insertion, Deletion, Indel, Edit, Substitution))
        check_budget(d, None)
        changes = _worst_changes(threat, d, d if exposure is None else min(d, exposure))
        return _attack_set(self, tuple(changes))

    def spectra(
        self, threat: DiscreteThreat, d: int, alphabet_sizes: Sequence[int] = ()
    ) -> list[LikelihoodSpectrum]:
        """Return the spectra of `candidates` for sequences of any length."""
        return self.candidates(threat, d, self.exposure_of_sizes(alphabet_sizes)).spectra

    def law(self, exposure: int | None) -> dict[str, object]:
        """Return the kernel and the length as an issued certificate states them."""
        return {"kernel": self.name, "beta": real(self.beta), "length": exposure}

    def parameters(self) -> dict[str, object]:
        """Return the parameters as plain values by name."""
        return {"beta": self.beta}

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Raise ParameterError unless positions form a sequence that may shrink."""
        if not surface.sequence:
            raise ParameterError(
                "the deletion kernel needs a classifier on sequences, this one reads fixed positions: use "
                "UniformReplacement"
            )

    def sample(self, codes: Codes, alphabet_sizes: Sequence[int], stream: np.random.Generator) -> Codes:
        """Return noisy copies, shape (copies, positions): survivors move left, `PADDING` fills the end."""
        del alphabet_sizes
        deleted = corrupted(self.beta, codes.size, stream).reshape(codes.shape) | (codes == PADDING)
        order = np.argsort(deleted, axis=1, kind="stable")
        return np.take_along_axis(np.where(deleted, PADDING, codes), order, axis=1)


def _worst_changes(threat: DiscreteThreat, d: int, removable: int) -> list[tuple[int, int]]:
    """Return pairs (insertions, deletions) that no other change within budget ``d`` exceeds in both."""
    if isinstance(threat, Insertion):
        return [(d, 0)]
    if isinstance(threat, Deletion):
        return [(0, removable)]
    if isinstance(threat, Edit):
        return [(d, removable)]
    if isinstance(threat, Substitution):
        return [(removable, removable)]
    step = -(-(removable + 1) // _MOST_SPLITS)  # beyond so many splits neighbours share one that exceeds them
    return [(d - b, min(b + step - 1, removable)) for b in range(0, removable + 1, step)]


@functools.lru_cache(maxsize=1024)
def _attack_set(kernel: RandomDeletion, changes: tuple[tuple[int, int], ...]) -> AttackSet:
    candidates = tuple(
        Candidate({"insertions": a, "deletions": b}, kernel.spectrum(insertions=a, deletions=b))
        for a, b in changes
    )
    if len(candidates) > 1:
        return AttackSet(candidates, "enumeration")
    return AttackSet(candidates, "single" if changes == ((0, 0),) else "dominance")
