"""The joint certificate and its rivals in one table: which share of the inputs each certifies at (d, ε)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hybridcert.baselines import naive_product
from hybridcert.baselines.certified import Baseline, Claims, check_budgets
from hybridcert.certificate.directed import Bools
from hybridcert.certification import CertificationRun
from hybridcert.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

JOINT = Baseline(
    name="joint certificate",
    source="Theorem 4.2 of the paper",
    sound=True,
    certifies="d discrete changes and a shift of ε together",
    needs=(),
    calls="N",
)
"""What the baselines are compared with."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """What a run with noise on both parts certifies, in the words of the baselines.

    Attributes
    ----------
    run : CertificationRun
        Against one threat, or none.
    """

    run: CertificationRun
    baseline: ClassVar[Baseline] = JOINT

    def claims(self, *, d: int, eps: float) -> Bools:
        """Whether (``d``, ``eps``) is certified, shape (m,); nothing is beyond the threat of the run."""
        check_budgets(d, eps)
        if d >= len(self.run.points):
            return np.zeros(len(self.run), dtype=np.bool_)
        return self.run.certified(d, eps)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class NaiveProduct:
    """UNSOUND: what the naive product claims of the same run. Guarantee: none.

    Attributes
    ----------
    run : CertificationRun
        Against one threat, or none.
    """

    run: CertificationRun
    baseline: ClassVar[Baseline] = naive_product.BASELINE

    def claims(self, *, d: int, eps: float) -> Bools:
        """Whether (``d``, ``eps``) is claimed, shape (m,). UNSOUND: a claim here may be false."""
        check_budgets(d, eps)
        if d >= len(self.run.points):
            return np.zeros(len(self.run), dtype=np.bool_)
        return naive_product.naive_product_of_run(self.run, d).claims(eps)


def compared(results: Sequence[Claims], budgets: Sequence[tuple[int, float]]) -> pd.DataFrame:
    """Return the share of inputs that each result certifies at each (d, ε).

    Parameters
    ----------
    results : sequence of results
        Of the same inputs: `Joint`, `ImageOnly`, `TextOnly`, `Dropped`, `Erased`, `NaiveProduct`.
    budgets : sequence of (d, eps)

    Returns
    -------
    DataFrame
        One row a result, in their order: ``baseline``, ``sound``, and a column ``d = …, ε = …`` a budget.

    Raises
    ------
    ParameterError
        For results about different numbers of inputs.
    """
    import pandas as pd

    columns: dict[str, list[object]] = {
        "baseline": [result.baseline.name for result in results],
        "sound": [result.baseline.sound for result in results],
    }
    for d, eps in budgets:
        claimed = [result.claims(d=d, eps=eps) for result in results]
        rows = {claims.size for claims in claimed}
        if len(rows) > 1:
            raise ParameterError(f"results must be about the same inputs, got {sorted(rows)} of them")
        columns[f"d = {d}, ε = {eps:g}"] = [
            float(claims.mean()) if claims.size else 0.0 for claims in claimed
        ]
    return pd.DataFrame(columns)
