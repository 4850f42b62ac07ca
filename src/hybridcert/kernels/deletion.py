"""Random deletion: each symbol is removed with probability β, and the rest closes up.

Source: theory page, section 3. n₋ clean symbols that the adversary removed have to be deleted by the noise
(clean mass β^n₋), n₊ inserted ones as well (adversarial mass β^n₊): one shared atom at β^(n₊−n₋). A
substitution is one of each. Pure insertions give the closed form V = β^n₊ Φ(Φ⁻¹(p) − m).
"""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

import numpy as np

from hybridcert.certificate.directed import WIDE, enclose
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Codes, check_beta, check_threat, corrupted
from hybridcert.threats import DiscreteSurface, DiscreteThreat, Edit, Insertion, Substitution

PADDING = -1
"""Code of "no symbol": fills the end of a row after deletions."""


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

    def spectra(
        self, threat: DiscreteThreat, d: int, alphabet_sizes: Sequence[int] = ()
    ) -> list[LikelihoodSpectrum]:
        """Return the one worst case at budget ``d``.

        V falls in the number of insertions and of deletions alike, and a substitution is one of each, so
        d substitutions are worst within edit distance d. Alphabets and positions play no part.
        """
        check_threat(self.name, threat, (Insertion, Edit, Substitution))
        deletions = 0 if isinstance(threat, Insertion) else d
        return [self.spectrum(insertions=d, deletions=deletions)]

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
