"""The optional ``attack`` section of a configuration: what `hybridcert attack` does to a run."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hybridcert.experiments.config_fields import Count, Distance, Natural, Open, Samples, Section


class BudgetSection(Section):
    """A budget relative to what is certified of an input.

    With ``of: largest`` that is (d*, r*), the largest certified d and the radius there; with ``of: zero`` it
    is (0, r(0)), the radius where nothing discrete changes. ``more_d`` is added, ``times_r`` multiplies.
    """

    of: Literal["largest", "zero"] = "largest"
    more_d: Natural = 0
    times_r: Distance = 1.0

    @property
    def inside(self) -> bool:
        """Whether no attack may succeed: the budget is part of a certified one."""
        return self.more_d == 0 and self.times_r <= 1.0

    @property
    def name(self) -> str:
        """The budget as Table 4 spells it."""
        d, r = ("d*", "r*") if self.of == "largest" else ("0", "r(0)")
        more = f" + {self.more_d}" if self.more_d else ""
        return f"{d}{more}, {'' if self.times_r == 1.0 else f'{self.times_r:g} '}{r}"


BUDGETS = (
    BudgetSection(of="zero"),
    BudgetSection(),
    BudgetSection(times_r=1.5),
    BudgetSection(times_r=3.0),
    BudgetSection(more_d=2),
    BudgetSection(more_d=4),
    BudgetSection(of="zero", times_r=3.0),
)
"""The rows of Table 4, and two without discrete changes, where radii are largest."""


class AttackSection(Section):
    """How a run is attacked. By default with the inputs, iterations and budgets of the paper's section 5.3.

    ``candidates`` of each discrete step are scored on ``copies`` each; without it 8 where derivatives point
    to them, else 32.
    ``estimate_samples`` fresh copies estimate the smoothed scores that an attack reached, and ``samples``
    others decide whether the claim is violated: without it 1 000, or as many as a violation needs if those
    are more. ``alpha`` bounds the probability of a false alarm over all attacks inside certified budgets
    together; each attack beyond them is judged at the level of one of those, and for itself alone.
    """

    inputs: Count = 20
    iterations: Count = 20
    copies: Count = 32
    candidates: Count | None = None
    restarts: Count = 1
    method: Literal["auto", "gradient", "score", "decision"] = "auto"
    estimate_samples: Samples = 1000
    samples: Samples | None = None
    alpha: Open = 0.01
    seed: Natural = 0
    unsmoothed: bool = True
    budgets: Annotated[tuple[BudgetSection, ...], Field(min_length=1)] = BUDGETS

    @model_validator(mode="after")
    def _budgets_differ(self) -> Self:
        names = [section.name for section in self.budgets]
        if len(set(names)) < len(names):
            raise ValueError(f"must not repeat a budget, got {', '.join(names)}")
        return self

    def resolved(self) -> dict[str, Any]:
        """Plain values, defaults included."""
        return self.model_dump(mode="json")
