"""What a run asked of its copies, how many it drew, and what that means: in numbers and in sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from hybridcert.certificate.directed import format_exact
from hybridcert.reports.run_data import RunData


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What every input was asked for.

    Attributes
    ----------
    d, eps : int and float
        Certified against d changes (of every attacked modality) and a shift of length ε.
    met : int
        Inputs that are, whether or not their label is the true one.
    """

    d: int | tuple[int, ...]
    eps: float
    met: int

    @property
    def name(self) -> str:
        """Spell it: "d = 1, ε = 0.25"."""
        shift = f", ε = {format_exact(self.eps)}" if self.eps else ""
        return f"d = {self.d}{shift}"


def may_stop(settings: Mapping[str, Any]) -> bool:
    """Whether inputs of a run can have fewer copies than the most."""
    return any(settings.get(key) is not None for key in ("stopping", "bound", "budget"))


def target_of(run: RunData) -> Target | None:
    """Return the target of a run and how many inputs meet it; None for a run without one."""
    asked = (run.settings.get("stopping") or {}).get("target")
    if asked is None:
        return None
    d, eps = asked["d"], float(asked["eps"])
    d = tuple(d) if isinstance(d, list) else d
    budget = d if isinstance(d, tuple) else (d,) * len(run.budget_columns)
    rows = run.at(budget)
    radius = rows["radius"].to_numpy(dtype=np.float64, na_value=-1.0)
    met = rows["certified"].to_numpy(dtype=np.bool_) & (radius >= eps)
    return Target(d, eps, int(met.sum()))


def failed(run: RunData) -> int:
    """Return how many inputs are without counts because their model calls kept failing."""
    return len(run.settings.get("failures") or {})


def sentences(run: RunData) -> list[str]:
    """Say why sampling of an input could end early, what that saved, and what it costs; none if it could not.

    Failed inputs have a sentence of their own.
    """
    found = _why(run)
    if found:
        rows = run.at(run.budgets[0])
        drawn, most = int(rows["samples"].sum()), int(run.settings["samples"]) * len(rows)
        found.append(f"{drawn:,} copies of {len(rows)} inputs were drawn, of {most:,} at most.")
    number = failed(run)
    if number:
        found.append(
            f"{number} of the inputs failed: the classifier raised, died or took too long each time it was "
            "asked. Nothing is claimed about them; environment.json says why."
        )
    return found


def _why(run: RunData) -> list[str]:
    settings, found = run.settings, []
    target = target_of(run)
    tolerance = (settings.get("stopping") or {}).get("tolerance")
    if target is not None:
        inputs = len(run.at(run.budgets[0]))
        found.append(
            f"Asked of each input: certified at {target.name}. {target.met} of {inputs} are. Sampling of an "
            "input ended when this was proven or out of reach, so at other budgets, radii and thresholds "
            "more may hold than is certified here."
        )
        if settings.get("bound") == "exact":
            found.append(
                "Where sampling ended early because it was out of reach, nothing at all is certified."
            )
    elif tolerance is not None:
        found.append(
            "Sampling of an input ended when more copies were not expected to matter, with tolerance "
            f"{format_exact(tolerance)}: radii are somewhat smaller than all copies would give."
        )
    if settings.get("budget") is not None:
        stopped = run.at(run.budgets[0]).get("stopped")
        short = 0 if stopped is None else int((stopped == "budget spent").sum())
        everybody = "All inputs" if run.benign is None else "All inputs to be flagged"
        found.append(
            f"{everybody} together had a budget of {settings['budget']:,} copies; {short} of them ended for "
            "want of it."
        )
    return found
