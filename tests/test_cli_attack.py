"""`attack` on real files, through the real command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybridcert.cli.main import main
from hybridcert.experiments.attack.section import AttackSection
from hybridcert.experiments.config import parse_config, read_mapping
from hybridcert.experiments.sweep import expand
from tabular_data import small_table, write_config

EXAMPLES = Path(__file__).parents[1] / "examples"

QUICK: dict[str, Any] = {
    "inputs": 3,
    "iterations": 3,
    "copies": 32,
    "candidates": 8,
    "estimate_samples": 300,
    "budgets": [{"of": "zero"}, {}, {"times_r": 3}, {"more_d": 2}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, its configuration, and a run of it."""
    path = tmp_path_factory.mktemp("attacked")
    small_table().to_parquet(path / "table.parquet")
    config = write_config(path, {"attack": QUICK})
    assert main(["certify", str(config), "--out", str(path / "runs" / "small"), "--json"]) == 0
    return path


def attacked(folder: Path, *further: object, run: Path | None = None) -> int:
    run = folder / "runs" / "small" if run is None else run
    return main(["attack", str(folder / "small.yaml"), "--run", str(run), *map(str, further)])


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_a_run_is_attacked_and_the_table_printed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert attacked(folder, "--out", tmp_path / "a", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "attack.json",
        "outcomes.jsonl",
        "table4.csv",
    ]
    record = json.loads((tmp_path / "a" / "attack.json").read_text())
    assert {key: printed[key] for key in record} == record
    assert record["violations"] == record["counterexamples"] == []
    assert record["settings"]["iterations"] == 3
    assert len(record["inputs"]) == 3
    assert record["methods"]["smoothed"] == ["gradient"]
    table = pd.read_csv(tmp_path / "a" / "table4.csv")
    assert [row["budget"] for row in record["table"]] == table["budget"].tolist()
    assert table.set_index("budget").loc["d*, 3 r*", "other_percent"] > table["other_percent"][0]
    lines = (tmp_path / "a" / "outcomes.jsonl").read_text().split("\n")
    assert len(lines) - 2 == sum(row["inputs"] for row in record["table"]) + sum(
        sum(not outcome["smoothed"] for outcome in [json.loads(line)]) for line in lines[1:-1]
    )
    # the same again, from what is kept: nothing is asked
    assert attacked(folder, "--out", tmp_path / "a", "--resume") == 0
    text = capsys.readouterr().out
    assert "No violation: the claim that the smoothed score exceeds 0.5 was refuted by none of" in text
    assert "Settings: at most 3 inputs and 3 iterations (the paper's are 20 and 20)" in text
    assert "74.29 ± 4.70" in text
    assert f"{record['cost']['model_calls']:,} of them before" in text
    assert (tmp_path / "a" / "outcomes.jsonl").read_text().split("\n") == lines


def test_an_attack_is_not_overwritten(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "outcomes.jsonl").write_text("")
    assert attacked(folder, "--out", tmp_path) == 2
    assert "holds an attack: continue or show it with --resume" in refused(capsys)


def test_without_a_run_it_is_certified_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    small_table().to_parquet(tmp_path / "table.parquet")
    config = write_config(tmp_path, {"attack": QUICK | {"unsmoothed": False}, "certificate.samples": 100})
    assert main(["attack", str(config), "--inputs", "1"]) == 0
    printed = capsys.readouterr()
    assert f"no complete run of {config} in runs: certifying into runs/small first" in printed.err
    assert "Attacked 1 certified input of runs/small" in printed.out
    assert (tmp_path / "runs" / "small" / "attack" / "attack.json").is_file()
    # the run is there now, and belongs to the configuration whatever its attack section says
    config = write_config(tmp_path, {"attack": QUICK | {"seed": 5}, "certificate.samples": 100})
    assert main(["attack", str(config), "--inputs", "1", "--out", "elsewhere"]) == 0
    assert "certifying" not in capsys.readouterr().err
    # another configuration has no run yet
    config = write_config(tmp_path, {"attack": QUICK, "certificate.samples": 90})
    assert main(["attack", str(config), "--inputs", "1"]) == 0
    assert "certifying into runs/small-2 first" in capsys.readouterr().err


def test_a_limited_run_is_attacked_as_it_was_certified(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = str(folder / "small.yaml")
    assert main(["certify", config, "--limit", "8", "--out", str(tmp_path / "few"), "--json"]) == 0
    capsys.readouterr()
    assert attacked(folder, "--out", tmp_path / "a", "--json", run=tmp_path / "few") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 8


@pytest.fixture
def swayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose model answered otherwise when it was certified."""
    small_table().to_parquet(tmp_path / "table.parquet")
    config = write_config(
        tmp_path,
        {
            "attack": QUICK | {"unsmoothed": False, "inputs": 6, "iterations": 1, "budgets": [{}]},
            "model.estimator": "swayed_model.SwayedClassifier",
            "certificate.samples": 100,
        },
    )
    monkeypatch.setenv("SWAYED", "1")
    assert main(["certify", str(config), "--out", str(tmp_path / "run"), "--json"]) == 0
    monkeypatch.delenv("SWAYED")
    return tmp_path


def test_a_false_claim_is_found_saved_and_confirmed(swayed: Path, capsys: pytest.CaptureFixture[str]):
    """Its certificates verify, its digest is right, and yet they are false: only an attack tells."""
    assert main(["verify", str(swayed / "run")]) == 0
    capsys.readouterr()
    assert attacked(swayed, run=swayed / "run") == 1
    text = capsys.readouterr().out
    assert "VIOLATION: the claim that the smoothed score exceeds 0.5 is false at" in text
    files = sorted((swayed / "run" / "attack" / "counterexamples").iterdir())
    record = json.loads((swayed / "run" / "attack" / "attack.json").read_text())
    assert sorted(record["counterexamples"]) == [f"counterexamples/{path.name}" for path in files]
    assert len(files) == len(record["violations"]) > 0
    assert f"--recheck {files[0]}" in text
    example = json.loads(files[0].read_text())
    assert example["certificate"]["input"] == example["input"] | {
        "base_label": example["certificate"]["input"]["base_label"]
    }
    assert all(isinstance(value, str) for value in example["adversarial"]["numeric"])
    assert attacked(swayed, "--recheck", files[0], run=swayed / "run") == 1
    assert capsys.readouterr().out.startswith("confirmed: the adversarial input lies within the certified")
    assert attacked(swayed, "--recheck", files[0], "--json", run=swayed / "run") == 1
    assert json.loads(capsys.readouterr().out)["confirmed"] is True
    # again from what is kept: the violations are still there, and no other file counts
    (files[0].parent / "of-another-attack.json").write_text("{}")
    assert attacked(swayed, "--resume", "--json", run=swayed / "run") == 1
    assert json.loads(capsys.readouterr().out)["counterexamples"] == record["counterexamples"]


def test_a_counterexample_outside_of_what_was_certified_is_refused(
    swayed: Path, capsys: pytest.CaptureFixture[str]
):
    """Whatever budget and certificate the file names."""
    assert attacked(swayed, run=swayed / "run") == 1
    file = next((swayed / "run" / "attack" / "counterexamples").iterdir())
    record = json.loads(file.read_text())
    record["budget"]["epsilon"] = (100.0).hex()
    for point in record["certificate"]["frontier"]:
        point["radius"] = (100.0).hex()
    file.write_text(json.dumps(record))
    capsys.readouterr()
    assert attacked(swayed, "--recheck", file, run=swayed / "run") == 2
    assert "the run certifies nothing about its clean input within d = " in refused(capsys)


def test_a_counterexample_that_no_longer_holds_is_not_confirmed(
    swayed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert attacked(swayed, run=swayed / "run") == 1
    file = next((swayed / "run" / "attack" / "counterexamples").iterdir())
    monkeypatch.setenv("SWAYED", "1")
    capsys.readouterr()
    assert attacked(swayed, "--recheck", file, run=swayed / "run") == 0
    assert capsys.readouterr().out.startswith("not confirmed: ")


def test_a_tampered_certificate_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "environment.json", "certificates.jsonl"):
        (run / name).write_bytes((folder / "runs" / "small" / name).read_bytes())
    path = run / "certificates.jsonl"
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    for document in documents:
        for point in document["frontier"]:
            if point["certified"]:
                point["radius"] = (3 * float.fromhex(point["radius"])).hex()
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    assert attacked(folder, run=run) == 2
    assert "does not verify (" in refused(capsys)
    path.write_text('{"input": 3}\n')
    assert attacked(folder, run=run) == 2
    assert "line 1, is no certificate" in refused(capsys)
    path.unlink()
    assert attacked(folder, run=run) == 2
    assert "certificates.jsonl cannot be read: No such file" in refused(capsys)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"noise.numeric.sigma": 0.25}, "configuration.noise.numeric.sigma was 0.5, is 0.25"),
        ({"certificate.seed": 4}, "configuration.certificate.seed was 3, is 4"),
        ({"attack.samples": 2}, "attack.samples must be at least"),
        ({"attack.inputs": 0}, "attack.inputs must be an integer >= 1, got 0"),
        ({"attack.budget": []}, "unknown key 'budget' in attack: did you mean budgets?"),
        ({"attack.method": "guess"}, "attack.method must be 'auto', 'gradient', 'score' or 'decision'"),
        ({"attack.budgets": []}, "attack.budgets"),
        (
            {"attack.budgets": [{"times_r": 2}, {"times_r": 2.0}]},
            "attack must not repeat a budget, got d*, 2 r*",
        ),
        (
            {"sweep": {"noise.numeric.sigma": [0.5, 1.0]}},
            "is a sweep, of which one run is attacked at a time",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], says: str
):
    small_table().to_parquet(tmp_path / "table.parquet")
    config = write_config(tmp_path, {"attack": dict(QUICK)} | changes)
    run = folder / "runs" / "small"
    assert main(["attack", str(config), "--run", str(run), "--out", str(tmp_path / "a")]) == 2
    assert says in refused(capsys)
    assert not (tmp_path / "a").exists()


def test_other_data_and_other_directories_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    small_table()[::-1].to_parquet(tmp_path / "table.parquet")
    assert attacked(folder, "--data", tmp_path / "table.parquet", "--out", tmp_path / "a") == 2
    assert "is the run of something else: data.sha256 was" in refused(capsys)
    assert attacked(folder, run=tmp_path / "nowhere") == 2
    assert "nowhere holds no run; --run takes a complete run directory" in refused(capsys)
    (tmp_path / "begun").mkdir()
    assert attacked(folder, run=tmp_path / "begun") == 2
    assert "holds an unfinished run" in refused(capsys)
    assert attacked(folder, "--inputs", "none") == 2
    assert "--inputs must be an integer >= 1, got none" in refused(capsys)
    assert attacked(folder, "--recheck", tmp_path / "nothing.json") == 2
    assert "nothing.json cannot be read: No such file" in refused(capsys)


def test_one_run_of_a_sweep_is_attacked_by_its_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    small_table().to_parquet(tmp_path / "table.parquet")
    config = write_config(
        tmp_path,
        {
            "attack": QUICK | {"inputs": 1, "unsmoothed": False},
            "certificate.samples": 100,
            "sweep": {"noise.numeric.sigma": [0.5, 1.0]},
        },
    )
    assert main(["certify", str(config), "--out", str(tmp_path / "out"), "--json"]) == 0
    capsys.readouterr()
    run = tmp_path / "out" / "sigma=1.0"
    assert main(["attack", str(config), "--run", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "attack on sigma=1.0"


def test_an_interrupted_attack_goes_on_and_ends_the_same(folder: Path, tmp_path: Path):
    run, out = folder / "runs" / "small", tmp_path / "cut"
    arguments = ["attack", str(folder / "small.yaml"), "--run", str(run), "--out"]
    assert main([*arguments, str(tmp_path / "whole")]) == 0
    going = subprocess.Popen(
        [sys.executable, "-m", "hybridcert", *arguments, str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    log, deadline = out / "outcomes.jsonl", time.monotonic() + 60
    while time.monotonic() < deadline and not (log.is_file() and log.read_bytes().count(b"\n") > 2):
        time.sleep(0.002)
    going.send_signal(signal.SIGINT)
    _, errors = going.communicate(timeout=60)
    assert going.returncode == 130
    assert "are kept in" in errors
    assert errors.endswith("--resume\n")
    whole = (tmp_path / "whole" / "outcomes.jsonl").read_bytes()
    assert len(log.read_bytes()) < len(whole)
    assert not (out / "attack.json").exists()
    assert main([*arguments, str(out), "--resume"]) == 0
    assert log.read_bytes() == whole
    assert (out / "table4.csv").read_bytes() == (tmp_path / "whole" / "table4.csv").read_bytes()


def test_the_attack_section_is_no_part_of_a_run(folder: Path):
    plain = parse_config(read_mapping(folder / "small.yaml"), source="small.yaml")
    assert plain.attack is not None
    assert plain.attack.inputs == 3
    assert "attack" not in plain.resolved()
    assert "attack" not in read_mapping(folder / "runs" / "small" / "config.yaml")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("attack_*.yaml")), ids=lambda path: path.stem)
def test_examples_say_how_to_attack(path: Path):
    [run] = expand(read_mapping(path), source=path.name)
    assert run.config.attack is not None
    assert AttackSection.model_validate(run.config.attack.resolved()) == run.config.attack
    names = [section.name for section in run.config.attack.budgets]
    assert names[:6] == ["0, r(0)", "d*, r*", "d*, 1.5 r*", "d*, 3 r*", "d* + 2, r*", "d* + 4, r*"]
