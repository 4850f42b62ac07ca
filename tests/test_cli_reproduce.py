"""`reproduce` with few pairs and few copies: every table and figure, resuming, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from hybridcert import datasets
from hybridcert.cli.main import main
from hybridcert.experiments.reproduction.registry import ARTEFACTS
from hybridcert.experiments.run_directory import COMPLETE, stored_copies
from pairs_data import write_digits

CENSUS = Path(datasets.__file__).with_name("adult_excerpt.parquet")

TINY: dict[str, Any] = {
    "digits": {"seed": 0},
    "model": {"checkpoint": {"path": "tiny-guard", "batch_size": 128, "threads": 1}},
    "canvas": {"height": 8, "width": 8, "channels": 1},
    "regions": {"suffix_slots": 4, "whole_prompt": 12, "whole_prompt_max_d": 2},
    "noise": {
        "beta": 0.25,
        "betas": [0.25, 1.0],
        "sigma": 0.25,
        "sigmas": [0.25, 0.5],
        "accuracy_betas": [0.5],
        "accuracy_sigmas": [0.25],
    },
    "claim": {"samples": 100, "alpha": 0.05, "thresholds": [4.6e-5, 0.5], "seed": 0},
    "interaction": {"samples": 60, "alpha": 0.05, "threshold": 0.1},
    "pairs": 2,
    "eps": [0, 0.5],
    "accuracy": {"samples": 40},
    "cost": {"pairs": 1, "samples": 40},
    "subsampling": {"keep": [1.0, 0.5], "patch": 4, "fine_patch": 2, "samples": 40},
    "attack": {"inputs": 1, "iterations": 1, "copies": 4, "candidates": 2, "samples": 40},
}

ON_PAIRS = [name for name, one in ARTEFACTS.items() if one.about == "pairs"]


def write_setting(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY | (changes or {})), encoding="utf-8")
    return path


def copies_in(store: Path) -> int:
    connection = sqlite3.connect(store)
    try:
        return int(connection.execute("SELECT coalesce(sum(copies), 0) FROM counts").fetchone()[0])
    finally:
        connection.close()


def check(out: Path) -> dict[str, Any]:
    """Check that a finding has all its files, and that they say the same."""
    found: dict[str, Any] = json.loads((out / "finding.json").read_text(encoding="utf-8"))
    page = (out / "report.html").read_text(encoding="utf-8")
    comparison = (out / "comparison.md").read_text(encoding="utf-8")
    assert len(pd.read_csv(out / "table.csv"))
    assert len(found["shown"]) > 1
    assert all(len(row) == len(found["shown"][0]) for row in found["shown"])
    for paragraph in found["paragraphs"]:
        assert paragraph in comparison
    assert found["title"] in page
    assert (out / "figure.png").is_file() == bool(found["panels"])
    assert ("data:image/png" in page) == bool(found["panels"])
    environment = json.loads((out / COMPLETE).read_text(encoding="utf-8"))
    assert environment["cost"]["seconds"] > 0
    return found


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished reproduction of table 2 on two pairs."""
    pytest.importorskip("transformers", reason="needs the extra vlm")
    folder = tmp_path_factory.mktemp("reproduce")
    assert (
        main(["reproduce", "table2", "--setting", str(write_setting(folder)), "--out", str(folder / "out")])
        == 0
    )
    return folder


def test_table2_counts_what_is_certified(pairs, capsys):
    found = check(pairs / "out")
    table = pd.read_csv(pairs / "out" / "table.csv")
    assert table["beta"].tolist() == [0.25, 1.0] * 2
    assert (table["certified"] <= table["inputs"]).all()
    assert (table["inputs"] == 2).all()
    by_d = [json.loads(text.replace("(", "[").replace(")", "]")) for text in table["by_d"]]
    for panel, rows in zip(found["panels"], (by_d[:2], by_d[2:]), strict=True):
        for curve, counts in zip(panel["curves"], rows, strict=True):
            assert curve["y"] == [50.0 * count for count in counts]
    lower = table.set_index(["threshold", "beta"])["certified"]
    assert (lower[4.6e-5] >= lower[0.5]).all()  # the same counts serve both thresholds
    assert "4 of" not in found["paragraphs"][0]
    assert "on 2 pairs that are unsafe only together" in found["paragraphs"][0]


def test_a_complete_reproduction_is_shown_again_as_json(pairs, capsys):
    before = copies_in(pairs / "out" / "run.sqlite")
    arguments = ["reproduce", "table2", "--setting", str(pairs / "tiny.yaml"), "--out", str(pairs / "out")]
    assert main([*arguments, "--resume", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in said["findings"]] == ["table2"]
    assert len(said["findings"][0]["table"]) == 4
    assert copies_in(pairs / "out" / "run.sqlite") == before


def test_report_writes_the_page_of_a_reproduction_again(pairs, capsys):
    page = pairs / "out" / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert main(["report", str(pairs / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(page)}
    assert page.read_bytes() == before


def test_a_reproduction_that_was_cut_short_goes_on_with_its_counts(pairs, tmp_path, capsys):
    """Without its last counts and its results; the same numbers again, and nothing else drawn anew."""
    out = tmp_path / "out"
    shutil.copytree(pairs / "out", out)
    total = copies_in(out / "run.sqlite")
    for name in ("finding.json", "table.csv", "comparison.md", "report.html", "figure.png", COMPLETE):
        (out / name).unlink()
    connection = sqlite3.connect(out / "run.sqlite")
    kernel = connection.execute("SELECT max(kernel) FROM counts").fetchone()[0]
    connection.execute("DELETE FROM counts WHERE kernel = ?", (kernel,))
    connection.commit()
    connection.close()
    assert 0 < copies_in(out / "run.sqlite") < total
    arguments = ["reproduce", "table2", "--setting", str(pairs / "tiny.yaml"), "--out", str(out)]
    assert main(arguments) == 2
    assert "holds an unfinished run: continue it with --resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert copies_in(out / "run.sqlite") == total
    for name in ("table.csv", "comparison.md"):
        assert (out / name).read_bytes() == (pairs / "out" / name).read_bytes()


def test_another_reproduction_is_not_continued(pairs, tmp_path, capsys):
    other = write_setting(tmp_path, {"pairs": 3})
    arguments = ["reproduce", "table2", "--setting", str(other), "--out", str(pairs / "out"), "--resume"]
    assert main(arguments) == 2
    assert "belongs to another run: setting.pairs was 2, is 3" in capsys.readouterr().err
    assert main([*arguments[:3], str(pairs / "tiny.yaml"), *arguments[4:], "--limit", "1"]) == 2
    assert "limit was null, is 1" in capsys.readouterr().err


def test_figure2_rests_on_runs_whose_certificates_hold(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["reproduce", "figure2", "--data", str(CENSUS), "--limit", "3", "--out", str(out)]
    assert main(arguments) == 0
    found = check(out)
    runs = found["facts"]["runs"]
    assert len(runs) == len(found["panels"]) == 4
    table = pd.read_csv(out / "table.csv")
    for name, panel in zip(runs, found["panels"], strict=True):
        results = pd.read_parquet(out / name / "results.parquet")
        right = results["label"].astype(str) == results["target"].astype(str)
        for d, curve in enumerate(panel["curves"]):
            own = results[(results["d"] == d) & results["certified"] & right]
            assert curve["x"] == sorted(own["radius"])
            at_zero = table[(table["d"] == d) & (table["eps"] == 0.0)].iloc[runs.index(name)]
            assert at_zero["certified_right"] == len(own)
    capsys.readouterr()
    assert main(["verify", str(out / runs[0])]) == 0
    assert "3 of 3 certificates hold" in capsys.readouterr().out
    two = [
        curve["x"] for panel in found["panels"][:2] for curve in panel["curves"] if curve["name"] == "d = 2"
    ]
    assert two == [[], []]  # at β = 0.25 two changed fields cannot be certified at all


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabel2"], "did you mean table2?"),
        (["table2", "--setting", "digit"], "did you mean digits?"),
        (["table2", "--setting", "hateful_memes"], "pass --data PATH, the folder of hateful_memes"),
        (["table2", "--data", "."], "the setting 'digits' makes its own pairs"),
        (["table2", "--limit", "0"], "--limit must be an integer >= 1, got 0"),
        (["figure2", "--data", "nowhere.parquet"], "nowhere.parquet does not exist"),
        (["figure2", "--data", "."], "must be the file of the census table"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_ones_own_pairs_is_filtered_and_measured(tmp_path, capsys):
    pytest.importorskip("transformers", reason="needs the extra vlm")
    write_digits(tmp_path / "digits", unsafe=3, benign=2)
    setting = write_setting(tmp_path, {"digits": None, "data": {"format": "jsonl"}})
    out = tmp_path / "out"
    arguments = ["reproduce", "figure4", "--setting", str(setting), "--data", str(tmp_path / "digits")]
    assert main([*arguments, "--out", str(out), "--limit", "1"]) == 0
    found = check(out)
    assert [panel["inputs"] for panel in found["panels"]] == [1] * 4
    environment = json.loads((out / COMPLETE).read_text(encoding="utf-8"))
    assert environment["data"]["examined"] <= 3


@pytest.mark.slow
def test_all_of_them_share_their_counts_and_are_listed(tmp_path, capsys):
    pytest.importorskip("transformers", reason="needs the extra vlm")
    out = tmp_path / "out"
    arguments = ["reproduce", "all", "--setting", str(write_setting(tmp_path)), "--data", str(CENSUS)]
    arguments += ["--limit", "2", "--out", str(out)]
    assert main(arguments) == 0
    index = (out / "report.html").read_text(encoding="utf-8")
    for name in ARTEFACTS:
        found = check(out / name)
        assert found["id"] == name
        assert f'href="{name}/report.html"' in index
    spent = {
        name: json.loads((out / name / COMPLETE).read_text(encoding="utf-8"))["cost"]["model_calls"]
        for name in ON_PAIRS
    }
    assert all(count > 0 for count in spent.values())
    (out / "table5" / COMPLETE).unlink()
    (out / COMPLETE).unlink()
    before = copies_in(out / "run.sqlite")
    kept = (out / "table4" / "table.csv").stat().st_mtime_ns
    assert main([*arguments, "--resume"]) == 0
    assert copies_in(out / "run.sqlite") == before
    assert (out / "table4" / "table.csv").stat().st_mtime_ns == kept
    check(out / "table5")


@pytest.mark.slow
def test_an_interrupt_says_what_is_kept_and_how_to_go_on(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "hybridcert", "reproduce", "figure2", "--data", str(CENSUS)]
    process = subprocess.Popen(
        [*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    store = out / "beta=0.25,sigma=0.5" / "run.sqlite"
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline and not (store.is_file() and stored_copies(store.parent)):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    last = error.strip().splitlines()[-1]
    assert re.fullmatch(
        rf"interrupted: the answers to [\d,]+ copies are kept in {out}; continue .*--resume", last
    )
