"""Issued certificates: all verify, none says too much, and whatever is moved in its favour is refused."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pytest
from document_cases import documents
from document_moves import in_favour, promised
from document_truth import refuted
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import hybridcert as hc
from classifiers import WordsAndNumbers
from hybridcert.verify import verify_document, verify_text

Json = Any
SEED = int(os.environ.get("HYBRIDCERT_SEED", "20260718"))
DOCUMENTS = 150  # in each of eight parts of the slow run, hundreds of others made of each


def assert_never_too_generous(document: Json, name: str) -> None:
    """A document that verifies is true by this bench's own arithmetic."""
    verdict = verify_document(document)
    assert verdict.ok == (not verdict.reasons)
    assert all("\n" not in reason and reason for reason in verdict.reasons)
    if verdict.ok:
        found = refuted(document, most=6)
        assert found is None, f"{name}: accepted, but {found} does not hold: {json.dumps(document)}"


def check_document(document: Json) -> int:
    """Check one issued document and everything that can be made of it; return how many documents that is."""
    verdict = verify_text(json.dumps(document))
    assert verdict.ok, verdict.reasons
    assert refuted(document) is None
    for name, moved in promised(document):
        if moved != document:
            assert not verify_document(moved).ok, f"{name}: {json.dumps(moved)}"
    others = [(name, moved) for name, moved in in_favour(document) if moved != document]
    for name, moved in others:
        assert_never_too_generous(moved, name)
    return len(others)


@given(documents())
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
def test_issued_documents_hold_and_say_no_more_than_they_prove(document: Json) -> None:
    check_document(document)


@st.composite
def runs(draw: st.DrawFn) -> hc.CertificationRun:
    """A smoothed classifier on three inputs, certified against random threats."""
    kernels: dict[str, Any] = {"text": hc.UniformReplacement(draw(st.sampled_from([0.1, 0.3, 0.8, 1.0])))}
    threat: dict[str, Any] = {"text": hc.Substitution(draw(st.integers(0, 2)))}
    if draw(st.booleans()):
        kernels["text"] = hc.FieldReplacement(draw(st.lists(st.floats(0.05, 0.9), min_size=2, max_size=2)))
    if draw(st.booleans()):
        kernels["tag"] = draw(st.sampled_from([hc.Absorbing(0.7), hc.SparseFlips(0.2, 0.4)]))
        threat["tag"] = hc.Flips(1) if kernels["tag"].name == "flips" else hc.Fields(1)
    kind = draw(st.sampled_from(["none", "gaussian", "laplace", "several"]))
    scale = draw(st.floats(0.2, 3.0))
    if kind != "none":
        kernels["numeric"] = hc.LaplaceNoise(scale) if kind == "laplace" else hc.GaussianNoise(scale)
    if kind == "several":
        kernels["other"] = hc.GaussianNoise(0.3)
    rows = {
        "text": np.array([[0, 1, 2], [1, 3, 4], [0, 0, 0]]),
        "tag": np.array([[0], [1], [1]]),
        "numeric": np.array([[0.9], [1.5], [0.2]]),
        "other": np.zeros((3, 1)),
    }
    claim: dict[str, Any] = {
        "threshold": draw(st.floats(0.01, 0.6)),
        "label": draw(st.sampled_from([0, 1, None])),
    }
    return hc.SmoothedClassifier(WordsAndNumbers(), noise=kernels).certify(
        rows,
        threat=threat,
        samples=draw(st.integers(20, 400)),
        alpha=draw(st.sampled_from([0.001, 0.01, 0.3])),
        seed=draw(st.integers(0, 1000)),
        **draw(st.sampled_from([claim, {"top_k": 1}])),
    )


@given(runs())
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
def test_certificates_of_runs_hold_and_are_the_largest(run: hc.CertificationRun) -> None:
    for document in run.certificates():
        assert verify_text(json.dumps(document)).ok
        assert refuted(document) is None
        for name, moved in promised(document):
            assert not verify_document(moved).ok, f"{name}: {json.dumps(moved)}"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_a_thousand_issued_documents_hold_and_say_no_more_than_they_prove(part: int) -> None:
    issued, made = 0, 0

    def sound(document: Json) -> None:
        nonlocal issued, made
        issued, made = issued + 1, made + check_document(document)

    explore = settings(max_examples=DOCUMENTS, database=None, suppress_health_check=list(HealthCheck))
    seed(SEED + part)(explore(given(documents())(sound)))()
    print(f"seed {SEED + part}: {issued} documents issued, {made} others made of them")  # noqa: T201
    assert issued >= DOCUMENTS
