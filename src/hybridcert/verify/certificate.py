"""What a certificate says, whatever version of the format said it: the input of the checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flint import fmpq

from hybridcert.verify.changes import Change
from hybridcert.verify.duality import Noise
from hybridcert.verify.laws import Threatened


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said of every input in reach.

    ``score``: the smoothed score of ``label`` exceeds ``threshold``. ``top-k``: ``label`` is among the ``k``
    of ``classes`` labels with the largest smoothed score.
    """

    kind: Literal["score", "top-k"]
    label: str
    threshold: fmpq | None = None
    k: int = 1
    classes: int = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """When sampling could stop: looks with error probabilities or boundaries, or a prior and no looks.

    ``look`` is the index of the look at which the outcome counts, ``certify_at`` the successes from which on
    a path crosses at each look, ``crossed`` whether this one did, ``prior`` the parameters of a beta law.
    """

    looks: tuple[int, ...] = ()
    look: int = 0
    alphas: tuple[fmpq, ...] = ()
    certify_at: tuple[int, ...] = ()
    crossed: bool = False
    prior: tuple[fmpq, fmpq] | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The bounds on the clean scores, and the counts that prove them; ``plan`` if these were not fixed."""

    method: str
    p_lower: fmpq
    p_upper: fmpq | None
    alpha: fmpq | None = None
    samples: int = 0
    successes: int = 0
    counts: tuple[int, ...] = ()
    label_index: int = 0
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Continuous:
    """What a radius means: it is divided by ``scale`` to give the shift m of the noise's log ratio."""

    norm: str
    noise: Noise
    scale: fmpq


@dataclass(frozen=True, slots=True)
class Witness:
    """One listed change, and the u = log t that prove the bounds for it; None: the trivial bound."""

    changes: tuple[Change, ...]
    log_t: tuple[fmpq | None, ...]
    log_t_at_zero: tuple[fmpq | None, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One budget of the frontier; ``radius`` is None if nothing is certified there."""

    d: tuple[int, ...]
    radius: fmpq | None
    p_adv: fmpq
    witnesses: tuple[Witness, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """All that a document claims, read but not yet checked."""

    claim: Claim
    modalities: tuple[Threatened, ...]
    continuous: Continuous
    estimate: Estimate
    confidence: fmpq | None
    points: tuple[Point, ...]
