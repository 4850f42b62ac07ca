"""`certify`, `demo tabular` and `report` on real files, through the real command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import hybridcert as hc
from hybridcert.cli.main import main
from hybridcert.datasets.tables import read_table, select
from hybridcert.errors import DataError
from hybridcert.experiments.config import parse_config
from hybridcert.experiments.tabular import run_tabular
from tabular_data import CONFIG, small_table, write_config


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hybridcert", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run directory and what the command printed about it."""
    folder = tmp_path_factory.mktemp("certified")
    small_table().to_parquet(folder / "table.parquet")
    done = run("certify", write_config(folder), "--out", folder / "out", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "out", json.loads(done.stdout)


def test_a_run_directory_is_complete(certified: tuple[Path, dict[str, Any]]):
    out, printed = certified
    assert sorted(path.name for path in out.iterdir()) == [
        "certificates.jsonl",
        "certified_accuracy.png",
        "config.yaml",
        "environment.json",
        "inputs.parquet",
        "report.html",
        "results.parquet",
        "run.json",
        "run.sqlite",
        "tables",
        "thresholds.parquet",
    ]
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []
    results = pd.read_parquet(out / "results.parquet")
    assert len(results) == 40 * 3
    assert results.groupby("d")["certified"].sum().is_monotonic_decreasing
    assert set(results["target"]) == {"yes", "no"}
    environment = json.loads((out / "environment.json").read_text())
    assert environment["packages"]["hybridcert"] == hc.__version__
    assert environment["data"]["certified_rows"] == 40
    assert len(environment["data"]["sha256"]) == len(environment["model"]["sha256"]) == 64
    cost = environment["cost"]
    assert cost["model_calls"] == 40 * (300 + 20 + 1)
    assert cost["model_calls_saved"] == cost["model_calls_from_store"] == cost["model_calls_repeated"] == 0
    assert (cost["executor"], cost["workers"]) == ("serial", 1)
    assert environment["failures"] == {}
    assert printed["inputs"] == 40
    assert printed["cost"]["model_calls"] == 40 * 321


def test_certified_accuracy_is_that_of_the_library(certified: tuple[Path, dict[str, Any]]):
    out, printed = certified
    resolved = yaml.safe_load((out / "config.yaml").read_text())
    config = parse_config(resolved, source="resolved")
    data = {k: resolved["data"][k] for k in ("target", "numeric", "categorical", "levels")}
    table = select(read_table(Path(resolved["data"]["path"])), source="t", drop=["note"], **data)
    train, test = table.split(test_rows=40, seed=1)
    found = run_tabular(config, train=train, test=test)
    expected = found.run.certified_accuracy(test.y, d=[0, 1, 2], eps=[0.0, 0.25, 0.5])
    for point in printed["certified"]:
        assert point["certified"] == round(40 * expected.loc[point["d"], point["eps"]])
    assert printed["smoothed_right"] == printed["certified"][0]["certified"] > 25


def test_the_same_run_twice_gives_the_same_results(certified: tuple[Path, dict[str, Any]], tmp_path: Path):
    out, _ = certified
    assert main(["certify", str(out / "config.yaml"), "--out", str(tmp_path / "again"), "--json"]) == 0
    first, again = (pd.read_parquet(path / "results.parquet") for path in (out, tmp_path / "again"))
    pd.testing.assert_frame_equal(first, again)


def test_limit_takes_a_prefix_and_csv_gives_the_same_answers(
    certified: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out, _ = certified
    small_table().to_csv(tmp_path / "table.csv", index=False)
    config = write_config(tmp_path)
    arguments = ["certify", str(config), "--data", str(tmp_path / "table.csv"), "--limit", "7"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    first, limited = (pd.read_parquet(path / "results.parquet") for path in (out, tmp_path / "out"))
    expected = first[first["input"].isin(limited["input"])].reset_index(drop=True)
    assert limited["input"].nunique() == 7
    pd.testing.assert_frame_equal(limited, expected)
    digests = [
        json.loads((p / "environment.json").read_text())["data"]["sha256"] for p in (out, tmp_path / "out")
    ]
    assert digests[0] == digests[1]
    text = capsys.readouterr().out
    assert "of 7 inputs" in text
    assert "probability at most 0.01" in text
    assert f"report: {tmp_path / 'out' / 'report.html'}" in text


def test_inputs_are_not_kept_where_a_configuration_says_so(
    certified: tuple[Path, dict[str, Any]], tmp_path: Path
):
    out, _ = certified
    assert list(pd.read_parquet(out / "inputs.parquet")) == ["input", "counts", "fields"]
    small_table().to_parquet(tmp_path / "table.parquet")
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("report:\n", "report:\n  inputs: false\n"))
    assert main(["certify", str(config), "--limit", "5", "--out", str(tmp_path / "out")]) == 0
    assert list(pd.read_parquet(tmp_path / "out" / "inputs.parquet")) == ["input", "counts"]


def test_an_occupied_directory_is_refused_before_anything_runs(certified: tuple[Path, dict[str, Any]]):
    out, _ = certified
    before = (out / "results.parquet").read_bytes()
    done = run("certify", out / "config.yaml", "--out", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {out} is not empty: choose another directory with --out, or remove it\n"
    assert (out / "results.parquet").read_bytes() == before


def test_the_default_directory_is_never_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small_table().to_parquet(tmp_path / "table.parquet")
    config = write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["certify", str(config), "--limit", "2"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["small", "small-2"]


def test_sweeps_write_one_run_each_and_a_joint_figure(tmp_path: Path):
    small_table().to_parquet(tmp_path / "table.parquet")
    sweep = {"noise.categorical.beta": [0.25, 0.5], "noise.numeric.sigma": [0.5, 1.0]}
    config = write_config(tmp_path, {"sweep": sweep, "certificate.samples": 50})
    done = run("certify", config, "--out", tmp_path / "out", "--limit", 10)
    assert done.returncode == 0, done.stderr
    combined = pd.read_csv(tmp_path / "out" / "tables" / "certified_accuracy.csv")
    assert list(combined.columns[:4]) == ["beta", "sigma", "d", "eps"]
    assert len(combined) == 4 * 3 * 3
    for directory in ("beta=0.25,sigma=0.5", "beta=0.5,sigma=1.0"):
        assert (tmp_path / "out" / directory / "report.html").is_file()
        assert f'href="{directory}/report.html"' in (tmp_path / "out" / "report.html").read_text()
    assert "beta = 0.25, sigma = 1.0" in done.stdout
    again = run("report", tmp_path / "out", "--json")
    assert json.loads(again.stdout)["figure"].endswith("certified_accuracy.png")


def test_numbers_alone_and_fields_alone_can_be_certified(tmp_path: Path):
    small_table().to_parquet(tmp_path / "table.parquet")
    numbers = write_config(tmp_path, {"noise.categorical": None, "threat.max_d": 0})
    assert main(["certify", str(numbers), "--out", str(tmp_path / "numbers"), "--limit", "5"]) == 0
    assert set(pd.read_parquet(tmp_path / "numbers" / "results.parquet")["d"]) == {0}
    changes = {"noise.numeric": None, "model.encoding": "ordinal", "certificate.label": "yes"}
    changes["model.estimator"] = "sklearn.tree.DecisionTreeClassifier"
    fields = write_config(tmp_path, changes)
    assert main(["certify", str(fields), "--out", str(tmp_path / "fields"), "--limit", "5"]) == 0
    results = pd.read_parquet(tmp_path / "fields" / "results.parquet")
    assert set(results["label"]) == {"yes"}
    assert (results["radius"].dropna() == 0.0).all()


def broken(change: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    return change(small_table())


def with_cell(column: str, row: int, value: Any) -> pd.DataFrame:
    table = small_table()
    table[column] = table[column].astype(object)
    table.loc[row, column] = value
    return table


BAD_TABLES = [
    (
        lambda: with_cell("age", 17, np.nan),
        "numeric column 'age', row 17: must be a finite number, got a missing",
    ),
    (lambda: with_cell("age", 17, np.inf), "numeric column 'age', row 17: must be a finite number, got inf"),
    (lambda: with_cell("age", 17, "old"), "numeric column 'age', row 17: must be a finite number, got 'old'"),
    (
        lambda: with_cell("colour", 3, "pink"),
        "'colour', row 3: unseen category 'pink'; allowed: blue, green, red",
    ),
    (lambda: with_cell("outcome", 5, None), "target column 'outcome', row 5: value is missing"),
    (lambda: small_table().drop(columns="shape"), "missing column 'shape'"),
    (lambda: small_table().drop(columns="outcome"), "missing column 'outcome'"),
    (lambda: small_table().assign(more=1), "column 'more' has no role"),
    (lambda: small_table().assign(outcome="yes"), "target column 'outcome' has a single value, 'yes'"),
    (lambda: small_table().iloc[:0], "has no rows"),
    (lambda: small_table().iloc[:30], "test_rows must be in [1, 29] for a table of 30 rows, got 40"),
]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("table", "expected"), BAD_TABLES)
def test_bad_tables_get_one_line_and_leave_nothing(
    table: Callable[[], pd.DataFrame],
    expected: str,
    kind: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    path = tmp_path / f"bad.{kind}"
    made = table()
    if kind == "csv":
        made.to_csv(path, index=False)
    else:
        made.astype({c: str for c in made if made[c].map(type).nunique() > 1 and c == "age"}).to_parquet(path)
    config = write_config(tmp_path)
    assert main(["certify", str(config), "--data", str(path), "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert expected.replace("got inf", "got") in err
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, config.name]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", b"", "is empty"),
        ("t.parquet", b"", "cannot be read"),
        ("t.parquet", b"junk" * 50, "cannot be read"),
        ("t.csv.gz", b"junk", "cannot be read"),
        ("t.csv", bytes(range(128, 256)) * 5, "cannot be read"),
        ("t.csv", b"age,age,colour\n1,2,red\n", "duplicate column 'age'"),
        ("t.xlsx", b"PK", "expected a file ending in .parquet, .pq, .csv, .csv.gz"),
        (None, b"", "No such file"),
    ],
)
def test_unreadable_tables(name: str | None, content: bytes, expected: str, tmp_path: Path):
    path = tmp_path / (name or "none.csv")
    if name is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=expected.replace(".", r"\.")) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_bad_input_through_the_real_command(tmp_path: Path):
    config = write_config(tmp_path, {"noise.categorical.betta": 1})
    done = run("certify", config, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {config}: unknown key 'betta' in noise.categorical: did you mean beta?\n"
    done = run("certify", write_config(tmp_path), "--out", tmp_path / "out", "--limit", "0")
    assert done.stderr == "error: --limit must be an integer >= 1, got 0\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model.estimator": "sklearn.svm.LinearSVM"}, "did you mean sklearn.svm.LinearSVC?"),
        ({"model.estimator": "sklearn.svm.LinearSVR"}, "is not a classifier"),
        ({"model.estimator": "no_such_package.Model"}, "must be the dotted path of a classifier"),
        ({"model.params": {"CC": 1}}, "model.params do not fit"),
        ({"model.params": {"C": -1.0}}, "cannot be trained"),
        ({"certificate.label": "maybe"}, "certificate.label must be one of no, yes, got 'maybe'"),
        ({"data.path": None}, "no table given"),
    ],
)
def test_models_that_cannot_be_built(
    changes: dict[str, Any], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    small_table().to_parquet(tmp_path / "table.parquet")
    assert main(["certify", str(write_config(tmp_path, changes)), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.yaml", "table.parquet"]


def test_sampling_stops_early_where_the_target_is_settled(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    small_table().to_parquet(tmp_path / "table.parquet")
    stopping = {"certificate.stopping": {"target": {"d": 1, "eps": 0.25}}, "certificate.samples": 5_000}
    config = write_config(tmp_path, stopping)
    assert main(["certify", str(config), "--out", str(tmp_path / "json"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main(["certify", str(config), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    results = pd.read_parquet(tmp_path / "out" / "results.parquet")
    at = results[results["d"] == 1]
    met = int((at["certified"] & (at["radius"] >= 0.25).fillna(False)).sum())
    assert printed["target"] == {"d": 1, "eps": 0.25, "met": met}
    assert met > 10
    drawn = int(at["samples"].sum())
    assert drawn < 40 * 5_000 / 4
    assert set(at["stopped"]) <= {"target certified", "target out of reach", "all copies drawn"}
    environment = json.loads((tmp_path / "out" / "environment.json").read_text())
    assert environment["cost"]["model_calls"] == drawn + 40 * 21
    assert environment["cost"]["model_calls_saved"] == 40 * 5_000 - drawn
    page = (tmp_path / "out" / "report.html").read_text()
    for shown in (text, page):
        assert f"certified at d = 1, ε = 0.25. {met} of 40 are" in shown
        assert f"{drawn:,} copies of 40 inputs were drawn, of 200,000 at most" in shown
        assert "its at most 5000 noisy copies" in shown
    assert "n ≤ 5" in page
    assert "at looks and by rules that were fixed beforehand" in page
    assert f"{200_000 - drawn:,} saved by stopping early" in text
    assert main(["verify", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"certificate.stopping": {"tolerance": 0.1}}, "with tolerance 0.1"),
        ({"certificate.budget": 40_000}, "had a budget of 40,000 copies; "),
        (
            {"certificate.stopping": {"target": {"d": 2}}, "certificate.bound": "spending"},
            "certified at d = 2. ",
        ),
        (
            {"certificate.stopping": {"target": {"d": 0}}, "certificate.bound": "mixture"},
            "certified at d = 0",
        ),
    ],
)
def test_other_reasons_to_stop_are_said(
    changes: dict[str, Any], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    small_table().to_parquet(tmp_path / "table.parquet")
    config = write_config(tmp_path, {"certificate.samples": 5_000} | changes)
    out = tmp_path / "out"
    assert main(["certify", str(config), "--out", str(out)]) == 0
    assert sentence in capsys.readouterr().out
    assert sentence in (out / "report.html").read_text()
    lines = pd.read_csv(out / "tables" / "radii.csv")["certificate_line"]
    issued = (out / "certificates.jsonl").read_text().splitlines()
    assert lines.max() == len(issued)
    results = pd.read_parquet(out / "results.parquet")
    assert len(issued) == (results[results["d"] == 0]["samples"] > 0).sum()
    assert main(["verify", str(out)]) == 0


def test_a_run_without_certificates_suggests_no_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    small_table().to_parquet(tmp_path / "table.parquet")
    config = write_config(tmp_path, {"certificate.budget": 1})
    assert main(["certify", str(config), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "None of the 40 inputs could be certified" in printed
    assert "hybridcert verify" not in printed


def test_a_model_that_cannot_be_pickled_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    small_table().to_parquet(tmp_path / "table.parquet")
    (tmp_path / "unpicklable_model.py").write_text(
        "from sklearn.linear_model import LogisticRegression\n"
        "class Unpicklable(LogisticRegression):\n"
        "    def fit(self, X, y):\n"
        "        self.helper_ = lambda answer: answer\n"
        "        return super().fit(X, y)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = write_config(tmp_path, {"model.estimator": "unpicklable_model.Unpicklable"})
    assert main(["certify", str(config), "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "model.estimator unpicklable_model.Unpicklable cannot be pickled once trained: " in err
    assert not (tmp_path / "out").exists()


def test_workers_change_no_certificate(certified: tuple[Path, dict[str, Any]], tmp_path: Path):
    out, _ = certified
    arguments = ["certify", str(out / "config.yaml"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--executor", "processes", "--workers", "2", "--timeout", "60"]) == 0
    first, second = ((d / "certificates.jsonl").read_bytes() for d in (out, tmp_path / "out"))
    assert first == second
    cost = json.loads((tmp_path / "out" / "environment.json").read_text())["cost"]
    assert (cost["executor"], cost["workers"]) == ("processes", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--executor", "threads"], "--executor must be one of processes, serial, ray, got threads"),
        (["--workers", "0"], "--workers must be an integer in [1, 10000], got 0"),
        (["--workers", "two"], "--workers must be an integer in [1, 10000], got two"),
        (["--timeout", "0"], "--timeout must be a finite number of seconds > 0, got 0"),
        (["--timeout", "nan"], "--timeout must be a finite number of seconds > 0, got nan"),
        (["--attempts", "0"], "--attempts must be an integer in [1, 1000], got 0"),
        (["--num-gpus", "-1"], "--num-gpus must be a number in [0, 10000], got -1"),
        (["--num-gpus", "1e30"], "--num-gpus must be a number in [0, 10000], got 1e30"),
        (["--num-gpus", "0.5"], "--num-gpus must be an integer >= 0 with --executor processes, got 0.5"),
        (["--ray-address", "auto"], "--ray-address belongs to --executor ray, got --executor processes"),
        (
            ["--executor", "serial", "--workers", "2"],
            "--workers belongs to --executor processes or ray, got --executor serial",
        ),
        (["--executor", "serial", "--timeout", "2"], "--timeout belongs to --executor processes or ray"),
    ],
)
def test_wrong_options_of_execution_are_named(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = write_config(tmp_path)
    assert main(["certify", str(config), "--out", str(tmp_path / "out"), *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert not (tmp_path / "out").exists()


def test_the_tabular_demo_needs_no_file_and_no_network(tmp_path: Path):
    done = run("demo", "tabular", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["inputs"] == 500
    assert found["smoothed_right"] > 350
    at = {(p["d"], p["eps"]): p["certified"] for p in found["certified"]}
    assert at[0, 0.0] > at[1, 0.0] > at[2, 0.25] > 100
    assert (tmp_path / "runs" / "demo-tabular" / "report.html").is_file()


def test_parquet_and_csv_give_the_same_schema(tmp_path: Path):
    table = small_table()
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    data = CONFIG["data"]
    roles = {k: data[k] for k in ("target", "numeric", "categorical", "levels")}
    first, second = (
        select(read_table(tmp_path / name), source=name, drop=["note"], **roles)
        for name in ("t.parquet", "t.csv")
    )
    pd.testing.assert_frame_equal(first.X, second.X)
    pd.testing.assert_series_equal(first.y, second.y)
    assert first.digest() == second.digest()
    assert list(first.X["colour"].cat.categories) == ["blue", "green", "red"]
    assert first.X["ward"].isna().sum() == table["ward"].isna().sum() > 0
