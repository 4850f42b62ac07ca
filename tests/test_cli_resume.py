"""Runs that are interrupted, killed or run out of space, and continued with `certify --resume`."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from hybridcert.cli.main import main
from killed_runs import TASK, Certify, alive, prepare, wait_until
from logged_model import logged_copies, logged_processes
from tabular_data import small_table, write_config

FILES = {
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
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Certify:
    """A run from beginning to end, and its log."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run = Certify(prepare(folder), folder / "out", folder / "log")
    assert run.here() == 0
    return run


def again(undisturbed: Certify, folder: Path, **changes: object) -> Certify:
    """Return the same run elsewhere."""
    return Certify(undisturbed.config, folder / "out", folder / "log", **changes)  # type: ignore[arg-type]


def test_a_killed_run_ends_with_the_same_certificates(
    undisturbed: Certify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = again(undisturbed, tmp_path, options=("--resume", "--executor", "serial"))
    for copies in (1, 50_000, 90_000):
        with run.start() as process:
            wait_until(lambda at=copies: logged_copies(run.log) >= at)
            process.kill()
            process.communicate()
        assert not (run.out / "environment.json").exists()
        assert not (run.out / "certificates.jsonl").exists()
    assert run.here() == 0
    assert run.certificates() == undisturbed.certificates()
    assert {path.name for path in run.out.iterdir()} == FILES
    assert logged_copies(run.log) <= logged_copies(undisturbed.log) + 3 * TASK
    cost = json.loads((run.out / "environment.json").read_text())["cost"]
    assert cost["model_calls"] == 12 * (10_000 + 100 + 1)
    assert cost["model_calls_from_store"] >= 90_000 - 3 * TASK
    assert "found in the store" in capsys.readouterr().out


@pytest.mark.slow
def test_workers_are_gone_after_a_kill_and_nothing_else_is_lost(undisturbed: Certify, tmp_path: Path):
    run = again(undisturbed, tmp_path, options=("--resume", "--executor", "processes", "--workers", "2"))
    for copies in (20_000, 60_000):
        with run.start() as process:
            wait_until(lambda at=copies: logged_copies(run.log) >= at)
            process.kill()
            process.communicate()
        wait_until(lambda: not alive(logged_processes(run.log)))
    assert run.here() == 0
    assert run.certificates() == undisturbed.certificates()
    assert logged_copies(run.log) <= logged_copies(undisturbed.log) + 2 * 2 * 2 * TASK
    assert alive(logged_processes(run.log)) == set()


@pytest.mark.parametrize(
    ("how", "executor"),
    [
        (signal.SIGINT, "processes"),
        pytest.param(signal.SIGTERM, "processes", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "serial", marks=pytest.mark.slow),
        (signal.SIGTERM, "serial"),
    ],
)
def test_an_interrupt_says_what_is_kept_and_how_to_continue(
    undisturbed: Certify, tmp_path: Path, how: signal.Signals, executor: str
):
    run = again(undisturbed, tmp_path, options=("--executor", executor))
    with run.start(start_new_session=True) as process:
        wait_until(lambda: logged_copies(run.log) >= 30_000)
        os.killpg(process.pid, how)  # as a terminal does
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.count("\n") == 1
    assert "noisy copies are kept in" in err
    command = f"hybridcert certify {run.config} --out {run.out} --resume --executor {executor}"
    assert err.endswith(f"continue with: {command}\n")
    wait_until(lambda: not alive(logged_processes(run.log)))
    assert {path.name for path in run.out.iterdir()} == {"config.yaml", "run.sqlite"}
    assert run.here("--resume") == 0
    assert run.certificates() == undisturbed.certificates()


def test_an_interrupt_before_the_first_answer_leaves_nothing(undisturbed: Certify, tmp_path: Path):
    run = again(undisturbed, tmp_path, seconds=60.0)
    with run.start() as process:
        wait_until(lambda: (run.out / "run.sqlite").exists())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted: nothing was written\n")
    assert not run.out.exists()


def test_what_is_complete_is_shown_again_and_not_drawn_again(
    undisturbed: Certify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    first = (undisturbed.out / "environment.json").read_bytes()
    log = tmp_path / "log"
    assert Certify(undisturbed.config, undisturbed.out, log).here("--resume", "--json") == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["inputs"], err) == (12, "")
    assert not log.exists()
    assert (undisturbed.out / "environment.json").read_bytes() == first


def test_with_nothing_to_resume_a_run_starts(
    undisturbed: Certify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = again(undisturbed, tmp_path)
    assert run.here("--resume") == 0
    assert capsys.readouterr().err == f"there is no {run.out} yet: starting from the beginning\n"
    assert run.certificates() == undisturbed.certificates()
    (tmp_path / "early").mkdir()
    shutil.copy(run.out / "config.yaml", tmp_path / "early")  # killed while it trained
    (tmp_path / "early" / "run.sqlite").touch()  # or while it made the store
    early = Certify(undisturbed.config, tmp_path / "early", tmp_path / "log")
    assert early.here("--resume") == 0
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / ".config.yaml").write_text("data: ")  # or while it wrote its configuration
    first = Certify(undisturbed.config, tmp_path / "first", tmp_path / "log")
    assert first.here("--resume") == 0
    assert early.certificates() == undisturbed.certificates()


@pytest.fixture
def unfinished(undisturbed: Certify, tmp_path: Path) -> Certify:
    """A run that was killed, with answers in its store."""
    table = tmp_path / "table.parquet"
    shutil.copy(undisturbed.config.parent / "table.parquet", table)
    config = tmp_path / "small.yaml"
    shutil.copy(undisturbed.config, config)
    run = Certify(config, tmp_path / "out", tmp_path / "log")
    with run.start("--executor", "serial") as process:
        wait_until(lambda: logged_copies(run.log) >= 15_000)
        process.kill()
        process.communicate()
    return run


def test_another_run_is_refused_with_the_difference_named(
    unfinished: Certify, capsys: pytest.CaptureFixture[str]
):
    folder, out = unfinished.config.parent, unfinished.out
    store = (out / "run.sqlite").read_bytes()
    everything = list(out.iterdir())

    def refusal(*more: str) -> str:
        assert main(["certify", str(unfinished.config), "--out", str(out), "--resume", *more]) == 2
        printed, error = capsys.readouterr()
        assert (printed, error.count("\n")) == ("", 1)
        return error

    assert "rows was 12, is 5" in refusal("--limit", "5")
    small_table().assign(age=lambda t: t["age"] + 1).to_parquet(folder / "table.parquet")
    assert "data.sha256 was " in refusal()
    small_table().to_parquet(folder / "table.parquet")
    prepare(folder, {"certificate.alpha": 0.05})
    error = refusal()
    assert "configuration.certificate.alpha was 0.01, is 0.05" in error
    assert "belongs to another run" in error
    prepare(folder, {"noise.numeric.sigma": 1.0, "certificate.seed": 9})
    assert (
        "configuration.noise.numeric.sigma was 0.5, is 1.0; configuration.certificate.seed was 3, is 9"
        in (refusal())
    )
    prepare(folder)
    assert (out / "run.sqlite").read_bytes() == store
    assert list(out.iterdir()) == everything
    prepare(folder, {"report.eps": [0.1]})  # the report may differ, the place of the data may
    (folder / "table.parquet").rename(folder / "moved.parquet")
    moved = ["--data", str(folder / "moved.parquet")]
    assert main(["certify", str(unfinished.config), "--out", str(out), "--resume", *moved]) == 0
    assert yaml.safe_load((out / "config.yaml").read_text())["report"]["eps"] == [0.1]


def test_another_run_is_refused_without_a_store_too(
    undisturbed: Certify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    shutil.copytree(undisturbed.out, out, ignore=shutil.ignore_patterns("run.sqlite"))
    other = prepare(tmp_path, {"certificate.alpha": 0.05})
    assert main(["certify", str(other), "--out", str(out), "--resume"]) == 2
    assert "configuration.certificate.alpha was 0.01, is 0.05" in capsys.readouterr().err
    same = prepare(tmp_path)
    assert main(["certify", str(same), "--out", str(out), "--resume", "--limit", "5"]) == 2
    assert "rows was 12, is 5" in capsys.readouterr().err
    assert main(["certify", str(same), "--out", str(out), "--resume"]) == 0
    small_table().assign(age=lambda t: t["age"] + 1).to_parquet(tmp_path / "table.parquet")
    assert main(["certify", str(same), "--out", str(out), "--resume"]) == 2
    assert "data.sha256 was " in capsys.readouterr().err


def test_the_files_of_something_else_are_not_overwritten(
    undisturbed: Certify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Many programs have a config.yaml."""
    out = tmp_path / "service"
    out.mkdir()
    (out / "config.yaml").write_text("database: {host: localhost}\n")
    (out / "results.parquet").write_text("precious")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert Certify(undisturbed.config, out, tmp_path / "log").here("--resume") == 2
    printed, error = capsys.readouterr()
    assert (printed, error.count("\n")) == ("", 1)
    assert "belongs to another run: configuration.database.host was" in error
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_model_that_trains_otherwise_is_refused(unfinished: Certify, monkeypatch: pytest.MonkeyPatch):
    """The same configuration and data, but the estimator's code has changed."""
    folder = unfinished.config.parent
    changed = (Path(__file__).parent / "logged_model.py").read_text()
    changed = changed.replace("LogisticRegression(random", "LogisticRegression(C=0.5, random")
    (folder / "logged_model.py").write_text(changed)
    path = os.pathsep.join([str(folder), *sys.path])
    done = unfinished.finish("--resume", env={"PYTHONPATH": path})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "model.sha256 was" in done.stderr
    assert unfinished.here("--resume") == 0


def test_unfinished_runs_are_neither_reported_nor_verified_nor_overwritten(
    unfinished: Certify, capsys: pytest.CaptureFixture[str]
):
    out = str(unfinished.out)
    for command in (["report", out], ["verify", out]):
        assert main(command) == 2
        printed, error = capsys.readouterr()
        assert (printed, error.count("\n")) == ("", 1)
        assert f"{out} holds an unfinished run: finish it with hybridcert certify" in error
    assert main(["certify", str(unfinished.config), "--out", out]) == 2
    assert "holds an unfinished run: continue it with --resume" in capsys.readouterr().err


def test_counts_can_be_exported_while_a_run_is_going_on(
    undisturbed: Certify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = again(undisturbed, tmp_path, options=("--executor", "serial"))
    with run.start() as process:
        wait_until(lambda: logged_copies(run.log) >= 30_000)
        assert main(["export", str(run.out), "--out", str(tmp_path / "now.parquet"), "--json"]) == 0
        process.kill()
        process.communicate()
    printed = json.loads(capsys.readouterr().out)
    counts = pd.read_parquet(tmp_path / "now.parquet")
    assert list(counts.columns) == ["input", "kernel", "stage", "block", "copies", "cells"]
    assert printed["copies"] == counts["copies"].sum() >= 20_000
    assert [cells.sum() for cells in counts["cells"]] == counts["copies"].tolist()
    assert main(["export", str(undisturbed.out)]) == 0
    everything = pd.read_parquet(undisturbed.out / "counts.parquet")
    (undisturbed.out / "counts.parquet").unlink()
    assert everything["copies"].sum() == logged_copies(undisturbed.log)
    both = counts.merge(everything, on=["input", "kernel", "stage", "block"])
    assert [list(a) for a in both["cells_x"]] == [list(a) for a in both["cells_y"]]
    assert len(both) == len(counts)
    assert main(["export", str(tmp_path)]) == 2
    assert "export one of its runs" in capsys.readouterr().err


@pytest.mark.slow
def test_sweeps_are_continued_run_by_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    sweep = {"noise.numeric.sigma": [0.5, 1.0], "certificate.threshold": [0.5]}
    config = prepare(tmp_path, {"sweep": sweep, "certificate.samples": 5_000})
    whole = Certify(config, tmp_path / "whole", tmp_path / "log-whole", seconds=0.0)
    assert whole.here() == 0
    run = Certify(config, tmp_path / "out", tmp_path / "log", options=("--executor", "serial"))
    with run.start() as process:
        wait_until(lambda: logged_copies(run.log) >= 80_000)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("interrupted: 1 of 2 runs and the answers to ")
    before = logged_copies(run.log)
    assert main(["report", str(run.out)]) == 2
    capsys.readouterr()
    assert run.here("--resume") == 0
    assert logged_copies(run.log) - before < 60_000
    for directory in ("sigma=0.5,threshold=0.5", "sigma=1.0,threshold=0.5"):
        first, second = ((d / directory / "certificates.jsonl").read_bytes() for d in (whole.out, run.out))
        assert first == second
    assert (run.out / "sweep.json").is_file()
    assert (run.out / "report.html").is_file()
    prepare(tmp_path, {"sweep": sweep | {"noise.numeric.sigma": [0.5]}, "certificate.samples": 5_000})
    assert main(["certify", str(config), "--out", str(run.out), "--resume"]) == 2
    assert "numeric.sigma" in capsys.readouterr().err


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param(4_096, marks=pytest.mark.slow),
        20_480,
        45_056,
        pytest.param(90_112, marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_one_clear_line_and_the_store_stays_whole(
    undisturbed: Certify, tmp_path: Path, limit: int
):
    run = again(undisturbed, tmp_path, seconds=0.0)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = run.finish("--resume", preexec_fn=small_files)
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("there is no")]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert "--resume" in errors[0]
    assert "Traceback" not in done.stderr
    assert run.here("--resume") == 0
    assert run.certificates() == undisturbed.certificates()
    assert {path.name for path in run.out.iterdir()} == FILES


def without_privileges() -> None:
    """Make the permissions of files count for root too, in what is executed next."""
    if os.geteuid() == 0:
        drop_from_bounding_set, override_permissions = 24, 1
        ctypes.CDLL(None).prctl(drop_from_bounding_set, override_permissions, 0, 0, 0)


def test_a_directory_that_cannot_be_written_is_one_clear_line(unfinished: Certify):
    folder, out = unfinished.config.parent, unfinished.out
    store = (out / "run.sqlite").read_bytes()
    closed = (folder, out, out / "run.sqlite")
    for path in closed:
        path.chmod(path.stat().st_mode & ~0o222)
    for place in (out, folder / "new"):
        tried = Certify(unfinished.config, place, folder / "none", seconds=0.0).finish(
            "--resume", preexec_fn=without_privileges
        )
        assert tried.returncode == 2, tried.stderr
        errors = [line for line in tried.stderr.splitlines() if not line.startswith("there is no")]
        assert len(errors) == 1
        assert str(place) in errors[0]
        assert "writ" in errors[0]
    assert (out / "run.sqlite").read_bytes() == store
    assert not (folder / "new").exists()
    for path in closed:
        path.chmod(path.stat().st_mode | 0o200)
    assert unfinished.here("--resume") == 0


def test_an_input_whose_calls_keep_failing_is_reported_and_the_run_goes_on(
    undisturbed: Certify, tmp_path: Path
):
    run = again(undisturbed, tmp_path, options=("--executor", "serial", "--attempts", "2"), seconds=0.05)
    broken = tmp_path / "broken"
    with run.start("--json", env={"CALL_FAILS": str(broken)}) as process:
        wait_until(lambda: logged_copies(run.log) >= 40_000)
        broken.touch()
        so_far = logged_copies(run.log)
        wait_until(lambda: logged_copies(run.log) >= so_far + 3 * TASK)
        broken.unlink()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    failed = json.loads(out)["failed"]
    environment = json.loads((run.out / "environment.json").read_text())
    assert 1 <= failed == len(environment["failures"]) < 12
    assert all("out of order" in reason for reason in environment["failures"].values())
    results = pd.read_parquet(run.out / "results.parquet")
    assert set(results[results["stopped"] == "failed"]["input"].astype(str)) == set(environment["failures"])
    assert len((run.out / "certificates.jsonl").read_text().splitlines()) == 12 - failed
    lines = pd.read_csv(run.out / "tables" / "radii.csv")["certificate_line"]
    assert lines.isna().sum() == 3 * failed
    assert lines.max() == 12 - failed


def test_the_default_directory_of_resume_is_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small_table().to_parquet(tmp_path / "table.parquet")
    config = write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["certify", str(config), "--limit", "2"]) == 0
    (tmp_path / "runs" / "small-2" / "environment.json").unlink()
    assert main(["certify", str(config), "--limit", "2", "--resume"]) == 0
    assert (tmp_path / "runs" / "small-2" / "environment.json").is_file()
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["small", "small-2"]
