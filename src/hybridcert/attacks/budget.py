"""What an attacker may change, and how hard it looks."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Literal

import numpy as np

from hybridcert.certificate.ranges import check_count
from hybridcert.errors import ParameterError
from hybridcert.joint_threat import JointThreat

Method = Literal["auto", "gradient", "score", "decision"]
METHODS: tuple[Method, ...] = ("auto", "gradient", "score", "decision")

_LARGEST = 1e100
"""Squares of distances up to here are finite."""


@dataclasses.dataclass(frozen=True, slots=True)
class AttackBudget:
    """Discrete changes by modality, together with a continuous distance.

    Parameters
    ----------
    d : mapping of modality name to int >= 0
        Budget of each threatened discrete modality, in the count that its threat defines.
    epsilon : float in [0, 1e100]
        Distance in the norm and unit of the certificate: ℓ₂ or ℓ₁ in the unit of the only continuous
        modality, or √Σ(δ_j/σ_j)² over all of them (`hybridcert.joint_threat.JointThreat.budget`). What is no
        float is rounded down to one.

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """

    d: Mapping[str, int]
    epsilon: float

    def __post_init__(self) -> None:
        if not isinstance(self.d, Mapping):
            raise ParameterError(f"d must be a mapping of modality to number, got {self.d!r}")
        object.__setattr__(self, "d", dict(sorted(self.d.items())))
        for name, count in self.d.items():
            if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < 0:
                raise ParameterError(f"d of modality {name!r} must be an integer >= 0, got {count!r}")
        epsilon = self.epsilon.item() if isinstance(self.epsilon, np.generic) else self.epsilon
        number = isinstance(epsilon, numbers.Real) and not isinstance(epsilon, bool)
        if not number or not 0.0 <= epsilon <= _LARGEST:
            raise ParameterError(f"epsilon must be a number in [0, {_LARGEST:g}], got {self.epsilon!r}")
        nearest = float(epsilon)
        lower = math.nextafter(nearest, 0.0) if nearest > epsilon else nearest
        object.__setattr__(self, "epsilon", lower)

    def check(self, joint: JointThreat) -> None:
        """Raise ParameterError unless every part of the budget is part of the threat."""
        if set(self.d) != set(joint.threats):
            raise ParameterError(
                f"d must name the threatened modalities, {sorted(joint.threats)}, got {sorted(self.d)}"
            )
        if self.epsilon > 0.0 and joint.budget.norm == "none":
            raise ParameterError(
                f"epsilon must be 0 where no continuous modality has noise, got {self.epsilon!r}"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class AttackSettings:
    """How hard an attacker looks.

    Parameters
    ----------
    iterations : int >= 1
        Rounds of one discrete and one continuous step (T of Algorithm 1).
    copies : int >= 1
        Noisy copies that score each candidate, the same ones for all candidates of a round.
    candidates : int >= 1
        Candidates of a discrete step.
    restarts : int >= 1
        Independent searches; the best of what they find is returned.
    method : {"auto", "gradient", "score", "decision"}
        What the search may use: derivatives of margins, margins, or answers alone; "auto": the best that
        the classifier offers.
    exhaustive : int >= 0
        Without derivatives, all single moves are tried where there are at most so many.
    steps : int >= 1
        Continuous steps in a round.
    patience : int >= 1
        A search stops once so many rounds in a row find the label lost on fresh copies: none of them answers
        with it and, where there are margins, these are clearly below 0. Answers alone cannot tell scores well
        below 1/copies from one another: where a claim's threshold is as small as that, ask for more patience.

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """

    iterations: int = 20
    copies: int = 64
    candidates: int = 32
    restarts: int = 1
    method: Method = "auto"
    exhaustive: int = 256
    steps: int = 2
    patience: int = 2

    def __post_init__(self) -> None:
        for name in ("iterations", "copies", "candidates", "restarts", "steps", "patience"):
            check_count(name, getattr(self, name))
        if isinstance(self.exhaustive, bool) or not (
            isinstance(self.exhaustive, numbers.Integral) and self.exhaustive >= 0
        ):
            raise ParameterError(f"exhaustive must be an integer >= 0, got {self.exhaustive!r}")
        if self.method not in METHODS:
            raise ParameterError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
