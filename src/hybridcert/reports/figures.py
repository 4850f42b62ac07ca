"""Curves of certified accuracy against ε. Every step of a curve is one input: no grid, no interpolation."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hybridcert.certificate.directed import format_exact
from hybridcert.reports.run_data import Budget, RunData, SweepData
from hybridcert.reports.tables import headline, reached, short_names

_SYMBOLS = {
    "beta": "β",
    "betas": "β",
    "ratio": "ρ",
    "p_plus": "p₊",
    "p_minus": "p₋",
    "sigma": "σ",
    "scale": "b",
    "samples": "n",
    "alpha": "α",
    "threshold": "τ",
}
_AXES = {"l2": "ε: ℓ₂ change", "l1": "ε: ℓ₁ change", "mahalanobis": "ε: √Σ(δ_j/σ_j)²"}
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (3, 1.5, 1, 1.5)), (0, (1.2, 1.2)))


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
    axes.set_xlabel(_x_label(run), color=theme.ink)
    axes.set_ylabel(_y_label(run), color=theme.ink)
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
    for axes, values, run in itertools.zip_longest(grid.flat, sweep.values, sweep.runs):
        if run is None:
            axes.set_axis_off()
            continue
        _draw(axes, run, theme, names=[run.name_of(b) for b in run.budgets], right_end=right_end)
        pairs = zip(short_names(sweep.keys), values, strict=True)
        axes.set_title(", ".join(f"{_symbol(k)} = {v}" for k, v in pairs), color=theme.ink, fontsize=10)
    first = sweep.runs[0]
    shared = {"samples": "n", "alpha": "α", "threshold": "τ"}
    kept = {k: v for k, v in first.settings.items() if k in shared and k not in short_names(sweep.keys)}
    figure.suptitle(parameters(kept), color=theme.ink, fontsize=11)
    figure.supxlabel(_x_label(first), color=theme.ink, fontsize=10)
    figure.supylabel(_y_label(first), color=theme.ink, fontsize=10)
    legend(grid[0, -1], theme)
    return png(figure)


def parameters(settings: Mapping[str, Any]) -> str:
    """Spell noise, samples, level and threshold of a run in one line."""
    parts = []
    for kernel in settings.get("noise", {}).values():
        parts += [f"{_symbol(key)} = {_spelled(kernel[key])}" for key in kernel if key in _SYMBOLS]
    if "samples" in settings:
        parts.append(f"n = {settings['samples']:,}".replace(",", "\u2009"))
    parts += [
        f"{_symbol(key)} = {format_exact(settings[key])}"
        for key in ("alpha", "threshold")
        if settings.get(key) is not None
    ]
    return ",  ".join(parts)


def _draw(axes: Axes, run: RunData, theme: Theme, *, names: Sequence[str], right_end: float) -> None:
    budgets = run.budgets
    inputs = headline(run).inputs
    curves = zip(budgets, names, _colours(len(budgets), theme), strict=True)
    for number, (budget, name, colour) in enumerate(curves):
        x, y = _curve(run, budget, inputs)
        style = _DASHES[number % len(_DASHES)] if len(budgets) <= len(_DASHES) else "-"
        axes.plot(x, y, color=colour, label=name, linewidth=1.8, linestyle=style, drawstyle="steps-pre")
    styled(axes, theme, right_end=right_end)


def styled(axes: Axes, theme: Theme, *, right_end: float) -> None:
    """Dress axes of percentages in the colours of a theme."""
    axes.set_xlim(0.0, right_end)
    axes.set_ylim(0.0, 100.0)
    axes.set_facecolor(theme.paper)
    axes.grid(color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)


def _curve(run: RunData, budget: Budget, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the step function ε ↦ 100·#{radius ≥ ε}/inputs, drawn with steps before each point."""
    r = reached(run, budget)
    if r.size == 0:
        return np.zeros(1), np.zeros(1)
    share = 100.0 * np.arange(r.size, 0, -1) / inputs
    return np.concatenate([[0.0], r, r[-1:]]), np.concatenate([share[:1], share, [0.0]])


def _colours(count: int, theme: Theme) -> Sequence[Any]:
    if count <= len(theme.curves):
        return theme.curves[:count]
    span = (0.0, 0.85) if theme is LIGHT else (0.3, 1.0)
    return [mpl.colormaps["viridis"](v) for v in np.linspace(*span, count)]


def _right_end(runs: Sequence[RunData]) -> float:
    largest = max(float(run.results["radius"].fillna(0.0).max()) for run in runs)
    return 1.05 * largest if largest > 0.0 else 1.0


def legend(axes: Axes, theme: Theme) -> None:
    """Add a legend in the colours of a theme."""
    axes.legend(frameon=False, labelcolor=theme.ink, fontsize=9, loc="upper right")


def _x_label(run: RunData) -> str:
    norm = str(run.settings.get("norm", "l2"))
    if norm in ("l2", "l1"):
        return f"{_AXES[norm]}, in {run.settings.get('unit', 'units of the noise')}"
    return _AXES.get(norm, "ε (no continuous noise)")


def _spelled(value: Any) -> str:
    """One number, or the range of several."""
    if not isinstance(value, list):
        return format_exact(value)
    low, high = format_exact(min(value)), format_exact(max(value))
    return low if low == high else f"{low}…{high}"


def _y_label(run: RunData) -> str:
    return "certified accuracy (% of inputs)" if run.has_target else "certified (% of inputs)"


def _symbol(key: str) -> str:
    return _SYMBOLS.get(key, key)


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
