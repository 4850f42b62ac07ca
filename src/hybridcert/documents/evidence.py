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


@dataclasses.dataclass(frozen=True, slots=True)
class SequentialPlan:
    """The looks at which sampling may stop, as fixed before the first copy of the estimate was drawn.

    Exactly one of ``alphas``, ``certify_at`` and ``prior`` is there; with ``prior`` there are no looks, as
    that bound holds after any number of copies.

    Attributes
    ----------
    looks : tuple of int
        All looks of the plan, as cumulative numbers of copies, strictly increasing.
    look : int
        Index of the look at which the outcome counts. With ``certify_at``: where the boundary was crossed;
        the last one if it never was (copies not drawn count as failures then).
    alphas : tuple of float
        Error probability spent at each look (methods "clopper-pearson" and "clopper-pearson-bonferroni"); as
        rationals they sum to at most the estimate's ``alpha``.
    certify_at : tuple of int
        Least number of successes that stops in favour of the claim at each look, in [0, look + 1]; one more
        than the copies: never (method "group-sequential").
    successes_at : tuple of int
        Successes at each look that was reached, in order (method "group-sequential").
    prior : tuple of two floats or None
        Parameters a, b > 0 of the beta mixture (method "beta-mixture").
    """

    looks: tuple[int, ...] = ()
    look: int = 0
    alphas: tuple[float, ...] = ()
    certify_at: tuple[int, ...] = ()
    successes_at: tuple[int, ...] = ()
    prior: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Bounds on the clean smoothed scores of one input, and the counts they come from.

    Attributes
    ----------
    method : {"clopper-pearson", "clopper-pearson-bonferroni", "group-sequential", "beta-mixture", "given"}
    p_lower : float
        Lower bound on the score of the claimed label.
    p_upper : float or None
        Upper bound on the k-th strongest other label's score (top-k claims).
    samples, alpha : int, float or None
        None with method "given". ``samples`` is how many copies were drawn for this input.
    counts : sequence of int
        Answers per label, with sum ``samples``; empty with method "given".
    label_index : int
        The claimed label.
    plan : SequentialPlan or None
        How the number of copies came about. None with method "given", and where it was fixed beforehand.
    """

    method: str
    p_lower: float
    p_upper: float | None
    samples: int | None
    alpha: float | None
    counts: Sequence[int]
    label_index: int
    plan: SequentialPlan | None = None


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
