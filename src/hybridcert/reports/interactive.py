"""The live parts of a run's page: places that scripts fill, and what stands there without scripts."""

from __future__ import annotations

from hybridcert.reports import packed
from hybridcert.reports.alarms import alarms_mean, benign_hits
from hybridcert.reports.markup import escaped, picture
from hybridcert.reports.payload import images, payload
from hybridcert.reports.run_data import RunData

NAVIGATION = (
    '<nav aria-label="On this page"><ul>'
    '<li><a href="#frontier">Frontier</a></li><li><a href="#tables">Tables</a></li>'
    '<li><a href="#inputs">Every input</a></li><li><a href="#cost">Cost</a></li>'
    '<li><a href="#guarantees">Guarantees and assumptions</a></li></ul></nav>'
)

_CANNOT = (
    '<p id="cannot" class="warning" hidden>This browser cannot show the interactive parts of this page: they '
    "need DecompressionStream. The tables of the page are complete, and <code>tables/</code> in the run "
    "directory has a row for every input.</p>"
)


def frontier(run: RunData, *, light: bytes, dark: bytes, caption: str) -> str:
    """Return sliders and charts; the figure where scripts do not run."""
    return (
        '<div id="frontier"><h2>The frontier</h2>'
        f"<noscript>{picture(light, dark, caption)}"
        '<p class="note">Scripts are off: this is the figure of the run. With them it is interactive, and '
        f"every input can be opened.</p></noscript>{_CANNOT}"
        f'<div class="live" hidden>{_controls(run)}'
        '<p id="verdict" class="verdict" aria-live="polite"></p>'
        f'{_alarms(run)}<div class="charts">{_charts(run)}</div>'
        "<details><summary>The same numbers as a table</summary>"
        '<div class="scroll" id="shares-table" tabindex="0" role="group" aria-label="Certified inputs"></div>'
        f"</details>{_note(run)}</div></div>"
    )


def inputs(run: RunData) -> str:
    """Return the place of the table of inputs, and of the one that is open."""
    count = len(run.names)
    return (
        '<div id="inputs"><h2>Every input</h2>'
        '<noscript><p class="note">Scripts are off: <code>tables/</code> in the run directory has a row for '
        "every input.</p></noscript>"
        '<div class="live" hidden><div class="filters">'
        '<label for="search">Search<input type="search" id="search" placeholder="input, label, content" '
        'autocomplete="off" spellcheck="false"></label>'
        '<label for="show">Show<select id="show"><option value="all">all</option>'
        '<option value="certified">certified at the budget above</option>'
        '<option value="not">not certified at the budget above</option>'
        f'{_wrong(run)}</select></label><span id="found" class="note" role="status"></span></div>'
        f'<div id="rows" class="rows" tabindex="0" role="region" aria-label="{count} inputs"></div>'
        f'<p class="note">Bounds are rounded down. {_chosen(run)} above. A name opens the input, with its '
        "counts, its frontier and its certificate.</p>"
        '<dialog id="detail" aria-labelledby="detail-title"><header><h2 id="detail-title">Input</h2>'
        '<div class="buttons"><button type="button" id="detail-back">Previous</button>'
        '<button type="button" id="detail-on">Next</button>'
        '<button type="button" id="detail-close">Close</button></div></header>'
        '<div class="body"></div></dialog></div></div>'
    )


def data(run: RunData) -> list[str]:
    """Return the elements that hold the data of both."""
    return [
        packed.block("data", payload(run)),
        packed.block("images", images(run)),
        packed.block("certificates", packed.certificates(run.directory)),
    ]


def _controls(run: RunData) -> str:
    parts = []
    if run.rank is None and run.kept.further is not None:
        parts.append(_slider("tau", "Threshold τ", '<button type="button" id="tau-own">as claimed</button>'))
    parts.append(_slider("budget", f"Budget {run.budget_columns[0] if len(run.budget_columns) == 1 else ''}"))
    if run.norm != "none":
        parts.append(_slider("epsilon", "Distance ε"))
    return f'<div class="controls">{"".join(parts)}</div>'


def _slider(name: str, label: str, behind: str = "") -> str:
    return (
        f'<div class="control"><label for="{name}">{escaped(label.strip())}'
        f'<output id="{name}-value" for="{name}"></output></label>'
        f'<input type="range" id="{name}" min="0" max="0" step="1" value="0">{behind}</div>'
    )


def _charts(run: RunData) -> str:
    names = {"shares": "Share of inputs that is certified"}
    if run.norm != "none":
        names["shares"] += " against the distance, by budget"
        if len(run.budgets) > 1:
            names["radii"] = "Radius that so many inputs reach, by budget"
    return "".join(
        f'<figure><figcaption>{text}</figcaption><div id="{name}" class="chart"></div>'
        f'<ul id="{name}-legend" class="legend"></ul></figure>'
        for name, text in names.items()
    )


def _alarms(run: RunData) -> str:
    if benign_hits(run) is None or run.rank is not None or run.settings.get("alpha") is None:
        return ""
    return f'<p id="alarms"></p><p class="note">{escaped(alarms_mean(run))}</p>'


def _note(run: RunData) -> str:
    """Say where the numbers at other thresholds come from, or why there are none."""
    if run.rank is not None:
        return ""
    if run.kept.further is None:
        text = (
            "This directory has no thresholds.parquet, so the threshold cannot be moved: nothing is ever "
            "interpolated. Certify again to have it."
        )
    else:
        text = (
            "Other thresholds rest on the same counts and confidence bounds, so all of them hold together; "
            "what is certified there was solved and proven when the run was written, nothing is "
            "interpolated. Issued certificates claim the run's own threshold."
        )
    return f'<p class="note">{escaped(text)}</p>'


def _chosen(run: RunData) -> str:
    """Say what the table of inputs is about."""
    if run.rank is None and run.kept.further is not None:
        return "Threshold and budget are those of the sliders"
    return "The budget is that of the slider"


def _wrong(run: RunData) -> str:
    return '<option value="wrong">wrong label</option>' if run.has_target else ""
