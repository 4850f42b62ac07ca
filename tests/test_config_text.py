"""Configurations of filters on texts: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hybridcert.errors import ConfigError
from hybridcert.experiments.config import parse_config, read_mapping
from hybridcert.experiments.config_text import TextConfig
from hybridcert.experiments.sweep import expand
from hybridcert.experiments.text import build_text_pipeline
from text_data import CONFIG, write_config

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "sms_spam.yaml"


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        expand(read_mapping(path), source=path.name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_are_resolved_and_load_back():
    config = parse_config(CONFIG, source="test")
    assert isinstance(config, TextConfig)
    resolved = config.resolved()
    assert (resolved["model"]["tokens"], resolved["data"]["deduplicate"]) == ("words", True)
    assert parse_config(yaml.safe_load(yaml.safe_dump(resolved)), source="again") == config


@pytest.mark.parametrize("key", ["samples", "alpha", "threshold", "seed", "label"])
def test_what_carries_the_guarantee_has_no_default(key: str, tmp_path: Path):
    message = refused(write_config(tmp_path, {f"certificate.{key}": None}))
    assert message == f"filter.yaml: certificate.{key} is required"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data.text": None}, "data.text is required"),
        ({"noise.text.beta": 0}, "noise.text.beta must be in (0, 1], got 0"),
        ({"noise.text.kernel": "uniform"}, "noise.text.kernel must be 'deletion', got 'uniform'"),
        ({"noise.categorical": {"beta": 0.1}}, "unknown key 'categorical' in noise: known are text"),
        ({"noise.text.betta": 0.5}, "unknown key 'betta' in noise.text: did you mean beta?"),
        ({"threat.kind": "fields"}, "threat.kind must be one of"),
        ({"threat.kind": "insertions"}, "threat.kind must be one of"),
        ({"threat.max_d": 1001}, "threat.max_d must be an integer in [0, 1000], got 1001"),
        ({"threat.kind": None}, "threat.kind is required"),
        ({"model.tokens": "letters"}, "model.tokens must be 'words' or 'characters', got 'letters'"),
        ({"model.vectorizer": "tfidf"}, "model.vectorizer must be a mapping with the keys estimator, params"),
        ({"model.encoding": "onehot"}, "unknown key 'encoding' in model"),
        ({"data.numeric": ["a"]}, "unknown key 'numeric' in data"),
        ({"certificate.threshold": [0.1, 0.2]}, "certificate.threshold must be in (0, 1), got [0.1, 0.2]"),
        (
            {"certificate.stopping": {"target": {"d": 9}}},
            "certificate.stopping.target.d must be at most threat.max_d",
        ),
        (
            {"certificate.stopping": {"target": {"d": 1, "eps": 1}}},
            "certificate.stopping.target.eps must be 0 where no numbers have noise, got 1.0",
        ),
        ({"certificate.bound": "spending"}, "certificate takes bound only with stopping or budget"),
        ({"report.thresholds": [0.1, 1]}, "report.thresholds.1 must be in (0, 1), got 1"),
        ({"sweep": {"noise.text.beta": [0.5, 2]}}, "noise.text.beta must be in (0, 1], got 2"),
        (
            {"sweep": {"noise.text.betas": [0.5]}},
            "unknown key 'noise.text.betas' in sweep: did you mean noise.text.beta?",
        ),
        ({"sweep": {"noise.numeric.sigma": [1]}}, "unknown key 'noise.numeric.sigma' in sweep"),
    ],
)
def test_wrong_values_are_named_with_their_range(changes: dict[str, Any], expected: str, tmp_path: Path):
    assert refused(write_config(tmp_path, changes)).startswith(f"filter.yaml: {expected}")


@pytest.mark.parametrize("kind", ["insertion", "deletion", "indel", "edit", "substitution"])
def test_every_change_of_words_can_be_certified_against(kind: str, tmp_path: Path):
    [run] = expand(read_mapping(write_config(tmp_path, {"threat.kind": kind})), source="test")
    assert isinstance(run.config, TextConfig)
    assert run.config.threat.kind == kind


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"vectorizer": {"estimator": "sklearn.feature_extraction.text.TfidfVectoriser"}}, "did you mean"),
        ({"vectorizer": {"estimator": "sklearn.svm.LinearSVC"}}, "is not a vectoriser"),
        ({"vectorizer": {"estimator": "nowhere.Vectorizer"}}, "must be the dotted path of a vectoriser"),
        (
            {"vectorizer": CONFIG["model"]["vectorizer"] | {"params": {"ngrams": 2}}},
            "model.vectorizer.params do not fit",
        ),
        ({"estimator": "sklearn.linear_model.LogisticRegresion"}, "did you mean"),
        ({"params": {"CC": 1}}, "model.params do not fit"),
    ],
)
def test_models_that_cannot_be_built(changes: dict[str, Any], expected: str):
    config = parse_config(CONFIG | {"model": CONFIG["model"] | changes}, source="test")
    assert isinstance(config, TextConfig)
    with pytest.raises(ConfigError) as caught:
        build_text_pipeline(config)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_become_the_tuples_that_a_vectoriser_wants():
    config = parse_config(CONFIG, source="test")
    assert isinstance(config, TextConfig)
    pipeline = build_text_pipeline(config)
    assert pipeline[0].ngram_range == (1, 2)
    assert pipeline[1].random_state == CONFIG["certificate"]["seed"]


def test_the_example_asks_for_what_it_says():
    runs = expand(read_mapping(EXAMPLE), source="sms_spam")
    assert [run.values["noise.text.beta"] for run in runs] == [0.7, 0.8, 0.85, 0.9]
    for run in runs:
        config = run.config
        assert isinstance(config, TextConfig)
        assert (config.threat.kind, config.threat.max_d, config.model.tokens) == ("insertion", 10, "words")
        assert (config.certificate.label, config.certificate.threshold) == ("spam", 0.2)
        assert config.report.thresholds == (0.1, 0.2, 0.3, 0.5)
        assert build_text_pipeline(config)[0].ngram_range == (2, 4)
