"""Table 4: how far attacks got within each budget, beside the numbers of the paper."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

import pandas as pd

from hybridcert.experiments.attack.campaign import Campaign
from hybridcert.experiments.attack.outcome import NO_ATTACK, Outcome

PAPER_SAFE_PERCENT = {
    "d*, r*": (74.286, 4.695),
    "d*, 1.5 r*": (75.321, 4.672),
    "d*, 3 r*": (76.571, 4.730),
    "d* + 2, r*": (76.393, 5.123),
    "d* + 4, r*": (90.214, 2.284),
}
"""Safe % ± standard error by budget in Table 4 (Delattre et al. 2026): LLaVA-Guard, 20 pairs."""


@dataclasses.dataclass(frozen=True, slots=True)
class TableRow:
    """One budget over all inputs that it means something for.

    Attributes
    ----------
    budget : str
    inside : bool
    inputs : int
    mean_d, mean_epsilon : float
        Of the budgets.
    other_percent, standard_error : float or None
        Mean over the inputs of the share of noisy copies that were answered otherwise, in percent, and its
        standard error; None for a single input. An estimate: the search chose none of these copies.
    crossed_by_estimate : int
        Inputs at which the claim fails by that estimate.
    crossed : int or None
        Inputs at which it fails with the confidence of the judgement. Inside certified budgets each of them
        is a violation, and α bounds the probability that any is a false alarm. Beyond them each is judged at
        the same level, `Plan.level`, and nothing is said of all together. None where nothing was judged.
    unsmoothed_inputs, unsmoothed_lost : int
        Inputs whose answer without noise is the label, and those of them at which an attack on the base
        classifier ended with another answer.
    paper_percent, paper_standard_error : float or None
    """

    budget: str
    inside: bool
    inputs: int
    mean_d: float
    mean_epsilon: float
    other_percent: float
    standard_error: float | None
    crossed_by_estimate: int
    crossed: int | None
    unsmoothed_inputs: int
    unsmoothed_lost: int
    paper_percent: float | None
    paper_standard_error: float | None


def table_rows(campaign: Campaign) -> list[TableRow]:
    """Return the rows of Table 4, no attack first; budgets that no input has are left out."""
    names = [NO_ATTACK, *(section.name for section in campaign.plan.section.budgets)]
    kept = {name: [o for o in campaign.outcomes if o.budget == name] for name in names}
    return [_row(campaign, name, of) for name, of in kept.items() if any(o.smoothed for o in of)]


def table4(campaign: Campaign) -> pd.DataFrame:
    """Return Table 4 as a data frame, one row a budget; see `TableRow` for its columns."""
    return pd.DataFrame([dataclasses.asdict(row) for row in table_rows(campaign)])


def _row(campaign: Campaign, name: str, outcomes: Sequence[Outcome]) -> TableRow:
    smoothed = [outcome for outcome in outcomes if outcome.smoothed]
    base = [outcome for outcome in outcomes if not outcome.smoothed]
    if name == NO_ATTACK:  # the base classifier's own errors are no success of an attack
        base = [outcome for outcome in base if outcome.counts[outcome.label]]
    judged = [outcome.judgement for outcome in smoothed if outcome.judgement is not None]
    shares = [100.0 * outcome.other_share for outcome in smoothed]
    paper = PAPER_SAFE_PERCENT.get(name, (None, None))
    return TableRow(
        budget=name,
        inside=smoothed[0].inside,
        inputs=len(smoothed),
        mean_d=statistics.fmean(sum(outcome.d) for outcome in smoothed),
        mean_epsilon=statistics.fmean(outcome.epsilon for outcome in smoothed),
        other_percent=statistics.fmean(shares),
        standard_error=statistics.stdev(shares) / math.sqrt(len(shares)) if len(shares) > 1 else None,
        crossed_by_estimate=sum(outcome.crosses(campaign.claim) for outcome in smoothed),
        crossed=sum(one.violation for one in judged) if judged else None,
        unsmoothed_inputs=len(base),
        unsmoothed_lost=sum(outcome.counts[outcome.label] == 0 for outcome in base),
        paper_percent=paper[0],
        paper_standard_error=paper[1],
    )
