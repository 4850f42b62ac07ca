"""What is asked about every input: a claim, how many copies at most, and what they have to settle."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

from hybridcert.documents.claims import Claim, ScoreAbove
from hybridcert.errors import ParameterError
from hybridcert.joint_threat import JointThreat
from hybridcert.sampling.questions import Target, Tolerance

Stopping = Target | Tolerance | None
"""What the copies have to settle; None: nothing stops an input early."""

Bound = Literal["exact", "spending", "mixture"]
"""How the error probability stays below α although sampling may stop early."""


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What is asked about every input, checked before anything is drawn.

    Parameters
    ----------
    joint : JointThreat
    claim : ScoreAbove or TopK
    samples : int
        The most copies of an input.
    alpha : float
    stopping : Target, Tolerance or None
    bound : {"exact", "spending", "mixture"} or None
        None: "exact" for a target and a score, "spending" for other targets. Without a target a bound that
        holds at several looks lets a budget for all inputs stop some of them early.

    Raises
    ------
    ParameterError
        For a target outside the threat, or a bound that does not fit.
    """

    joint: JointThreat
    claim: Claim
    samples: int
    alpha: float
    stopping: Stopping = None
    bound: Bound | None = None

    def __post_init__(self) -> None:
        if self.stopping is not None and not isinstance(self.stopping, Target | Tolerance):
            raise ParameterError(f"stopping must be a Target, a Tolerance or None, got {self.stopping!r}")
        if self.bound is not None and self.bound not in get_args(Bound):
            raise ParameterError(f"bound must be exact, spending or mixture, got {self.bound!r}")
        exact = isinstance(self.stopping, Target) and isinstance(self.claim, ScoreAbove)
        if self.bound == "exact" and not exact:
            raise ParameterError(
                "bound 'exact' is for a Target and a threshold: choose spending or mixture, or leave it out"
            )
        if self.bound is not None and isinstance(self.stopping, Tolerance):
            raise ParameterError(
                f"bound must be left out with a Tolerance, got {self.bound!r}: a pilot fixes the copies"
            )
        if self.bound == "mixture" and not one_sided(self.claim):
            raise ParameterError(
                "bound 'mixture' bounds one label from below: with several classes and top_k choose spending"
            )
        if isinstance(self.stopping, Target):
            self.budget_of(self.stopping)

    @property
    def method(self) -> Bound | None:
        """The bound that is used; None where the number of copies is fixed."""
        if self.bound is None and isinstance(self.stopping, Target):
            return "exact" if isinstance(self.claim, ScoreAbove) else "spending"
        return self.bound

    def budget_of(self, target: Target) -> tuple[int, ...]:
        """Return the target's d with one entry for each threatened modality."""
        threats = self.joint.threats
        d = target.d if isinstance(target.d, tuple) else (target.d,) * len(threats)
        known = self.joint.budgets
        if (not threats and target.d not in (0, ())) or (threats and d not in known):
            reported = ", ".join(str(b if len(b) > 1 else sum(b)) for b in known)
            raise ParameterError(f"target d must be one of {reported}, got {target.d!r}")
        if self.joint.budget.norm == "none" and target.epsilon > 0.0:
            raise ParameterError(
                f"target epsilon must be 0 where no continuous modality has noise, got {target.epsilon!r}"
            )
        return d if threats else ()

    def described(self) -> dict[str, Any]:
        """Return the question as plain values."""
        stopping = None if self.stopping is None else self.stopping.described()
        return {"stopping": stopping, "bound": self.method}

    @property
    def needs_pilot(self) -> bool:
        """Whether separate copies have to tell how many an input needs."""
        return isinstance(self.stopping, Tolerance)


def one_sided(claim: Claim) -> bool:
    """Tell whether a lower bound on the claimed label is all that a claim needs."""
    return isinstance(claim, ScoreAbove) or (claim.k == 1 and claim.classes == 2)
