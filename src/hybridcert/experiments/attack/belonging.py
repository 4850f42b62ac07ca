"""Which run directory belongs to a configuration: the same certification of the same data and model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridcert.errors import DataError, HybridCertError, RunMismatchError
from hybridcert.experiments.config import read_mapping
from hybridcert.experiments.identity import run_identity, what_counts
from hybridcert.experiments.run_directory import COMPLETE, CONFIG_FILE, is_complete
from hybridcert.experiments.runs import Run
from hybridcert.sampling.store_identity import flatten

_NAMES = ("checkpoint", "base_url")
"""Of a described model: what it is called or where it answers, rather than what it is."""


def runs_named(parent: Path, name: str) -> list[Path]:
    """Return the complete run directories ``parent/name``, ``name-2``, …, the newest first."""
    places = parent.iterdir() if parent.is_dir() else ()
    found = [p for p in places if (p.name == name or p.name.startswith(f"{name}-")) and is_complete(p)]
    return sorted(found, key=lambda path: (path / COMPLETE).stat().st_mtime_ns, reverse=True)


def belonging(run: Run, directory: Path) -> Run:
    """Return the run of a directory: ``run``, with as many rows as were certified there.

    Raises
    ------
    RunMismatchError
        When the directory holds a run of another configuration or other data, naming what differs.
    ConfigError, DataError
        When it holds no complete run, or its files are not what a run writes.
    """
    environment = read_environment(directory)
    data = environment["data"]
    there = dataclasses.replace(run, limit=data["certified_rows"] + data.get("false_alarm_rows", 0))
    kept = read_mapping(directory / CONFIG_FILE)
    was = {
        "configuration": what_counts(kept),
        "data": {"sha256": data["sha256"]},
        "rows": there.limit,
    }
    now = run_identity(run.config, run.whole, rows=there.rows())
    _check_same(directory, was, {key: now[key] for key in was})
    return there


def newest_belonging(run: Run, parent: Path, name: str) -> Path | None:
    """Return the newest complete run directory of that name that belongs to a run, if there is one."""
    for directory in runs_named(parent, name):
        try:
            belonging(run, directory)
        except HybridCertError:
            continue
        return directory
    return None


def check_model(directory: Path, described: Mapping[str, Any]) -> None:
    """Raise RunMismatchError unless a model is the one that a run directory was made with."""
    _check_same(
        directory,
        {"model": _what_it_is(read_environment(directory)["model"])},
        {"model": _what_it_is(json.loads(json.dumps(described, default=str)))},
    )


def read_environment(directory: Path) -> dict[str, Any]:
    """Return what a complete run directory says of its data and its model.

    Raises
    ------
    DataError
        When there is no complete run.
    """
    path = directory / COMPLETE
    if not path.is_file():
        state = "an unfinished run: finish it with certify --resume" if directory.is_dir() else "no run"
        raise DataError(f"{directory} holds {state}; --run takes a complete run directory")
    try:
        environment = json.loads(path.read_text(encoding="utf-8"))
        if environment["data"]["sha256"] and environment["model"] and environment["data"]["certified_rows"]:
            return dict(environment)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not what a run writes ({error}): certify again") from error
    raise DataError(f"{path} says of nothing what it was about: certify again")


def _what_it_is(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a described model without names and places; of a device only its kind counts."""
    kept = {key: value for key, value in model.items() if key not in _NAMES}
    if "device" in kept:
        kept["device"] = str(kept["device"]).partition(":")[0]
    return kept


def _check_same(directory: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    kept, wanted = flatten(was), flatten(now)
    names = [name for name in dict.fromkeys((*kept, *wanted)) if kept.get(name) != wanted.get(name)]
    if not names:
        return
    name, more = names[0], len(names) - 1
    raise RunMismatchError(
        f"{directory} is the run of something else: {name} was {_short(kept.get(name))}, is "
        f"{_short(wanted.get(name))}{f'; and {more} more' if more else ''}. Name the run of this "
        "configuration and data with --run, or leave --run out to certify anew"
    )


def _short(value: str | None) -> str:
    text = "not given" if value is None else value
    return text if len(text) <= 66 else f"{text[:63]}..."
