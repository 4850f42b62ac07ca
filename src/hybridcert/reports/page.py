"""The page ``report.html``: one file, readable offline, in light and dark."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hybridcert.certificate.directed import format_exact
from hybridcert.reports import wording
from hybridcert.reports.figures import parameters
from hybridcert.reports.run_data import RunData, SweepData
from hybridcert.reports.tables import certified_count, headline, percent, short_names, summary

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --paper: #ffffff; --line: #d8dee4;
  --wash: #f6f8fa; --accent: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --paper: #161b22;
  --line: #343b44; --wash: #1f262e; --accent: #6cb0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 58rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.parameters { color: var(--soft); margin: 0 0 1.2rem; }
.lead { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem 1rem; margin: 1rem 0 1.5rem; }
.lead p { margin: .4rem 0; }
img { max-width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .3rem 0 .6rem; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
}
thead th { background: var(--wash); font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
.wide td { white-space: normal; overflow-wrap: anywhere; text-align: left; vertical-align: top; }
.narrow th { white-space: normal; max-width: 6.5rem; vertical-align: bottom; }
.wide td:first-child { white-space: nowrap; }
small, .note { color: var(--soft); font-size: .875rem; }
td small { display: block; }
li { margin: .35rem 0; }
a { color: var(--accent); }
code { font-size: .9em; }
"""


def run_page(run: RunData, *, light: bytes, dark: bytes) -> str:
    """Return the page of one run, with its figure inlined in two themes."""
    title = f"Certified robustness: {run.title}"
    body = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="parameters">{_text(parameters(run.settings))}</p>',
        f'<div class="lead"><p>{_text(wording.result(run))}</p><p>{_text(wording.meaning(run))}</p></div>',
        _picture(light, dark, "Curves of certified inputs against the ℓ₂ radius, one per discrete budget d"),
        "<h2>Certified accuracy</h2>" if run.has_target else "<h2>Certified</h2>",
        _accuracy(run),
        "<h2>Without an attack</h2>",
        _table(
            ["", "inputs", "%"],
            [(w, f"{k} / {n}", p) for w, k, n, p in summary(run).itertuples(index=False, name=None)],
        ),
        (
            '<p class="note">The smoothed classifier abstains where its score is not proven to exceed the '
            "threshold even without any change.</p>"
        ),
        *(_extra(extra) for extra in run.extras),
        "<h2>What is guaranteed</h2>",
        _list(wording.guarantees(run)),
        "<h2>What it rests on</h2>",
        _list(wording.assumptions(run)),
        "<h2>How it was made</h2>",
        _table(["", ""], _facts(run), kind="wide"),
        (
            '<p class="note">Every number of this page is in <code>tables/</code> and '
            "<code>results.parquet</code>.</p>"
        ),
    ]
    return _page(title, body)


def sweep_page(sweep: SweepData, *, light: bytes, dark: bytes) -> str:
    """Return the page of a sweep: one panel and one table per run, with links to the runs' own pages."""
    title = f"Certified robustness: {sweep.title}"
    body = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="parameters">{len(sweep.runs)} runs over {_text(", ".join(sweep.keys))}</p>',
        _picture(light, dark, "Curves of certified inputs against the ℓ₂ radius, one panel per run"),
    ]
    for values, run in zip(sweep.values, sweep.runs, strict=True):
        pairs = zip(short_names(sweep.keys), values, strict=True)
        name = ", ".join(f"{key} = {value}" for key, value in pairs)
        link = html.escape(f"{run.directory.name}/report.html", quote=True)
        body += [
            f'<h2><a href="{link}">{_text(name)}</a></h2>',
            f"<p>{_text(wording.result(run))}</p>",
            _accuracy(run),
        ]
    first = sweep.runs[0]
    body += [
        "<h2>What is guaranteed</h2>",
        _list(wording.guarantees(first)),
        "<h2>What it rests on</h2>",
        _list(
            [
                *wording.assumptions(first),
                (
                    "Runs of a sweep are separate estimates. Choosing, per input, the run that certifies it "
                    "best needs a correction for the number of runs."
                ),
            ]
        ),
    ]
    return _page(title, body)


def _page(title: str, body: Iterable[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _accuracy(run: RunData) -> str:
    inputs = headline(run).inputs
    rows = []
    for budget in run.budgets:
        counts = [certified_count(run, budget, eps) for eps in run.eps]
        rows.append(
            [_text(run.name_of(budget)), *(f"{k}<small>{percent(k, inputs)} %</small>" for k in counts)]
        )
    return (
        _raw_table(["", *(f"ε = {format_exact(e)}" for e in run.eps)], rows)
        + f'<p class="note">Counts out of {inputs} inputs; percentages rounded down. ε in '
        f"{_text(str(run.settings.get('unit', 'units of the noise')))}.</p>"
    )


def _facts(run: RunData) -> list[tuple[str, str]]:
    environment = run.environment
    facts = [
        ("noise", _flat(run.settings.get("noise", {}))),
        ("threat", _flat(run.settings.get("threat", {}))),
    ]
    facts += [
        (k.replace("_", " "), str(run.settings[k]))
        for k in ("samples", "selection_samples", "alpha", "threshold", "seed")
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
        f"<h2>{_text(extra['title'])}</h2>"
        + (f"<p>{_text(text)}</p>" if text else "")
        + (_table(extra["columns"], rows, kind="narrow") if rows else "")
    )


def _picture(light: bytes, dark: bytes, caption: str) -> str:
    sources = [f"data:image/png;base64,{base64.b64encode(png).decode()}" for png in (light, dark)]
    return (
        f'<picture><source srcset="{sources[1]}" media="(prefers-color-scheme: dark)">'
        f'<img src="{sources[0]}" alt="{html.escape(caption, quote=True)}"></picture>'
    )


def _table(columns: Sequence[object], rows: Iterable[Sequence[object]], *, kind: str = "") -> str:
    return _raw_table(columns, [[_text(cell) for cell in row] for row in rows], kind=kind)


def _raw_table(columns: Sequence[object], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    shown = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    return f'<div class="scroll"><table class="{kind}">{shown}<tbody>{body}</tbody></table></div>'


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences) + "</ul>"


def _text(value: object) -> str:
    return html.escape(str(value))
