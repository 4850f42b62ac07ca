"""Radii at further thresholds: equal to what a run for that threshold certifies, for every kind of noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import hybridcert as hc
from hybridcert.errors import ParameterError
from hybridcert.threshold_grid import GRID, at_thresholds, write_thresholds
from tabular_data import small_table

NUMBERS, FIELDS = ["age", "income"], ["colour", "shape"]
NOISE: dict[str, dict[str, Any]] = {
    "gaussian": {"categorical": hc.UniformReplacement(0.5), "numeric": hc.GaussianNoise(0.5)},
    "laplace": {"categorical": hc.UniformReplacement(0.5), "numeric": hc.LaplaceNoise(0.5)},
    "scales": {"categorical": hc.UniformReplacement(0.5), "numeric": hc.GaussianNoise([0.5, 1.5])},
    "none": {"categorical": hc.UniformReplacement(0.5)},
}


def certified(noise: dict[str, Any], **claim: Any) -> Any:
    """Certify twenty rows; the counts do not depend on the claim."""
    table = small_table()
    X, y = table[[*NUMBERS, *FIELDS]], table["outcome"]
    columns = make_column_transformer((OneHotEncoder(), FIELDS), (StandardScaler(), NUMBERS))
    base = hc.DataFrameClassifier(
        make_pipeline(columns, LogisticRegression()), X, numeric=NUMBERS, categorical=FIELDS
    )
    smoothed = hc.SmoothedClassifier(base, noise=noise).fit(X, y, seed=1)
    return smoothed.certify(X.head(20), threat=hc.Fields(2), samples=200, alpha=0.01, seed=1, **claim)


@pytest.mark.parametrize("kind", NOISE)
def test_other_thresholds_are_as_if_they_had_been_claimed(kind: str):
    run = certified(NOISE[kind], threshold=0.5)
    table = at_thresholds(run, [0.05, 0.3])
    assert sorted(table["threshold"].unique()) == [0.05, 0.3, 0.5]
    kept = 0
    for threshold in (0.05, 0.3, 0.5):
        claimed = certified(NOISE[kind], threshold=threshold).frame()
        here = table[table["threshold"] == threshold].reset_index(drop=True)
        columns = ["input", "d", "certified", "radius"]
        pd.testing.assert_frame_equal(here[columns], claimed[columns])
        kept += int(claimed["certified"].sum())
    assert kept > 20


def test_less_is_certified_at_higher_thresholds():
    table = certified(NOISE["gaussian"], threshold=0.5).at_thresholds(GRID)
    wide = table.assign(radius=table["radius"].fillna(-1.0)).pivot(
        index=["input", "d"], columns="threshold", values="radius"
    )
    assert list(wide.columns) == sorted(GRID)
    assert (np.diff(wide.to_numpy(), axis=1) <= 0.0).all()


def test_the_file_holds_the_grid_the_claim_and_what_was_asked_for(tmp_path: Path):
    run = certified(NOISE["gaussian"], threshold=0.37)
    write_thresholds(tmp_path, run, [0.123])
    found = pd.read_parquet(tmp_path / "thresholds.parquet")
    assert set(found["threshold"]) == {*GRID, 0.37, 0.123}
    own = found[found["threshold"] == 0.37].reset_index(drop=True)
    pd.testing.assert_series_equal(own["radius"], run.frame()["radius"])
    run.save(tmp_path / "saved")
    assert set(pd.read_parquet(tmp_path / "saved" / "thresholds.parquet")["threshold"]) == {*GRID, 0.37}


def test_claims_about_ranks_have_no_thresholds(tmp_path: Path):
    run = certified(NOISE["gaussian"], top_k=1)
    with pytest.raises(ParameterError, match="has no threshold to vary"):
        run.at_thresholds([0.5])
    run.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "thresholds.parquet").exists()


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, float("nan")])
def test_thresholds_outside_their_range_are_refused(threshold: float):
    run = certified(NOISE["none"], threshold=0.5)
    with pytest.raises(ParameterError, match=r"threshold must be in \(0, 1\), got"):
        run.at_thresholds([threshold])
