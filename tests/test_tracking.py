"""Logging to MLflow: what is logged, and one line where it cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from hybridcert.cli.main import main
from hybridcert.experiments.tracking import metrics, parameters
from tabular_data import small_table, write_config


def test_parameters_are_flat_and_fit():
    config = {"a": {"b": [1, 2], "c": {"d": None}}, "e": "x" * 600, "f": {}}
    found = parameters(config)
    assert found["a.b"] == "[1, 2]"
    assert found["a.c.d"] == "None"
    assert len(found["e"]) == 500
    assert set(found) == {"a.b", "a.c.d", "e"}


def test_metrics_are_costs_and_counts():
    results = pd.DataFrame(
        {
            "d": [0, 0, 1, 1],
            "label": ["a", "b", "a", "b"],
            "target": ["a", "a", "a", "a"],
            "certified": [True, True, True, False],
        }
    )
    environment = {"cost": {"model_calls": 7, "executor": "serial", "seconds": 0.5}, "failures": {"3": "x"}}
    assert metrics(environment, results) == {
        "cost.model_calls": 7.0,
        "cost.seconds": 0.5,
        "certified.d_0": 2.0,
        "certified.d_1": 1.0,
        "certified_and_right.d_0": 1.0,
        "certified_and_right.d_1": 1.0,
        "inputs": 2.0,
        "failed": 1.0,
    }


def test_without_the_extra_one_line_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # importing it now fails
    small_table().to_parquet(tmp_path / "table.parquet")
    arguments = ["certify", str(write_config(tmp_path)), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--mlflow", "http://localhost:5000"]) == 2
    assert capsys.readouterr().err == (
        "error: --mlflow needs the extra mlflow: pip install 'hybridcert[mlflow]', or leave --mlflow out\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_run_is_logged_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    small_table().to_parquet(tmp_path / "table.parquet")
    uri = str(tmp_path / "mlruns")
    out = tmp_path / "out"
    arguments = ["certify", str(write_config(tmp_path)), "--out", str(out), "--mlflow", uri]
    assert main([*arguments, "--limit", "10"]) == 0
    assert "logged to MLflow: run " in capsys.readouterr().err
    client = mlflow.MlflowClient(tracking_uri=uri)
    [experiment] = [e for e in client.search_experiments() if e.name == "hybridcert"]
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["certificate.alpha"] == "0.01"
    results = pd.read_parquet(out / "results.parquet")
    assert run.data.metrics["certified.d_1"] == results[results["d"] == 1]["certified"].sum()
    assert run.data.metrics["cost.model_calls"] == 10 * 321
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"environment.json", "config.yaml", "results.parquet"}
    assert main([*arguments, "--limit", "10", "--resume"]) == 0
    assert "logged" not in capsys.readouterr().err
    assert len(client.search_runs([experiment.experiment_id])) == 1


@pytest.mark.filterwarnings("ignore")
def test_a_store_that_cannot_be_used_is_one_line_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    small_table().to_parquet(tmp_path / "table.parquet")
    arguments = ["certify", str(write_config(tmp_path)), "--out", str(tmp_path / "out")]
    for uri in (str(tmp_path / "folder"), "nonsense://x"):
        assert main([*arguments, "--mlflow", uri]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: --mlflow {uri} cannot be used: ")
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
