"""`attack` on filters of texts and on guards that read prompt and image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pairs_data
import text_data
from hybridcert.cli.main import main

QUICK: dict[str, Any] = {"iterations": 3, "copies": 32, "candidates": 8, "estimate_samples": 300}


def test_a_filter_on_texts_is_attacked_with_the_words_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    text_data.messages().to_csv(tmp_path / "messages.csv", index=False)
    config = text_data.write_config(tmp_path, {"attack": QUICK | {"inputs": 2}})
    assert main(["certify", str(config), "--out", str(tmp_path / "run"), "--json"]) == 0
    capsys.readouterr()
    assert main(["attack", str(config), "--run", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    table = {row["budget"]: row for row in found["table"]}
    assert table["d* + 4, r*"]["mean_d"] == 4 + table["d*, r*"]["mean_d"]
    assert table["d* + 4, r*"]["other_percent"] > table["no attack"]["other_percent"]
    assert "d*, 3 r*" not in table  # words have no radius


def test_a_guard_on_pairs_is_attacked_through_its_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("transformers")  # the extra vlm
    pairs_data.write_digits(tmp_path / "digits")
    section = QUICK | {"inputs": 1, "iterations": 2, "copies": 16, "estimate_samples": 50}
    config = pairs_data.write_config(
        tmp_path, {"attack": section | {"budgets": [{}, {"times_r": 3}, {"more_d": 2}]}}
    )
    assert main(["certify", str(config), "--out", str(tmp_path / "run"), "--json"]) == 0
    capsys.readouterr()
    assert main(["attack", str(config), "--run", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["methods"]["smoothed"] == ["gradient"]
    assert found["model"]["checkpoint"] == "tiny_guard"
    assert found["violations"] == []


def test_an_endpoint_is_attacked_by_its_answers_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Found at another address it is the same model; with another fingerprint it is not."""
    endpoint_server = pytest.importorskip("endpoint_server")  # the extra endpoint
    pairs_data.write_digits(tmp_path / "digits", unsafe=1, benign=0)
    (tmp_path / "digits" / "pairs.jsonl").write_text(
        json.dumps({"id": "a", "text": "bomb bomb bomb bomb", "image": "0.png", "label": "unsafe"}) + "\n"
    )
    white = np.full((4, 4), 230, dtype=np.uint8)
    Image.fromarray(white).save(tmp_path / "digits" / "0.png")
    section = {"iterations": 1, "copies": 8, "candidates": 4, "estimate_samples": 20, "samples": 60}
    changes = {
        "canvas": {"height": 4, "width": 4, "channels": 1},
        "region": {"whole_prompt": 8},
        "noise": {"text": {"kernel": "deletion", "beta": 0.5}, "image": {"sigma": 0.1}},
        "threat": {"kind": "insertion", "max_d": 1},
        "certificate.samples": 60,
        "certificate.threshold": 0.1,
        "attack": section | {"unsmoothed": False, "budgets": [{}]},
    }
    words = ["bomb", "cat", "dog", "flower", "sun"]

    def config_at(url: str) -> str:
        endpoint = {"base_url": url, "model": "rule", "words": words, "attempts": 1, "block_copies": 20}
        return str(pairs_data.write_config(tmp_path, {"model": {"endpoint": endpoint}, **changes}))

    run = ["--run", str(tmp_path / "run")]
    behaviour = endpoint_server.Behaviour()
    with endpoint_server.serving(behaviour) as url:
        assert main(["certify", config_at(url), "--out", run[1], "--json"]) == 0
    capsys.readouterr()
    with endpoint_server.serving(behaviour) as url:
        assert main(["attack", config_at(url), *run, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
    assert found["methods"]["smoothed"] == ["decision"]
    assert found["attacks_inside"] == 1
    behaviour.fingerprint = "another"
    with endpoint_server.serving(behaviour) as url:
        assert main(["attack", config_at(url), *run, "--out", str(tmp_path / "a")]) == 2
    assert "model.serving_stack.system_fingerprint was" in capsys.readouterr().err
