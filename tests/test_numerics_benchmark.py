"""The numerics benchmark, small: what it measures holds on a few configurations too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "numerics.py"


@pytest.fixture(scope="module")
def numerics() -> ModuleType:
    spec = importlib.util.spec_from_file_location("numerics_benchmark", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


def test_numbers_of_every_law_are_within_1e9_of_exact_and_never_above(numerics: ModuleType) -> None:
    rows = list(numerics.tightness(240))
    assert {(noise, kind) for noise, kind, _ in rows} == {
        (noise, kind) for noise in ("gaussian", "laplace") for kind in numerics.KINDS
    }
    for noise, kind, found in rows:
        assert found.above == 0, (noise, kind)
        assert found.compared > 0
        assert found.values < 1e-9, (noise, kind)
        assert found.radii < 1e-9, (noise, kind)


def test_both_solvers_are_timed_on_the_same_answers(numerics: ModuleType) -> None:
    """No assertion on the times: they are the benchmark's to report."""
    for cost in numerics.cost(2, inputs=300, repeats=1):
        assert cost.directed > 0.0
        assert cost.plain > 0.0
