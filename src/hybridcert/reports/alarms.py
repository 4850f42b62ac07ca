"""Benign inputs that a deployed filter flags, at every threshold of a page: counts with upper bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hybridcert.certificate.confidence import clopper_pearson_upper
from hybridcert.certificate.deployment import cutoff_for
from hybridcert.certificate.directed import format_exact
from hybridcert.reports.filter import percent_up, percent_up_of
from hybridcert.reports.run_data import RunData


def alarms_at(run: RunData, thresholds: Sequence[float]) -> list[dict[str, Any]]:
    """Return for each threshold what a filter flags; nothing for runs that counted no benign inputs.

    Keys: ``cutoff`` (hits from which on it flags, so that it misses a score above the threshold with
    probability at most alpha; 0 where so few copies promise that only if all is flagged), ``flagged`` of
    ``benign`` inputs, ``percent`` (rounded up), and ``upper``, an upper confidence bound on the share at
    level 1 − alpha, in percent, rounded up. Each holds by itself.
    """
    table, alpha = benign_hits(run), run.settings.get("alpha")
    if table is None or alpha is None:
        return []
    hits, copies = table["hits"].to_numpy(), int(table["samples"].iloc[0])
    found = []
    for threshold in thresholds:
        cutoff = cutoff_for(copies=copies, threshold=threshold, miss=float(alpha))
        flagged = int(np.count_nonzero(hits >= cutoff))
        upper = float(clopper_pearson_upper(flagged, len(hits), float(alpha)))
        found.append(
            {
                "cutoff": cutoff,
                "flagged": flagged,
                "benign": len(hits),
                "percent": percent_up(flagged, len(hits)),
                "upper": percent_up_of(upper),
            }
        )
    return found


def benign_hits(run: RunData) -> pd.DataFrame | None:
    """Return ``hits`` of ``samples`` copies of each benign input; None where a run counted none."""
    return run.kept.alarms if run.benign is None else run.benign


def alarms_mean(run: RunData) -> str:
    """Say what these numbers are."""
    table, alpha = benign_hits(run), format_exact(float(run.settings["alpha"]))
    assert table is not None
    samples = int(table["samples"].iloc[0])
    return (
        f"Benign inputs that are flagged by a filter of {samples} copies, at so many hits that it misses a "
        f"score above τ with probability at most {alpha}. At most: upper confidence bound at level 1 − "
        f"{alpha} on their share. Each bound holds by itself: whoever chooses a threshold by them should "
        "count false alarms anew, on other inputs."
    )
