"""What kernels list as the worst changes, judged by the verifier, which shares no code with them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import hybridcert as hc
from hybridcert.kernels.fields import FieldReplacement
from hybridcert.kernels.flips import SparseFlips
from hybridcert.kernels.matrix import MatrixKernel
from hybridcert.kernels.randomized_response import RandomizedResponse
from hybridcert.kernels.synonyms import SynonymReplacement
from hybridcert.threats import Additions, Deletion, DiscreteThreat, Flips, Indel, Removals
from hybridcert.verify.cover import uncovered
from hybridcert.verify.laws import factors_of, read_changes, threatened
from hybridcert.verify.meter import Meter
from hybridcert.verify.spectrum import product

LENGTH = 6


def random_kernel(name: str, rng: np.random.Generator) -> tuple[Any, np.ndarray, list[int]]:
    """A kernel, an input of six symbols, and its alphabet sizes."""
    sizes = rng.integers(2, 9, LENGTH).tolist()
    beta = float(rng.choice([0.1, 0.5, 0.75, 0.9, 0.97, 1.0]))
    rows = [[Fraction(int(w)) for w in rng.integers(0, 5, 4) + np.eye(4, dtype=int)[x]] for x in range(4)]
    words = {x: rng.integers(0, 8, rng.integers(0, 4)).tolist() for x in range(8)}
    kernel: Any = {
        "uniform": lambda: hc.UniformReplacement(beta),
        "fields": lambda: FieldReplacement(rng.choice([0.3, 0.6, 0.8, 0.9, 0.95], LENGTH).tolist()),
        "randomized-response": lambda: RandomizedResponse(float(rng.choice([0.2, 1.5, 30.0]))),
        "absorbing": lambda: hc.Absorbing(beta),
        "flips": lambda: SparseFlips(*rng.choice([0.0, 0.05, 0.4, 0.6, 0.9], 2).tolist()),
        "synonyms": lambda: SynonymReplacement(words),
        "matrix": lambda: MatrixKernel(rows, weights=True),
        "deletion": lambda: hc.RandomDeletion(beta),
    }[name]()
    sizes = {"flips": [2] * LENGTH, "synonyms": [8] * LENGTH, "matrix": [4] * LENGTH}.get(name, sizes)
    return kernel, np.array([rng.integers(0, size) for size in sizes]), sizes


def random_threat(name: str, rng: np.random.Generator) -> DiscreteThreat:
    flips: list[Callable[[], DiscreteThreat]] = [
        lambda: Flips(LENGTH),
        lambda: Flips(LENGTH, max_additions=int(rng.integers(0, 3))),
        lambda: Flips(LENGTH, max_additions=1, max_removals=int(rng.integers(0, 4))),
        lambda: Additions(LENGTH),
        lambda: Removals(LENGTH),
    ]
    edits: list[Callable[[], DiscreteThreat]] = [
        lambda: hc.Insertion(LENGTH),
        lambda: Deletion(LENGTH),
        lambda: Indel(LENGTH),
        lambda: hc.Edit(LENGTH),
        lambda: hc.Substitution(LENGTH),
    ]
    others: list[Callable[[], DiscreteThreat]] = [lambda: hc.Fields(LENGTH)]
    kinds = {"flips": flips, "deletion": edits}.get(name, others)
    return kinds[int(rng.integers(len(kinds)))]()


@pytest.mark.parametrize(
    "name",
    ["uniform", "fields", "randomized-response", "absorbing", "flips", "synonyms", "matrix", "deletion"],
)
def test_the_verifier_finds_every_attack_set_covered(name: str) -> None:
    rng = np.random.default_rng(301)
    for _ in range(25):
        kernel, codes, sizes = random_kernel(name, rng)
        threat = random_threat(name, rng)
        exposure = kernel.exposure(codes, sizes)
        law = {"discrete": [{"modality": "m", **kernel.law(exposure)}]}
        modalities = threatened(law, {"discrete": [{"modality": "m", **threat.described()}]})
        for d in range(5):
            found = kernel.candidates(threat, d, exposure)
            listed = tuple(read_changes([c.change], modalities, "change") for c in found.candidates)
            assert uncovered(modalities, (d,), listed, Meter(10**9)) is None
            for changes, spectrum in zip(listed, found.spectra, strict=True):
                assert_same_value(spectrum, product(factors_of(modalities, changes), 256))


def assert_same_value(spectrum: hc.LikelihoodSpectrum, exact: Any) -> None:
    """The worst-case score from the package's spectrum and from the verifier's atoms."""
    atoms = sorted((float(ratio.mid()), float(p.mid()), float(q.mid())) for p, q, ratio in exact.atoms)
    for p in (0.3, 0.9, 0.999):
        room, value = max(p - float(exact.zero.mid()), 0.0), 0.0
        for _, clean, adversarial in atoms:
            taken = min(room / clean, 1.0) if clean > 0 else 1.0
            value, room = value + taken * adversarial, room - taken * clean
        assert float(hc.Tradeoff(spectrum).lower(p).value) == pytest.approx(value, abs=1e-12)
