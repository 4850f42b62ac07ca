"""Logging finished runs to MLflow, for those who keep their experiments there (extra ``mlflow``).

Servers (http, https, databricks) work with what the extra installs. A database such as ``sqlite:///mlflow.db``
needs the whole ``mlflow`` package, and a plain folder the variable ``MLFLOW_ALLOW_FILE_STORE=true``.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from hybridcert.errors import ConfigError, DataError
from hybridcert.experiments.run_files import write_json

EXPERIMENT = "hybridcert"
"""The MLflow experiment, unless the variable ``MLFLOW_EXPERIMENT_NAME`` names another."""

_LONGEST = 500  # characters of a parameter that every server takes
_AT_ONCE = 100  # parameters or metrics in one request
_FILES = ("environment.json", "config.yaml", "results.parquet")


def check_tracking(uri: str) -> None:
    """Find out before a run whether it can be logged.

    Raises
    ------
    ConfigError
        When the extra is not installed, or the tracking server or store cannot be used.
    """
    with _one_line(uri):
        _experiment(_client(uri))


def log_run(directory: Path, uri: str) -> str | None:
    """Log a finished run directory: configuration, cost, certified counts, and its main files.

    ``mlflow.json`` in the directory says where it was logged; what was logged there is not logged again.

    Parameters
    ----------
    uri : str
        Tracking URI, as MLflow takes it.

    Returns
    -------
    str or None
        The identifier of the new MLflow run.

    Raises
    ------
    ConfigError
        When the tracking server or store cannot be used.
    DataError
        When a file of the run cannot be read.
    """
    note = directory / "mlflow.json"
    try:
        if note.is_file() and json.loads(note.read_text(encoding="utf-8"))["uri"] == uri:
            return None
        environment = json.loads((directory / "environment.json").read_text(encoding="utf-8"))
        config = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
        found = metrics(environment, pd.read_parquet(directory / "results.parquet"))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{directory} cannot be logged: {' '.join(str(error).split())}") from error
    with _one_line(uri):
        client = _client(uri)
        run = client.create_run(_experiment(client), run_name=environment["title"]).info.run_id
        try:
            _log(client, run, parameters(config), found)
            for name in _FILES:
                client.log_artifact(run, str(directory / name))
        except BaseException:
            client.set_terminated(run, status="FAILED")
            raise
        client.set_terminated(run)
    write_json(note, {"uri": uri, "run": run})
    return str(run)


def parameters(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the leaves of a configuration by dotted keys, as text that fits."""
    found: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": text for inner, text in parameters(value).items()}
        else:
            text = str(value)
            found[str(key)] = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return found


def metrics(environment: Mapping[str, Any], results: pd.DataFrame) -> dict[str, float]:
    """Return what a run cost and how many inputs it certified at each budget.

    With true labels, those that are right and certified are counted besides.
    """
    cost = environment.get("cost", {})
    found = {f"cost.{key}": float(value) for key, value in cost.items() if isinstance(value, int | float)}
    budgets = [c for c in results.columns if c == "d" or str(c).startswith("d_")]
    for values, rows in results.groupby(budgets):
        name = ",".join(f"{c}_{v}" for c, v in zip(budgets, values, strict=True))
        found[f"certified.{name}"] = float(rows["certified"].sum())
        if "target" in rows:
            right = rows["label"].astype(str) == rows["target"].astype(str)
            found[f"certified_and_right.{name}"] = float((rows["certified"] & right).sum())
    found["inputs"] = float(len(results) // results.groupby(budgets).ngroups)
    found["failed"] = float(len(environment.get("failures", {})))
    return found


def _log(client: Any, run: str, given: Mapping[str, str], found: Mapping[str, float]) -> None:
    entities = importlib.import_module("mlflow.entities")
    entries = [entities.Param(key, value) for key, value in given.items()]
    for start in range(0, len(entries), _AT_ONCE):
        client.log_batch(run, params=entries[start : start + _AT_ONCE])
    client.log_batch(run, metrics=[entities.Metric(key, value, 0, 0) for key, value in found.items()])


def _client(uri: str) -> Any:
    try:
        mlflow = importlib.import_module("mlflow")
    except ImportError as error:
        raise ConfigError(
            "--mlflow needs the extra mlflow: pip install 'hybridcert[mlflow]', or leave --mlflow out"
        ) from error
    return mlflow.MlflowClient(tracking_uri=uri)


def _experiment(client: Any) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found is not None else client.create_experiment(name))


@contextlib.contextmanager
def _one_line(uri: str) -> Iterator[None]:
    """Turn whatever MLflow raises into one line."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it likes to talk, and results go to standard output
            yield
    except (ConfigError, DataError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        reason = text if len(text) <= 300 else text[:297] + "..."
        if "MLFLOW_ALLOW_FILE_STORE" in text:
            reason = "a folder needs MLFLOW_ALLOW_FILE_STORE=true in the environment"
        elif "sqlite:" in uri or "postgresql" in uri or "mysql" in uri:
            reason = f"a database needs the whole mlflow package (pip install mlflow): {reason}"
        raise ConfigError(f"--mlflow {uri} cannot be used: {reason}") from error
