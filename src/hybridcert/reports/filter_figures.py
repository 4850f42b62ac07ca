"""A filter's figure: the share of inputs that is certified at each budget d, one curve per threshold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hybridcert.reports.figures import LIGHT, Theme, png, styled
from hybridcert.reports.filter import Filter
from hybridcert.reports.parameters import parameters
from hybridcert.reports.run_data import RunData

_MARKERS = ("o", "s", "^", "D", "v", "P")


def run_figure(run: RunData, found: Filter, theme: Theme = LIGHT) -> bytes:
    """Return the curves of one run as PNG."""
    figure = Figure(figsize=(7.0, 4.2), dpi=160, layout="constrained", facecolor=theme.paper)
    axes = figure.add_subplot()
    _draw(axes, found, theme)
    axes.set_title(parameters(run.settings), color=theme.ink, fontsize=11)
    axes.set_xlabel("d", color=theme.ink)
    axes.set_ylabel(f"certified (% of {found.label})", color=theme.ink)
    _legend(figure, axes, theme)
    return png(figure)


def sweep_figure(names: Sequence[str], found: Sequence[Filter], theme: Theme = LIGHT) -> bytes:
    """Return one panel per run as PNG."""
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(
        figsize=(1.2 + 2.9 * columns, 1.2 + 2.3 * rows), dpi=150, layout="constrained", facecolor=theme.paper
    )
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, name, part in itertools.zip_longest(grid.flat, names, found):
        if part is None:
            axes.set_axis_off()
            continue
        _draw(axes, part, theme)
        axes.set_title(name, color=theme.ink, fontsize=10)
    figure.supxlabel("d", color=theme.ink, fontsize=10)
    figure.supylabel(f"certified (% of {found[0].label})", color=theme.ink, fontsize=10)
    _legend(figure, grid[0, 0], theme)
    return png(figure)


def _legend(figure: Figure, axes: Axes, theme: Theme) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=6, frameon=False, labelcolor=theme.ink, fontsize=9
    )


def _draw(axes: Axes, found: Filter, theme: Theme) -> None:
    smoothed = [point for point in found.points if point.threshold is not None]
    for number, point in enumerate(smoothed):
        assert point.certified is not None
        axes.plot(
            found.budgets,
            [100.0 * count / found.inputs for count in point.certified],
            color=theme.curves[number % len(theme.curves)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
            linewidth=1.4,
            label=point.name,
        )
    styled(axes, theme, right_end=float(max(found.budgets[-1], 1)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
