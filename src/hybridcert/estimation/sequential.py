"""Numbers of copies that are found while they are drawn, with bounds that allow for looking early."""

from __future__ import annotations

import math

import numpy as np

from hybridcert.certificate.anytime import SMOOTHED_SCORE_PRIOR, beta_mixture_lower
from hybridcert.certificate.confidence import LabelBounds
from hybridcert.certificate.directed import step_up
from hybridcert.certificate.group_sequential import group_sequential_design, group_sequential_lower
from hybridcert.documents.evidence import SequentialPlan
from hybridcert.estimation.estimation import BoundAt, Estimation, by_look
from hybridcert.estimation.subject import Rows, Subject
from hybridcert.sampling.outcome import Counts, Sampling
from hybridcert.sampling.questions import Target
from hybridcert.sampling.stopping import (
    BudgetedTarget,
    EveryLook,
    GroupSequentialRule,
    StoppingRule,
    mixture_looks,
    spending_looks,
)

_ALMOST = math.nextafter(1.0, 0.0)
"""In place of a score of 1 for a target that no score reaches: nothing can certify it."""


class SpendingEstimation(Estimation):
    """Clopper–Pearson bounds at several looks, each with its share of α."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        question = subject.question
        self._looks = spending_looks(question.samples, question.alpha)
        self.rule = _rule(subject, self._looks.looks, self._at)

    def _at(self, look: int, rows: Rows, counts: Counts) -> LabelBounds:
        samples, alpha = self._looks.looks[look], self._looks.alphas[look]
        return self.subject.fixed(counts, rows, samples=samples, alpha=alpha)

    def bounds(self, found: Sampling) -> LabelBounds:
        """See `Estimation.bounds`."""
        return by_look(found, self._at, self.subject.question.claim)

    def plans(self, found: Sampling) -> list[SequentialPlan | None]:
        """See `Estimation.plans`."""
        budget = self._looks
        made = [
            SequentialPlan(looks=budget.looks, look=i, alphas=budget.alphas) for i in range(len(budget.looks))
        ]
        return [made[look] if look >= 0 else None for look in found.looks.tolist()]


class MixtureEstimation(Estimation):
    """A beta mixture: a bound that holds after any number of copies (Ville 1939, Robbins 1970)."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        question = subject.question
        self._looks = mixture_looks(question.samples)
        self.rule = _rule(subject, self._looks, self._at)

    def _at(self, look: int, rows: Rows, counts: Counts) -> LabelBounds:
        a, b = SMOOTHED_SCORE_PRIOR
        own, alpha = self.subject.own(counts, rows), self.subject.question.alpha
        lower = beta_mixture_lower(own, self._looks[look], alpha, a=a, b=b)
        return LabelBounds(lower, np.minimum(step_up(1.0 - lower), 1.0), "beta-mixture")

    def bounds(self, found: Sampling) -> LabelBounds:
        """See `Estimation.bounds`."""
        return by_look(found, self._at, self.subject.question.claim)

    def plans(self, found: Sampling) -> list[SequentialPlan | None]:
        """See `Estimation.plans`."""
        return [SequentialPlan(prior=SMOOTHED_SCORE_PRIOR)] * found.samples.size


class GroupSequentialEstimation(Estimation):
    """An exact group-sequential test of one target; its bound orders outcomes stage by stage.

    Copies that an input did not draw because its target is out of reach count as failures, which leaves
    nothing: such an input has the bound 0.
    """

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        question = subject.question
        assert isinstance(question.stopping, Target)
        needs, kind = np.unique(subject.needed(question.stopping), return_inverse=True)
        self._designs = tuple(
            group_sequential_design(min(float(p), _ALMOST), question.samples, question.alpha) for p in needs
        )
        self._design_of_row = kind.reshape(-1)[subject.case]
        self.rule = GroupSequentialRule(self._designs, self._design_of_row, subject.claimed, subject.pilot)

    def bounds(self, found: Sampling) -> LabelBounds:
        """See `Estimation.bounds`."""
        lower = np.zeros(found.samples.size)
        alpha = self.subject.question.alpha
        for row in np.flatnonzero(found.looks >= 0):
            design, look = self._designs[self._design_of_row[row]], int(found.looks[row])
            successes = int(found.counts[row, self.subject.claimed[row]])
            if successes >= design.certify_at[look] or look == len(design.looks) - 1:
                lower[row] = group_sequential_lower(
                    successes, look=look, looks=design.looks, certify_at=design.certify_at, alpha=alpha
                )
        return LabelBounds(lower, np.ones_like(lower), "group-sequential")

    def plans(self, found: Sampling) -> list[SequentialPlan | None]:
        """See `Estimation.plans`."""
        return [
            self._plan(found, row) if found.looks[row] >= 0 else None for row in range(found.samples.size)
        ]

    def _plan(self, found: Sampling, row: int) -> SequentialPlan:
        design, look = self._designs[self._design_of_row[row]], int(found.looks[row])
        path = tuple(found.path[row, : look + 1, self.subject.claimed[row]].tolist())
        crossed = path[-1] >= design.certify_at[look]
        return SequentialPlan(
            looks=design.looks,
            look=look if crossed else len(design.looks) - 1,
            certify_at=design.certify_at,
            successes_at=path,
        )


def _rule(subject: Subject, looks: tuple[int, ...], at: BoundAt) -> StoppingRule:
    """Return the rule of a question whose bound holds at each of ``looks``, whatever stops it."""
    stopping = subject.question.stopping
    if not isinstance(stopping, Target):
        return EveryLook(looks)
    holds = subject.proves(stopping)
    return BudgetedTarget(
        looks=looks,
        claimed=subject.claimed,
        holds=lambda look, rows, counts: holds(at(look, rows, counts), rows),
        pilot=subject.pilot,
    )
