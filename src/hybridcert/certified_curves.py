"""The figure of a run: certified inputs against ε, one curve for each discrete budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from hybridcert.documents.claims import TopK

if TYPE_CHECKING:
    import pandas as pd

    from hybridcert.certification import CertificationRun

_DISTANCES = {
    "l2": "ε, ℓ₂ distance in {unit}",
    "l1": "ε, ℓ₁ distance in {unit}",
    "mahalanobis": "ε = √Σ(δ_j/σ_j)², in noise scales",
}


def draw(run: CertificationRun, y: Sequence[Any] | npt.NDArray[Any] | pd.Series | None) -> Figure:
    """Draw the curves of a run; see `CertificationRun.plot`."""
    right = np.ones(len(run), dtype=np.bool_) if y is None else run.predictions == np.asarray(y)
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    if run.norm == "none":
        shares = [float((point.radii.certified & right).mean()) for point in run.points]
        axes.bar([str(point.d) for point in run.points], shares, width=0.6)
        axes.set_xlabel("d")
    else:
        for point in run.points:
            reached = np.sort(point.radii.radius[point.radii.certified & right])
            share = (reached.size - np.arange(reached.size)) / max(1, len(run))
            eps, height = np.append(reached, reached[-1:]), np.append(share, 0.0)[: reached.size + 1]
            if reached.size:
                axes.step(
                    np.concatenate([[0.0], eps]),
                    np.concatenate([height[:1], height]),
                    where="pre",
                    label=f"d = {point.d}",
                )
            else:
                axes.plot([0.0], [0.0], label=f"d = {point.d} (none)")
        axes.set_xlabel(_DISTANCES[run.norm].format(unit=run.unit))
        axes.set_xlim(left=0.0)
        axes.legend()
    claim = run.claim
    answered = claim.k == 1 if isinstance(claim, TopK) else claim.threshold >= 0.5
    accuracy = "certified accuracy" if answered else "inputs whose true label is certified"
    axes.set_ylabel("certified inputs" if y is None else accuracy)
    axes.set_ylim(0.0, 1.0)
    return figure
