"""Attacking a run directory: its certificates, its model, and the files that say what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridcert.attacks import Attack
from hybridcert.documents.issue import FILE_NAME
from hybridcert.experiments.attack.campaign import Campaign, attack_run
from hybridcert.experiments.attack.certified import CertifiedInput, one_row
from hybridcert.experiments.attack.counterexample import (
    Counterexample,
    counterexample_path,
    write_counterexample,
)
from hybridcert.experiments.attack.log import OutcomeLog, check_free
from hybridcert.experiments.attack.outcome import NO_ATTACK, Outcome
from hybridcert.experiments.attack.plan import Plan
from hybridcert.experiments.attack.rebuild import check_certificates, prepared_as_in, subject_of
from hybridcert.experiments.attack.recheck import Rechecked, recheck, refuted
from hybridcert.experiments.attack.section import AttackSection
from hybridcert.experiments.attack.table import table4, table_rows
from hybridcert.experiments.identity import run_identity
from hybridcert.experiments.run_directory import together
from hybridcert.experiments.run_files import describe_environment, write_json
from hybridcert.experiments.runs import Run
from hybridcert.experiments.training import Report

COMPLETE = "attack.json"
TABLE = "table4.csv"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Attacked:
    """What the attack on a run directory found, and where it is kept.

    Attributes
    ----------
    directory : Path
    campaign : Campaign
    record : mapping
        What ``attack.json`` holds.
    counterexamples : tuple of Path
        One for each violation.
    """

    directory: Path
    campaign: Campaign
    record: Mapping[str, Any]
    counterexamples: tuple[Path, ...]


def attack_directory(
    run: Run,
    directory: Path,
    out: Path,
    *,
    section: AttackSection,
    resume: bool = False,
    workers: int = 1,
    report: Report | None = None,
) -> Attacked:
    """Attack what a run directory certified; write outcomes, Table 4 and counterexamples into ``out``.

    Outcomes are on the disk as they come. An attack that was cut short goes on with the first input that is
    not complete, and ends with the same outcomes.

    Parameters
    ----------
    run : Run
        What the directory is a run of.
    directory : Path
        A complete run.
    out : Path
    section : AttackSection
    resume : bool
        Go on with the outcomes in ``out``, if there are any.
    workers : int >= 1
        Processes that attack inputs.

    Raises
    ------
    RunMismatchError
        When the directory is the run of something else, or ``out`` holds another attack.
    ConfigError, DataError, ModelError
        See `prepared_as_in`, `subject_of`, `check_certificates`, `Plan.of` and `attack_run`.
    """
    check_free(out, resume=resume)
    there, prepared = prepared_as_in(run, directory, report=report)
    with contextlib.closing(prepared):
        subject = subject_of(there, prepared, directory)
        plan = Plan.of(subject, section)
        check_certificates(subject, plan.inputs)
        identity = {
            "settings": section.resolved(),
            "certificates": {"sha256": hashlib.sha256((directory / FILE_NAME).read_bytes()).hexdigest()},
            "model": dict(prepared.identity),
            "packages": run_identity(there.config, there.whole, rows=there.rows())["packages"],
        }
        with contextlib.closing(OutcomeLog.open(out, identity=identity, resume=resume)) as log:
            log.keep(_complete(plan, log.outcomes))

            def keep(outcome: Outcome, certified: CertifiedInput, attack: Attack | None) -> None:
                if outcome.violation and attack is not None:
                    write_counterexample(
                        out, outcome, attack, certified=certified, subject=subject, plan=plan
                    )
                log.append(outcome)

            campaign = attack_run(
                subject,
                plan=plan,
                before=tuple(log.outcomes),
                workers=workers,
                keep=keep,
                report=report,
            )
        rows = {certified.name: certified.row for certified in plan.inputs}
        counterexamples = tuple(
            counterexample_path(out, violation, one_row(subject.inputs, rows[violation.input]))
            for violation in campaign.violations
        )
        record = _record(there, directory, campaign, prepared.described)
    return _written(out, campaign, record, counterexamples)


def recheck_counterexample(
    run: Run, directory: Path, path: Path, *, seed: int, alpha: float, report: Report | None = None
) -> Rechecked:
    """Judge a counterexample again with the model of a run directory; see `recheck`.

    What it is said to refute is the certificate in the run directory, which is verified; that in the file
    plays no part.

    Raises
    ------
    ConfigError, DataError, ModelError
        See `Counterexample.read`, `prepared_as_in`, `subject_of`, `check_certificates` and `recheck`.
    """
    example = Counterexample.read(path)
    there, prepared = prepared_as_in(run, directory, report=report)
    with contextlib.closing(prepared):
        subject = subject_of(there, prepared, directory)
        check_certificates(subject, [refuted(example, subject)])
        return recheck(example, subject, alpha=alpha, seed=seed)


def _complete(plan: Plan, outcomes: Sequence[Outcome]) -> int:
    """Return how many of the first outcomes belong to inputs that have all of theirs."""
    complete = 0
    for certified, budgets in zip(plan.inputs, plan.budgets, strict=True):
        expected = [(certified.name, name, True) for name in (NO_ATTACK, *(b.name for b in budgets))]
        if plan.section.unsmoothed:
            expected.append((certified.name, NO_ATTACK, False))
        found = outcomes[complete : complete + len(expected)]
        if [outcome.key for outcome in found] != expected:
            break
        if plan.section.unsmoothed and found[-1].counts[certified.label]:
            further = outcomes[complete + len(expected) : complete + len(expected) + len(budgets)]
            if [outcome.key for outcome in further] != [(certified.name, b.name, False) for b in budgets]:
                break
            complete += len(budgets)
        complete += len(expected)
    return complete


def _written(
    out: Path, campaign: Campaign, record: Mapping[str, Any], counterexamples: Sequence[Path]
) -> Attacked:
    """Write the files that need all outcomes, and return what is in them."""
    names = [path.relative_to(out).as_posix() for path in counterexamples]
    record = {**record, "counterexamples": names}
    with together(out, last=COMPLETE) as hidden:
        table4(campaign).to_csv(hidden / TABLE, index=False)
        write_json(hidden / COMPLETE, record)
    return Attacked(out, campaign, record, tuple(counterexamples))


def _record(run: Run, directory: Path, campaign: Campaign, model: Mapping[str, Any]) -> dict[str, Any]:
    plan, outcomes = campaign.plan, campaign.outcomes
    environment = describe_environment(
        title=f"attack on {directory.name}",
        seed=plan.section.seed,
        data={},
        model=model,
        cost={
            "model_calls": sum(outcome.calls for outcome in outcomes),
            "model_calls_from_store": campaign.calls_before,
            "sampling_seconds": campaign.seconds,
            "seconds": campaign.seconds,
        },
    )
    methods = {
        kind: sorted({o.method for o in outcomes if o.smoothed is kind and o.method != "none"})
        for kind in (True, False)
    }
    return {
        "title": environment["title"],
        "settings": plan.section.resolved() | {"candidates": plan.settings.candidates},
        "claim": dataclasses.asdict(campaign.claim) | {"kind": campaign.claim.kind},
        "inputs": [certified.name for certified in plan.inputs],
        "rows": run.limit,
        "attacks_inside": plan.attempts,
        "level": plan.level,
        "samples": plan.samples,
        "certificate_alpha": max(certified.alpha for certified in plan.inputs),
        "methods": {"smoothed": methods[True], "unsmoothed": methods[False]},
        "violations": [{"input": o.input, "budget": o.budget} for o in campaign.violations],
        "table": [dataclasses.asdict(row) for row in table_rows(campaign)],
        **{key: environment[key] for key in ("model", "packages", "python", "platform", "cost")},
    }
