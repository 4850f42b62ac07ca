"""Runs that have not come to their end: nothing of them is read as a result."""

from __future__ import annotations

from pathlib import Path

import yaml

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
            f"{directory} holds an unfinished run: finish it with hybridcert {_command(directory)} --out "
            f"{directory} --resume"
        )


def _command(directory: Path) -> str:
    """Return the command that writes such a directory; a reproduction names itself in its configuration."""
    try:
        config = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        config = None
    artefacts = config.get("reproduce") if isinstance(config, dict) else None
    if not isinstance(artefacts, list):
        return "certify CONFIG.yaml"
    return f"reproduce {artefacts[0] if len(artefacts) == 1 else 'all'}"
