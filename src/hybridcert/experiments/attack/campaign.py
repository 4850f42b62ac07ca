"""Attacking certified inputs one after the other, within growing budgets, and judging each attack.

Each search begins where the best one within a smaller budget ended, so what is possible with less is possible
with more. The same budgets are tried on the base classifier without noise: an attack that does not break
that one proves nothing about the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Generator, Iterable, Sequence

from hybridcert.attacks import Attack
from hybridcert.documents.claims import Claim
from hybridcert.experiments.attack.attacking import Found, InputAttacker
from hybridcert.experiments.attack.certified import CertifiedInput
from hybridcert.experiments.attack.outcome import Outcome
from hybridcert.experiments.attack.plan import Plan, Subject
from hybridcert.experiments.attack.section import AttackSection
from hybridcert.experiments.attack.workers import Job, in_processes
from hybridcert.experiments.training import Report, steps

Keep = Callable[[Outcome, CertifiedInput, Attack | None], None]
"""Told of every outcome as it comes, and of the attack that led to it."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Campaign:
    """What attacks on certified inputs came to.

    With probability at least 1 − α, none of the violations is a false alarm: if all certificates are true,
    ``violations`` is empty with that probability.

    Attributes
    ----------
    plan : Plan
    claim : ScoreAbove or TopK
    outcomes : tuple of Outcome
    calls_before : int
        Copies asked about for outcomes that were there before.
    seconds : float
        Without those.
    """

    plan: Plan
    claim: Claim
    outcomes: tuple[Outcome, ...]
    calls_before: int
    seconds: float

    @property
    def violations(self) -> tuple[Outcome, ...]:
        """Attacks inside certified budgets at which the claim is false."""
        return tuple(outcome for outcome in self.outcomes if outcome.violation)


def attack_run(
    subject: Subject,
    section: AttackSection | None = None,
    *,
    plan: Plan | None = None,
    before: Sequence[Outcome] = (),
    workers: int = 1,
    keep: Keep | None = None,
    report: Report | None = None,
) -> Campaign:
    """Attack certified inputs within their certified budgets and beyond, smoothed and without noise.

    Parameters
    ----------
    subject : Subject
    section : AttackSection, optional
        Settings; by default those of the paper.
    plan : Plan, optional
        As `Plan.of` made it of these; it is made here otherwise.
    before : sequence of Outcome
        Of the first inputs of the plan, each with all its outcomes: they are not attacked again.
    workers : int >= 1
        Processes that attack inputs; 1: this one alone. Outcomes do not depend on it.
    keep : callable(outcome, certified input, attack), optional
        Told of the outcomes, in the same order whatever the number of workers.
    report : Report, optional

    Raises
    ------
    ConfigError
        See `Plan.of`.
    ModelError
        When the classifier keeps failing.
    """
    started = time.perf_counter()
    plan = Plan.of(subject, section or AttackSection()) if plan is None else plan
    outcomes, known = list(before), {outcome.input for outcome in before}
    jobs = [
        (certified, budgets)
        for certified, budgets in zip(plan.inputs, plan.budgets, strict=True)
        if certified.name not in known
    ]
    tell = steps(report, f"attacking {len(jobs)} inputs") or (lambda done, total: None)
    tell(0, plan.outcomes - len(before))  # time is counted from here
    with contextlib.closing(_attacked(subject, plan, jobs, workers)) as attacked:
        for certified, found in attacked:
            for outcome, attack in found:
                outcomes.append(outcome)
                if keep is not None:
                    keep(outcome, certified, attack)
                tell(len(outcomes) - len(before), plan.outcomes - len(before))
    calls_before = sum(outcome.calls for outcome in before)
    return Campaign(plan, subject.claim, tuple(outcomes), calls_before, time.perf_counter() - started)


def _attacked(
    subject: Subject, plan: Plan, jobs: Sequence[Job], workers: int
) -> Generator[tuple[CertifiedInput, Iterable[Found]]]:
    """Yield each input with what becomes of it, in order."""
    if workers > 1 and len(jobs) > 1:
        yield from in_processes(subject, plan, jobs, workers=min(workers, len(jobs)))
        return
    attacker = InputAttacker(subject, plan)
    for certified, budgets in jobs:
        yield certified, attacker.outcomes(certified, budgets)
