"""`certify` and `report` on a filter: real files, through the real command."""

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

import hybridcert as hc
from hybridcert.certificate.deployment import cutoff_for
from hybridcert.cli.main import main
from hybridcert.datasets.tables import read_table
from hybridcert.datasets.texts import select_texts
from hybridcert.errors import DataError
from hybridcert.experiments.config import parse_config
from hybridcert.experiments.text import run_text
from hybridcert.reports.filter import Filter, percent_up, percent_up_of
from hybridcert.reports.run_data import read_run
from text_data import CONFIG, messages, write_config


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hybridcert", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run directory and what the command printed about it."""
    folder = tmp_path_factory.mktemp("filter")
    messages().to_csv(folder / "messages.csv", index=False)
    done = run("certify", write_config(folder), "--out", folder / "out", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "out", json.loads(done.stdout)


def test_a_run_directory_is_complete(certified: tuple[Path, dict[str, Any]]):
    out, printed = certified
    for name in ("config.yaml", "results.parquet", "benign.parquet", "report.html", "environment.json"):
        assert (out / name).is_file()
    assert sorted(path.name for path in (out / "tables").iterdir()) == ["filter.csv", "inputs.csv"]
    results, benign = pd.read_parquet(out / "results.parquet"), pd.read_parquet(out / "benign.parquet")
    assert set(results["target"]) == set(results["label"]) == {"spam"}
    assert set(benign["target"]) == {"ham"}
    assert results["input"].nunique() + len(benign) == 40
    assert (results["radius"].dropna() == 0.0).all()
    environment = json.loads((out / "environment.json").read_text())
    assert environment["data"]["duplicates_left_out"] == 0
    assert environment["data"]["certified_rows"] == printed["inputs"] == results["input"].nunique()
    assert environment["cost"]["model_calls"] == printed["cost"]["model_calls"] == 40 * (300 + 1)


def test_the_table_counts_what_the_run_found(certified: tuple[Path, dict[str, Any]]):
    out, printed = certified
    results, benign = pd.read_parquet(out / "results.parquet"), pd.read_parquet(out / "benign.parquet")
    table = pd.read_csv(out / "tables" / "filter.csv")
    assert table["filter"].tolist() == ["τ = 0.2", "τ = 0.3", "τ = 0.5", "no noise", "flag everything"]
    own = table[table["threshold"] == 0.3].iloc[0]
    for d in range(4):
        assert own[f"certified_d{d}"] == results[results["d"] == d]["certified"].sum()
    for point, (_, row) in zip(printed["points"], table.iterrows(), strict=True):
        assert point["false_alarms"] == row["benign_flagged"]
        upper = hc.clopper_pearson_upper(row["benign_flagged"], len(benign), 0.01)
        assert point["false_alarm_share_upper"] == float(upper)
        if point["threshold"] is None:
            continue
        cutoff = cutoff_for(copies=300, threshold=point["threshold"], miss=0.01)
        assert row["flagged_from_hits"] == cutoff
        assert row["benign_flagged"] == (benign["hits"] >= cutoff).sum()
        assert row["benign_above_threshold"] == (benign["hits"] > point["threshold"] * 300).sum()
        at = [(results[results["d"] == d]["p_adv"] > point["threshold"]).sum() for d in range(4)]
        assert [entry["inputs"] for entry in point["certified"]] == at
    everything, base = printed["points"][-1], printed["points"][-2]
    assert everything["false_alarms"] == len(benign)
    assert base["certified"] is None
    assert base["caught"] == (results[results["d"] == 0]["clean_label"] == "spam").sum()
    assert printed["points"][1]["certified"][1]["inputs"] > 10  # something is certified at all


def test_counts_are_those_of_the_library(certified: tuple[Path, dict[str, Any]]):
    out, _ = certified
    path = out.parent / "messages.csv"
    table, left_out = select_texts(
        read_table(path, text=["message"]), source="t", text="message", target="kind", deduplicate=True
    )
    assert left_out == 0
    train, test = table.split(test_rows=40, seed=1)
    config = parse_config(CONFIG, source="again")
    found = run_text(config, train=train, test=test)
    results = pd.read_parquet(out / "results.parquet")
    assert np.array_equal(results[results["d"] == 0]["successes"], found.run.successes)
    pd.testing.assert_frame_equal(pd.read_parquet(out / "benign.parquet"), found.benign)


def test_what_is_printed_and_reported_speaks_of_words_and_false_alarms(
    certified: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    out, _ = certified
    config = out / "config.yaml"
    assert main(["certify", str(config), "--out", str(tmp_path / "again"), "--limit", "12"]) == 0
    text = capsys.readouterr().out
    for part in (
        "At τ = 0.3 the filter flags",
        "ham flagged",
        "spam caught",
        "d = 1",
        "probability at most 0.01",
    ):
        assert part in text
    page = (out / "report.html").read_text()
    for part in ("False alarms beside what is certified", "flag everything", "Insertions only", "no noise"):
        assert part in page
    for part in (text, page):
        assert "ε" not in part
        assert "ℓ₂" not in part
    assert main(["report", str(out), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert [Path(path).name for path in written["tables"]] == ["filter.csv", "inputs.csv"]


def test_a_filter_is_resumed_and_stops_early(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    messages().to_csv(tmp_path / "messages.csv", index=False)
    changes = {"certificate.stopping": {"target": {"d": 1}}, "certificate.samples": 3_000}
    arguments = ["certify", str(write_config(tmp_path, changes)), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["cost"]
    assert first["model_calls_saved"] > 10_000
    issued = (tmp_path / "out" / "certificates.jsonl").read_bytes()
    benign = pd.read_parquet(tmp_path / "out" / "benign.parquet")
    (tmp_path / "out" / "environment.json").unlink()
    assert main([*arguments, "--resume"]) == 0
    text = capsys.readouterr().out
    assert "Asked of each input: certified at d = 1. " in text
    cost = json.loads((tmp_path / "out" / "environment.json").read_text())["cost"]
    assert cost["model_calls"] == first["model_calls"]
    assert cost["model_calls_from_store"] == cost["model_calls"]
    assert (tmp_path / "out" / "certificates.jsonl").read_bytes() == issued
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "benign.parquet"), benign)
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_sweeps_share_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    messages().to_csv(tmp_path / "elsewhere.csv", index=False)
    config = write_config(tmp_path, {"sweep": {"noise.text.beta": [0.5, 0.75]}, "certificate.samples": 100})
    arguments = ["--data", str(tmp_path / "elsewhere.csv"), "--out", str(tmp_path / "out"), "--limit", "20"]
    assert main(["certify", str(config), *arguments]) == 0
    printed = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "tables" / "filter.csv")
    assert table["beta"].tolist() == [0.5] * 5 + [0.75] * 5
    assert printed.count("flag everything") == 1
    assert "beta = 0.75, τ = 0.5" in printed
    assert 'href="beta=0.5/report.html"' in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("kind", ["edit", "substitution"])
def test_other_threats_certify_less(kind: str, certified: tuple[Path, dict[str, Any]], tmp_path: Path):
    out, _ = certified
    messages().to_csv(tmp_path / "messages.csv", index=False)
    assert (
        main(["certify", str(write_config(tmp_path, {"threat.kind": kind})), "--out", str(tmp_path / "o")])
        == 0
    )
    insertion, other = (pd.read_parquet(path / "results.parquet") for path in (out, tmp_path / "o"))
    assert np.array_equal(insertion["successes"], other["successes"])
    assert (other["p_adv"] <= insertion["p_adv"]).all()


def table_with(change: Callable[[pd.DataFrame], object]) -> pd.DataFrame:
    table = messages()
    change(table)
    return table


def test_duplicates_are_left_out_before_the_split():
    table = messages(10)
    again = table.assign(message=" " + table["message"].str.upper().str.replace(" ", " \n"))
    both = pd.concat([table, again], ignore_index=True)
    found, left_out = select_texts(both, source="t", text="message", target="kind", deduplicate=True)
    assert left_out == 10
    assert found.X["message"].tolist() == table["message"].tolist()
    found, left_out = select_texts(both, source="t", text="message", target="kind", deduplicate=False)
    assert (len(found.X), left_out) == (20, 0)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (messages().rename(columns={"kind": "label"}), "missing column 'kind'; it has message, label"),
        (table_with(lambda t: t.__setitem__("message", 7)), "row 0: must be a string, got 7"),
        (
            table_with(lambda t: t.__setitem__("message", t["message"].where(t.index != 5))),
            "text column 'message', row 5: must be a string, got a missing value",
        ),
        (
            table_with(lambda t: t.__setitem__("kind", t["kind"].where(t.index != 4))),
            "target column 'kind', row 4: value is missing",
        ),
        (messages().assign(kind="ham"), "target column 'kind' has a single value, 'ham'"),
        (
            pd.concat([messages(4), messages(1).assign(kind="ham")], ignore_index=True),
            "rows 0 and 4 have the same text but targets 'spam' and 'ham'",
        ),
    ],
)
def test_broken_tables_of_texts_are_refused(table: pd.DataFrame, message: str):
    with pytest.raises(DataError) as caught:
        select_texts(table, source="t", text="message", target="kind", deduplicate=True)
    assert message in str(caught.value)


def test_cells_of_a_csv_column_of_texts_are_texts(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text('message,kind\n7,a\n,b\nNA,a\n"x, ""y""",b\n', encoding="utf-8")
    table = read_table(path, text=["message"])
    assert table["message"].tolist() == ["7", "", "NA", 'x, "y"']


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"certificate.label": "junk"}, [], "certificate.label must be one of ham, spam, got 'junk'"),
        ({"data.path": None}, [], "no texts given: set data.path, or pass --data PATH"),
        ({"data.path": "none.csv"}, [], "No such file"),
        ({"data.test_rows": 200}, [], "test_rows must be in [1, 199]"),
        ({}, ["--limit", "1"], "both kinds are needed, take more test rows"),
        ({"model.params": {"C": -1.0}}, [], "cannot be trained"),
    ],
)
def test_runs_that_cannot_be_made(
    changes: dict[str, Any],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    messages().to_csv(tmp_path / "messages.csv", index=False)
    config = write_config(tmp_path, changes)
    assert main(["certify", str(config), "--out", str(tmp_path / "out"), *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert not (tmp_path / "out").exists()


def test_broken_run_directories_of_a_filter_are_refused(
    certified: tuple[Path, dict[str, Any]], tmp_path: Path
):
    out, _ = certified
    for name in ("results.parquet", "run.json", "config.yaml"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    (tmp_path / "benign.parquet").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"benign\.parquet cannot be read"):
        read_run(tmp_path)
    pd.DataFrame({"hits": [1]}).to_parquet(tmp_path / "benign.parquet")
    with pytest.raises(DataError, match="does not count false alarms: it has no 'target'"):
        read_run(tmp_path)
    (tmp_path / "benign.parquet").unlink()
    assert Filter.of(read_run(tmp_path)) is None


def test_false_alarms_are_rounded_up():
    assert [percent_up(k, 1000) for k in (0, 1, 999, 1000)] == ["0.0", "0.1", "99.9", "100.0"]
    assert percent_up(1, 3) == "33.4"
    assert [percent_up_of(x) for x in (0.0, 0.001, 0.0010000001, 1.0)] == ["0.0", "0.2", "0.2", "100.0"]
