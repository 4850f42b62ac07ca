"""The naive product beside the certificates: a rival that is unsound, and marked so wherever it shows up."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hybridcert.baselines.naive_product import UNSOUND, NaiveClaims
from hybridcert.certificate.directed import format_exact
from hybridcert.reports.markup import escaped, markup_table
from hybridcert.reports.run_data import RunData
from hybridcert.reports.tables import is_right

REASON = (
    "The naive product claims (d, ε) where the discrete certificate holds at (d, 0) and the continuous one "
    "at (0, ε). Such claims can be false (Proposition 4.1): the continuous certificate starts from the clean "
    "score, which the discrete changes may already have lowered."
)


def applies(run: RunData) -> bool:
    """Whether a run bounds a score under discrete and continuous changes together: one can get that wrong."""
    return (
        run.rank is None
        and len(run.budgets) > 1
        and bool((run.at(run.budgets[0])["radius"].fillna(0.0) > 0.0).any())
    )


def naive_product(run: RunData) -> pd.DataFrame:
    """Return what the naive product claims at every d > 0 and ε > 0 of the grid. UNSOUND.

    Columns: the budget, ``eps``, ``claimed``, ``certified`` (by the joint certificate), ``unsupported``
    (claimed and not certified), ``inputs``, ``status``. Counts are of right answers where labels are known.
    No rows for a run without two kinds of change.
    """
    alone = run.at(run.budgets[0])
    right = is_right(run, alone)
    rows = []
    for budget in run.budgets[1:] if applies(run) else []:
        joint = run.at(budget)
        radius = joint["radius"].to_numpy(dtype=np.float64, na_value=-1.0)
        naive = NaiveClaims.product(
            discrete=joint["certified"],
            continuous=alone["certified"],
            radius=alone["radius"].to_numpy(dtype=np.float64, na_value=0.0),
        )
        for eps in run.eps:
            if eps > 0.0:
                claimed, certified = right & naive.claims(eps), right & (radius >= eps)
                rows.append(
                    {
                        **dict(zip(run.budget_columns, budget, strict=True)),
                        "eps": eps,
                        "claimed": int(claimed.sum()),
                        "certified": int(certified.sum()),
                        "unsupported": int((claimed & ~certified).sum()),
                        "inputs": len(alone),
                        "status": UNSOUND,
                    }
                )
    columns = [*run.budget_columns, "eps", "claimed", "certified", "unsupported", "inputs", "status"]
    return pd.DataFrame(rows, columns=columns)


def by_budget(run: RunData) -> list[tuple[str, pd.DataFrame]]:
    """Return `naive_product` in one piece for each d > 0, with the name of the budget."""
    table, pieces = naive_product(run), []
    for budget in run.budgets[1:] if len(table) else []:
        here = (table[run.budget_columns] == list(budget)).all(axis=1)
        pieces.append((run.name_of(budget), table[here]))
    return pieces


def counts(run: RunData) -> str:
    """Say how many claims of the naive product the joint certificate does not support."""
    table = naive_product(run)
    return (
        f"Of {table['claimed'].sum()} claims of the naive product at d > 0 and ε > 0 on this grid, the joint "
        f"certificate does not support {table['unsupported'].sum()}."
    )


def section(run: RunData) -> str:
    """Return the rival in a frame of its own, to stand away from the certificates; "" where none applies."""
    if not applies(run):
        return ""
    rows = []
    for name, cells in by_budget(run):
        supported = cells["claimed"] - cells["unsupported"]
        pairs = zip(supported, cells["unsupported"], strict=True)
        rows.append([escaped(name), *(f"{s} + <strong>{u}</strong>" for s, u in pairs)])
    eps = [f"ε = {format_exact(e)}" for e in run.eps if e > 0.0]
    return (
        f'<section class="unsound"><h2>{UNSOUND}: the naive product</h2><p>{_unbroken(REASON)} '
        f"{_unbroken(counts(run))}</p>"
        + markup_table(["", *eps], rows)
        + '<p class="note">Each cell: claims that the joint certificate supports + <strong>claims that it '
        "does not support</strong>, counted as in the table of certificates.</p></section>"
    )


def note(run: RunData) -> str:
    """Return the counts alone, marked, for pages of several runs; "" where none applies."""
    return (
        f'<p class="unsound"><strong>{UNSOUND}</strong>: {_unbroken(counts(run))}</p>' if applies(run) else ""
    )


def _unbroken(text: str) -> str:
    """Keep pairs (d, ε) and comparisons on one line."""
    text = escaped(text).replace(", ε)", ",&nbsp;ε)").replace(", 0)", ",&nbsp;0)")
    return text.replace(" &gt; 0", "&nbsp;&gt;&nbsp;0")
