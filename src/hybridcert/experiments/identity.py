"""What makes two runs the same run, so that the counts of one may be used by the other."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from hybridcert.errors import DataError
from hybridcert.experiments.config import Config, read_mapping
from hybridcert.experiments.config_paths import without_places
from hybridcert.experiments.run_directory import COMPLETE, CONFIG_FILE
from hybridcert.sampling.store_file import explained, is_store
from hybridcert.sampling.store_identity import check_same, flatten

_PACKAGES = ("hybridcert", "numpy")


class Digested(Protocol):
    """Data that are known by their content."""

    def digest(self) -> str:
        """Return the SHA-256 of the content, in hexadecimal."""


def run_identity(config: Config, data: Digested, *, rows: int) -> dict[str, Any]:
    """Return what the counts of a run depend on, all but the trained model.

    That is the configuration without its report and without places and deliveries, the data's content, the
    number of rows to certify, and the packages that draw the noise. Workers play no part.

    Parameters
    ----------
    data : Digested
        All the data.
    rows : int
        How many test rows are certified.
    """
    return {
        "configuration": what_counts(config.resolved()),
        "data": {"sha256": data.digest()},
        "rows": rows,
        "packages": {package: version(package) for package in _PACKAGES},
    }


def check_same_run(store: Path, identity: Mapping[str, Any]) -> None:
    """Compare an identity that still lacks the model with that of a store, before a model is trained.

    A store whose making was cut short has no identity, and suits every run.

    Raises
    ------
    RunMismatchError
        Naming what differs.
    StoreError
        When the store cannot be read.
    """
    uri = f"{store.resolve().as_uri()}?mode=ro"
    with explained(store), contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        if not is_store(connection, store):
            return
        kept = dict(connection.execute("SELECT name, value FROM identity ORDER BY position"))
    check_same(store, {k: v for k, v in kept.items() if not k.startswith("model.")}, flatten(identity))


def check_same_files(directory: Path, identity: Mapping[str, Any]) -> None:
    """Compare an identity with what a run directory without a store says of itself.

    That is its configuration and, where the run is complete, the data and rows that it was about.

    Raises
    ------
    RunMismatchError
        Naming what differs.
    ConfigError, DataError
        When a file is not what a run writes.
    """
    config, complete = directory / CONFIG_FILE, directory / COMPLETE
    was: dict[str, Any] = {"configuration": what_counts(read_mapping(config))}
    if complete.is_file():
        try:
            data = json.loads(complete.read_text(encoding="utf-8"))["data"]
            was["data"] = {"sha256": data["sha256"]}
            was["rows"] = data["certified_rows"] + data.get("false_alarm_rows", 0)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{complete} is not what a run writes ({error}): choose another --out") from error
    check_same(config, flatten(was), flatten({key: identity[key] for key in was}))


def check_same_sweep(config: Path, raw: Mapping[str, Any]) -> None:
    """Compare the configuration of a sweep with the one that its directory was made with.

    Raises
    ------
    RunMismatchError
        Naming what differs.
    """
    was = read_mapping(config)
    check_same(config, flatten(what_counts(was)), flatten(what_counts(raw)))


def what_counts(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without its report, and without where the data and the model are."""
    return without_places({key: value for key, value in configuration.items() if key != "report"})
