"""`certify` on guards that read prompt and image: real checkpoints and servers, through the real command."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import hybridcert as hc
from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import SuffixSlots, WholePrompt
from hybridcert.certificate.deployment import cutoff_for
from hybridcert.checkpoints import tiny_guard
from hybridcert.cli.main import main
from hybridcert.experiments.config import parse_config
from hybridcert.experiments.config_guards import CheckpointSection, GuardSection
from hybridcert.experiments.config_pairs import PairsConfig
from hybridcert.experiments.execution import Execution
from hybridcert.experiments.guards import build_guard, checkpoint_classifier
from hybridcert.experiments.pairs import executor_of, run_pairs
from hybridcert.experiments.pairs_data import load_pairs
from hybridcert.experiments.pairs_tables import percent_rounded_up
from hybridcert.sampling.executors.processes import Processes
from hybridcert.sampling.executors.serial import Serial
from pairs_data import CONFIG, changed, write_config, write_digits

for module in ("torch", "transformers", "PIL", "httpx"):
    pytest.importorskip(module)
endpoint_server = pytest.importorskip("endpoint_server")

COPIES, UNSAFE, BENIGN = 200, 4, 3


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run directory of the tiny guard."""
    folder = tmp_path_factory.mktemp("pairs")
    write_digits(folder / "digits", UNSAFE, BENIGN)
    assert main(["certify", str(write_config(folder)), "--out", str(folder / "out"), "--json"]) == 0
    return folder / "out"


def read(out: Path, name: str) -> Any:
    return json.loads((out / name).read_text())


def extra(out: Path, title: str) -> dict[str, Any]:
    [found] = [table for table in read(out, "extras.json") if table["title"].startswith(title)]
    return found


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_a_run_directory_is_complete(certified: Path):
    for name in ("config.yaml", "results.parquet", "false_alarms.parquet", "report.html", "run.sqlite"):
        assert (certified / name).is_file()
    results = pd.read_parquet(certified / "results.parquet")
    alarms = pd.read_parquet(certified / "false_alarms.parquet")
    assert results["input"].unique().tolist() == ["p0", "p1", "p2", "p3"]
    assert set(results["target"]) == set(results["label"]) == {"unsafe"}
    assert alarms["input"].tolist() == ["p4", "p5", "p6"]
    assert set(alarms["target"]) == {"benign"}
    environment = read(certified, "environment.json")
    calls = (UNSAFE + BENIGN) * (COPIES + 1)
    assert environment["cost"]["model_calls"] == calls
    assert environment["cost"]["executor"] == "serial"
    data = environment["data"]
    assert (data["certified_rows"], data["false_alarm_rows"], data["rows"]) == (UNSAFE, BENIGN, 7)
    table = pd.read_csv(certified / "tables" / "certified_accuracy.csv")
    assert table[["d", "eps"]].drop_duplicates().shape[0] == 3 * 3
    assert table[(table["d"] == 1) & (table["eps"] == 0.1)]["certified"].item() >= 3


def test_certificates_hold_and_say_what_answered(certified: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["verify", str(certified)]) == 0
    assert "4 of 4 certificates hold" in capsys.readouterr().out
    model = read(certified, "environment.json")["model"]
    guard = checkpoint_classifier(
        CheckpointSection(path="tiny-guard"), region=SuffixSlots(4), canvas=Canvas(8, 8, 1)
    )
    assert model["sha256"] == guard.sha256
    assert model["policy"] == (tiny_guard() / "policy.txt").read_text().strip()
    assert (model["checkpoint"], model["dtype"]) == ("tiny_guard", "float32")
    for key in ("device", "torch", "transformers"):
        assert isinstance(model[key], str)
    stated = {key: str(value) if isinstance(value, float) else value for key, value in model.items()}
    for line in (certified / "certificates.jsonl").read_text().splitlines():
        document = json.loads(line)  # numbers that are no integers are texts in certificates
        assert document["provenance"]["model"] == stated
        assert document["law"]["continuous"][0]["unit"] == "pixel values in [0, 1], grey 8×8"
        assert document["law"]["discrete"][0]["positions"][0][1] == 4


def test_counts_are_those_of_the_library(certified: Path):
    config = parse_config(yaml.safe_load((certified / "config.yaml").read_text()), source="again")
    assert isinstance(config, PairsConfig)
    pairs = load_pairs(config.data)
    guard = checkpoint_classifier(
        CheckpointSection.model_validate(CONFIG["model"]["checkpoint"]),
        region=SuffixSlots(4),
        canvas=Canvas(8, 8, 1),
    )
    noise = {"suffix": hc.UniformReplacement(0.25), "image": hc.GaussianNoise(0.25)}
    run = hc.SmoothedClassifier(guard, noise=noise).certify(
        pairs.rows(pairs.flagged).pairs.inputs,
        threat=hc.Substitution(2),
        samples=COPIES,
        alpha=0.05,
        threshold=0.2,
        seed=3,
        label="unsafe",
    )
    results = pd.read_parquet(certified / "results.parquet")
    assert np.array_equal(results[results["d"] == 0]["successes"], run.successes)
    for d in range(3):
        part = results[results["d"] == d]
        assert np.array_equal(part["certified"], run.point(d).radii.certified)
        assert np.array_equal(part["radius"].fillna(0.0), run.point(d).radii.radius)


def test_false_alarms_and_rivals_stand_beside_what_is_certified(certified: Path):
    alarms = pd.read_parquet(certified / "false_alarms.parquet")
    results = pd.read_parquet(certified / "results.parquet")
    table = extra(certified, "False alarms")
    points = [(0, "0.1"), (1, "0"), (1, "0.1"), (2, "0"), (2, "0.1")]
    assert table["columns"][4:] == [f"d = {d}, ε = {eps}" for d, eps in points]
    own, other, base, everything = table["rows"]
    for row, threshold in ((own, 0.2), (other, 0.5)):
        cutoff = cutoff_for(copies=COPIES, threshold=threshold, miss=0.05)
        flagged = int((alarms["hits"] >= cutoff).sum())
        assert row[0] == f"τ = {threshold}: flagged from {cutoff} hits on"
        assert row[1] == f"{flagged} of {BENIGN}"
        upper = float(hc.clopper_pearson_upper(flagged, BENIGN, 0.05))
        assert 0.0 <= float(row[2].removesuffix(" %")) - 100 * upper <= 0.1
        zero = results[results["d"] == 0]
        assert row[3] == (zero["p_adv"] > threshold).sum()
        assert row[5] == (results[results["d"] == 1]["p_adv"] > threshold).sum()
    assert own[8] == (results[results["d"] == 2]["radius"] >= 0.1).sum()
    assert base[1] == f"{(alarms['clean_label'] == 'unsafe').sum()} of {BENIGN}"
    assert base[3:] == [(results[results["d"] == 0]["clean_label"] == "unsafe").sum(), *[None] * 5]
    assert everything[1:] == [f"{BENIGN} of {BENIGN}", "100.0 %", *[UNSAFE] * 6]
    page = (certified / "report.html").read_text()
    for part in ("flag everything", "no noise", "Certified at τ = 0.5", "drop them", "ε = 0.1"):
        assert part in page


def test_another_threshold_gives_what_a_run_of_its_own_gives(certified: Path):
    raw = yaml.safe_load((certified / "config.yaml").read_text())
    raw["certificate"]["threshold"] = 0.5
    config = parse_config(raw, source="again")
    assert isinstance(config, PairsConfig)
    found = run_pairs(config, load_pairs(config.data))
    table = extra(certified, "Certified at τ = 0.5")
    for d, row in enumerate(table["rows"]):
        assert row == [f"d = {d}", *(int(found.run.certified(d, eps).sum()) for eps in (0.0, 0.1, 0.2))]


def stored(out: Path) -> int:
    """Return how many copies are in a store that another process is writing."""
    try:
        with sqlite3.connect(f"file:{out / 'run.sqlite'}?mode=ro", uri=True) as store:
            return int(store.execute("SELECT coalesce(sum(copies), 0) FROM counts").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@contextlib.contextmanager
def when(happened: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    """Act once, as soon as something has happened while the block goes on."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            if happened():
                act()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def test_an_interrupted_run_goes_on_to_the_same_certificates(
    certified: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    arguments = ["certify", str(certified.parent / "guard.yaml"), "--out", str(out)]
    with when(lambda: stored(out) >= 100, lambda: os.kill(os.getpid(), signal.SIGINT)):
        assert main(arguments) == 130
    assert "noisy copies are kept" in capsys.readouterr().err
    kept = stored(out)
    assert 100 <= kept < (UNSAFE + BENIGN) * COPIES
    assert not (out / "environment.json").exists()
    assert main([*arguments, "--resume"]) == 0
    assert (out / "certificates.jsonl").read_bytes() == (certified / "certificates.jsonl").read_bytes()
    found = pd.read_parquet(out / "false_alarms.parquet")
    pd.testing.assert_frame_equal(found, pd.read_parquet(certified / "false_alarms.parquet"))
    assert read(out, "environment.json")["cost"]["model_calls_from_store"] == kept
    page = (out / "report.html").stat().st_mtime_ns
    assert main([*arguments, "--resume"]) == 0  # it is complete
    assert (out / "report.html").stat().st_mtime_ns == page


def test_another_guard_or_other_pairs_do_not_continue_a_run(
    certified: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    write_digits(tmp_path / "digits", UNSAFE, BENIGN)
    (tmp_path / "policy.txt").write_text((tiny_guard() / "policy.txt").read_text())
    config = write_config(tmp_path, {"model.checkpoint.policy": "policy.txt", "certificate.samples": 20})
    arguments = ["certify", str(config), "--out", str(out), "--limit", "5"]
    assert main(arguments) == 0
    (out / "environment.json").unlink()
    (tmp_path / "policy.txt").write_text("image {image} message {text} {suffix}")
    message = refused([*arguments, "--resume"], capsys)
    assert "belongs to another run: model.policy was" in message
    (tmp_path / "policy.txt").write_text((tiny_guard() / "policy.txt").read_text())
    assert "rows was 5, is 4" in refused([*arguments[:-1], "4", "--resume"], capsys)
    other = ["--data", str(write_digits(tmp_path / "other", UNSAFE, BENIGN + 1))]
    assert "data.sha256 was" in refused([*arguments, *other, "--resume"], capsys)
    assert main([*arguments, "--resume"]) == 0
    assert read(out, "environment.json")["data"]["false_alarm_rows"] == 1


def test_random_deletion_over_the_whole_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_digits(tmp_path / "digits", 2, 0)
    changes = {
        "region": {"whole_prompt": 20},
        "noise.text": {"kernel": "deletion", "beta": 0.4},
        "threat": {"kind": "insertion", "max_d": 2},
        "certificate.samples": 60,
    }
    out = tmp_path / "out"
    (tmp_path / "policy.txt").write_text("image {image} message {text}")
    config = write_config(tmp_path, changes | {"model.checkpoint.policy": "policy.txt"})
    assert main(["certify", str(config), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "There are no benign pairs, so false alarms are not known" in text
    assert "drop them" not in text
    assert extra(out, "False alarms")["rows"][0][1:3] == [None, None]
    document = json.loads((out / "certificates.jsonl").read_text().splitlines()[0])
    law = document["law"]["discrete"][0]
    assert (law["kernel"], law["length"]) == ("deletion", 3)
    assert document["threat"]["discrete"] == [{"modality": "text", "kind": "insertion", "max_d": 2}]
    assert main(["verify", str(out)]) == 0
    classifier = checkpoint_classifier(
        CheckpointSection(path="tiny-guard"), region=WholePrompt(20), canvas=Canvas(8, 8, 1)
    )
    assert classifier.surfaces()["text"].sequence  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "norm", "columns"),
    [
        ({"noise.text": None, "threat": None}, "l2", ["d = 0, ε = 0.1", "d = 0, ε = 0.2"]),
        ({"noise.image": None}, "none", ["d = 1", "d = 2"]),
    ],
    ids=["image", "text"],
)
def test_one_modality_alone(changes: dict[str, Any], norm: str, columns: list[str], tmp_path: Path):
    write_digits(tmp_path / "digits", 1, 1)
    config = write_config(tmp_path, changes | {"certificate.samples": 40})
    assert main(["certify", str(config), "--out", str(tmp_path / "out")]) == 0
    assert read(tmp_path / "out", "run.json")["norm"] == norm
    assert extra(tmp_path / "out", "False alarms")["columns"][4:] == columns
    assert main(["verify", str(tmp_path / "out")]) == 0


WORDS = ["bomb", "flower", "cat", "dog", "tree", "sun", "sea", "sky"]


def write_rule(folder: Path, url: str, changes: dict[str, Any] | None = None) -> Path:
    """Write pairs for the server of the tests, which flags a "bomb" beside a bright image."""
    from PIL import Image

    (folder / "digits").mkdir(parents=True)
    pairs = [("a", "bomb bomb bomb bomb", 230), ("b", "bomb bomb bomb cat", 230)]
    pairs += [("c", "flower cat", 230), ("d", "bomb dog sun", 20)]
    lines = []
    for name, text, level in pairs:
        Image.fromarray(np.full((4, 4), level, dtype=np.uint8)).save(folder / "digits" / f"{name}.png")
        label = "unsafe" if name in "ab" else "safe"
        lines.append(json.dumps({"id": name, "text": text, "image": f"{name}.png", "label": label}))
    (folder / "digits" / "pairs.jsonl").write_text("\n".join(lines))
    endpoint = {"base_url": url, "model": "rule", "words": WORDS, "attempts": 1, "block_copies": 20}
    rule = {
        "model": {"endpoint": endpoint},
        "canvas": {"height": 4, "width": 4, "channels": 1},
        "region": {"whole_prompt": 8},
        "noise": {"text": {"kernel": "deletion", "beta": 0.5}, "image": {"sigma": 0.1}},
        "threat": {"kind": "insertion", "max_d": 2},
        "certificate.samples": 80,
        "certificate.threshold": 0.1,
    }
    return write_config(folder, rule | (changes or {}))


def test_an_endpoint_is_certified_with_its_serving_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, behaviour = tmp_path / "out", endpoint_server.Behaviour()
    with endpoint_server.serving(behaviour) as url:
        config = write_rule(tmp_path, url)
        assert main(["certify", str(config), "--out", str(out)]) == 0
        asked = len(behaviour.bodies)
        (out / "environment.json").unlink()
        assert main(["certify", str(config), "--out", str(out), "--resume"]) == 0
        assert len(behaviour.bodies) - asked < 10  # what it is, and nothing about pairs
    results = pd.read_parquet(out / "results.parquet")
    assert results[results["d"] == 2]["certified"].all()
    assert (results["radius"] > 0.0).all()
    assert [row[1] for row in extra(out, "False alarms")["rows"][:2]] == ["0 of 2", "0 of 2"]
    assert main(["verify", str(out)]) == 0
    document = json.loads((out / "certificates.jsonl").read_text().splitlines()[0])
    model = document["provenance"]["model"]
    assert model["serving_stack"]["system_fingerprint"] == "fp_1"
    assert model["serving_stack"]["version"] == "0.9.1"
    assert re.fullmatch("[0-9a-f]{64}", model["symbols_sha256"])

    behaviour.fingerprint = "fp_2"
    (out / "environment.json").unlink()
    with endpoint_server.serving(behaviour) as url:
        moved(config, url)
        message = refused(["certify", str(config), "--out", str(out), "--resume"], capsys)
    assert "model.serving_stack.system_fingerprint was" in message


def moved(config: Path, url: str) -> None:
    """Let a configuration name the endpoint at another address."""
    raw = yaml.safe_load(config.read_text())
    raw["model"]["endpoint"]["base_url"] = url
    config.write_text(yaml.safe_dump(raw))


def test_another_address_does_not_continue_a_run_unless_a_fingerprint_vouches_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = write_rule(tmp_path, "http://127.0.0.1:9/v1", {"certificate.samples": 20})
    for fingerprint, expected in ((None, 2), ("fp_1", 0)):
        out = tmp_path / f"out {fingerprint}"
        arguments = ["certify", str(config), "--out", str(out)]
        behaviour = endpoint_server.Behaviour(fingerprint=fingerprint)
        with endpoint_server.serving(behaviour) as first, endpoint_server.serving(behaviour) as second:
            moved(config, first)
            assert main(arguments) == 0
            (out / "environment.json").unlink()
            moved(config, second)
            capsys.readouterr()
            assert main([*arguments, "--resume"]) == expected
            message = capsys.readouterr().err
            moved(config, first + "/")
            assert main([*arguments, "--resume"]) == 0
        if fingerprint is None:
            assert message.count("\n") == 1
            assert f'belongs to another run: model.base_url was "{first}", is "{second}".' in message


def test_equal_benign_pairs_are_counted_once(tmp_path: Path):
    from PIL import Image

    folder, out = write_digits(tmp_path / "digits", 1, 2), tmp_path / "out"
    file = folder / "pairs.jsonl"
    again = json.loads(file.read_text().splitlines()[1]) | {"id": "again", "image": "again.bmp"}
    Image.open(folder / "1.png").save(folder / "again.bmp")  # other bytes, the same pixels
    file.write_text(file.read_text() + json.dumps(again) + "\n")
    assert main(["certify", str(write_config(tmp_path)), "--out", str(out)]) == 0
    alarms = pd.read_parquet(out / "false_alarms.parquet").set_index("input")
    assert alarms.loc["p1", "digest"] == alarms.loc["again", "digest"] != alarms.loc["p2", "digest"]
    assert alarms.loc["p1", "hits"] == alarms.loc["again", "hits"]
    table = extra(out, "False alarms")
    assert [row[1].split()[-1] for row in table["rows"]] == ["2"] * 4
    upper = float(hc.clopper_pearson_upper(int(table["rows"][0][1].split()[0]), 2, 0.05))
    assert table["rows"][0][2] == percent_rounded_up(upper)
    for part in (
        "1 pairs that have to be flagged and 3 benign ones. 2 of the latter are distinct",
        "each bound holds by itself with probability at least 1 − 0.05, not all together",
        "divide alpha by the number of rows to choose from: 0.05 / 2 here",
    ):
        assert part in table["text"]


def test_shares_are_rounded_up():
    shares = (0.0, 0.001, np.nextafter(0.25, 1.0), 0.9991, 1.0)
    assert [percent_rounded_up(float(share)) for share in shares] == [
        "0.0 %",
        "0.2 %",  # 0.001 as a float is above one thousandth
        "25.1 %",
        "100.0 %",
        "100.0 %",
    ]


def test_a_pair_without_an_answer_is_not_caught(tmp_path: Path):
    def fault(request: dict[str, Any], number: int) -> Any:
        words = endpoint_server.said(request).split()
        return endpoint_server.Fault(500, "no") if "cat" in words else None

    out = tmp_path / "out"
    with endpoint_server.serving(endpoint_server.Behaviour(fault=fault)) as url:
        changes = {"certificate.label": "safe", "data.flagged": ["safe"], "certificate.samples": 40}
        config = write_rule(tmp_path, url, changes)
        assert main(["certify", str(config), "--out", str(out), "--attempts", "1"]) == 0
    assert set(read(out, "environment.json")["failures"]) == {"b", "c"}
    base = extra(out, "False alarms")["rows"][2]
    assert base[0] == "no noise"
    assert base[3] == 1  # "d" is called safe, and about "c" there is no answer
    assert base[1] == "1 of 2"  # "b" has no answer either, and counts as an alarm; "a" is called unsafe


def test_pairs_on_which_the_model_keeps_failing_count_against_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def fault(request: dict[str, Any], number: int) -> Any:
        words = endpoint_server.said(request).split()
        return endpoint_server.Fault(500, "no") if "cat" in words else None

    out = tmp_path / "out"
    with endpoint_server.serving(endpoint_server.Behaviour(fault=fault)) as url:
        config = write_rule(tmp_path, url)
        assert main(["certify", str(config), "--out", str(out), "--attempts", "1"]) == 0
    results = pd.read_parquet(out / "results.parquet").set_index(["input", "d"])
    assert results.loc[("a", 2), "certified"]
    assert (results.loc[("b", 0), "samples"], results.loc[("b", 0), "certified"]) == (0, False)
    alarms = pd.read_parquet(out / "false_alarms.parquet").set_index("input")
    assert alarms["hits"].to_dict() == {"c": 80, "d": 0}
    assert set(read(out, "environment.json")["failures"]) == {"b", "c"}
    assert extra(out, "False alarms")["rows"][0][1] == "1 of 2"
    assert len((out / "certificates.jsonl").read_text().splitlines()) == 1
    assert "failed" in capsys.readouterr().out


def test_an_endpoint_that_dies_leaves_what_was_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    port = endpoint_server.free_port()
    config = write_rule(tmp_path, f"http://127.0.0.1:{port}/v1")
    out, whole = tmp_path / "out", tmp_path / "whole"
    arguments = ["certify", str(config), "--out", str(out)]
    with endpoint_server.server_process(port) as server:
        with when(lambda: stored(out) >= 24, server.kill):
            message = refused(arguments, capsys)
        assert "cannot be reached" in message or "does not answer" in message or "failed" in message
    kept = stored(out)
    assert 24 <= kept < 4 * 81
    with endpoint_server.server_process(port):
        assert main([*arguments, "--resume"]) == 0
        processes = ["--executor", "processes", "--workers", "2"]
        assert main(["certify", str(config), "--out", str(whole), *processes]) == 0
    assert read(out, "environment.json")["cost"]["model_calls_from_store"] == kept
    assert (out / "certificates.jsonl").read_bytes() == (whole / "certificates.jsonl").read_bytes()
    assert read(whole, "environment.json")["cost"]["executor"] == "processes"


def test_only_what_is_unsafe_together_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder, out = write_digits(tmp_path / "digits", UNSAFE, BENIGN), tmp_path / "out"
    noise = ["--canvas", "8x8", "--sigma", "0.25", "--slots", "4", "--beta", "0.25"]
    check = ["--samples", "60", "--alpha", "0.05", "--threshold", "0.3", "--seed", "0"]
    arguments = ["filter-interaction", str(folder), "--model", "tiny-guard", "--out", str(out)]
    assert main([*arguments, *noise, *check, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["examples"] == UNSAFE + BENIGN
    kept = [json.loads(line)["id"] for line in (out / "kept" / "pairs.jsonl").read_text().splitlines()]
    assert len(kept) == printed["kept"] >= 3
    assert set(kept) <= {"p0", "p1", "p2", "p3"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model.checkpoint.path": "./nowhere"}, "there is no checkpoint folder"),
        ({"model.checkpoint.policy": "none.txt"}, "model.checkpoint: the policy"),
        ({"model.checkpoint.tokens": ["one", "tw0"]}, "the tokenizer knows no token 'tw0'"),
        ({"model.checkpoint.tokens": "none.txt"}, "model.checkpoint: the list of symbols"),
        ({"model.checkpoint.device": "nodevice"}, "nodevice"),
        ({"data.path": "nowhere"}, "nowhere"),
        ({"data.flagged": ["harmful"]}, "data.flagged must list labels that occur"),
        ({"canvas": {"height": 8}}, "canvas.width is required"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(
    changes: dict[str, Any], expected: str, certified: Path, capsys: pytest.CaptureFixture[str]
):
    config = write_config(certified.parent, changes, name="broken.yaml")
    arguments = ["certify", str(config), "--out", str(certified.parent / "broken")]
    assert expected in refused(arguments, capsys)
    assert not (certified.parent / "broken").exists()


def test_where_a_denoiser_lies_does_not_count(tmp_path: Path):
    diffusers = pytest.importorskip("diffusers")
    network = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        add_attention=False,
    )
    here, there = tmp_path / "here" / "denoiser", tmp_path / "there" / "moved"
    diffusers.DDPMPipeline(unet=network, scheduler=diffusers.DDPMScheduler()).save_pretrained(here)
    shutil.copytree(here, there)
    guards = []
    for folder in (here, there):
        section = GuardSection.model_validate(
            {"checkpoint": {"path": "tiny-guard", "denoiser": {"path": str(folder)}}}
        )
        guards.append(build_guard(section, region=SuffixSlots(4), canvas=Canvas(8, 8, 1), sigma=0.25))
    assert guards[0].identity == guards[1].identity
    assert [guard.described["denoiser"]["path"] for guard in guards] == ["denoiser", "moved"]
    assert str(tmp_path) not in json.dumps([dict(guard.described) for guard in guards])


def test_damaged_images_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_digits(tmp_path / "digits", 2, 1)
    (folder / "1.png").write_bytes(b"no image")
    arguments = ["certify", str(write_config(tmp_path)), "--out", str(tmp_path / "out")]
    assert re.search(r"'p1'.*is no image that can be read", refused(arguments, capsys))
    config = parse_config(changed(), source="test")
    assert isinstance(config, PairsConfig)


def test_processes_are_started_only_where_they_are_asked_for():
    guard = checkpoint_classifier(
        CheckpointSection(path="tiny-guard", block_copies=50), region=SuffixSlots(4), canvas=Canvas(8, 8, 1)
    )
    assert isinstance(executor_of(Execution(), guard, 10**9), Serial)
    found = executor_of(Execution(workers=3), guard, 120)
    assert isinstance(found, Processes)
    assert found.workers == 3  # a task has 50 copies
