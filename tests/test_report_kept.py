"""What a run directory keeps of its inputs, for people to read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import report_pages
from hybridcert.adapters.canvas import Canvas
from hybridcert.experiments import kept_inputs
from hybridcert.experiments.kept_inputs import of_fields, of_pairs, of_texts


def test_fields_are_kept_as_they_are():
    X = pd.DataFrame(
        {
            "age": [1.5, np.nan, np.inf],
            "kind": pd.Categorical(["a", None, "é"]),
            "count": [1, 2, 3],
            7: [True, False, True],
        }
    )
    rows = [json.loads(fields) for fields in of_fields(X)["fields"]]
    assert rows == [
        {"age": 1.5, "kind": "a", "count": 1, "7": True},
        {"age": None, "kind": None, "count": 2, "7": False},
        {"age": "inf", "kind": "é", "count": 3, "7": True},
    ]


def test_texts_keep_their_order():
    assert of_texts(iter(["b", "a"]))["text"].tolist() == ["b", "a"]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_those_on_the_canvas(channels: int):
    levels = np.random.default_rng(0).integers(0, 256, (6, 4, channels)).astype(np.uint8)
    frame = of_pairs(["a", "b"], [levels / 255.0, levels], Canvas(6, 4, channels))
    for png in frame["image"]:
        with Image.open(io.BytesIO(png)) as picture:
            assert np.array_equal(np.asarray(picture).reshape(6, 4, channels), levels)


def test_images_beyond_a_total_size_are_not_kept(monkeypatch: pytest.MonkeyPatch):
    image = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    whole = of_pairs(["a"] * 4, [image] * 4, Canvas(8, 8, 1))["image"]
    monkeypatch.setattr(kept_inputs, "MOST_IMAGE_BYTES", 2 * len(whole[0]))
    few = of_pairs(["a"] * 4, [image] * 4, Canvas(8, 8, 1))["image"]
    assert few[:2].tolist() == whole[:2].tolist()
    assert few[2:].tolist() == [None, None]


def test_counts_and_fields_are_those_of_the_run(tmp_path: Path):
    directory = report_pages.table_run(tmp_path)
    kept = pd.read_parquet(directory / "inputs.parquet")
    results = report_pages.rows_of(directory, 0)
    table = pd.read_parquet(tmp_path / "table.parquet")
    assert kept["input"].astype(str).tolist() == results.index.tolist()
    for row, truth in zip(kept.itertuples(), results.itertuples(), strict=True):
        counts, fields = json.loads(row.counts), json.loads(row.fields)
        assert counts[truth.label] == truth.successes
        assert sum(counts.values()) == truth.samples
        assert fields["age"] == table.loc[row.input, "age"]
        assert fields["colour"] == table.loc[row.input, "colour"]
        assert "note" not in fields
