"""What the frontier of a certificate rests on: law, threat, claim, bounds on clean scores, attack sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.documents.claims import Claim


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class JointCandidate:
    """One joint change: what changes in each threatened modality, and the spectrum of all of it."""

    changes: tuple[Mapping[str, object], ...]
    spectrum: LikelihoodSpectrum


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class JointAttack:
    """Candidates that cover everything the adversary can do at one budget; ``worst_case`` says why."""

    candidates: tuple[JointCandidate, ...]
    worst_case: str


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Bounds on the clean smoothed scores of one input, and the counts they come from.

    Attributes
    ----------
    method : {"clopper-pearson", "clopper-pearson-bonferroni", "given"}
    p_lower : float
        Lower bound on the score of the claimed label.
    p_upper : float or None
        Upper bound on the k-th strongest other label's score (top-k claims).
    samples, alpha : int, float or None
        None with method "given".
    counts : sequence of int
        Answers per label; empty with method "given".
    label_index : int
        The claimed label.
    """

    method: str
    p_lower: float
    p_upper: float | None
    samples: int | None
    alpha: float | None
    counts: Sequence[int]
    label_index: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PointEvidence:
    """What directed float64 proved at one budget: ``radius`` is a lower bound, 0 where not certified."""

    d: int | list[int]
    certified: bool
    radius: float
    attack: JointAttack


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """All that the certificates of one case share: inputs whose noise and attacks look alike.

    Attributes
    ----------
    claim : Claim
    law, threat : mapping
        The sections of the document, JSON-ready.
    noise : {"gaussian", "laplace", "none"}
        Which shift the continuous noise amounts to.
    scale : float
        A radius r is the shift r / scale.
    """

    claim: Claim
    law: Mapping[str, Any]
    threat: Mapping[str, Any]
    noise: Literal["gaussian", "laplace", "none"]
    scale: float
