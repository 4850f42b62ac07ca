"""When sampling may stop before all copies are drawn, as a configuration says it."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

from hybridcert.experiments.config_fields import Distance, Natural, Open, Section
from hybridcert.sampling.questions import Target, Tolerance

Bound = Literal["exact", "spending", "mixture"]
"""How the error probability stays below alpha although sampling may stop early."""


class TargetSection(Section):
    """What each input is asked for: certified against d changes and a shift of length eps."""

    d: Natural
    eps: Distance = 0.0


class StoppingSection(Section):
    """Why sampling of an input may stop early: a target is decided, or more copies would change little."""

    target: TargetSection | None = None
    tolerance: Open | None = None

    @pydantic.model_validator(mode="after")
    def _one_reason(self) -> Self:
        if (self.target is None) == (self.tolerance is None):
            got = "neither" if self.target is None else "both"
            raise ValueError(f"needs one of target and tolerance, got {got}")
        return self

    def question(self) -> Target | Tolerance:
        """Return what `SmoothedClassifier.certify` takes as ``stopping``."""
        if self.target is not None:
            return Target(self.target.d, self.target.eps)
        assert self.tolerance is not None
        return Tolerance(self.tolerance)


def question(stopping: StoppingSection | None) -> Target | Tolerance | None:
    """Return what `SmoothedClassifier.certify` takes as ``stopping``."""
    return None if stopping is None else stopping.question()


def check_stopping(
    stopping: StoppingSection | None, bound: Bound | None, budget: int | None, *, score: bool
) -> None:
    """Raise ValueError where the keys of a certificate do not fit together; ``score`` means a threshold."""
    if bound is not None and stopping is None and budget is None:
        raise ValueError(
            f"takes bound only with stopping or budget, as all samples are drawn without, got {bound!r}"
        )
    if bound == "exact" and (stopping is None or stopping.target is None or not score):
        raise ValueError(
            "takes bound 'exact' only with stopping.target and a threshold: use 'spending' or 'mixture'"
        )


def check_target(stopping: StoppingSection | None, *, max_d: int, shifts: bool) -> None:
    """Raise ValueError for a target that the run does not certify; ``shifts``: numbers have noise."""
    if stopping is None or stopping.target is None:
        return
    target = stopping.target
    if target.d > max_d:
        raise ValueError(
            f"certificate.stopping.target.d must be at most threat.max_d, {max_d}, got {target.d}"
        )
    if target.eps > 0.0 and not shifts:
        raise ValueError(
            f"certificate.stopping.target.eps must be 0 where no numbers have noise, got {target.eps!r}"
        )
