"""The files of a complete run: results, certificates, and what they may depend on."""

from __future__ import annotations

import json
import platform
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.certification import CertificationRun
from hybridcert.datasets.tables import Table
from hybridcert.documents.issue import FILE_NAME, write_certificates
from hybridcert.experiments.kept_inputs import write_inputs
from hybridcert.experiments.pairs_data import GuardPairs
from hybridcert.experiments.run_directory import COMPLETE, SWEEP_COMPLETE, write_config
from hybridcert.experiments.sweep import SweepRun
from hybridcert.threshold_grid import write_thresholds

_PACKAGES = ("hybridcert", "numpy", "scipy", "pandas", "pyarrow", "python-flint", "scikit-learn")


def write_run(
    directory: Path,
    *,
    run: CertificationRun,
    target: npt.NDArray[Any],
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    extras: Sequence[Mapping[str, Any]] = (),
    inputs: pd.DataFrame | None = None,
    thresholds: Sequence[float] = (),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write configuration, results, certificates and environment into ``directory`` (made if missing).

    With them ``inputs.parquet`` and, for a claim about a score, ``thresholds.parquet``: what the page shows
    of each input, and radii at further thresholds.

    Parameters
    ----------
    target : array, shape (inputs,)
        True labels.
    extras : mappings with title, text, columns and rows
        Further tables for the report.
    inputs : DataFrame, one row per input, optional
        What the inputs are; see `kept_inputs`.
    thresholds : sequence of float
        Tabulated beside those of `threshold_grid.GRID`.
    progress : callable(done, total), optional
        Told how many certificates are issued; each is verified before it is written.
    """
    directory.mkdir(exist_ok=True)
    write_config(directory, config)
    frame = run.frame()
    frame.insert(1, "target", np.tile(target, len(run.points)))
    frame.to_parquet(directory / "results.parquet", index=False)
    write_inputs(directory, run, inputs)
    if run.threshold is not None:
        write_thresholds(directory, run, thresholds)
    provenance = {key: environment[key] for key in ("model", "packages")}
    provenance["data"] = {"sha256": environment["data"].get("sha256")}
    documents: Iterable[dict[str, Any]] = run.certificates(provenance)
    if progress is not None:
        documents = _counted(documents, int((run.samples > 0).sum()), progress)
    write_certificates(directory / FILE_NAME, documents)
    write_json(directory / "run.json", run.describe())
    if extras:
        write_json(directory / "extras.json", list(extras))
    failures = {str(run.index[row]): reason for row, reason in run.failures.items()}
    write_json(directory / COMPLETE, {**environment, "failures": {**environment["failures"], **failures}})


def describe_environment(
    *,
    title: str,
    seed: int,
    data: Mapping[str, Any],
    model: Mapping[str, Any],
    cost: Mapping[str, Any],
    failures: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything that a result may depend on besides the configuration, and what it cost."""
    return {
        "title": title,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _versions(),
        "data": dict(data),
        "model": dict(model),
        "failures": dict(failures or {}),
        "seed": seed,
        "cost": {**cost, **_rate(cost), "peak_memory_mib": _peak_memory_mib()},
    }


def describe_data(table: Table, *, train: Table, test: Table) -> dict[str, Any]:
    """Where the table came from, its digest, and how many rows trained and were certified."""
    return {
        "source": table.source,
        "sha256": table.digest(),
        "rows": len(table.X),
        "training_rows": len(train.X),
        "certified_rows": len(test.X),
    }


def describe_pairs(pairs: GuardPairs, *, chosen: GuardPairs) -> dict[str, Any]:
    """Where the pairs came from, their digest, and how many were certified and counted as benign."""
    flagged = int(chosen.flagged.sum())
    return {
        "source": pairs.pairs.source,
        "sha256": pairs.digest(),
        "rows": len(pairs),
        "certified_rows": flagged,
        "false_alarm_rows": len(chosen) - flagged,
    }


def write_sweep_index(directory: Path, runs: Sequence[SweepRun], *, title: str) -> None:
    """Write which run of a sweep lies where."""
    write_json(
        directory / SWEEP_COMPLETE,
        {
            "title": title,
            "keys": list(runs[0].values),
            "runs": [{"directory": run.directory, "values": list(run.values.values())} for run in runs],
        },
    )


def write_json(path: Path, value: object) -> None:
    """Write one indented JSON document."""
    path.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")


def _counted(
    documents: Iterable[dict[str, Any]], total: int, progress: Callable[[int, int], None]
) -> Iterator[dict[str, Any]]:
    for done, document in enumerate(documents, start=1):
        yield document
        progress(done, total)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            from hybridcert import __version__

            found[package] = __version__
    return found


def _rate(cost: Mapping[str, Any]) -> dict[str, float]:
    """Model calls per second of sampling, those found in the store left out."""
    made, seconds = cost["model_calls"] - cost.get("model_calls_from_store", 0), cost["sampling_seconds"]
    return {"calls_per_second": round(made / seconds, 1)} if made and seconds > 0.0 else {}


def _peak_memory_mib() -> float:
    """Of this process and, if that is more, of its largest worker."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
