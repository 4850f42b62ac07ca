"""Configured runs over the whole family of laws and claims: certified, verified, reported as they are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from hybridcert.cli.main import main
from hybridcert.experiments.config import parse_config, read_mapping
from hybridcert.experiments.tabular import load_table, run_tabular
from hybridcert.reports import figures
from hybridcert.reports.parameters import parameters
from hybridcert.reports.run_data import read_run
from hybridcert.reports.write import write_report
from tabular_data import small_table, write_config

# written in another order than the columns have
RATES = {"ward": 0.6, "shape": 0.4, "colour": 0.25}
SCALES = {"income": 1.5, "age": 0.5}
NO_SCORE = {"certificate.threshold": None}

RUNS: dict[str, dict[str, Any]] = {
    "laplace": {"noise.numeric": {"kernel": "laplace", "scale": 0.5}},
    "scales": {"noise.numeric": {"kernel": "gaussian", "sigmas": SCALES}},
    "rates": {"noise.categorical": {"kernel": "fields", "betas": RATES}},
    "response": {"noise.categorical": {"kernel": "randomized-response", "log_ratio": 1.0}},
    "top-1": {**NO_SCORE, "certificate.top_k": 1},
    "top-2": {**NO_SCORE, "certificate.top_k": 2, "data.path": "three.parquet"},
    "fields-only": {"noise.numeric": None},
    "low": {"certificate.threshold": 0.2},
}


def three_classes() -> pd.DataFrame:
    """The small table with an outcome that rests on age alone, in three parts."""
    table = small_table()
    names = np.array(["young", "middle", "old"])
    return table.assign(outcome=names[np.digitize(table["age"], [36.0, 44.0])])


@dataclasses.dataclass(frozen=True)
class Found:
    """A finished run: its directory, what the command printed, its page and its certificates."""

    directory: Path
    printed: str
    page: str
    documents: list[dict[str, Any]]

    @property
    def norm(self) -> str:
        return str(json.loads((self.directory / "run.json").read_text())["norm"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    return {}


@pytest.fixture
def certified(
    runs: dict[str, Found], tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run a configuration of `RUNS`, once."""

    def certify(name: str) -> Found:
        if name not in runs:
            folder = tmp_path_factory.mktemp(name)
            small_table().to_parquet(folder / "table.parquet")
            three_classes().to_parquet(folder / "three.parquet")
            config = write_config(folder, RUNS[name])
            out = folder / "out"
            assert main(["certify", str(config), "--out", str(out), "--limit", "8"]) == 0
            lines = (out / "certificates.jsonl").read_text(encoding="utf-8").splitlines()
            page = (out / "report.html").read_text(encoding="utf-8")
            runs[name] = Found(out, capsys.readouterr().out, page, [json.loads(line) for line in lines])
        return runs[name]

    return certify


@pytest.mark.parametrize("name", RUNS)
def test_every_run_verifies_and_can_be_reported_again(name: str, certified: Any):
    found = certified(name)
    assert main(["verify", str(found.directory), "--jobs", "1"]) == 0
    assert len(found.documents) == 8
    results = pd.read_parquet(found.directory / "results.parquet")
    assert results.loc[results["d"] == 0, "certified"].any()
    assert f"check every certificate: hybridcert verify {found.directory}" in found.printed
    assert 'href="certificates.jsonl"' in found.page
    assert main(["report", str(found.directory)]) == 0
    assert (found.directory / "report.html").read_text(encoding="utf-8") == found.page


def test_the_report_says_which_line_is_whose_certificate(certified: Any):
    found = certified("rates")
    table = pd.read_csv(found.directory / "tables" / "radii.csv")
    assert len(table) == 8 * 3
    for row in table.itertuples():
        assert found.documents[row.certificate_line - 1]["input"]["index"] == str(row.input)


def test_rates_and_scales_go_to_the_columns_that_they_name(certified: Any):
    [discrete] = certified("rates").documents[0]["law"]["discrete"]
    sizes = {3: "colour", 2: "shape", 4: "ward"}  # the last one has "missing" as a level
    found = {sizes[kind["size"]]: float.fromhex(kind["beta"]) for kind, count in discrete["positions"]}
    assert found == RATES
    [continuous] = certified("scales").documents[0]["law"]["continuous"]
    assert [float.fromhex(s) for s in continuous["sigma"]] == [SCALES["age"], SCALES["income"]]


def test_immutable_columns_and_columns_with_one_level_have_no_rate(tmp_path: Path):
    small_table().assign(shape="disc").to_parquet(tmp_path / "table.parquet")
    changes: dict[str, Any] = {
        "noise.categorical": {"kernel": "fields", "betas": {"ward": 0.6, "shape": 0.4}},
        "noise.numeric": {"sigmas": {"income": 1.5}},
        "data.immutable": ["colour", "age"],
        "threat.max_d": 1,
    }
    config = write_config(tmp_path, changes)
    assert main(["certify", str(config), "--out", str(tmp_path / "out"), "--limit", "2"]) == 0
    line = (tmp_path / "out" / "certificates.jsonl").read_text(encoding="utf-8").splitlines()[0]
    law = json.loads(line)["law"]
    assert law["discrete"][0]["positions"] == [[{"size": 4, "beta": (0.6).hex()}, 1]]
    assert law["continuous"][0]["sigma"] == [(1.5).hex()]


@pytest.mark.parametrize(
    ("name", "norm", "phrases", "foreign"),
    [
        (
            "laplace",
            "l1",
            ["an ℓ₁ shift", "Radii are ℓ₁ distances", "Laplace", "b = 0.5"],
            ["ℓ₂", "Gaussian"],
        ),
        ("scales", "mahalanobis", ["√Σ(δ_j/σ_j)²", "noise scales", "σ = 0.5…1.5"], ["ℓ₂", "ℓ₁"]),
        ("rates", "l2", ["an ℓ₂ shift", "β = 0.25…0.6", "betas 0.25, 0.4, 0.6"], ["ℓ₁", "√"]),
        ("response", "l2", ["an ℓ₂ shift", "ρ ≈ 2.718"], ["ℓ₁", "√"]),
        (
            "fields-only",
            "none",
            ["right and certified", "under every change of"],
            ["ε", "ℓ₂", "shift", "Radii", "radius", "Gaussian"],
        ),
        (
            "top-1",
            "l2",
            ["stay so", "keeps the largest smoothed score", "k = 1"],
            ["τ", "threshold", "UNSOUND"],
        ),
        (
            "top-2",
            "l2",
            ["have a true label that provably stays among the 2 strongest", "always name", "k = 2"],
            ["τ", "threshold", "UNSOUND", "right when smoothed", "answered rightly", "accuracy"],
        ),
        (
            "low",
            "l2",
            [
                "have a true label whose score provably stays above 0.2",
                "score of the true label proven above 0.2",
            ],
            ["right when smoothed", "answered rightly", "accuracy"],
        ),
    ],
)
def test_pages_name_the_distance_and_the_claim(
    name: str, norm: str, phrases: list[str], foreign: list[str], certified: Any
):
    found = certified(name)
    assert found.norm == norm
    page = found.page.split("<h1>")[1]
    start, end = page.index('src="data:'), page.index('" alt=')
    text = page[:start].split("<picture>")[0] + page[end:].split("<script")[0]
    for phrase in phrases:
        assert phrase in text
    for phrase in foreign:
        assert phrase not in text
        assert phrase not in found.printed


def test_top_claims_have_no_naive_product(certified: Any):
    tables = sorted(path.name for path in (certified("top-1").directory / "tables").iterdir())
    assert tables == ["certified_accuracy.csv", "radii.csv", "summary.csv"]
    assert "unsound_naive_product.csv" in {
        path.name for path in (certified("laplace").directory / "tables").iterdir()
    }


def test_the_rival_of_a_top_claim_names_as_many_labels(certified: Any):
    found = certified("top-2")
    results = pd.read_parquet(found.directory / "results.parquet")
    two = int(results.loc[results["d"] == 0, "target"].value_counts().iloc[:2].sum())
    assert f"{two}/8" in found.printed.split("right at every d and ε, ")[1]


@pytest.mark.parametrize("name", ["laplace", "scales", "fields-only", "rates"])
def test_older_directories_without_norm_and_claim_are_labelled_alike(
    name: str, certified: Any, tmp_path: Path
):
    found = certified(name)
    for file in ("results.parquet", "config.yaml", "environment.json"):
        (tmp_path / file).write_bytes((found.directory / file).read_bytes())
    settings = json.loads((found.directory / "run.json").read_text())
    del settings["norm"], settings["claim"]
    (tmp_path / "run.json").write_text(json.dumps(settings))
    assert read_run(tmp_path).norm == found.norm
    page = write_report(tmp_path).page.read_text(encoding="utf-8")
    assert "certificates.jsonl" not in page
    for sentence in ("What is guaranteed", "What it rests on"):
        section, whole = (text.split(sentence)[1].split("<h2>")[0] for text in (page, found.page))
        assert section == whole


@pytest.mark.parametrize(("name", "bars"), [("fields-only", 3), ("laplace", 0)])
def test_without_continuous_noise_the_figure_has_a_bar_for_each_budget(name: str, bars: int, certified: Any):
    run = read_run(certified(name).directory)
    axes = mpl.figure.Figure().add_subplot()
    figures._draw(axes, run, figures.LIGHT, names=[run.name_of(b) for b in run.budgets], right_end=1.0)
    assert len(axes.patches) == bars
    shares = [100.0 * run.at(b)["certified"].mean() for b in run.budgets]
    assert all(bar.get_height() <= share for bar, share in zip(axes.patches, shares, strict=False))


def test_a_place_beyond_the_classes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    small_table().to_parquet(tmp_path / "table.parquet")
    config = write_config(tmp_path, {**NO_SCORE, "certificate.top_k": 2})
    assert main(["certify", str(config), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "error: certificate.top_k must be an integer in [1, 1], one less than the number of classes, got 2\n"
    )


def test_a_sweep_over_claims_says_that_they_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    small_table().to_parquet(tmp_path / "table.parquet")
    sweep = {"certificate.threshold": [0.2, 0.5], "noise.categorical.betas": [RATES]}
    changes = {"noise.categorical": {"kernel": "fields"}, "sweep": sweep, "certificate.samples": 100}
    config = write_config(tmp_path, changes)
    assert main(["certify", str(config), "--out", str(tmp_path / "out"), "--limit", "4"]) == 0
    assert "threshold = 0.2" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "the page of each run says what it guarantees" in page
    assert "stays above 0.2" in page
    assert "answered rightly and provably stay so" in page
    assert main(["verify", str(tmp_path / "out"), "--jobs", "1"]) == 0


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (
            {"a": {"kernel": "uniform", "beta": 0.25}, "b": {"kernel": "gaussian", "sigma": 1}},
            "β = 0.25,  σ = 1",
        ),
        ({"a": {"kernel": "fields", "betas": [0.5, 0.1, 0.2]}}, "β = 0.1…0.5"),
        ({"a": {"kernel": "gaussian", "sigma": [0.5, 0.5]}}, "σ = 0.5"),
        ({"a": {"kernel": "gaussian", "sigma": [1 / 3, 1.0]}}, "σ ≈ 0.3333…1"),
        ({"a": {"kernel": "randomized-response", "ratio": 7.38905609893065}}, "ρ ≈ 7.389"),
        ({"a": {"kernel": "laplace", "scale": 0.5}}, "b = 0.5"),
        ({"a": {"kernel": "flips", "p_plus": 0.01, "p_minus": 0.6}}, "p₊ = 0.01,  p₋ = 0.6"),
        ({"a": {"kernel": "matrix", "symbols": 20, "digest": "0" * 64}}, "matrix noise"),
        (
            {"left": {"kernel": "uniform", "beta": 0.25}, "right": {"kernel": "absorbing", "beta": 0.5}},
            "left: β = 0.25,  right: β = 0.5",
        ),
    ],
)
def test_noise_is_spelled_in_one_short_line(noise: dict[str, Any], expected: str):
    assert parameters({"noise": noise, "alpha": 0.01}) == f"{expected},  α = 0.01"


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("laplace", "ε, ℓ₁ distance in standard deviations of the training columns", "certified accuracy"),
        ("scales", "ε = √Σ(δ_j/σ_j)², in noise scales", "certified accuracy"),
        ("fields-only", "d", "certified accuracy"),
        ("low", "ε, ℓ₂ distance", "inputs whose true label is certified"),
        ("top-2", "ε, ℓ₂ distance", "inputs whose true label is certified"),
    ],
)
def test_plots_name_the_distance_and_the_claim(name: str, x: str, y: str, tmp_path: Path):
    small_table().to_parquet(tmp_path / "table.parquet")
    three_classes().to_parquet(tmp_path / "three.parquet")
    raw = read_mapping(write_config(tmp_path, RUNS[name] | {"certificate.samples": 50}))
    raw["data"]["path"] = str(tmp_path / raw["data"]["path"])
    config = parse_config(raw, source="test")
    train, test = load_table(config.data).split(test_rows=20, seed=1)
    found = run_tabular(config, train=train, test=test)
    [axes] = found.run.plot(test.y).axes
    assert axes.get_xlabel().startswith(x)
    assert axes.get_ylabel() == y
    assert found.run.plot().axes[0].get_ylabel() == "certified inputs"
