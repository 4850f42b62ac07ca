"""The page ``report.html``: one file that works offline, for a run or for a sweep."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from hybridcert.certificate.directed import format_exact
from hybridcert.documents.issue import FILE_NAME
from hybridcert.reports import interactive, naive, stopping, terms, wording
from hybridcert.reports.markup import (
    bullets,
    document,
    escaped,
    lead,
    markup_table,
    picture,
    plain_table,
)
from hybridcert.reports.parameters import parameters
from hybridcert.reports.run_data import RunData, SweepData
from hybridcert.reports.tables import certified_count, headline, name_of, percent, summary


def run_page(run: RunData, *, light: bytes, dark: bytes) -> str:
    """Return the page of one run; its figure, in two themes, is for readers without scripts."""
    title = f"Certified robustness: {run.title}"
    caption = f"{terms.counted(run)}, against {terms.distance_label(run)}"
    body = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="parameters">{escaped(parameters(run.settings))}</p>',
        lead(wording.result(run), wording.meaning(run)),
        *(f'<p class="note">{escaped(sentence)}</p>' for sentence in stopping.sentences(run)),
        interactive.NAVIGATION,
        interactive.frontier(run, light=light, dark=dark, caption=caption),
        f'<div id="tables"><h2>{terms.heading(run)}</h2>',
        _accuracy(run),
        "<h2>Without an attack</h2>",
        plain_table(
            ["", "inputs", "%"],
            [(w, f"{k} / {n}", p) for w, k, n, p in summary(run).itertuples(index=False, name=None)],
        ),
        f'<p class="note">{escaped(terms.abstention(run))}</p>',
        *(_extra(extra) for extra in run.extras),
        naive.section(run),
        "</div>",
        interactive.inputs(run),
        *closing(
            run,
            wording.guarantees(run),
            wording.assumptions(run),
            where="<code>tables/</code> and <code>results.parquet</code>",
            table="radii.csv",
        ),
    ]
    return document(title, body, data=interactive.data(run))


def closing(
    run: RunData, guarantees: Sequence[str], assumptions: Sequence[str], *, where: str, table: str
) -> list[str]:
    """Return the end of a page: cost, what holds, what it rests on, how it was made and can be checked."""
    return [
        *_cost(run),
        '<div id="guarantees"><h2>What is guaranteed</h2>',
        bullets(guarantees),
        "<h2>What it rests on</h2>",
        bullets(assumptions),
        "</div>",
        "<h2>How it was made</h2>",
        plain_table(["", ""], facts(run), kind="wide"),
        f'<p class="note">Every number of this page is in {where}.</p>',
        how_to_check(run, table),
    ]


def _cost(run: RunData) -> list[str]:
    cost = run.environment.get("cost") or run.settings.get("cost") or {}
    if not cost:
        return ['<div id="cost"></div>']
    rows = [(key.replace("_", " "), _measured(value)) for key, value in cost.items()]
    return ['<div id="cost"><h2>What it cost</h2>', plain_table(["", ""], rows, kind="wide"), "</div>"]


def sweep_page(sweep: SweepData, *, light: bytes, dark: bytes) -> str:
    """Return the page of a sweep: one panel and one table per run, with links to the runs' own pages."""
    title = f"Certified robustness: {sweep.title}"
    body = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="parameters">{len(sweep.runs)} runs over {escaped(", ".join(sweep.keys))}</p>',
        picture(light, dark, "Certified inputs, one panel per run"),
    ]
    for number, run in enumerate(sweep.runs):
        name = name_of(sweep, number)
        link = html.escape(f"{run.directory.name}/report.html", quote=True)
        body += [
            f'<h2><a href="{link}">{escaped(name)}</a></h2>',
            f"<p>{escaped(wording.result(run))}</p>",
            *(f'<p class="note">{escaped(sentence)}</p>' for sentence in stopping.sentences(run)),
            _accuracy(run),
            naive.note(run),
        ]
    body += [
        "<h2>What is guaranteed</h2>",
        _common([wording.guarantees(run) for run in sweep.runs], "guarantees"),
        "<h2>What it rests on</h2>",
        _common([wording.assumptions(run) for run in sweep.runs], "takes for granted"),
        (
            "<p>Runs of a sweep are separate estimates. Choosing, per input, the run that certifies it best "
            "needs a correction for the number of runs.</p>"
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
    columns = ["", *(f"ε = {format_exact(e)}" for e in run.eps)]
    note = f"Counts out of {inputs} inputs: {terms.counted(run)}; percentages rounded down."
    if run.norm == "none":
        columns = ["", terms.counted(run)]
    else:
        note += f" ε in {run.unit}."
    return markup_table(columns, rows) + f'<p class="note">{escaped(note)}</p>'


def _common(sentences: Sequence[Sequence[str]], what: str) -> str:
    """Bullets that hold for all runs, or a hint at the runs' own pages where they differ."""
    if all(each == sentences[0] for each in sentences):
        return bullets(sentences[0])
    return f"<p>Runs differ in this: the page of each run says what it {what}.</p>"


def how_to_check(run: RunData, table: str) -> str:
    """Say where the certificate of each input is, and how to check them; "" where none were issued."""
    if not (run.directory / FILE_NAME).is_file():
        return ""
    return (
        f'<p class="note">The certificate of each input is a line of <a href="{FILE_NAME}">{FILE_NAME}</a>; '
        f"its number is in <code>tables/{table}</code>. <code>hybridcert verify DIR</code>, with this "
        "directory for DIR, checks them all.</p>"
    )


def facts(run: RunData) -> list[tuple[str, str]]:
    """Settings and environment of a run, one line each."""
    environment = run.environment
    facts = [
        ("noise", _flat(run.settings.get("noise", {}))),
        ("threat", _flat(run.settings.get("threat", {}))),
    ]
    if run.rank is not None:
        facts.append(("claim", f"top-{run.rank}"))
    names = {"samples": "samples at most"} if stopping.may_stop(run.settings) else {}
    facts += [
        (names.get(k, k).replace("_", " "), _plain(run.settings[k]))
        for k in ("threshold", "samples", "stopping", "bound", "budget", "selection_samples", "alpha", "seed")
        if run.settings.get(k) is not None
    ]
    facts += [(k, _flat(environment[k])) for k in ("data", "model", "packages") if k in environment]
    return facts


def _flat(values: Mapping[str, Any]) -> str:
    parts = []
    for key, value in values.items():
        if isinstance(value, dict):
            parts.append(f"{key}: {_flat(value)}")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            parts.append(f"{key} {shown}")
    return "; ".join(parts) or "none"


def _plain(value: Any) -> str:
    return _flat(value) if isinstance(value, Mapping) else str(value)


def _measured(value: float) -> str:
    """A measurement, which unlike a parameter may be rounded."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.1f}" if value >= 1.0 else f"{value:.2g}"


def _extra(extra: Mapping[str, Any]) -> str:
    rows = [["–" if cell is None else cell for cell in row] for row in extra.get("rows", [])]
    text = extra.get("text", "")
    return (
        f"<h2>{escaped(extra['title'])}</h2>"
        + (f"<p>{escaped(text)}</p>" if text else "")
        + (plain_table(extra["columns"], rows, kind="narrow") if rows else "")
    )
