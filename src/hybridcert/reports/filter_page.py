"""The page of a filter's run, and of a sweep over filters."""

from __future__ import annotations

import html
from collections.abc import Sequence

from hybridcert.reports import filter_wording, interactive, stopping, wording
from hybridcert.reports.filter import Filter, combined_rows
from hybridcert.reports.markup import bullets, document, escaped, lead, picture, plain_table
from hybridcert.reports.page import closing
from hybridcert.reports.parameters import parameters
from hybridcert.reports.run_data import RunData, SweepData
from hybridcert.reports.tables import name_of


def run_page(run: RunData, found: Filter, *, light: bytes, dark: bytes) -> str:
    """Return the page of one run; its figure, in two themes, is for readers without scripts."""
    title = f"Certified filter: {run.title}"
    caption = "Share of inputs certified at each budget d, one curve per threshold"
    body = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="parameters">{escaped(parameters(run.settings))}</p>',
        lead(filter_wording.result(run, found), wording.meaning(run)),
        *(f'<p class="note">{escaped(sentence)}</p>' for sentence in stopping.sentences(run)),
        interactive.NAVIGATION,
        interactive.frontier(run, light=light, dark=dark, caption=caption),
        '<div id="tables"><h2>False alarms beside what is certified</h2>',
        *_table([""], [found]),
        "</div>",
        interactive.inputs(run),
        *closing(
            run,
            filter_wording.guarantees(run, found),
            filter_wording.assumptions(run, found),
            where="<code>tables/</code>, <code>results.parquet</code> and <code>benign.parquet</code>",
            table="inputs.csv",
        ),
    ]
    return document(title, body, data=interactive.data(run))


def sweep_page(sweep: SweepData, found: Sequence[Filter], *, light: bytes, dark: bytes) -> str:
    """Return the page of a sweep: all thresholds of all runs in one table, with links to the runs' pages."""
    title = f"Certified filter: {sweep.title}"
    names = [name_of(sweep, number) for number in range(len(sweep.runs))]
    links = [
        f'<li><a href="{html.escape(run.directory.name, quote=True)}/report.html">{escaped(name)}</a>: '
        f"{escaped(' '.join([filter_wording.result(run, part), *stopping.sentences(run)]))}</li>"
        for name, run, part in zip(names, sweep.runs, found, strict=True)
    ]
    body = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="parameters">{len(sweep.runs)} runs over {escaped(", ".join(sweep.keys))}</p>',
        picture(light, dark, "Share of inputs certified at each budget d, one panel per run"),
        "<h2>False alarms beside what is certified</h2>",
        *_table(names, found),
        "<h2>Runs</h2>",
        "<ul>" + "".join(links) + "</ul>",
        "<h2>What is guaranteed</h2>",
        bullets(filter_wording.guarantees(sweep.runs[0], found[0])),
        "<h2>What it rests on</h2>",
        bullets(
            [
                *filter_wording.assumptions(sweep.runs[0], found[0]),
                (
                    "Runs of a sweep are separate estimates. Choosing, per input, the run that certifies it "
                    "best needs a correction for the number of runs."
                ),
            ]
        ),
    ]
    return document(title, body)


def _table(names: Sequence[str], filters: Sequence[Filter]) -> list[str]:
    return [
        plain_table(filters[0].columns(), combined_rows(names, filters), kind="narrow"),
        f'<p class="note">{escaped(filter_wording.columns_mean(filters[0]))}</p>',
    ]
