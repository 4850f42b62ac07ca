"""Curves of certified accuracy against ε. Every step of a curve is one input: no grid, no interpolation."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hybridcert.reports.parameters import parameters, spelled
from hybridcert.reports.run_data import RunData, SweepData
from hybridcert.reports.tables import headline, reached, short_names
from hybridcert.reports.terms import distance_label, share_label, shared

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (3, 1.5, 1, 1.5)), (0, (1.2, 1.2)))


@dataclasses.dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a figure: text and axes, background, grid, and the curves in order of d."""

    ink: str
    paper: str
    grid: str
    curves: tuple[str, ...]


LIGHT = Theme("#1f2328", "#ffffff", "#d8dee4", ("#0b5cad", "#d1690e", "#1a7f5a", "#a0308f"))
DARK = Theme("#e6edf3", "#161b22", "#343b44", ("#6cb0ff", "#ffa657", "#56d4a5", "#f08bd9"))


def run_figure(run: RunData, theme: Theme = LIGHT) -> bytes:
    """Return the curves of one run as PNG."""
    figure = Figure(figsize=(7.0, 4.2), dpi=160, layout="constrained", facecolor=theme.paper)
    axes = figure.add_subplot()
    empty = {b: "" if reached(run, b).size else " (none)" for b in run.budgets}
    names = [run.name_of(b) + empty[b] for b in run.budgets]
    _draw(axes, run, theme, names=names, right_end=_right_end([run]))
    axes.set_title(parameters(run.settings), color=theme.ink, fontsize=11)
    axes.set_xlabel(distance_label(run), color=theme.ink)
    axes.set_ylabel(share_label(run), color=theme.ink)
    if run.norm != "none":
        legend(axes, theme)
    return png(figure)


def sweep_figure(sweep: SweepData, theme: Theme = LIGHT) -> bytes:
    """Return one panel per run as PNG: rows follow the first key, columns the rest."""
    rows = len(dict.fromkeys(values[0] for values in sweep.values))
    columns = -(-len(sweep.runs) // rows)
    figure = Figure(
        figsize=(1.2 + 2.9 * columns, 1.2 + 2.3 * rows), dpi=150, layout="constrained", facecolor=theme.paper
    )
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    right_end = _right_end(sweep.runs)
    for axes, title, run in itertools.zip_longest(grid.flat, _titles(sweep), sweep.runs):
        if run is None:
            axes.set_axis_off()
            continue
        _draw(axes, run, theme, names=[run.name_of(b) for b in run.budgets], right_end=right_end)
        axes.set_title(title, color=theme.ink, fontsize=10)
    first = sweep.runs[0]
    swept = short_names(sweep.keys)
    common = ("samples", "stopping", "bound", "budget", "alpha", "threshold", "claim")
    varied = (*swept, "claim") if "top_k" in swept else swept
    kept = {k: v for k, v in first.settings.items() if k in common and k not in varied}
    figure.suptitle(parameters(kept), color=theme.ink, fontsize=11)
    x_label = shared(map(distance_label, sweep.runs), "ε, as each run measures it")
    y_label = shared(map(share_label, sweep.runs), "certified (% of inputs)")
    figure.supxlabel(x_label, color=theme.ink, fontsize=10)
    figure.supylabel(y_label, color=theme.ink, fontsize=10)
    if first.norm != "none":
        legend(grid[0, -1], theme)
    return png(figure)


def _titles(sweep: SweepData) -> list[str]:
    """Values of the swept keys, in short where that tells the runs apart."""
    names = short_names(sweep.keys)
    pairs = [list(zip(names, values, strict=True)) for values in sweep.values]
    short = [", ".join(spelled(k, v) for k, v in each) for each in pairs]
    return short if len(set(short)) == len(short) else [", ".join(f"{k} = {v}" for k, v in e) for e in pairs]


def _draw(axes: Axes, run: RunData, theme: Theme, *, names: Sequence[str], right_end: float) -> None:
    if run.norm == "none":
        _draw_bars(axes, run, theme)
    else:
        _draw_curves(axes, run, theme, names=names, right_end=right_end)


def _draw_bars(axes: Axes, run: RunData, theme: Theme) -> None:
    """One bar per discrete budget: without continuous noise there is no ε to draw against."""
    inputs = headline(run).inputs
    shares = [100.0 * reached(run, budget).size / inputs for budget in run.budgets]
    at = np.arange(len(shares))
    axes.bar(at, shares, width=0.6, color=theme.curves[0])
    single = len(run.budget_columns) == 1
    ticks = [str(budget[0]) if single else run.name_of(budget) for budget in run.budgets]
    every = -(-len(ticks) // 12)
    axes.set_xticks(
        at[::every], ticks[::every], rotation=0 if single else 30, ha="center" if single else "right"
    )
    styled(axes, theme, right_end=len(shares) - 0.5, left_end=-0.5)
    axes.grid(visible=False, axis="x")


def _draw_curves(axes: Axes, run: RunData, theme: Theme, *, names: Sequence[str], right_end: float) -> None:
    budgets = run.budgets
    inputs = headline(run).inputs
    curves = zip(budgets, names, colours(len(budgets), theme), strict=True)
    for number, (budget, name, colour) in enumerate(curves):
        x, y = corners(reached(run, budget), inputs)
        style = DASHES[number % len(DASHES)] if len(budgets) <= len(DASHES) else "-"
        axes.plot(x, y, color=colour, label=name, linewidth=1.8, linestyle=style, drawstyle="steps-pre")
    styled(axes, theme, right_end=right_end)


def styled(axes: Axes, theme: Theme, *, right_end: float, left_end: float = 0.0) -> None:
    """Dress axes of percentages in the colours of a theme."""
    axes.set_xlim(left_end, right_end)
    axes.set_ylim(0.0, 100.0)
    axes.set_facecolor(theme.paper)
    axes.grid(color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)


def corners(radii: np.ndarray, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return corners of ε ↦ 100·#{radius ≥ ε}/inputs, drawn with steps before each point; radii ascend."""
    if radii.size == 0:
        return np.zeros(1), np.zeros(1)
    share = 100.0 * np.arange(radii.size, 0, -1) / inputs
    return np.concatenate([[0.0], radii, radii[-1:]]), np.concatenate([share[:1], share, [0.0]])


def colours(count: int, theme: Theme) -> Sequence[Any]:
    """Return so many colours of a theme, from a ramp where it has fewer."""
    if count <= len(theme.curves):
        return theme.curves[:count]
    span = (0.0, 0.85) if theme is LIGHT else (0.3, 1.0)
    return [mpl.colormaps["viridis"](v) for v in np.linspace(*span, count)]


def _right_end(runs: Sequence[RunData]) -> float:
    largest = max(float(run.results["radius"].fillna(0.0).max()) for run in runs)
    return 1.05 * largest if largest > 0.0 else 1.0


def legend(axes: Axes, theme: Theme) -> None:
    """Add a legend in the colours of a theme."""
    axes.legend(frameon=False, labelcolor=theme.ink, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
