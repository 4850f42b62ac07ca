"""Table 4: an attack that knows the noise, within certified budgets and beyond, smoothed and not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from hybridcert.certificate.directed import format_exact
from hybridcert.errors import ConfigError
from hybridcert.experiments.attack.campaign import Campaign, attack_run
from hybridcert.experiments.attack.plan import Subject
from hybridcert.experiments.attack.section import AttackSection
from hybridcert.experiments.attack.table import TableRow, table_rows
from hybridcert.experiments.reproduction.bench import Bench
from hybridcert.experiments.reproduction.finding import Finding
from hybridcert.experiments.reproduction.paper import THRESHOLD, reported
from hybridcert.experiments.reproduction.wording import NONE, about, setting_sentence
from hybridcert.threats import Substitution

LARGEST = "d*, r*"
"""Name of the largest certified budget."""

TITLE = "Table 4: attacks within certified budgets and beyond"


@dataclasses.dataclass(frozen=True, slots=True)
class Attacked:
    """What attacks at one threshold came to; no rows where nothing was certified."""

    threshold: float
    rows: tuple[TableRow, ...]
    violations: int
    attempts: int
    method: str


def measure(bench: Bench) -> Finding:
    """Attack certified pairs, suffix and image together: the smoothed guard, and the guard itself."""
    setting = bench.setting
    found = [attacked(bench, threshold) for threshold in setting.claim.thresholds]
    rows = [{"threshold": one.threshold, **dataclasses.asdict(row)} for one in found for row in one.rows]
    return Finding(
        title=TITLE,
        table=pd.DataFrame(rows),
        shown=_shown(found),
        paragraphs=(setting_sentence(setting, len(bench)), *sentences(found)),
        panels=(),
        facts={
            "attack": setting.attack.model_dump(),
            "violations": sum(one.violations for one in found),
            "beta": setting.noise.beta,
            "sigma": setting.noise.sigma,
        },
    )


def attacked(bench: Bench, threshold: float) -> Attacked:
    """Attack pairs that are certified at one threshold, with noise on all slots and the image."""
    setting, own = bench.setting, bench.setting.attack
    noise = {"beta": setting.noise.beta, "sigma": setting.noise.sigma}
    run = bench.certified(bench.slots, **noise, threshold=threshold)
    subject = Subject.of_run(
        bench.smoothed(bench.slots, **noise),
        bench.X,
        run,
        threat=Substitution(setting.regions.suffix_slots),
    )
    section = AttackSection(
        inputs=own.inputs,
        iterations=own.iterations,
        copies=own.copies,
        candidates=own.candidates,
        estimate_samples=own.samples,
        alpha=setting.claim.alpha,
        seed=setting.claim.seed,
    )
    try:
        campaign = attack_run(subject, section, workers=bench.processes, report=bench.report)
    except ConfigError:
        if run.points[0].radii.certified.any():
            raise
        return Attacked(threshold, (), 0, 0, NONE)
    bench.count({"model_calls": sum(outcome.calls for outcome in campaign.outcomes)})
    return _attacked(threshold, campaign)


def _attacked(threshold: float, campaign: Campaign) -> Attacked:
    methods = sorted({outcome.method for outcome in campaign.outcomes} - {"none"})
    return Attacked(
        threshold,
        tuple(table_rows(campaign)),
        len(campaign.violations),
        campaign.plan.attempts,
        ", ".join(methods) or NONE,
    )


def _shown(found: Sequence[Attacked]) -> list[list[str]]:
    table = [
        [
            "τ",
            "budget",
            "pairs",
            "mean d",
            "mean ε",
            "safe %",
            "claim fails, by estimate",
            "claim fails, proven",
            "unsmoothed: lost",
            "paper: safe %",
        ]
    ]
    for one in found:
        for row in one.rows:
            table.append(
                [
                    format_exact(one.threshold),
                    row.budget + (" (certified)" if row.inside else ""),
                    str(row.inputs),
                    about(row.mean_d, 2),
                    about(row.mean_epsilon, 2),
                    _spread(row.other_percent, row.standard_error),
                    str(row.crossed_by_estimate),
                    NONE if row.crossed is None else str(row.crossed),
                    f"{row.unsmoothed_lost} of {row.unsmoothed_inputs}",
                    _spread(row.paper_percent, row.paper_standard_error)
                    if one.threshold == THRESHOLD
                    else NONE,
                ]
            )
    return table


def _spread(percent: float | None, error: float | None) -> str:
    if percent is None:
        return NONE
    return f"{percent:.1f}" if error is None else f"{percent:.1f} ± {error:.1f}"


def sentences(found: Sequence[Attacked]) -> list[str]:
    """Say whether a certificate was violated, what happens beyond budgets, and without noise."""
    said = []
    for one in found:
        head = f"At τ = {format_exact(one.threshold)}, "
        if not one.rows:
            said.append(f"{head}no pair is certified, so there is nothing to attack.")
            continue
        said.append(head + _violations(one) + " " + _beyond(one) + " " + _unsmoothed(one))
    paper = list(reported("table4")["rows"].values())
    said.append(
        f"The paper reports {paper[0][0]:.1f} % within the certified budget and up to "
        f"{max(row[0] for row in paper):.1f} % beyond it, as the share of trials in which the safe "
        "probability exceeds the decision threshold. It also says that no certificate was violated, so its "
        "numbers are read here as mean probabilities of a safe answer: with τ = 4.6e-5 a violation needs "
        "more than 99.995 %. It has no row without an attack to compare levels with; the order of the rows "
        "can be compared."
    )
    return said


def _violations(one: Attacked) -> str:
    if one.violations:
        return (
            f"{one.violations} of {one.attempts} attacks inside certified budgets violate a certificate, "
            "with confidence: unless chance errs as often as α allows, something is wrong with the "
            "certificates or with what they assume."
        )
    if not one.attempts:
        return "certified budgets hold no change at all, so no attack inside them could be made."
    return (
        f"none of {one.attempts} attacks inside certified budgets ({one.method} search) violates a "
        "certificate, as it must be."
    )


def _beyond(one: Attacked) -> str:
    """Compare (d*, r*) with its multiples: other certified budgets are not parts of these."""
    largest = next((row for row in one.rows if row.budget == LARGEST), None)
    outside = [row for row in one.rows if not row.inside]
    if largest is None or not outside:
        return "No larger budget could be tried."
    most = max(outside, key=lambda row: row.other_percent)
    change = "rises" if most.other_percent > largest.other_percent else "does not rise"
    crossed = max(outside, key=lambda row: row.crossed or 0)
    broken = (
        f"{crossed.crossed} of {crossed.inputs} claims are proven false within {crossed.budget}"
        if crossed.crossed
        else "no claim is proven false there either"
    )
    return (
        f"From (d*, r*) to budgets beyond it the mean share of safe answers {change}, from "
        f"{largest.other_percent:.1f} % to {most.other_percent:.1f} % ({most.budget}); {broken}."
    )


def _unsmoothed(one: Attacked) -> str:
    rows = [row for row in one.rows if row.unsmoothed_inputs and row.mean_d + row.mean_epsilon > 0]
    if not rows:
        return "The guard without noise was not attacked."
    worst = max(rows, key=lambda row: row.unsmoothed_lost / row.unsmoothed_inputs)
    verdict = (
        "so the attack is a real one" if worst.unsmoothed_lost else "so the attack proves little about either"
    )
    return (
        f"Without noise the same attack turns {worst.unsmoothed_lost} of {worst.unsmoothed_inputs} answers "
        f"({worst.budget}), {verdict}."
    )
