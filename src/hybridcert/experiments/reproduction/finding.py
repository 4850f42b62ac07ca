"""What the measurement of a table or figure ends in: numbers, curves, and sentences about them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pandas as pd

from hybridcert.certificate.directed import Bools
from hybridcert.certification import CertificationRun


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """One curve of a panel.

    Attributes
    ----------
    name : str
    x : tuple of float
        "steps": the certified radii of the inputs that have one, ascending. "lines": positions.
    y : tuple of float
        "steps": empty, since every radius is a step of one input. "lines": heights.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One set of axes.

    Attributes
    ----------
    kind : {"steps", "lines"}
        Shares of ``inputs`` whose radius reaches ε, or points that are joined.
    inputs : int
        What shares of "steps" are out of.
    top : float
        Upper end of the vertical axis.
    """

    title: str
    x_label: str
    y_label: str
    kind: Literal["steps", "lines"]
    curves: tuple[Curve, ...]
    inputs: int = 0
    top: float = 100.0


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One table or figure, measured.

    Attributes
    ----------
    title : str
    table : DataFrame
        All digits; columns that end in ``_lower`` or are radii are lower bounds.
    shown : sequence of rows
        The table as people read it, the paper's numbers beside ours: first row the headings.
    paragraphs : tuple of str
        The comparison with the paper, made from the numbers.
    panels : tuple of Panel
        Empty where a figure would say nothing.
    facts : mapping
        How it was measured: noise, copies, thresholds, inputs.
    """

    title: str
    table: pd.DataFrame
    shown: Sequence[Sequence[str]]
    paragraphs: tuple[str, ...]
    panels: tuple[Panel, ...]
    facts: Mapping[str, Any]


def reached(run: CertificationRun, d: int, right: Bools | None = None) -> Curve:
    """Return the curve of one budget: radii of the inputs certified there (and ``right``, where given)."""
    radii = run.point(d).radii
    some = radii.certified if right is None else radii.certified & right
    return Curve(f"d = {d}", tuple(float(r) for r in np.sort(radii.radius[some])))


def mean_lower(values: Iterable[float]) -> float | None:
    """Return a lower bound on the exact mean of some lower bounds; None without values."""
    exact = [Fraction(float(value)) for value in values]
    if not exact:
        return None
    mean = sum(exact, Fraction(0)) / len(exact)
    nearest = float(mean)
    return nearest if Fraction(nearest) <= mean else math.nextafter(nearest, -math.inf)
