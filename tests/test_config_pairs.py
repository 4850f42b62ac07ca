"""Configurations of guards on pairs: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hybridcert.datasets.image_text import ImageTextPairs
from hybridcert.errors import ConfigError, DataError
from hybridcert.experiments.config import parse_config, read_mapping
from hybridcert.experiments.config_pairs import PairDataSection, PairsConfig
from hybridcert.experiments.config_paths import locate, without_places
from hybridcert.experiments.pairs import canvas_of, noise_of, region_of, threat_of
from hybridcert.experiments.pairs_data import GuardPairs, load_pairs
from hybridcert.experiments.sweep import expand
from hybridcert.kernels.absorbing import Absorbing
from hybridcert.kernels.deletion import RandomDeletion
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.threats import Edit
from pairs_data import CONFIG, changed, write_config, write_digits

pytest.importorskip("PIL")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ENDPOINT = {"base_url": "http://localhost:1/v1", "model": "m"}
WHOLE = {"region": {"whole_prompt": 20}, "noise.text.kernel": "deletion"}


def refused(changes: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        expand(changed(changes), source="guard.yaml")
    message = str(caught.value)
    assert "\n" not in message
    return message


def parsed(changes: dict[str, Any] | None = None) -> PairsConfig:
    config = parse_config(changed(changes), source="test")
    assert isinstance(config, PairsConfig)
    return config


def test_defaults_are_resolved_and_load_back():
    resolved = parsed().resolved()
    assert resolved["data"]["format"] == "jsonl"
    assert resolved["data"]["flagged"] == ["unsafe"]
    assert resolved["model"]["checkpoint"]["least_mass"] == 0.5
    assert parse_config(yaml.safe_load(yaml.safe_dump(resolved)), source="again") == parsed()
    short = parsed({"model.checkpoint": "tiny-guard"})
    assert short.model.checkpoint is not None
    assert short.model.checkpoint.path == "tiny-guard"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("guard_*.yaml")), ids=lambda path: path.stem)
def test_examples_are_accepted(path: Path):
    [run] = expand(read_mapping(path), source=path.name)
    assert isinstance(run.config, PairsConfig)
    assert parse_config(run.config.resolved(), source="again") == run.config


@pytest.mark.parametrize("key", ["samples", "alpha", "threshold", "seed", "label"])
def test_what_carries_the_guarantee_has_no_default(key: str):
    assert refused({f"certificate.{key}": None}) == f"guard.yaml: certificate.{key} is required"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data.format": "csv"}, "data.format must be 'jsonl', 'datasets', 'mm-safetybench' or 'nlvr'"),
        ({"data.split": "test"}, "data takes split with format datasets, got format 'jsonl'"),
        ({"data.format": "nlvr", "data.label": "x"}, "data takes label with format jsonl or datasets"),
        ({"data.format": "mm-safetybench"}, "data needs variant with format mm-safetybench"),
        ({"data.rows": 5}, "data takes rows only with split_seed"),
        ({"data.flagged": []}, "data.flagged"),
        ({"data.flagged": [0.5]}, "must be a string, a whole number or a truth value, got 0.5"),
        ({"data.benign": {"format": "nlvr", "id": "x"}}, "data.benign takes id with format"),
        ({"data.test_rows": 5}, "unknown key 'test_rows' in data"),
        ({"model.endpoint": ENDPOINT}, "model needs one of checkpoint and endpoint, got both"),
        ({"model.checkpoint": None}, "model needs one of checkpoint and endpoint, got neither"),
        ({"model.checkpoint.dtype": "float64"}, "model.checkpoint.dtype must be 'auto', 'float32'"),
        ({"model.checkpoint.quantization": "8bit"}, "model.checkpoint.quantization must be '4bit'"),
        ({"model.checkpoint.least_mass": 1.5}, "model.checkpoint.least_mass must be in [0, 1], got 1.5"),
        ({"model.checkpoint.batch_size": 0}, "model.checkpoint.batch_size must be an integer >= 1, got 0"),
        ({"model.checkpoint.tokens": []}, "model.checkpoint.tokens must be a list of symbols, or the name"),
        ({"model.checkpoint.tokens": [True]}, "model.checkpoint.tokens must be a list of symbols, or"),
        ({"model.checkpoint.decison": "text"}, "unknown key 'decison' in model.checkpoint: did you mean"),
        (
            {"model": {"endpoint": {"model": "m"}}},
            "model.endpoint.base_url is required",
        ),
        (
            {"model": {"endpoint": ENDPOINT | {"words": ["a", 1]}}},
            "model.endpoint.words must list words as strings, got ['a', 1]",
        ),
        ({"model": {"endpoint": ENDPOINT}}, "noise.text.kernel uniform needs a list of symbols"),
        ({"canvas": None}, "canvas is required"),
        ({"canvas.channels": 4}, "canvas.channels must be 1 or 3, got 4"),
        ({"canvas.height": 0}, "canvas.height must be an integer >= 1, got 0"),
        ({"region": {}}, "region needs one of suffix_slots and whole_prompt, got neither"),
        ({"region.whole_prompt": 9}, "region needs one of suffix_slots and whole_prompt, got both"),
        ({"noise": {}}, "noise must name text, image or both, got neither"),
        ({"noise.text.beta": 0}, "noise.text.beta must be in (0, 1], got 0"),
        ({"noise.text.kernel": "swap"}, "noise.text.kernel must be 'uniform', 'absorbing' or 'deletion'"),
        ({"noise.image.sigma": -1}, "noise.image.sigma must be a finite number > 0, got -1"),
        ({"noise.text.kernel": "deletion"}, "noise.text.kernel deletion needs region.whole_prompt"),
        ({"noise.text.kernel": "absorbing"}, "absorbing needs a symbol to mask with: set mask under model"),
        ({"threat.kind": "fields"}, "threat.kind must be 'substitution', 'insertion', 'deletion', 'edit'"),
        ({"threat.kind": "insertion"}, "threat.kind must be substitution with noise.text.kernel 'uniform'"),
        ({"threat.max_d": 5}, "threat.max_d must be at most region.suffix_slots, 4, got 5"),
        ({"noise.text": None}, "threat needs noise.text: without it no symbol may change"),
        ({"certificate.label": "harmful"}, "certificate.label must be one of safe, unsafe, got 'harmful'"),
        ({"certificate.top_k": 1}, "unknown key 'top_k' in certificate"),
        ({"certificate.stopping": {"target": {"d": 3}}}, "certificate.stopping.target.d must be at most"),
        ({"report.thresholds": [1.0]}, "report.thresholds.0 must be in (0, 1), got 1.0"),
        ({"report.eps": [-0.1]}, "report.eps.0 must be a finite number >= 0"),
        (
            {"model.checkpoint.denoiser": {"path": "d"}, "noise.image": None},
            "model.checkpoint.denoiser needs noise.image",
        ),
    ],
)
def test_mistakes_are_named_in_one_line(changes: dict[str, Any], expected: str):
    assert expected in refused(changes)


def test_what_is_configured_is_built():
    config = parsed(
        {
            "model.checkpoint.mask": "<mask>",
            "noise.text": {"kernel": "absorbing", "beta": 0.5},
            "noise.image": None,
        }
    )
    assert noise_of(config) == {"suffix": Absorbing(0.5)}
    assert (region_of(config).slots, canvas_of(config).features) == (4, 64)  # type: ignore[union-attr]
    config = parsed(WHOLE | {"threat": {"kind": "edit", "max_d": 3}})
    assert noise_of(config) == {"text": RandomDeletion(0.25), "image": GaussianNoise(0.25)}
    assert threat_of(config) == Edit(3)
    config = parsed({"noise.text": None, "threat": None})
    assert (noise_of(config), threat_of(config)) == ({"image": GaussianNoise(0.25)}, None)


def test_sweeps_vary_what_the_sections_know():
    raw = changed() | {"sweep": {"noise.image.sigma": [0.25, 0.5], "model.checkpoint.dtype": ["float32"]}}
    runs = expand(raw, source="test")
    assert [run.config.noise.image.sigma for run in runs] == [0.25, 0.5]  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"unknown key 'noise.image.sigmas' in sweep: did you mean"):
        expand(changed() | {"sweep": {"noise.image.sigmas": [1]}}, source="test")


def test_paths_are_relative_to_the_configuration(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    raw = changed({"data.benign": {"path": "good"}, "model.checkpoint.policy": "policy.txt"})
    raw["sweep"] = {"model.checkpoint.path": ["mine", "org/guard", "./missing", "tiny-guard"]}
    locate(raw, tmp_path)
    assert raw["data"]["path"] == str(tmp_path / "digits")
    assert raw["data"]["benign"]["path"] == str(tmp_path / "good")
    assert raw["model"]["checkpoint"]["policy"] == str(tmp_path / "policy.txt")
    assert raw["model"]["checkpoint"]["path"] == "tiny-guard"
    found = raw["sweep"]["model.checkpoint.path"]
    assert found == [str(tmp_path / "mine"), "org/guard", str(tmp_path / "missing"), "tiny-guard"]


def test_places_do_not_count_and_contents_do():
    raw = changed({"model.checkpoint.tokens": ["a", "b"], "data.images": "pictures"})
    kept = without_places(raw)
    assert "path" not in kept["data"]
    assert "images" not in kept["data"]
    assert "path" not in kept["model"]["checkpoint"]
    assert kept["model"]["checkpoint"]["tokens"] == ["a", "b"]
    assert raw["data"]["path"] == "digits"
    assert without_places({"data": 3, "model": {"checkpoint": "x"}}) == {"data": 3, "model": {}}


def section(path: Path, **more: Any) -> PairDataSection:
    return PairDataSection.model_validate({"path": str(path)} | more)


def test_pairs_are_told_apart_and_chosen(tmp_path: Path):
    folder = write_digits(tmp_path / "digits")
    data = section(folder)
    pairs = load_pairs(data)
    assert pairs.flagged.tolist() == [True] * 4 + [False] * 3
    assert pairs.chosen(data, limit=5).pairs.ids == pairs.pairs.ids[:5]
    drawn = section(folder, rows=5, split_seed=1)
    chosen = pairs.chosen(drawn, limit=None)
    assert len(chosen) == len(set(chosen.pairs.ids)) == 5
    assert chosen.pairs.ids != pairs.pairs.ids[:5]
    assert pairs.chosen(drawn, limit=2).pairs.ids == chosen.pairs.ids[:2]
    for row, name in enumerate(chosen.pairs.ids):
        assert chosen.flagged[row] == pairs.flagged[pairs.pairs.ids.index(name)]
    frame = chosen.frame()
    assert frame.index.tolist() == list(chosen.pairs.ids)
    assert frame["text"].tolist() == list(chosen.pairs.texts)
    with pytest.raises(DataError, match=r"data.rows must be at most the number of pairs in .*, 7, got 8"):
        pairs.chosen(section(folder, rows=8, split_seed=0), limit=None)


def test_benign_pairs_of_another_source_are_never_flagged(tmp_path: Path):
    main, other = write_digits(tmp_path / "main", benign=0), write_digits(tmp_path / "other", benign=0)
    pairs = load_pairs(section(main, benign={"path": str(other)}))
    assert pairs.flagged.tolist() == [True] * 4 + [False] * 4
    assert pairs.pairs.ids[3:5] == ("p3", "benign/p0")
    assert pairs.digest() != load_pairs(section(main)).digest()


def test_labels_have_to_be_there(tmp_path: Path):
    folder = write_digits(tmp_path / "digits")
    with pytest.raises(DataError, match=r"data.flagged must list labels that occur \(benign, unsafe\)"):
        load_pairs(section(folder, flagged=["harmful"]))
    file = folder / "pairs.jsonl"
    file.write_text(file.read_text().replace('"label"', '"other"'))
    with pytest.raises(DataError, match=r"the pairs have no labels: name their column with data.label"):
        load_pairs(section(folder))
    assert load_pairs(section(folder, label="other")).flagged.sum() == 4
    with pytest.raises(ConfigError, match=r"no pairs given: set data.path, or pass --data PATH"):
        load_pairs(PairDataSection())


def test_labels_are_named_as_readers_spell_them(shared: Path):
    pairs = load_pairs(section(shared / "data" / "nlvr", format="nlvr", flagged=[True]))
    assert 0 < pairs.flagged.sum() < len(pairs)
    assert pairs.pairs.labels is not None
    assert pairs.flagged.tolist() == [label == "true" for label in pairs.pairs.labels]


def test_a_saved_data_set_needs_no_ids(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    folder = write_digits(tmp_path / "digits")
    images = [str(folder / f"{row}.png") for row in range(2)]
    table = datasets.Dataset.from_dict({"img": images, "text": ["a", "b"], "label": [1, 0]})
    table.save_to_disk(str(tmp_path / "saved"))
    pairs = load_pairs(section(tmp_path / "saved", format="datasets", flagged=[1]))
    assert (pairs.pairs.ids, pairs.flagged.tolist()) == (("0", "1"), [True, False])


def test_rows_of_no_pairs_are_no_pairs():
    none = ImageTextPairs((), (), (), (), (), "nowhere")
    empty = GuardPairs(none, np.zeros(0, dtype=np.bool_))
    assert len(empty.rows(np.zeros(0, dtype=np.intp)).frame()) == 0


def test_the_file_is_the_configuration(tmp_path: Path):
    assert read_mapping(write_config(tmp_path)) == CONFIG
