"""What `import hybridcert` loads, and what it offers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import hybridcert as hc

NAMES = [
    "Absorbing",
    "Additions",
    "Attack",
    "AttackBudget",
    "AttackSettings",
    "Attacker",
    "Canvas",
    "CertificateError",
    "CertificationRun",
    "Checkpoint",
    "ConfigError",
    "DataError",
    "DataFrameClassifier",
    "Deletion",
    "DiffusionDenoiser",
    "DualBound",
    "Edit",
    "EndpointClassifier",
    "FieldReplacement",
    "Fields",
    "Flips",
    "GaussianNoise",
    "HybridCertError",
    "ImageTextInputs",
    "Indel",
    "Insertion",
    "Judgement",
    "LabelBounds",
    "LaplaceNoise",
    "LikelihoodSpectrum",
    "MatrixKernel",
    "ModelError",
    "NoiseChoice",
    "ParameterError",
    "Processes",
    "Radii",
    "Radius",
    "RandomDeletion",
    "RandomizedResponse",
    "RayCluster",
    "Removals",
    "Retries",
    "RunMismatchError",
    "RunStore",
    "SamplingProgress",
    "ScoreAbove",
    "Serial",
    "SlotFrontier",
    "SmoothedClassifier",
    "SparseFlips",
    "StoreError",
    "Substitution",
    "SuffixSlots",
    "SynonymReplacement",
    "Target",
    "TextClassifier",
    "Tolerance",
    "TopK",
    "TopRadii",
    "TopRadius",
    "TorchClassifier",
    "Tradeoff",
    "UniformReplacement",
    "Verdict",
    "VisionLanguageClassifier",
    "WholePrompt",
    "WordAlphabet",
    "adversarial_value",
    "choose_noise",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "combined_shift",
    "copies_for",
    "cutoff_for",
    "denoised",
    "judge",
    "label_bounds",
    "miss_probability",
    "on_first_slots",
    "radius",
    "radius_top",
    "samples_needed",
    "slot_frontier",
    "threshold_for",
    "verify_document",
    "verify_paths",
]
HEAVY = [
    "pandas",
    "sklearn",
    "matplotlib",
    "pydantic",
    "typer",
    "rich",
    "yaml",
    "pyarrow",
    "flint",
    "torch",
    "transformers",
    "PIL",
]


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running ``code``."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_next_to_nothing() -> None:
    assert modules_after("import hybridcert").isdisjoint([*HEAVY, "numpy", "scipy"])


def test_a_certificate_from_numbers_needs_nothing_heavier() -> None:
    code = (
        "import hybridcert as hc\n"
        "s = hc.UniformReplacement(0.25).spectrum([50_000])\n"
        "p = hc.clopper_pearson_lower(99, 100, 0.01)\n"
        "assert hc.radius(p_lower=p, spectrum=s, sigma=1.0, threshold=0.1)"
    )
    assert modules_after(code).isdisjoint(HEAVY)


def test_the_public_names_are_these() -> None:
    assert sorted(hc.__all__) == NAMES
    assert set(NAMES) <= set(dir(hc))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_can_be_had_and_is_documented(name: str) -> None:
    assert getattr(hc, name).__doc__


def test_unknown_names_are_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        hc.nonsense  # noqa: B018


def test_every_error_has_one_root_and_parameter_errors_are_value_errors() -> None:
    for error in (hc.ConfigError, hc.DataError, hc.ModelError, hc.ParameterError):
        assert issubclass(error, hc.HybridCertError)
    for error in (hc.ConfigError, hc.DataError, hc.ParameterError):
        assert issubclass(error, ValueError)
