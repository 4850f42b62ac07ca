"""Run directories, read back: results, settings, and the grid of ε for tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import yaml

from hybridcert.errors import DataError
from hybridcert.reports.kept import Kept, read_kept
from hybridcert.reports.unfinished import check_finished

Budget = tuple[int, ...]
"""One discrete budget per attacked modality; one entry where there is one modality."""

_REQUIRED = ("label", "successes", "samples", "p_lower", "certified", "radius", "p_adv")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class RunData:
    """One certification run.

    Attributes
    ----------
    directory : Path
    results : DataFrame
        One row per input and budget, as in ``results.parquet``.
    settings : mapping
        What was run (``run.json``).
    environment : mapping
        Versions, digests, cost; empty where it was not recorded.
    eps : tuple of float
        Grid for tables.
    extras : tuple of mapping
        Further tables of the experiment, each with title, text, columns and rows.
    benign : DataFrame or None
        For a filter, hits among the noisy copies of inputs that should not be flagged (``benign.parquet``).
    thresholds : tuple of float
        Those that the configuration asks for, and the run's own.
    kept : Kept
        Inputs, radii at further thresholds, and benign hits, where the directory has them.
    """

    directory: Path
    results: pd.DataFrame
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    eps: tuple[float, ...]
    extras: tuple[Mapping[str, Any], ...]
    benign: pd.DataFrame | None = None
    thresholds: tuple[float, ...] = ()
    kept: Kept = dataclasses.field(default_factory=Kept)

    @property
    def title(self) -> str:
        """What was certified, in a few words."""
        return str(self.environment.get("title", self.directory.resolve().name))

    @property
    def budget_columns(self) -> list[str]:
        """Columns that hold discrete budgets."""
        if "d" in self.results:
            return ["d"]
        return [c for c in self.results.columns if c.startswith("d_")]

    @property
    def budgets(self) -> list[Budget]:
        """All budgets, ascending."""
        return sorted(set(self.results[self.budget_columns].itertuples(index=False, name=None)))

    @property
    def rank(self) -> int | None:
        """The k of a top-k claim; None for a claim about a score."""
        return int(self.results["top_k"].iloc[0]) if "top_k" in self.results else None

    @property
    def threshold(self) -> float:
        """The score that a claim about a score has to exceed."""
        return float(self.results["threshold"].iloc[0])

    @property
    def norm(self) -> str:
        """What radii measure: "l2", "l1", "mahalanobis", or "none" without continuous noise."""
        return _norm(self.settings)

    @property
    def unit(self) -> str:
        """The unit of radii."""
        return str(self.settings.get("unit", "units of the noise"))

    @property
    def has_target(self) -> bool:
        """Whether true labels are known."""
        return "target" in self.results

    @property
    def names(self) -> list[Any]:
        """What the inputs are called, in their order; numbers where they have no names."""
        rows = self.at(self.budgets[0])
        return rows["input"].tolist() if "input" in rows else list(range(len(rows)))

    def at(self, budget: Budget) -> pd.DataFrame:
        """Return the rows of one budget, one per input."""
        rows = self.results
        for column, d in zip(self.budget_columns, budget, strict=True):
            rows = rows[rows[column] == d]
        return rows

    def name_of(self, budget: Budget) -> str:
        """Spell a budget, such as "d = 1" or "d(text) = 1, d(tags) = 0"."""
        names = ["d" if c == "d" else f"d({c.removeprefix('d_')})" for c in self.budget_columns]
        return ", ".join(f"{name} = {d}" for name, d in zip(names, budget, strict=True))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SweepData:
    """Runs that differ in the values of some keys.

    Attributes
    ----------
    directory : Path
    title : str
    keys : tuple of str
        Dotted configuration keys that were swept.
    values : tuple of tuples
        Their values, one tuple per run.
    runs : tuple of RunData
    """

    directory: Path
    title: str
    keys: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    runs: tuple[RunData, ...]


def read_directory(directory: Path) -> RunData | SweepData:
    """Read a run directory or a sweep directory.

    Raises
    ------
    DataError
        When it is neither, its run has not come to its end, or a file in it is broken.
    """
    if not directory.is_dir():
        raise DataError(f"{directory} is not a directory: expected what `hybridcert certify` wrote")
    check_finished(directory)
    if (directory / "sweep.json").is_file():
        return read_sweep(directory, index=directory / "sweep.json")
    return read_run(directory)


def read_run(directory: Path) -> RunData:
    """Read one run directory; raise DataError when a file is missing or broken."""
    results = _read_results(directory / "results.parquet")
    settings = _read_json(directory / "run.json")
    optional = {
        name: _read_json(directory / name) if (directory / name).is_file() else None
        for name in ("environment.json", "extras.json")
    }
    run = RunData(
        directory,
        results,
        settings,
        optional["environment.json"] or {},
        (0.0,) if _norm(settings) == "none" else _grid(directory / "config.yaml", results),
        tuple(optional["extras.json"] or ()),
        _read_benign(directory / "benign.parquet"),
        _thresholds(directory / "config.yaml", settings),
    )
    return dataclasses.replace(run, kept=read_kept(directory, results, run.budget_columns))


def read_sweep(directory: Path, *, index: Path) -> SweepData:
    """Read the runs of a sweep that ``index`` lists; raise DataError when a file is missing or broken."""
    sweep = _read_json(index)
    try:
        return SweepData(
            directory,
            str(sweep.get("title", directory.resolve().name)),
            tuple(sweep["keys"]),
            tuple(tuple(run["values"]) for run in sweep["runs"]),
            tuple(read_run(directory / run["directory"]) for run in sweep["runs"]),
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{index} does not describe a sweep ({error})") from error


def _read_results(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path.parent} holds no results.parquet: expected what `hybridcert certify` wrote")
    try:
        results = pd.read_parquet(path)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    claim = "top_k" if "top_k" in results else "threshold"
    lacking = [c for c in (*_REQUIRED, claim) if c not in results]
    if lacking or results.empty:
        reason = f"it has no column {lacking[0]!r}" if lacking else "it has no rows"
        raise DataError(f"{path} is not a result table: {reason}")
    return results


def _norm(settings: Mapping[str, Any]) -> str:
    """Runs of older versions do not state the norm, but it follows from noise and unit."""
    if "norm" in settings:
        return str(settings["norm"])
    kernels = [noise["kernel"] for noise in settings.get("noise", {}).values()]
    unit = str(settings.get("unit", ""))
    if "laplace" in kernels:
        return "l1"
    if unit == "no continuous noise":
        return "none"
    return "mahalanobis" if unit.startswith("noise scales") else "l2"


def _read_benign(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        benign = pd.read_parquet(path)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    for column in ("target", "clean_label", "hits", "samples"):
        if column not in benign or benign.empty:
            raise DataError(f"{path} does not count false alarms: it has no {column!r}")
    return benign


def _thresholds(config: Path, settings: Mapping[str, Any]) -> tuple[float, ...]:
    """The thresholds that the configuration asks for, and the run's own."""
    own = settings.get("threshold")
    found = set() if own is None else {float(own)}
    if config.is_file():
        try:
            loaded = yaml.safe_load(config.read_text(encoding="utf-8"))
            found |= {float(t) for t in loaded["report"]["thresholds"]}
        except (yaml.YAMLError, KeyError, TypeError, ValueError):
            pass
    return tuple(sorted(found))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def _grid(config: Path, results: pd.DataFrame) -> tuple[float, ...]:
    """The grid that the configuration asks for, or quarters up to the largest radius."""
    if config.is_file():
        try:
            loaded = yaml.safe_load(config.read_text(encoding="utf-8"))
            return tuple(float(e) for e in loaded["report"]["eps"])
        except (yaml.YAMLError, KeyError, TypeError, ValueError):
            pass
    largest = float(results["radius"].fillna(0.0).max())
    step = next((s for s in (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0) if largest / s <= 8), largest / 8)
    return tuple(round(i * step, 10) for i in range(int(largest / step) + 1))
