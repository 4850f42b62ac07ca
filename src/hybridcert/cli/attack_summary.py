"""What `attack` prints: Table 4 with the numbers found, what they mean, and what was violated."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from hybridcert.cli.console import print_json, shown_down
from hybridcert.documents.claims import Claim, ScoreAbove
from hybridcert.experiments.attack.files import COMPLETE, TABLE, Attacked
from hybridcert.experiments.attack.recheck import Rechecked
from hybridcert.experiments.attack.table import TableRow, table_rows

if TYPE_CHECKING:
    from rich.console import Console


def print_attack(attacked: Attacked, run: Path, console: Console, *, config: Path, as_json: bool) -> None:
    """Print what an attack found, for people or as JSON."""
    if as_json:
        print_json({"directory": str(attacked.directory), "run": str(run), **attacked.record})
        return
    for sentence in (_what_was_done(attacked, run), _settings(attacked)):
        console.print(sentence, markup=False)
    console.print()
    _print_table(attacked, console)
    for sentence in _meaning(attacked):
        console.print(sentence, markup=False)
    for path in attacked.counterexamples:
        again = f"hybridcert attack {config} --run {run} --recheck {path}"
        console.print(f"counterexample: {path}; judge it again: {again}", markup=False)
    console.print(_cost(attacked), markup=False)
    files = ", ".join(("outcomes.jsonl", TABLE, COMPLETE))
    console.print(f"{files} in {attacked.directory}", markup=False)


def print_recheck(found: Rechecked, path: Path, console: Console, *, as_json: bool) -> None:
    """Print what came of judging a counterexample again."""
    if as_json:
        judgement = dataclasses.asdict(found.judgement)
        print_json(
            {
                "file": str(path),
                "input": found.input,
                "within": found.within,
                "confirmed": found.confirmed,
                "judgement": judgement,
            }
        )
        return
    verdict = "confirmed" if found.confirmed else "not confirmed"
    where = "within" if found.within else "NOT within"
    false = "is false" if found.judgement.violation else "could not be refuted"
    console.print(
        f"{verdict}: the adversarial input lies {where} the certified budget, and on "
        f"{found.judgement.samples} other copies the claim {false} at level {found.judgement.alpha!r}",
        markup=False,
    )


def _what_was_done(attacked: Attacked, run: Path) -> str:
    campaign = attacked.campaign
    inputs = len(campaign.plan.inputs)
    methods = attacked.record["methods"]
    used = "; ".join(f"{kind} by {' and '.join(names)}" for kind, names in methods.items() if names)
    return f"Attacked {inputs} certified input{'s' * (inputs > 1)} of {run} ({used or 'no budget to use'})."


def _settings(attacked: Attacked) -> str:
    plan = attacked.campaign.plan
    section, settings = plan.section, plan.settings
    return (
        f"Settings: at most {section.inputs} inputs and {settings.iterations} iterations (the paper's are 20 "
        f"and 20), {settings.copies} copies that score {settings.candidates} candidates, restarts "
        f"{settings.restarts}, method {settings.method}, seed {section.seed}."
    )


def _print_table(attacked: Attacked, console: Console) -> None:
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        title="Table 4: answers other than the certified label over fresh noisy copies, and failed claims",
        title_justify="left",
        title_style="",
    )
    table.add_column("budget", no_wrap=True)
    for name in (
        "inputs",
        "mean d",
        "mean ε",
        "other %",
        "claim fails: by estimate",
        "with confidence",
        "base classifier lost",
        "paper: Safe %",
    ):
        table.add_column(name, justify="right")
    for row in table_rows(attacked.campaign):
        table.add_row(*_cells(row))
    console.print(table)
    console.print()


def _cells(row: TableRow) -> tuple[str, ...]:
    lost = f"{row.unsmoothed_lost}/{row.unsmoothed_inputs}" if row.unsmoothed_inputs else "-"
    judged = "-" if row.crossed is None else str(row.crossed)
    return (
        f"{row.budget} ({'certified' if row.inside else 'beyond'})"
        if row.mean_d or row.mean_epsilon
        else row.budget,
        str(row.inputs),
        f"{row.mean_d:.2f}",
        shown_down(row.mean_epsilon) if row.mean_epsilon else "0",
        _with_error(row.other_percent, row.standard_error),
        str(row.crossed_by_estimate),
        judged,
        lost,
        "-" if row.paper_percent is None else _with_error(row.paper_percent, row.paper_standard_error),
    )


def _with_error(mean: float, error: float | None) -> str:
    return f"{mean:.2f}" if error is None else f"{mean:.2f} ± {error:.2f}"


def _meaning(attacked: Attacked) -> list[str]:
    campaign, record = attacked.campaign, attacked.record
    plan, violations = campaign.plan, campaign.violations
    shown = (
        "An attack that finds nothing proves nothing: the certificates do. Percentages are estimates on "
        f"{plan.section.estimate_samples} copies, ± the standard error over inputs."
    )
    if not plan.attempts:
        return ["No attack was inside a certified budget, so none could be a violation.", shown]
    if violations:
        first = violations[0]
        verdict = (
            f"VIOLATION: {_claim(campaign.claim)} is false at {len(violations)} of {plan.attempts} attacks "
            f"inside certified budgets, first for input {first.input!r} within ({first.budget})."
        )
    else:
        verdict = (
            f"No violation: {_claim(campaign.claim)} was refuted by none of {plan.attempts} attacks inside "
            "certified budgets."
        )
    alpha = plan.section.alpha
    judged = (
        f"Each was judged on up to {plan.samples} fresh copies at level {alpha!r}/{plan.attempts}, so that a "
        f"false alarm anywhere has probability at most {alpha!r}; attacks beyond certified budgets at that "
        "level each, which says nothing of all of them together. A certificate itself may be wrong with "
        f"probability at most {record['certificate_alpha']!r}, each of them."
    )
    return [verdict, judged, shown]


def _claim(claim: Claim) -> str:
    if isinstance(claim, ScoreAbove):
        return f"the claim that the smoothed score exceeds {claim.threshold:g}"
    return f"the claim that the label stays among the {claim.k} of largest smoothed score"


def _cost(attacked: Attacked) -> str:
    cost = attacked.record["cost"]
    rate = f", {cost['calls_per_second']:,.0f} a second" if "calls_per_second" in cost else ""
    before = cost["model_calls_from_store"]
    kept = f", {before:,} of them before" if before else ""
    return f"{cost['model_calls']:,} model calls{kept}; {cost['seconds']:.1f} s{rate}"
