"""Attacking one input within each of its budgets in turn, smoothed and without noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hybridcert.attacks import Attack, AttackBudget, Attacker, judge
from hybridcert.experiments.attack.budgets import Budget
from hybridcert.experiments.attack.certified import CertifiedInput, one_row
from hybridcert.experiments.attack.outcome import Outcome, outcome_of
from hybridcert.experiments.attack.plan import Plan, Subject
from hybridcert.sampling.blocks import checked_answers
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.engine import count_labels
from hybridcert.sampling.streams import Stage

Found = tuple[Outcome, Attack | None]
"""An outcome, and the attack that led to it."""


class InputAttacker:
    """The attackers of a campaign, and what they ask; a function of subject and plan alone.

    Parameters
    ----------
    subject : Subject
    plan : Plan
    """

    def __init__(self, subject: Subject, plan: Plan) -> None:
        self._subject = subject
        self._plan = plan
        self._smoothed = Attacker(subject.classifier, subject.joint, plan.settings)
        self._base = Attacker(subject.classifier, subject.joint, plan.settings, smoothed=False)

    def outcomes(self, certified: CertifiedInput, budgets: Sequence[Budget]) -> Iterator[Found]:
        """Attack one input within each budget, the smoothed classifier first."""
        clean = one_row(self._subject.inputs, certified.row)
        yield outcome_of(certified, None, None, smoothed=True, counts=self._noisy(clean)), None
        found: list[tuple[Budget, Attack]] = []
        for budget in budgets:
            attack = self._search(self._smoothed, certified, budget, _start(found, budget))
            found.append((budget, attack))
            judgement = judge(
                self._subject.classifier,
                self._subject.joint.noise,
                attack.adversarial,
                label=certified.label,
                claim=self._subject.claim,
                samples=self._plan.samples,
                alpha=self._plan.level,
                seed=self._plan.section.seed,
            )
            counts = self._noisy(attack.adversarial)
            yield (
                outcome_of(certified, budget, attack, smoothed=True, counts=counts, judgement=judgement),
                attack,
            )
        if self._plan.section.unsmoothed:
            yield from self._without_noise(certified, budgets, clean)

    def _without_noise(
        self, certified: CertifiedInput, budgets: Sequence[Budget], clean: Batch
    ) -> Iterator[Found]:
        """Attack the base classifier, if its answer is the label at all; once lost, it stays lost."""
        answer = self._answer(clean)
        yield outcome_of(certified, None, None, smoothed=False, counts=answer), None
        if not answer[certified.label]:
            return
        found: list[tuple[Budget, Attack]] = []
        for budget in budgets:
            start = _start(found, budget)
            lost = start is not None and not self._answer(start.adversarial)[certified.label]
            attack = start if lost else None
            if attack is None:
                attack = self._search(self._base, certified, budget, start)
            found.append((budget, attack))
            answer = self._answer(attack.adversarial)
            yield outcome_of(certified, budget, attack, smoothed=False, counts=answer), attack

    def _search(
        self, attacker: Attacker, certified: CertifiedInput, budget: Budget, start: Attack | None
    ) -> Attack:
        return attacker.search(
            self._subject.inputs,
            certified.row,
            label=certified.label,
            budget=AttackBudget(
                dict(zip(self._subject.joint.threats, budget.d, strict=True)), budget.epsilon
            ),
            seed=self._plan.section.seed,
            start=start,
        )

    def _noisy(self, row: Batch) -> tuple[int, ...]:
        """Return the answers about fresh copies, by class: others than those that judge."""
        counts = count_labels(
            self._subject.classifier,
            row,
            self._subject.joint.noise,
            samples=self._plan.section.estimate_samples,
            seed=self._plan.section.seed,
            stage=Stage.PREDICT,
        )
        return tuple(counts[0].tolist())

    def _answer(self, row: Batch) -> tuple[int, ...]:
        """Return the answer without noise, as counts by class."""
        classes = len(self._subject.classifier.classes_)
        answer = checked_answers(self._subject.classifier.predict_encoded(row), classes, 1)
        return tuple(np.bincount(answer, minlength=classes).tolist())


def _start(found: Sequence[tuple[Budget, Attack]], budget: Budget) -> Attack | None:
    """Return the attack within a part of the budget that got furthest, by the search's own estimate."""
    smaller = [attack for earlier, attack in reversed(found) if budget.holds(earlier) and attack.objective]
    return min(smaller, key=lambda attack: attack.objective[-1], default=None)
