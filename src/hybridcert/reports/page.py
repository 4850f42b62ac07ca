"""The page ``report.html``: one file, readable offline, in light and dark."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from hybridcert.certificate.directed import format_exact
from hybridcert.reports import naive, wording
from hybridcert.reports.figures import parameters
from hybridcert.reports.markup import (
    bullets,
    document,
    escaped,
    lead,
    markup_table,
    picture,
    plain_table,
)
from hybridcert.reports.run_data import RunData, SweepData
from hybridcert.reports.tables import certified_count, headline, percent, short_names, summary


def run_page(run: RunData, *, light: bytes, dark: bytes) -> str:
    """Return the page of one run, with its figure inlined in two themes."""
    title = f"Certified robustness: {run.title}"
    body = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="parameters">{escaped(parameters(run.settings))}</p>',
        lead(wording.result(run), wording.meaning(run)),
        picture(
            light, dark, "Curves of certified inputs against the certified radius, one per discrete budget d"
        ),
        "<h2>Certified accuracy</h2>" if run.has_target else "<h2>Certified</h2>",
        _accuracy(run),
        "<h2>Without an attack</h2>",
        plain_table(
            ["", "inputs", "%"],
            [(w, f"{k} / {n}", p) for w, k, n, p in summary(run).itertuples(index=False, name=None)],
        ),
        (
            '<p class="note">The smoothed classifier abstains where its score is not proven to exceed the '
            "threshold even without any change.</p>"
        ),
        *(_extra(extra) for extra in run.extras),
        naive.section(run),
        "<h2>What is guaranteed</h2>",
        bullets(wording.guarantees(run)),
        "<h2>What it rests on</h2>",
        bullets(wording.assumptions(run)),
        "<h2>How it was made</h2>",
        plain_table(["", ""], facts(run), kind="wide"),
        (
            '<p class="note">Every number of this page is in <code>tables/</code> and '
            "<code>results.parquet</code>.</p>"
        ),
    ]
    return document(title, body)


def sweep_page(sweep: SweepData, *, light: bytes, dark: bytes) -> str:
    """Return the page of a sweep: one panel and one table per run, with links to the runs' own pages."""
    title = f"Certified robustness: {sweep.title}"
    body = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="parameters">{len(sweep.runs)} runs over {escaped(", ".join(sweep.keys))}</p>',
        picture(light, dark, "Curves of certified inputs against the certified radius, one panel per run"),
    ]
    for values, run in zip(sweep.values, sweep.runs, strict=True):
        pairs = zip(short_names(sweep.keys), values, strict=True)
        name = ", ".join(f"{key} = {value}" for key, value in pairs)
        link = html.escape(f"{run.directory.name}/report.html", quote=True)
        body += [
            f'<h2><a href="{link}">{escaped(name)}</a></h2>',
            f"<p>{escaped(wording.result(run))}</p>",
            _accuracy(run),
            naive.note(run),
        ]
    first = sweep.runs[0]
    body += [
        "<h2>What is guaranteed</h2>",
        bullets(wording.guarantees(first)),
        "<h2>What it rests on</h2>",
        bullets(
            [
                *wording.assumptions(first),
                (
                    "Runs of a sweep are separate estimates. Choosing, per input, the run that certifies it "
                    "best needs a correction for the number of runs."
                ),
            ]
        ),
    ]
    return document(title, body)


def _accuracy(run: RunData) -> str:
    inputs = headline(run).inputs
    rows = []
    for budget in run.budgets:
        counts = [certified_count(run, budget, eps) for eps in run.eps]
        rows.append(
            [escaped(run.name_of(budget)), *(f"{k}<small>{percent(k, inputs)} %</small>" for k in counts)]
        )
    return (
        markup_table(["", *(f"ε = {format_exact(e)}" for e in run.eps)], rows)
        + f'<p class="note">Counts out of {inputs} inputs; percentages rounded down. ε in '
        f"{escaped(str(run.settings.get('unit', 'units of the noise')))}.</p>"
    )


def facts(run: RunData) -> list[tuple[str, str]]:
    """Settings, environment and cost of a run, one line each."""
    environment = run.environment
    facts = [
        ("noise", _flat(run.settings.get("noise", {}))),
        ("threat", _flat(run.settings.get("threat", {}))),
    ]
    facts += [
        (k.replace("_", " "), str(run.settings[k]))
        for k in ("samples", "selection_samples", "alpha", "threshold", "norm", "seed")
        if run.settings.get(k) is not None
    ]
    facts += [(k, _flat(environment[k])) for k in ("data", "model", "packages", "cost") if k in environment]
    return facts


def _flat(values: Mapping[str, Any]) -> str:
    parts = []
    for key, value in values.items():
        if isinstance(value, dict):
            parts.append(f"{key}: {_flat(value)}")
        else:
            parts.append(
                f"{key} {value:,.1f}" if isinstance(value, float) and value >= 1 else f"{key} {value}"
            )
    return "; ".join(parts) or "none"


def _extra(extra: Mapping[str, Any]) -> str:
    rows = [["–" if cell is None else cell for cell in row] for row in extra.get("rows", [])]
    text = extra.get("text", "")
    return (
        f"<h2>{escaped(extra['title'])}</h2>"
        + (f"<p>{escaped(text)}</p>" if text else "")
        + (plain_table(extra["columns"], rows, kind="narrow") if rows else "")
    )
