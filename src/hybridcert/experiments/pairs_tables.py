"""Tables of a guard's run: false alarms beside what is certified, and frontiers at further thresholds.

All thresholds share the same counts and bounds. The filter that is meant draws as many noisy copies as the
run did and flags an input at `cutoff_for` hits or more: whoever has a score above τ is then flagged with
probability at least 1 − alpha.
"""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hybridcert.adapters.image_text import SUFFIX
from hybridcert.certificate.confidence import clopper_pearson_upper
from hybridcert.certificate.deployment import cutoff_for
from hybridcert.certificate.directed import Bools, format_exact
from hybridcert.certificate.frontier import radius
from hybridcert.certification import BudgetPoint, CertificationRun

Point = tuple[int, float]
"""d and ε together."""

_TENTH = decimal.Decimal("0.1")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Alarms:
    """Benign pairs that a filter flags.

    Attributes
    ----------
    count, pairs : int
        Of distinct pairs.
    upper : float
        Upper confidence bound, at level 1 − alpha, on the share that is flagged of pairs like these. Bounds
        of several filters from the same pairs hold one by one, not all together.
    """

    count: int
    pairs: int
    upper: float

    @staticmethod
    def of(flagged: Bools, alpha: float) -> Alarms:
        """Count them."""
        count, pairs = int(flagged.sum()), int(flagged.size)
        return Alarms(count, pairs, float(clopper_pearson_upper(count, pairs, alpha)) if pairs else 1.0)

    def cells(self) -> list[str | None]:
        """Return count and bound as text, the bound rounded up; nothing without benign pairs."""
        if not self.pairs:
            return [None, None]
        return [f"{self.count} of {self.pairs}", percent_rounded_up(self.upper)]


def percent_rounded_up(share: float) -> str:
    """Return a share in [0, 1] as "12.4 %": one decimal, rounded up, as suits an upper bound."""
    exact = decimal.Decimal(share) * 100
    return f"{exact.quantize(_TENTH, rounding=decimal.ROUND_CEILING)} %"


def certified_at(run: CertificationRun, threshold: float, point: BudgetPoint, eps: float) -> Bools:
    """Return which inputs are certified at a budget and ε for a threshold, from the bounds of the run.

    Guarantee: as that of the run, for this threshold in place of its own; all thresholds hold together.
    """
    if threshold == run.threshold:
        return point.radii.certified & (point.radii.radius >= eps)
    found = np.zeros(len(run), dtype=np.bool_)
    attacks = {id(attack): attack for attack in point.attacks}  # equal ones are one object
    number = np.array([id(attack) for attack in point.attacks])[run.case]
    for key, attack in attacks.items():
        part = np.flatnonzero(number == key)
        if not part.size:
            continue
        radii = radius(
            p_lower=run.p_lower[part],
            spectrum=[candidate.spectrum for candidate in attack.candidates],
            sigma=run.sigma,
            threshold=threshold,
        )
        reach = np.zeros(part.size) if run.norm == "none" else radii.radius
        found[part] = radii.certified & (reach >= eps)
    return found


def tables(
    run: CertificationRun,
    false_alarms: pd.DataFrame,
    *,
    thresholds: Sequence[float],
    eps: Sequence[float],
    unreadable: int,
) -> list[Mapping[str, Any]]:
    """Return the tables that a report shows beside the certificates of the run.

    Parameters
    ----------
    run : CertificationRun
        A claim about a score, with one budget d or none.
    false_alarms : DataFrame
        ``clean_label``, ``hits`` and ``digest`` of the pairs that should not be flagged. Equal pairs share
        their noise, so they are counted once.
    thresholds : sequence of float
        In addition to that of the run.
    eps : sequence of float
        Grid of the frontiers.
    unreadable : int
        Answers about copies of the certified pairs that were neither of the labels.
    """
    assert run.threshold is not None
    grid = [0.0] if run.norm == "none" else list(eps)
    found = [_alarm_table(run, false_alarms, sorted({run.threshold, *thresholds}), grid, unreadable)]
    further = sorted(set(thresholds) - {run.threshold})
    return found + [_frontier_table(run, threshold, grid) for threshold in further]


def _alarm_table(
    run: CertificationRun,
    false_alarms: pd.DataFrame,
    thresholds: Sequence[float],
    eps: Sequence[float],
    unreadable: int,
) -> dict[str, Any]:
    label, samples = str(run.settings["label"]), run.samples_at_most
    points = _shown([_d(point) for point in run.points], eps)
    distinct = false_alarms.drop_duplicates("digest")
    hits, clean = distinct["hits"].to_numpy(), distinct["clean_label"].to_numpy()
    rows: list[list[Any]] = []
    for threshold in thresholds:
        cutoff = cutoff_for(copies=samples, threshold=threshold, miss=run.alpha)
        alarms = Alarms.of(np.asarray(hits >= cutoff), run.alpha)
        counts = [_count(run, threshold, point) for point in ((0, 0.0), *points)]
        rows.append(
            [f"τ = {format_exact(threshold)}: flagged from {cutoff} hits on", *alarms.cells(), *counts]
        )
    answered = np.ones(len(run), dtype=np.bool_)
    answered[list(run.failures)] = False  # about these the guard may never have answered
    caught = int((answered & (run.classes[run.clean] == label)).sum())
    base = Alarms.of(np.asarray(clean == label, dtype=np.bool_), run.alpha)
    everything = Alarms.of(np.ones(len(distinct), dtype=np.bool_), run.alpha)
    rows.append(["no noise", *base.cells(), caught, *[None] * len(points)])
    rows.append(["flag everything", *everything.cells(), len(run), *[len(run)] * len(points)])
    return {
        "title": f"False alarms, and {label} pairs that stay certified",
        "text": _alarm_text(run, label, (len(false_alarms), len(distinct)), len(thresholds), unreadable),
        "columns": [
            "",
            "benign flagged",
            "at most",
            f"{label} caught",
            *(_point_name(point, with_eps=run.norm != "none") for point in points),
        ],
        "rows": rows,
    }


def _alarm_text(
    run: CertificationRun, label: str, benign: tuple[int, int], thresholds: int, unreadable: int
) -> str:
    alpha, copies = format_exact(run.alpha), run.samples_at_most
    sentences = [
        _pairs_text(len(run), *benign),
        (
            f"A filter draws {copies} noisy copies and flags from so many hits on that it misses a score "
            f"above τ with probability at most {alpha}."
        ),
    ]
    if benign[0]:
        sentences.append(
            f"At most: upper confidence bound at level 1 − {alpha} on the share that it flags of benign "
            "pairs like these, rounded up. All rows are about the same pairs: each bound holds by itself "
            f"with probability at least 1 − {alpha}, not all together."
        )
        if thresholds > 1:
            sentences.append(
                "To choose a threshold by these bounds, divide alpha by the number of rows to choose from: "
                f"{alpha} / {thresholds} here."
            )
    sentences += [
        (
            f"{label} caught: the score is proven to exceed τ without any change; in the columns behind, it "
            "is proven to stay above τ within d and ε together. A dash: nothing is promised there. No noise "
            "is the guard alone, where a pair on which it failed is not caught; flag everything is the "
            "trivial rival."
        ),
    ]
    if SUFFIX in run.settings["noise"]:
        sentences.append(
            "Whoever knows where the slots begin can also drop them: a run with noise on the image alone "
            "says what that certifies, at every d."
        )
    if unreadable:
        total = int(run.samples.sum())
        sentences.append(f"{unreadable} of {total} answers were unreadable and count against the claim.")
    return " ".join(sentences)


def _pairs_text(flagged: int, benign: int, distinct: int) -> str:
    """Return of how many pairs the table is."""
    if not benign:
        return (
            f"Of {flagged} pairs that have to be flagged. There are no benign pairs, so false alarms are not "
            "known: name some with data.benign."
        )
    text = f"Of {flagged} pairs that have to be flagged and {benign} benign ones."
    if distinct < benign:
        text += f" {distinct} of the latter are distinct: equal pairs share their noise and are counted once."
    return text


def _frontier_table(run: CertificationRun, threshold: float, eps: Sequence[float]) -> dict[str, Any]:
    columns = ["", *(f"ε = {format_exact(e)}" for e in eps)] if run.norm != "none" else ["", "certified"]
    return {
        "title": f"Certified at τ = {format_exact(threshold)}",
        "text": f"Counts out of {len(run)} pairs, from the same noisy copies and bounds.",
        "columns": columns,
        "rows": [
            [
                f"d = {_d(point)}",
                *(int(certified_at(run, threshold, point, float(e)).sum()) for e in eps),
            ]
            for point in run.points
        ],
    }


def _count(run: CertificationRun, threshold: float, at: Point) -> int:
    point = next(point for point in run.points if _d(point) == at[0])
    return int(certified_at(run, threshold, point, at[1]).sum())


def _shown(budgets: Sequence[int], eps: Sequence[float]) -> list[Point]:
    """Return a few points beside (0, 0): half and all of the largest d, the smallest ε > 0, and both."""
    most = max(budgets)
    positive = sorted(e for e in eps if e > 0.0)
    shifts = [0.0, *positive[:1]] if most else [0.0, *positive[:4]]
    found = [(d, e) for d in sorted({0, -(-most // 2), most}) for e in shifts]
    return [point for point in found if point != (0, 0.0)]


def _d(point: BudgetPoint) -> int:
    assert isinstance(point.d, int)
    return point.d


def _point_name(point: Point, *, with_eps: bool) -> str:
    return f"d = {point[0]}" + (f", ε = {format_exact(point[1])}" if with_eps else "")
