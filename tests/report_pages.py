"""Run directories for tests of pages: a table, a filter on texts with hostile ones, pairs, and many rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import hybridcert as hc
import tabular_data
import text_data
from hybridcert.cli.main import main
from hybridcert.experiments.kept_inputs import of_fields, write_inputs
from hybridcert.experiments.multimodal import DemoSettings, run_demo
from hybridcert.experiments.multimodal_report import write_demo
from hybridcert.reports.write import write_report
from hybridcert.threshold_grid import write_thresholds

HOSTILE = (
    "free prize </script><script>window.broken = 1</script>",
    'cash <img src="https://example.invalid/x.png" onerror="window.broken = 2"> winner',
    "claim \u2028 txt \u2029 </title></style> <!-- <script>",
    "winner &lt;b&gt; {{script}} ${1} \\u003cscript>",
)


def table_run(folder: Path) -> Path:
    """A run on a small table, by the command."""
    tabular_data.small_table().to_parquet(folder / "table.parquet")
    config = tabular_data.write_config(folder)
    assert main(["certify", str(config), "--out", str(folder / "table"), "--json"]) == 0
    return folder / "table"


def text_run(folder: Path) -> Path:
    """A run of a filter whose certified messages try to break out of a page."""
    messages = text_data.messages()
    for row, text in zip(messages.index[messages["kind"] == "spam"], HOSTILE * 30, strict=False):
        messages.loc[row, "message"] = f"{text} no{row}"
    messages.to_csv(folder / "messages.csv", index=False)
    config = text_data.write_config(folder)
    assert main(["certify", str(config), "--out", str(folder / "texts"), "--json"]) == 0
    return folder / "texts"


def pairs_run(folder: Path) -> Path:
    """A run on pairs of image and text: the demo, with few copies."""
    write_demo(folder / "pairs", run_demo(DemoSettings(samples=300, inputs=40, noisy_copies=1)))
    write_report(folder / "pairs")
    return folder / "pairs"


def large_run(folder: Path, rows: int) -> Path:
    """A run on so many rows, of ten fields each, put together by the library."""
    random = np.random.default_rng(0)
    fields = {f"field {n}": random.choice(["low", "middle", "high", "none"], rows) for n in range(10)}
    X = pd.DataFrame(fields)
    y = np.where((X["field 0"] == "low") ^ (X["field 1"] == "high") | (X["field 2"] == "none"), "yes", "no")
    base = hc.DataFrameClassifier(
        make_pipeline(OneHotEncoder(), LogisticRegression()), X, categorical=list(X.columns)
    )
    smoothed = hc.SmoothedClassifier(base, noise={"categorical": hc.UniformReplacement(0.5)}).fit(
        X, y, seed=1
    )
    run = smoothed.certify(X, threat=hc.Fields(2), samples=200, alpha=0.01, threshold=0.5, seed=1)
    target = folder / "large"
    target.mkdir()
    frame = run.frame()
    frame.insert(1, "target", np.tile(y, len(run.points)))
    frame.to_parquet(target / "results.parquet", index=False)
    (target / "run.json").write_text(json.dumps(run.describe(), default=str), encoding="utf-8")
    write_inputs(target, run, of_fields(X))
    write_thresholds(target, run)
    write_report(target)
    return target


def odd_runs(folder: Path) -> dict[str, Path]:
    """Runs with nothing but results, each the first but for one thing: the edges of what results can be."""
    settings: dict[str, Any] = {
        "samples": 100,
        "alpha": 0.01,
        "threshold": 0.5,
        "unit": "metres",
        "norm": "l2",
        "noise": {"text": {"kernel": "uniform", "beta": 0.25}},
        "threat": {"text": {"kind": "substitution", "max_d": 2}},
    }
    radii = {0: [0.5, 0.3, np.nan], 1: [0.1, np.nan, np.nan], 2: [np.nan] * 3}
    plain = pd.concat([_rows(d, radius) for d, radius in radii.items()], ignore_index=True)
    two = pd.concat([plain.assign(d_tags=0), plain.assign(d_tags=1)]).rename(columns={"d": "d_text"})
    nothing = pd.array([np.nan] * len(plain), dtype="Float64")
    failed = plain.assign(stopped=np.where(plain["input"] == "c", "failed", "all copies drawn"))
    failed.loc[plain["input"] == "c", ["samples", "successes"]] = 0
    ranks = plain.drop(columns="threshold").assign(top_k=2, p_upper=0.1)
    variants: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {
        "plain": (plain, {}),
        "two modalities": (two, {"threat": {}}),
        "one budget": (plain[plain["d"] == 0], {"threat": {}}),
        "one input": (plain[plain["input"] == "a"], {}),
        "nothing certified": (plain.assign(certified=False, radius=nothing), {}),
        "failed input": (failed, {"failures": {"c": "it broke"}}),
        "no true labels": (plain.drop(columns="target"), {}),
        "ranks": (ranks, {"threshold": None, "claim": {"kind": "top-k", "k": 2, "classes": 3}}),
        "tiny radii": (plain.assign(radius=plain["radius"] * 1e-9), {}),
        "large radii": (plain.assign(radius=plain["radius"] * 255e3), {}),
    }
    for name, (results, changes) in variants.items():
        (folder / name).mkdir()
        results.to_parquet(folder / name / "results.parquet")
        (folder / name / "run.json").write_text(json.dumps(settings | changes), encoding="utf-8")
        write_report(folder / name)
    return {name: folder / name for name in variants}


def _rows(d: int, radius: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "input": ["a", "b", "c"],
            "target": ["x", "y", "x"],
            "label": ["x", "y", "y"],
            "clean_label": ["x", "x", "x"],
            "successes": [100, 97, 60],
            "samples": 100,
            "p_lower": [0.95, 0.9, 0.45],
            "threshold": 0.5,
            "d": d,
            "certified": ~np.isnan(radius),
            "radius": pd.array(radius, dtype="Float64"),
            "p_adv": [0.6 if value == value else 0.4 for value in radius],
        }
    )


def truncated(value: float, digits: int) -> str:
    """A bound as a page shows it: cut off after so many decimals, without trailing zeros."""
    from hybridcert.certificate.directed import format_down

    text = format_down(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text else text


def rows_of(directory: Path, d: int) -> Any:
    """Return the results at one budget, by what the inputs are called."""
    results = pd.read_parquet(directory / "results.parquet")
    return results[results["d"] == d].set_index(results[results["d"] == d]["input"].astype(str))
