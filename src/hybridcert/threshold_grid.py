"""Radii at further thresholds, from the counts and bounds of a run: no copy is drawn for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.certificate.frontier import Radii, radius
from hybridcert.certificate.ranges import check_open
from hybridcert.errors import ParameterError

if TYPE_CHECKING:
    from hybridcert.certification import BudgetPoint, CertificationRun

FILE_NAME = "thresholds.parquet"

GRID = (
    *(float(f"{step}e-{power}") for power in (5, 4, 3, 2) for step in (1, 2, 5)),
    *(0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99),
)
"""Thresholds at which a run is tabulated beside its own: from one in a hundred thousand to 0.99."""


def at_thresholds(run: CertificationRun, thresholds: Iterable[float] = GRID) -> pd.DataFrame:
    """Tabulate what is certified at other thresholds.

    Guarantee: as that of the run, with each of these thresholds in place of its own; they all hold together,
    because every radius is a function of the same confidence bound. Each is solved and proven anew.

    Parameters
    ----------
    run : CertificationRun
        A claim about a score.
    thresholds : iterable of float in (0, 1)
        The run's own is added.

    Returns
    -------
    DataFrame
        ``input``, the budget (``d``, or ``d_NAME`` for each attacked modality), ``threshold``, ``certified``,
        and ``radius`` (lower bound in the run's unit; missing where nothing is certified). One row for each
        input, budget and threshold, thresholds ascending.

    Raises
    ------
    ParameterError
        For a claim about ranks, which has no threshold, and for thresholds outside (0, 1).
    """
    own = run.threshold
    if own is None:
        raise ParameterError("a claim about the strongest labels has no threshold to vary: claim a score")
    asked = sorted({own, *(float(threshold) for threshold in thresholds)})
    for threshold in asked:
        check_open("threshold", threshold)
    parts = []
    for point in run.points:
        further = _further(run, point, [threshold for threshold in asked if threshold != own])
        for threshold in asked:
            radii = point.radii if threshold == own else next(further)
            parts.append(
                pd.DataFrame(
                    {
                        "input": run.index,
                        **_budget(run, point),
                        "threshold": threshold,
                        "certified": radii.certified,
                        "radius": pd.arrays.FloatingArray(radii.radius.copy(), ~radii.certified),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def write_thresholds(directory: Path, run: CertificationRun, further: Iterable[float] = ()) -> None:
    """Write ``thresholds.parquet``: the table of `at_thresholds` on `GRID` and at ``further`` thresholds."""
    at_thresholds(run, (*GRID, *further)).to_parquet(directory / FILE_NAME, index=False, compression="zstd")


def _further(run: CertificationRun, point: BudgetPoint, thresholds: list[float]) -> Iterator[Radii]:
    """Yield the radii at each threshold: one solve for each distinct bound and attack."""
    setting = run.cases[0]
    alike = {id(attack): attack for attack in point.attacks}  # equal attacks are one object
    number = np.array([id(attack) for attack in point.attacks])[run.case]
    shares = []
    for key, attack in alike.items():
        rows = np.flatnonzero(number == key)
        p_lower, inverse = np.unique(run.p_lower[rows], return_inverse=True)
        shares.append((rows, p_lower, inverse, [candidate.spectrum for candidate in attack.candidates]))
    for threshold in thresholds:
        certified = np.zeros(len(run), dtype=np.bool_)
        found: npt.NDArray[np.float64] = np.zeros(len(run))
        for rows, p_lower, inverse, spectra in shares:
            if not rows.size:
                continue
            radii = radius(
                p_lower=p_lower,
                spectrum=spectra,
                sigma=setting.scale,
                threshold=threshold,
                noise="laplace" if setting.noise == "laplace" else "gaussian",
            )
            certified[rows] = radii.certified[inverse]
            if setting.noise != "none":  # without continuous noise what holds, holds at radius 0
                found[rows] = radii.radius[inverse]
        yield Radii(certified, found, np.zeros(len(run)), np.zeros(len(run)))


def _budget(run: CertificationRun, point: BudgetPoint) -> dict[str, int]:
    if isinstance(point.d, int):
        return {"d": point.d}
    return {f"d_{name}": value for name, value in zip(run.modalities, point.d, strict=True)}
