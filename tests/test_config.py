"""Configurations: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hybridcert.errors import ConfigError
from hybridcert.experiments.config import parse_config, read_mapping
from hybridcert.experiments.sweep import expand
from hybridcert.sampling.questions import Target, Tolerance
from tabular_data import CONFIG, write_config

RATES = {"colour": 0.25, "shape": 0.4, "ward": 0.6}
SCALES = {"age": 0.5, "income": 1.0}
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        expand(read_mapping(path), source=path.name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_are_resolved_and_load_back():
    config = parse_config(CONFIG, source="test")
    resolved = config.resolved()
    assert resolved["model"]["encoding"] == "onehot"
    assert parse_config(yaml.safe_load(yaml.safe_dump(resolved)), source="again") == config


@pytest.mark.parametrize("key", ["samples", "alpha", "seed"])
def test_what_carries_the_guarantee_has_no_default(key: str, tmp_path: Path):
    assert (
        refused(write_config(tmp_path, {f"certificate.{key}": None}))
        == f"small.yaml: certificate.{key} is required"
    )


def test_a_claim_is_a_threshold_or_a_place_among_k(tmp_path: Path):
    expected = "small.yaml: certificate needs one of threshold and top_k, got"
    assert refused(write_config(tmp_path, {"certificate.threshold": None})) == f"{expected} neither"
    assert refused(write_config(tmp_path, {"certificate.top_k": 1})) == f"{expected} both"
    top = write_config(tmp_path, {"certificate.threshold": None, "certificate.top_k": 1})
    certificate = parse_config(read_mapping(top), source="test").certificate
    assert (certificate.threshold, certificate.top_k) == (None, 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"noise.categorical.beta": 1.5}, "noise.categorical.beta must be in (0, 1], got 1.5"),
        ({"noise.categorical.beta": 0}, "noise.categorical.beta must be in (0, 1], got 0"),
        ({"noise.categorical.beta": "much"}, "noise.categorical.beta must be in (0, 1], got 'much'"),
        ({"noise.numeric.sigma": 0}, "noise.numeric.sigma must be a finite number > 0, got 0"),
        ({"noise.numeric.sigma": float("nan")}, "noise.numeric.sigma must be a finite number > 0, got nan"),
        (
            {"noise.categorical.kernel": "absorbing"},
            "noise.categorical.kernel must be 'uniform', 'fields' or 'randomized-response', got 'absorbing'",
        ),
        ({"noise.numeric.kernel": "cauchy"}, "noise.numeric.kernel must be 'gaussian' or 'laplace', got"),
        ({"noise.categorical.beta": None}, "noise.categorical needs beta for kernel 'uniform'"),
        ({"noise.numeric": {"kernel": "laplace"}}, "noise.numeric needs scale for kernel 'laplace'"),
        ({"noise.numeric": {}}, "noise.numeric needs sigma or sigmas for kernel 'gaussian'"),
        (
            {"noise.categorical": {"betas": RATES}},
            "noise.categorical takes beta for kernel 'uniform', got betas, which belongs to kernel 'fields'",
        ),
        (
            {"noise.numeric.scale": 0.5},
            "noise.numeric takes sigma or sigmas for kernel 'gaussian', got scale, which belongs to kernel",
        ),
        ({"noise.numeric.sigmas": SCALES}, "noise.numeric needs one of sigma and sigmas, got both"),
        ({"noise.numeric": {"kernel": "laplace", "scale": 0}}, "noise.numeric.scale must be a finite number"),
        ({"noise.numeric": {"sigmas": 0.5}}, "noise.numeric.sigmas must be a mapping"),
        (
            {"noise.numeric": {"sigmas": SCALES | {"age": -1}}},
            "noise.numeric.sigmas.age must be a finite number > 0, got -1",
        ),
        (
            {"noise.numeric": {"sigmas": {"age": 0.5}}},
            "noise.numeric.sigmas must have a number for each mutable numeric column, 'income' is missing",
        ),
        (
            {"noise.numeric": {"sigmas": SCALES | {"ward": 1}}},
            "noise.numeric.sigmas names column 'ward', which is not a mutable numeric column: these are age,",
        ),
        (
            {"noise.numeric": {"sigmas": {}}, "data.immutable": ["age", "income"]},
            "noise.numeric.sigmas has no columns to serve: every numeric column is immutable",
        ),
        (
            {"noise.categorical": {"kernel": "fields", "betas": RATES}, "data.immutable": ["ward"]},
            "noise.categorical.betas names column 'ward', which is not a mutable categorical column",
        ),
        (
            {"noise.categorical": {"kernel": "fields", "betas": RATES | {"shape": 1.5}}},
            "noise.categorical.betas.shape must be in (0, 1], got 1.5",
        ),
        (
            {"noise.categorical": {"kernel": "randomized-response", "ratio": 4, "log_ratio": 1}},
            "noise.categorical needs one of ratio and log_ratio, got both",
        ),
        (
            {"noise.categorical": {"kernel": "randomized-response", "log_ratio": 1000}},
            "noise.categorical.log_ratio must be in [-700, 700], got 1000",
        ),
        ({"certificate.top_k": 0}, "certificate.top_k must be an integer >= 1, got 0"),
        ({"noise.numeric.sigmaz": 1}, "unknown key 'sigmaz' in noise.numeric: did you mean sigma?"),
        ({"certificate.threshold": 1}, "certificate.threshold must be in (0, 1), got 1"),
        ({"certificate.samples": 0}, "certificate.samples must be an integer in [1, 10000000000], got 0"),
        (
            {"certificate.samples": 10.5},
            "certificate.samples must be an integer in [1, 10000000000]",
        ),
        (
            {"certificate.samples": True},
            "certificate.samples must be an integer in [1, 10000000000]",
        ),
        ({"certificate.seed": -1}, "certificate.seed must be an integer >= 0, got -1"),
        ({"threat.max_d": 4}, "threat.max_d must be at most the number of mutable categorical columns"),
        ({"data.immutable": ["shape", "ward"]}, "threat.max_d must be at most"),
        ({"noise.categorical.betta": 0.5}, "unknown key 'betta' in noise.categorical: did you mean beta?"),
        ({"treat": {"max_d": 1}}, "unknown key 'treat': did you mean threat?"),
        ({"certificate.zzz": 1}, "unknown key 'zzz' in certificate: known are samples, alpha"),
        ({"noise": "loud"}, "noise must be a mapping with the keys categorical, numeric, got 'loud'"),
        ({"noise": {}}, "noise must name categorical, numeric or both"),
        ({"data.numeric": ["age", "age"]}, "data names column 'age' more than once"),
        ({"data.immutable": ["size"]}, "data lists immutable column 'size'"),
        ({"data.levels": {"age": ["1", "2"]}}, "data declares levels of column 'age'"),
        ({"data.levels": {"colour": ["red"]}}, "data needs two or more distinct levels of column 'colour'"),
        ({"report.eps": [-0.5]}, "report.eps.0 must be a finite number >= 0, got -0.5"),
        ({"sweep": []}, "sweep must map dotted keys to lists"),
        ({"sweep": {"noise.numeric.sigma": 1}}, "sweep.noise.numeric.sigma must be a list of values"),
        ({"sweep": {"noise.numeric.sigma": [1, 1]}}, "sweep.noise.numeric.sigma must not repeat a value"),
        (
            {"sweep": {"noise.numeric.sigma": [1, 0]}},
            "noise.numeric.sigma must be a finite number > 0, got 0",
        ),
        ({"sweep": {"noise.numeric.sigmo": [1]}}, "unknown key 'noise.numeric.sigmo' in sweep: did you mean"),
        ({"sweep": {"noise": [1]}}, "unknown key 'noise' in sweep"),
    ],
)
def test_wrong_values_are_named_with_their_range(changes: dict[str, Any], expected: str, tmp_path: Path):
    assert refused(write_config(tmp_path, changes)).startswith(f"small.yaml: {expected}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"- 1\n", "must hold a mapping"),
        (b"a: [1\n", "is not valid YAML"),
        (b"threat: {max_d: 1}\nthreat: {max_d: 2}\n", "key 'threat' occurs twice (line 2)"),
        (b"threat: {max_d: 1, max_d: 2}\n", "key 'max_d' occurs twice"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        (b"base: 3\n", "base must be the name of a file"),
        (b"base: none.yaml\n", "none.yaml cannot be read"),
        (b"base: broken.yaml\n", "a base has no base of its own"),
    ],
)
def test_broken_files(content: bytes, expected: str, tmp_path: Path):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    assert expected in refused(path)


def test_unreadable_files(tmp_path: Path):
    assert "No such file" in refused(tmp_path / "none.yaml")
    assert "cannot be read" in refused(tmp_path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stopping": {}}, "certificate.stopping needs one of target and tolerance, got neither"),
        (
            {"stopping": {"target": {"d": 1}, "tolerance": 0.1}},
            "certificate.stopping needs one of target and tolerance, got both",
        ),
        ({"stopping": {"tolerance": 1}}, "certificate.stopping.tolerance must be in (0, 1), got 1"),
        ({"stopping": {"target": {}}}, "certificate.stopping.target.d is required"),
        (
            {"stopping": {"target": {"d": -1}}},
            "certificate.stopping.target.d must be an integer >= 0, got -1",
        ),
        (
            {"stopping": {"target": {"d": 3}}},
            "certificate.stopping.target.d must be at most threat.max_d, 2, got 3",
        ),
        (
            {"stopping": {"target": {"d": 1, "eps": -0.5}}},
            "certificate.stopping.target.eps must be a finite number >= 0, got -0.5",
        ),
        (
            {"stopping": {"target": {"d": 1, "epsilon": 1}}},
            "unknown key 'epsilon' in certificate.stopping.target: did you mean eps?",
        ),
        ({"stopping": "target"}, "certificate.stopping must be a mapping with the keys target, tolerance"),
        ({"bound": "tight"}, "certificate.bound must be 'exact', 'spending' or 'mixture', got 'tight'"),
        ({"bound": "mixture"}, "certificate takes bound only with stopping or budget"),
        ({"bound": "exact", "budget": 5}, "certificate takes bound 'exact' only with stopping.target"),
        ({"budget": 0}, "certificate.budget must be an integer >= 1, got 0"),
    ],
)
def test_reasons_to_stop_early_are_checked(changes: dict[str, Any], expected: str, tmp_path: Path):
    dotted = {f"certificate.{key}": value for key, value in changes.items()}
    assert refused(write_config(tmp_path, dotted)).startswith(f"small.yaml: {expected}")


def test_a_target_without_noise_on_numbers_has_no_shift(tmp_path: Path):
    changes = {"noise.numeric": None, "certificate.stopping": {"target": {"d": 1, "eps": 0.5}}}
    message = "small.yaml: certificate.stopping.target.eps must be 0 where no numbers have noise, got 0.5"
    assert refused(write_config(tmp_path, changes)) == message


def test_targets_can_be_swept_and_load_back(tmp_path: Path):
    changes = {"certificate.stopping": {"target": {"d": 1}}, "certificate.bound": "spending"}
    sweep = {"certificate.stopping.target.eps": [0.25, 0.5]}
    runs = expand(read_mapping(write_config(tmp_path, changes | {"sweep": sweep})), source="test")
    assert [run.directory for run in runs] == ["eps=0.25", "eps=0.5"]
    config = runs[1].config
    assert config.certificate.stopping is not None
    assert config.certificate.stopping.question() == Target(1, 0.5)
    assert parse_config(config.resolved(), source="again") == config
    tolerance = write_config(tmp_path, {"certificate.stopping": {"tolerance": 0.05}})
    stopping = parse_config(read_mapping(tolerance), source="test").certificate.stopping
    assert stopping is not None
    assert stopping.question() == Tolerance(0.05)


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path: Path):
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("alpha: 0.01", "alpha: 1e-3"), encoding="utf-8")
    assert parse_config(read_mapping(path), source="test").certificate.alpha == 1e-3


def test_sweeps_run_every_combination(tmp_path: Path):
    sweep = {"noise.categorical.beta": [0.1, 0.5], "certificate.samples": [10, 20]}
    runs = expand(read_mapping(write_config(tmp_path, {"sweep": sweep})), source="test")
    assert [run.directory for run in runs] == [
        "beta=0.1,samples=10",
        "beta=0.1,samples=20",
        "beta=0.5,samples=10",
        "beta=0.5,samples=20",
    ]
    assert [run.config.certificate.samples for run in runs] == [10, 20, 10, 20]
    assert runs[2].config.noise.categorical is not None
    assert runs[2].config.noise.categorical.beta == 0.5


def test_every_kernel_can_be_swept(tmp_path: Path):
    base = {"noise.categorical": {"kernel": "fields"}, "noise.numeric": {"kernel": "laplace"}}
    base |= {"certificate.threshold": None}
    sweep = {
        "noise.categorical.betas": [RATES, RATES | {"ward": 0.1}],
        "noise.numeric.scale": [0.5, 1.0],
        "certificate.top_k": [1],
    }
    runs = expand(read_mapping(write_config(tmp_path, base | {"sweep": sweep})), source="test")
    assert [run.directory for run in runs[::2]] == [
        "betas=colour-0.25-shape-0.4-ward-0.6,scale=0.5,top_k=1",
        "betas=colour-0.25-shape-0.4-ward-0.1,scale=0.5,top_k=1",
    ]
    assert runs[3].config.noise.numeric.scale == 1.0
    assert runs[3].config.noise.categorical.betas == RATES | {"ward": 0.1}
    both = {"noise.categorical": {"kernel": "randomized-response"}, "noise.numeric": {}}
    sweep = {"noise.categorical.log_ratio": [1, 2.5], "noise.numeric.sigmas": [SCALES]}
    runs = expand(read_mapping(write_config(tmp_path, both | {"sweep": sweep})), source="test")
    assert [run.directory for run in runs] == [
        "log_ratio=1,sigmas=age-0.5-income-1.0",
        "log_ratio=2.5,sigmas=age-0.5-income-1.0",
    ]


def test_what_a_base_says_is_taken_back_with_null(tmp_path: Path):
    write_config(tmp_path, name="base.yaml")
    (tmp_path / "child.yaml").write_text(
        "base: base.yaml\nnoise: {numeric: {kernel: laplace, sigma: null, scale: 2.0}}\n"
        "certificate: {threshold: null, top_k: 1}\n",
        encoding="utf-8",
    )
    config = parse_config(read_mapping(tmp_path / "child.yaml"), source="child")
    resolved = config.resolved()
    assert resolved["noise"]["numeric"] == {"kernel": "laplace", "scale": 2.0}
    assert parse_config(resolved, source="again") == config


def test_keys_with_the_same_last_part_keep_their_whole_names(tmp_path: Path):
    sweep = {
        "data.split_seed": [1],
        "noise.categorical.kernel": ["uniform"],
        "noise.numeric.kernel": ["gaussian"],
    }
    runs = expand(read_mapping(write_config(tmp_path, {"sweep": sweep})), source="test")
    assert runs[0].directory.count("noise.") == 2


def test_a_base_supplies_what_is_left_out(tmp_path: Path):
    write_config(tmp_path, name="base.yaml")
    (tmp_path / "child.yaml").write_text(
        "base: base.yaml\nnoise: {numeric: {sigma: 2.0}}\n", encoding="utf-8"
    )
    config = parse_config(read_mapping(tmp_path / "child.yaml"), source="child")
    assert config.noise.numeric is not None
    assert config.noise.numeric.sigma == 2.0
    assert config.noise.categorical is not None
    assert config.noise.categorical.beta == 0.5


def test_the_examples_say_what_the_paper_ran():
    [run] = expand(read_mapping(EXAMPLES / "adult.yaml"), source="adult")
    config = run.config
    assert config.noise.categorical is not None
    assert config.noise.numeric is not None
    assert (config.noise.categorical.beta, config.noise.numeric.sigma) == (0.25, 0.5)
    assert (len(config.data.categorical), len(config.data.numeric), config.data.test_rows) == (8, 6, 1000)
    assert (config.certificate.samples, config.certificate.alpha, config.certificate.threshold) == (
        10_000,
        0.01,
        0.5,
    )
    assert (config.threat.max_d, config.model.noisy_copies) == (2, 5)
    assert config.model.estimator == "sklearn.svm.LinearSVC"
    target = parse_config(read_mapping(EXAMPLES / "adult_target.yaml"), source="target")
    assert target.certificate.stopping is not None
    assert target.certificate.stopping.question() == Target(1, 0.25)
    assert (target.data.test_rows, target.certificate.samples) == (2000, 10_000)
    runs = expand(read_mapping(EXAMPLES / "adult_sweep.yaml"), source="sweep")
    assert [tuple(r.values.values()) for r in runs] == [
        (b, s) for b in (0.1, 0.25, 0.5) for s in (0.25, 0.5, 1.0)
    ]
