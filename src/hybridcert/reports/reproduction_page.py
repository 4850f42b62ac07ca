"""The page of a reproduced table or figure: comparison, figure, and our numbers beside the paper's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridcert.errors import DataError
from hybridcert.reports.figures import DARK, DASHES, LIGHT, Theme, colours, corners, legend, png, styled
from hybridcert.reports.markup import document, escaped, lead, picture, plain_table

FINDING = "finding.json"
INDEX = "reproduction.json"


def is_reproduction(directory: Path) -> bool:
    """Return whether a directory holds a reproduced table or figure, or several."""
    return (directory / FINDING).is_file() or (directory / INDEX).is_file()


def write_reproduction(directory: Path) -> Path:
    """Write ``report.html`` and, where there is something to draw, ``figure.png``; return the page.

    Parameters
    ----------
    directory : Path
        Holds ``finding.json``, or ``reproduction.json`` for the page that lists several.

    Raises
    ------
    DataError
        When it holds neither, or something else under these names.
    """
    source = directory / (FINDING if (directory / FINDING).is_file() else INDEX)
    found, figures = _read(source), []
    try:
        if source.name == FINDING:
            figures = [draw(found["panels"], theme) for theme in (LIGHT, DARK)] if found["panels"] else []
            text = finding_page(found, figures)
        else:
            text = index_page(found)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{source} is not what `hybridcert reproduce` writes ({error!r})") from error
    page = directory / "report.html"
    try:
        if figures:
            (directory / "figure.png").write_bytes(figures[0])
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{directory} cannot be written: {error.strerror or error}") from error
    return page


def finding_page(found: Mapping[str, Any], figures: Sequence[bytes]) -> str:
    """Return the page of one finding, its figure inlined in two themes."""
    head, *rows = found["shown"]
    body = [
        f"<h1>{escaped(found['title'])}</h1>",
        f'<p class="parameters">{escaped(found["source"])}, measured again</p>',
        lead(*found["paragraphs"]),
        picture(figures[0], figures[1], found["title"]) if figures else "",
        "<h2>Numbers</h2>",
        plain_table(head, rows, kind="narrow"),
        (
            '<p class="note">Bounds are rounded down. Every digit is in <a href="table.csv">table.csv</a>, '
            'the comparison as text in <a href="comparison.md">comparison.md</a>, versions and cost in '
            '<a href="environment.json">environment.json</a>.</p>'
        ),
    ]
    return document(found["title"], body)


def index_page(index: Mapping[str, Any]) -> str:
    """Return the page that lists all findings."""
    rows = "".join(
        f'<li><a href="{escaped(one["directory"])}/report.html">{escaped(one["title"])}</a></li>'
        for one in index["findings"]
    )
    body = [
        "<h1>The paper, reproduced</h1>",
        f'<p class="parameters">{escaped(index["source"])}</p>',
        f"<ul>{rows}</ul>",
    ]
    return document("The paper, reproduced", body)


def draw(panels: Sequence[Mapping[str, Any]], theme: Theme) -> bytes:
    """Return the panels of a finding as PNG, at most two beside each other."""
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(
        figsize=(1.6 + 4.2 * columns, 0.4 + 3.2 * rows), dpi=150, layout="constrained", facecolor=theme.paper
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    ends = [_right_end(panel) for panel in panels]
    alike = len({(panel["kind"], panel["x_label"]) for panel in panels}) == 1
    for number, axes in enumerate(grid.flat):
        if number >= len(panels):
            axes.set_axis_off()
            continue
        panel = panels[number]
        _draw(axes, panel, theme, right_end=max(ends) if alike else ends[number])
        axes.set_title("\n".join([panel["title"], *_absent(panel)]), color=theme.ink, fontsize=10)
        axes.set_xlabel(panel["x_label"], color=theme.ink, fontsize=9)
        axes.set_ylabel(panel["y_label"], color=theme.ink, fontsize=9)
        names = [[curve["name"] for curve in one["curves"]] for one in panels]
        last = number % columns == columns - 1 or number == len(panels) - 1
        if last and (number < columns or names[number] != names[0]):
            legend(axes, theme)
    return png(figure)


def _draw(axes: Axes, panel: Mapping[str, Any], theme: Theme, *, right_end: float) -> None:
    curves = panel["curves"]
    for number, (curve, colour) in enumerate(zip(curves, colours(len(curves), theme), strict=True)):
        style = DASHES[number % len(DASHES)] if len(curves) <= len(DASHES) else "-"
        name, line = curve["name"], {"color": colour, "linestyle": style, "linewidth": 1.8}
        if panel["kind"] == "steps":
            x, y = corners(np.asarray(curve["x"], dtype=np.float64), panel["inputs"])
            axes.plot(x, y, label=name, drawstyle="steps-pre", **line)
        else:
            axes.plot(curve["x"], curve["y"], label=name, marker="o", markersize=4, **line)
    styled(axes, theme, right_end=right_end)
    axes.set_ylim(0.0, 1.02 * panel["top"])


def _absent(panel: Mapping[str, Any]) -> list[str]:
    """Say which curves have no point, in one line; none where all have some."""
    names = [curve["name"] for curve in panel["curves"] if not curve["x"]]
    if not names:
        return []
    budgets = all(name.startswith("d = ") for name in names)
    return [
        f"nothing at {', '.join([names[0], *(n.removeprefix('d = ') if budgets else n for n in names[1:])])}"
    ]


def _right_end(panel: Mapping[str, Any]) -> float:
    largest = max((max(curve["x"], default=0.0) for curve in panel["curves"]), default=0.0)
    return 1.05 * largest if largest > 0.0 else 1.0


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path.parent} holds no reproduction that can be read: {error}") from error
    return found
