"""The naive product is marked unsound wherever it shows up, and overstates exactly where theory says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import hybridcert as hc
from balls import BallLaw, ball, precision
from exact_laws import uniform_law
from hybridcert.baselines.naive_product import UNSOUND, NaiveClaims, naive_product, naive_product_of_run
from hybridcert.cli.main import main
from hybridcert.reports import naive, page, tables
from hybridcert.reports.run_data import RunData, read_run
from hybridcert.reports.write import write_report
from tabular_data import small_table

SETTINGS = {"samples": 100, "alpha": 0.01, "threshold": 0.5, "unit": "metres", "noise": {}, "threat": {}}


def make_run(folder: Path) -> RunData:
    """Three right inputs and a wrong one; the joint radii at d = 1 and 2 fall short of those at d = 0."""
    radii = {0: [0.5, 0.3, np.nan, 0.9], 1: [0.4, 0.1, np.nan, 0.2], 2: [0.1, np.nan, np.nan, np.nan]}
    parts = [
        pd.DataFrame(
            {
                "input": range(4),
                "target": ["a", "a", "a", "b"],
                "label": "a",
                "successes": 90,
                "samples": 100,
                "p_lower": 0.8,
                "threshold": 0.5,
                "d": d,
                "certified": ~np.isnan(radius),
                "radius": pd.array(radius, dtype="Float64"),
                "p_adv": 0.6,
            }
        )
        for d, radius in radii.items()
    ]
    return RunData(folder, pd.concat(parts, ignore_index=True), SETTINGS, {}, (0.0, 0.3, 0.5), ())


def without_numbers(run: RunData) -> RunData:
    """The same run with no continuous noise: every radius is 0."""
    results = run.results.copy()
    results["radius"] = results["radius"] * 0.0
    return dataclasses.replace(run, results=results)


# --- the claims ---------------------------------------------------------------------------------------------


def test_every_object_and_sentence_says_that_it_is_unsound() -> None:
    claims = naive_product(p_lower=0.9, spectrum=hc.LikelihoodSpectrum.identity(), sigma=1.0, threshold=0.5)
    assert claims.sound is False
    assert claims.guarantee == "none"
    for document in (NaiveClaims, NaiveClaims.product, naive_product, naive_product_of_run):
        assert (document.__doc__ or "").startswith("UNSOUND")
    assert not hasattr(claims, "certified")
    assert "naive_product" not in hc.__all__


@given(
    p=st.floats(0.5, 0.9999),
    beta=st.floats(0.01, 0.5),
    sizes=st.lists(st.integers(2, 60), min_size=1, max_size=4),
    threshold=st.floats(0.01, 0.9),
)
def test_it_claims_what_the_joint_certificate_gives_and_more(
    p: float, beta: float, sizes: list[int], threshold: float
) -> None:
    law = {"p_lower": p, "spectrum": hc.UniformReplacement(beta).spectrum(sizes), "sigma": 0.5}
    claims, joint = naive_product(**law, threshold=threshold), hc.radius(**law, threshold=threshold)
    assert claims.claimed.tolist() == joint.certified.tolist()  # at ε = 0 there is nothing to combine
    assert np.all(claims.radius >= joint.radius * (1 - 1e-9))


@given(p=st.floats(0.9, 0.999), beta=st.sampled_from([0.25, 0.5]), size=st.integers(3, 30))
def test_what_it_claims_beyond_the_joint_radius_is_false(p: float, beta: float, size: int) -> None:
    """Half-way between the two radii, the exact worst case (an upper bound in balls) is below τ."""
    law = {"p_lower": p, "spectrum": hc.UniformReplacement(beta).spectrum([size]), "sigma": 1.0}
    claims, joint = naive_product(**law, threshold=0.5), hc.radius(**law, threshold=0.5)
    assume(joint.certified[0] and claims.radius[0] > 1.001 * joint.radius[0] > 0.0)
    eps = float(claims.radius[0] + joint.radius[0]) / 2
    assert claims.claims(eps)[0]
    with precision(160):
        _, above = BallLaw.of(uniform_law(beta, [size])).value_between(eps, p, near=0.0)
        assert bool(above < ball(0.5))


def test_each_unimodal_certificate_is_needed() -> None:
    claims = NaiveClaims.product(
        discrete=[True, True, False, False],
        continuous=[True, False, True, False],
        radius=[1.0, 1.0, 1.0, 1.0],
    )
    assert claims.claimed.tolist() == [True, False, False, False]
    assert claims.radius.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert claims.claims(1.0).tolist() == [True, False, False, False]
    assert not claims.claims(np.nextafter(1.0, 2.0)).any()


@pytest.mark.parametrize("eps", [-0.1, float("nan")])
def test_eps_is_checked(eps: float) -> None:
    claims = NaiveClaims.product(discrete=[True], continuous=[True], radius=[1.0])
    with pytest.raises(hc.ParameterError, match="eps must be >= 0, got"):
        claims.claims(eps)


# --- from a run ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smoothed() -> hc.SmoothedClassifier:
    table = small_table()
    X, y = table[["colour", "shape", "age"]], table["outcome"]
    columns = make_column_transformer((OneHotEncoder(), ["colour", "shape"]), (StandardScaler(), ["age"]))
    base = hc.DataFrameClassifier(
        make_pipeline(columns, LogisticRegression()), X, numeric=["age"], categorical=["colour", "shape"]
    )
    noise = {"categorical": hc.UniformReplacement(0.25), "numeric": hc.GaussianNoise(0.5)}
    return hc.SmoothedClassifier(base, noise=noise).fit(X, y, seed=1)


@pytest.fixture(scope="module")
def run(smoothed: hc.SmoothedClassifier) -> hc.CertificationRun:
    X = small_table()[["colour", "shape", "age"]]
    return smoothed.certify(X.head(40), threat=hc.Fields(2), samples=500, alpha=0.01, threshold=0.5, seed=1)


def test_a_run_gives_the_claims_that_its_bounds_give(
    smoothed: hc.SmoothedClassifier, run: hc.CertificationRun
) -> None:
    sizes = sorted(smoothed.classifier_.surfaces()["categorical"].alphabet_sizes, reverse=True)
    for point in run.points:
        claims = naive_product_of_run(run, point.d)
        spectrum = hc.UniformReplacement(0.25).spectrum(sizes[: int(point.d)])
        expected = naive_product(p_lower=run.p_lower, spectrum=spectrum, sigma=0.5, threshold=0.5)
        assert claims.claimed.tolist() == expected.claimed.tolist()
        np.testing.assert_allclose(claims.radius, expected.radius, rtol=1e-12)
        for eps in (0.0, 0.2, 0.5):
            assert not (run.certified(point.d, eps) & ~claims.claims(eps)).any()
    with pytest.raises(hc.ParameterError, match="d must be one of 0, 1, 2, got 3"):
        naive_product_of_run(run, 3)


def test_a_saved_run_is_reported_with_the_same_counts(run: hc.CertificationRun, tmp_path: Path) -> None:
    run.save(tmp_path)
    table = naive.naive_product(read_run(tmp_path))
    assert len(table)
    for row in table.itertuples():
        claimed, joint = naive_product_of_run(run, row.d).claims(row.eps), run.certified(row.d, row.eps)
        assert (row.claimed, row.certified) == (claimed.sum(), joint.sum())
        assert row.unsupported == (claimed & ~joint).sum()


# --- in reports ---------------------------------------------------------------------------------------------


def test_reports_count_claims_and_what_is_unsupported(tmp_path: Path) -> None:
    table = naive.naive_product(make_run(tmp_path))
    counts = {(r.d, r.eps): (r.claimed, r.certified, r.unsupported) for r in table.itertuples()}
    assert counts == {(1, 0.3): (2, 1, 1), (1, 0.5): (1, 0, 1), (2, 0.3): (1, 0, 1), (2, 0.5): (1, 0, 1)}
    assert set(table["status"]) == {UNSOUND}
    sentence = naive.counts(make_run(tmp_path))
    assert "Of 5 claims" in sentence
    assert "does not support 4." in sentence


def test_joint_counts_beside_it_are_those_of_the_certificates(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    certified = tables.certified_accuracy(run).set_index(["d", "eps"])["certified"]
    for row in naive.naive_product(run).itertuples():
        assert row.certified == certified[row.d, row.eps]


def test_the_page_keeps_it_away_from_the_certificates(tmp_path: Path) -> None:
    text = page.run_page(make_run(tmp_path), light=b"", dark=b"")
    certificates, rest = text.split('<section class="unsound">')
    inside, _ = rest.split("</section>")
    assert "naive" not in certificates.split("</style>")[1]
    assert f"{UNSOUND}: the naive product" in inside
    assert "<td>1 + <strong>1</strong></td><td>0 + <strong>1</strong></td>" in inside


def test_files_and_terminal_carry_the_mark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    run.results.to_parquet(tmp_path / "results.parquet")
    (tmp_path / "run.json").write_text(json.dumps(SETTINGS))
    assert main(["report", str(tmp_path), "--json"]) == 0
    names = [Path(name).name for name in json.loads(capsys.readouterr().out)["tables"]]
    assert "unsound_naive_product.csv" in names
    assert UNSOUND in (tmp_path / "tables" / "unsound_naive_product.csv").read_text(encoding="utf-8")


def test_runs_without_two_kinds_of_change_have_no_naive_product(tmp_path: Path) -> None:
    run = without_numbers(make_run(tmp_path))
    assert not naive.applies(run)
    assert naive.naive_product(run).empty
    assert UNSOUND not in page.run_page(run, light=b"", dark=b"")
    only_numbers = make_run(tmp_path)
    only_numbers = dataclasses.replace(
        only_numbers, results=only_numbers.results[only_numbers.results["d"] == 0]
    )
    assert not naive.applies(only_numbers)


def test_a_sweep_has_one_marked_table_of_all_runs(tmp_path: Path) -> None:
    for name in ("run-1", "run-2"):
        (tmp_path / name).mkdir()
        make_run(tmp_path).results.to_parquet(tmp_path / name / "results.parquet")
        (tmp_path / name / "run.json").write_text(json.dumps(SETTINGS))
    index = {
        "title": "two",
        "keys": ["noise.beta"],
        "runs": [{"directory": "run-1", "values": [0.1]}, {"directory": "run-2", "values": [0.2]}],
    }
    (tmp_path / "sweep.json").write_text(json.dumps(index))
    written = write_report(tmp_path)
    table = pd.read_csv(tmp_path / "tables" / "unsound_naive_product.csv")
    assert list(table.columns[:3]) == ["beta", "d", "eps"]
    assert set(table["status"]) == {UNSOUND}
    assert written.page.read_text(encoding="utf-8").count(UNSOUND) == 2
