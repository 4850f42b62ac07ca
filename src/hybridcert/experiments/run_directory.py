"""Run directories: written next to their place and moved there when complete, so nothing is half-written."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from hybridcert.certification import CertificationRun
from hybridcert.datasets.tables import Table
from hybridcert.documents.issue import FILE_NAME, write_certificates
from hybridcert.errors import DataError
from hybridcert.experiments.sweep import SweepRun

_PACKAGES = ("hybridcert", "numpy", "scipy", "pandas", "pyarrow", "python-flint", "scikit-learn")


def check_vacant(out: Path) -> None:
    """Raise DataError unless a run directory can be made at ``out``."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: choose another directory with --out")
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out} is not empty: choose another directory with --out, or remove it")


def next_vacant(parent: Path, name: str) -> Path:
    """Return ``parent/name``, or ``name-2``, ``name-3``, … if that is taken."""
    out, number = parent / name, 2
    while out.exists():
        out, number = parent / f"{name}-{number}", number + 1
    return out


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling of ``out`` that takes its place when the block ends well.

    Raises
    ------
    DataError
        When ``out`` is taken or its parent cannot be written.
    """
    check_vacant(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise DataError(f"{out.parent} cannot be written: {error.strerror or error}") from error
    try:
        yield scratch
        scratch.chmod(0o777 & ~_umask())
        if out.is_dir():
            out.rmdir()
        scratch.rename(out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def write_run(
    directory: Path,
    *,
    run: CertificationRun,
    target: npt.NDArray[Any],
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    extras: Sequence[Mapping[str, Any]] = (),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write configuration, results, certificates and environment into ``directory`` (made if missing).

    Parameters
    ----------
    target : array, shape (inputs,)
        True labels.
    extras : mappings with title, text, columns and rows
        Further tables for the report.
    progress : callable(done, total), optional
        Told how many certificates are issued; each is verified before it is written.
    """
    directory.mkdir(exist_ok=True)
    (directory / "config.yaml").write_text(
        yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    frame = run.frame()
    frame.insert(1, "target", np.tile(target, len(run.points)))
    frame.to_parquet(directory / "results.parquet", index=False)
    provenance = {key: environment[key] for key in ("model", "packages")}
    provenance["data"] = {"sha256": environment["data"].get("sha256")}
    documents: Iterable[dict[str, Any]] = run.certificates(provenance)
    if progress is not None:
        documents = _counted(documents, len(run), progress)
    write_certificates(directory / FILE_NAME, documents)
    write_json(directory / "run.json", run.describe())
    write_json(directory / "environment.json", environment)
    if extras:
        write_json(directory / "extras.json", list(extras))


def describe_environment(
    *, title: str, seed: int, data: Mapping[str, Any], model: Mapping[str, Any], cost: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that a result may depend on besides the configuration, and what it cost."""
    return {
        "title": title,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _versions(),
        "data": dict(data),
        "model": dict(model),
        "seed": seed,
        "cost": {**cost, "peak_memory_mib": _peak_memory_mib()},
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


def write_sweep_index(
    directory: Path, raw: Mapping[str, Any], runs: Sequence[SweepRun], *, title: str
) -> None:
    """Write the configuration of a sweep, and which run lies where."""
    (directory / "config.yaml").write_text(yaml.safe_dump(dict(raw), sort_keys=False), encoding="utf-8")
    write_json(
        directory / "sweep.json",
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


def _peak_memory_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
