"""A filter's table: for each threshold, false alarms beside what is certified against d changes.

Every threshold uses the same counts and bounds: a score is proven to stay above τ where ``p_adv`` exceeds τ.
The filter that is meant draws as many noisy copies as the run did and flags an input at `cutoff_for` hits or
more: whoever has a score above τ is then flagged with probability at least 1 − alpha.
"""

from __future__ import annotations

import dataclasses
import decimal
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd

from hybridcert.certificate.confidence import clopper_pearson_upper
from hybridcert.certificate.deployment import cutoff_for
from hybridcert.certificate.directed import format_down, format_exact
from hybridcert.errors import DataError
from hybridcert.reports.run_data import RunData
from hybridcert.reports.tables import answered, number_certificates, percent


@dataclasses.dataclass(frozen=True, slots=True)
class FilterPoint:
    """What a filter does.

    Attributes
    ----------
    name : str
        "τ = 0.2", or that of a rival without noise.
    threshold, cutoff : float and int, or None for rivals
        τ, and the hits from which on the deployed filter flags.
    false_alarms : int
        Benign inputs that it flags.
    false_alarms_upper : float
        Upper confidence bound on the share of benign inputs that it flags.
    above : int, or None for rivals
        Benign inputs with a larger share of hits than τ, which is a bit stricter than the cutoff.
    certified : tuple of int, or None for rivals that certify nothing
        Inputs whose score is proven to stay above τ, for d = 0, 1, …; at d = 0 the smoothed filter catches
        them as they are.
    caught : int
        Inputs that are caught without any change.
    """

    name: str
    threshold: float | None
    cutoff: int | None
    false_alarms: int
    false_alarms_upper: float
    above: int | None
    certified: tuple[int, ...] | None
    caught: int


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """A filter run: its label, the kind and number of other inputs, and one point for each threshold.

    Attributes
    ----------
    label, benign_name : str
        What is flagged, and what should not be.
    inputs, benign : int
        How many test inputs there are of each.
    samples, alpha : int and float
    budgets : tuple of int
        d = 0, 1, ….
    points : tuple of FilterPoint
        By ascending threshold; the last two are rivals: the base classifier without noise, and the filter
        that flags everything.
    """

    label: str
    benign_name: str
    inputs: int
    benign: int
    samples: int
    alpha: float
    budgets: tuple[int, ...]
    points: tuple[FilterPoint, ...]

    @staticmethod
    def of(run: RunData) -> Filter | None:
        """Read a filter from a run directory; None for a run of another kind."""
        if run.benign is None:
            return None
        if run.budget_columns != ["d"] or run.settings.get("alpha") is None:
            raise DataError(f"{run.directory} is no run of a filter: it has no single budget d, or no alpha")
        alpha, samples = float(run.settings["alpha"]), int(run.benign["samples"].iloc[0])
        budgets = tuple(d for (d,) in run.budgets)
        values = [run.at((d,))["p_adv"].to_numpy(dtype=np.float64) for d in budgets]
        hits = run.benign["hits"].to_numpy()
        benign, clean = len(hits), run.at((0,))
        label = str(clean["label"].iloc[0])
        kinds = run.benign["target"].astype(str).unique()
        points = []
        for threshold in run.thresholds:
            cutoff = cutoff_for(copies=samples, threshold=threshold, miss=alpha)
            alarms = int((hits >= cutoff).sum())
            certified = tuple(int((value > threshold).sum()) for value in values)
            upper = float(clopper_pearson_upper(alarms, benign, alpha))
            above = int((hits > math.floor(Fraction(threshold) * samples)).sum())
            name = f"τ = {format_exact(threshold)}"
            points.append(FilterPoint(name, threshold, cutoff, alarms, upper, above, certified, certified[0]))
        wrong = int((run.benign["clean_label"].astype(str) == label).sum())
        caught = int(((clean["clean_label"].astype(str) == label) & answered(clean)).sum())
        upper = float(clopper_pearson_upper(wrong, benign, alpha))
        points += [
            FilterPoint("no noise", None, None, wrong, upper, None, None, caught),
            FilterPoint(
                "flag everything", None, None, benign, 1.0, None, (len(clean),) * len(budgets), len(clean)
            ),
        ]
        name = str(kinds[0]) if len(kinds) == 1 else f"not {label}"
        return Filter(label, name, len(clean), benign, samples, alpha, budgets, tuple(points))

    def shown_budgets(self) -> tuple[int, ...]:
        """Budgets above 0 that fit a page: all of the first ten, else ten spread evenly."""
        rest = [d for d in self.budgets if d > 0]
        if len(rest) <= 10:
            return tuple(rest)
        return tuple(rest[round(at)] for at in np.linspace(0, len(rest) - 1, 10))

    def columns(self) -> list[str]:
        """Headings of `rows`."""
        budgets = [f"{'' if n else 'd = '}{d}" for n, d in enumerate(self.shown_budgets())]
        return ["", f"{self.benign_name} flagged", "at most", f"{self.label} caught", *budgets]

    def rows(self) -> list[list[str]]:
        """The table as text: percentages, of benign inputs rounded up, of the others rounded down."""
        at = [self.budgets.index(d) for d in self.shown_budgets()]
        return [
            [
                point.name,
                f"{percent_up(point.false_alarms, self.benign)} %",
                f"{percent_up_of(point.false_alarms_upper)} %",
                f"{percent(point.caught, self.inputs)} %",
                *("–" if point.certified is None else percent(point.certified[i], self.inputs) for i in at),
            ]
            for point in self.points
        ]

    def frame(self) -> pd.DataFrame:
        """Everything, one row a point: counts, and percentages rounded as in `rows`."""
        return pd.DataFrame([self._record(point) for point in self.points])

    def _record(self, point: FilterPoint) -> dict[str, object]:
        record: dict[str, object] = {
            "filter": point.name,
            "threshold": point.threshold,
            "copies": None if point.cutoff is None else self.samples,
            "flagged_from_hits": point.cutoff,
            "benign": self.benign,
            "benign_flagged": point.false_alarms,
            "benign_flagged_percent": percent_up(point.false_alarms, self.benign),
            "benign_flagged_percent_upper": percent_up_of(point.false_alarms_upper),
            "benign_above_threshold": point.above,
            "inputs": self.inputs,
            "caught": point.caught,
            "caught_percent": percent(point.caught, self.inputs),
        }
        certified: Sequence[int | None] = point.certified or (None,) * len(self.budgets)
        for d, count in zip(self.budgets, certified, strict=True):
            record[f"certified_d{d}"] = count
        for d, count in zip(self.budgets, certified, strict=True):
            record[f"certified_percent_d{d}"] = None if count is None else percent(count, self.inputs)
        return record


def combined_rows(names: Sequence[str], filters: Sequence[Filter]) -> list[list[str]]:
    """Return the rows of several filters, each with its name in front; the trivial rival once, at the end."""
    rows = []
    for name, part in zip(names, filters, strict=True):
        rows += [[f"{name}, {first}" if name else first, *rest] for first, *rest in part.rows()[:-1]]
    return [*rows, filters[-1].rows()[-1]]


def filter_inputs(run: RunData) -> pd.DataFrame:
    """One row per input and budget: label, hits, and the proven worst score at that budget, rounded down."""
    columns = ["input", "target", "label", "clean_label", "successes", "samples", "stopped"]
    columns += ["p_lower", "d", "p_adv"]
    table = run.results[[c for c in columns if c in run.results]].copy()
    number_certificates(run, table)
    for column in ("p_lower", "p_adv"):
        table[column] = [format_down(float(value), 9) for value in table[column]]
    return table


def percent_up(count: int, inputs: int) -> str:
    """Return 100·count/inputs with one decimal, rounded up."""
    tenths = -(-1000 * count // inputs)
    return f"{tenths // 10}.{tenths % 10}"


def percent_up_of(share: float) -> str:
    """Return 100·share with one decimal, rounded up."""
    exact = decimal.Decimal(share) * 100
    return str(exact.quantize(decimal.Decimal("0.1"), rounding=decimal.ROUND_CEILING))
