"""Runs that have not come to their end: nothing of them is read as a result."""

from __future__ import annotations

from pathlib import Path

from hybridcert.errors import DataError


def check_finished(directory: Path) -> None:
    """Raise DataError where a directory holds a run, or a sweep, that has not come to its end.

    A run has its configuration from the start; ``environment.json``, or ``sweep.json``, is its last file.
    Directories that `CertificationRun.save` wrote have results and no configuration.
    """
    if not (directory / "config.yaml").is_file():
        return
    if any((directory / last).is_file() for last in ("environment.json", "sweep.json")):
        return
    if (directory / "run.sqlite").is_file() or not (directory / "results.parquet").is_file():
        raise DataError(
            f"{directory} holds an unfinished run: finish it with hybridcert certify CONFIG.yaml --out "
            f"{directory} --resume"
        )
