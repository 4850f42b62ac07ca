"""Issued certificates: composed from real runs, verified, and refused when a number moves up."""

from __future__ import annotations

import copy
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st

import hybridcert as hc
from classifiers import Sign, WordsAndNumbers
from hybridcert.documents.exact import confidence_text, float_below, largest_float, least_float
from hybridcert.verify import verify_document, verify_paths

RULES = {"samples": 400, "alpha": 0.01, "seed": 3}
X = {
    "text": np.array([[0, 1, 2], [1, 3, 4], [0, 0, 0]]),
    "tag": np.array([[0], [1], [1]]),
    "numeric": np.array([[0.9], [1.5], [0.2]]),
    "other": np.zeros((3, 1)),
}


def certified_runs():
    """Runs over laws, threats and claims; each classifier answers by the first word and the number."""
    gaussian, words = hc.GaussianNoise(0.5), hc.UniformReplacement(0.3)
    score = {"threshold": 0.1, "label": 1}
    for name, noise, threat, claim in (
        ("words and numbers", {"text": words, "numeric": gaussian}, hc.Substitution(2), score),
        ("no continuous noise", {"text": words}, hc.Substitution(1), score),
        ("no discrete noise", {"numeric": gaussian}, None, score),
        ("enumeration", {"text": hc.UniformReplacement(0.7), "numeric": gaussian}, hc.Fields(1), score),
        (
            "several modalities",
            {"text": words, "tag": hc.Absorbing(0.9), "numeric": gaussian, "other": hc.GaussianNoise(2.0)},
            {"text": hc.Substitution(1), "tag": hc.Fields(1)},
            score | {"threshold": 0.05},
        ),
        ("a noisy modality without a threat", {"text": words, "numeric": gaussian}, None, score),
        ("Laplace", {"text": words, "numeric": hc.LaplaceNoise(0.5)}, hc.Substitution(1), score),
        ("the answer stays", {"text": words, "numeric": gaussian}, hc.Substitution(1), {"top_k": 1}),
    ):
        smoothed = hc.SmoothedClassifier(WordsAndNumbers(), noise=noise)
        yield name, smoothed.certify(X, threat=threat, **RULES, **claim)


RUNS = dict(certified_runs())


@pytest.mark.parametrize("name", RUNS)
def test_every_certificate_of_a_run_verifies_and_says_what_the_run_says(name, tmp_path):
    run = RUNS[name]
    run.save(tmp_path)
    documents = [json.loads(line) for line in (tmp_path / "certificates.jsonl").read_text().splitlines()]
    assert len(documents) == len(run)
    checked = verify_paths([tmp_path], jobs=1)
    assert len(checked) == len(run)
    assert all(found.verdict.ok for found in checked)
    for row, document in enumerate(documents):
        assert float.fromhex(document["estimate"]["p_lower"]) == pytest.approx(run.p_lower[row], rel=1e-12)
        for point, written in zip(run.points, document["frontier"], strict=True):
            radii = point.radii
            assert written["certified"] == radii.certified[row]
            assert float.fromhex(written["p_adv"]) == pytest.approx(point.p_adv[row], rel=1e-9)
            if radii.certified[row]:
                radius = float.fromhex(written["radius"])
                assert radius >= radii.radius[row]
                assert radius == pytest.approx(radii.radius[row], rel=1e-9)


def places(document):
    """Paths to every number that carries the guarantee."""
    yield ("estimate", "p_lower")
    for i, point in enumerate(document["frontier"]):
        yield ("frontier", i, "p_adv")
        if point["certified"] and document["threat"]["continuous"]["norm"] != "none":
            yield ("frontier", i, "radius")


@pytest.mark.parametrize("name", RUNS)
def test_the_next_float_up_is_refused_everywhere(name):
    for document in RUNS[name].certificates():
        for path in places(document):
            moved = copy.deepcopy(document)
            *way, last = path
            section = moved
            for step in way:
                section = section[step]
            value = float.fromhex(section[last])
            section[last] = math.nextafter(value, math.inf).hex()
            assert not verify_document(moved).ok, f"{path}: {value!r} could be larger"


def test_a_radius_of_zero_with_continuous_noise_is_not_a_missing_one():
    document = next(iter(RUNS["no continuous noise"].certificates()))
    assert document["frontier"][0]["radius"] == (0.0).hex()
    assert document["threat"]["continuous"]["norm"] == "none"


def test_several_runner_ups_are_bounded_together():
    class Three(Sign):
        classes_ = np.array(["a", "b", "c"])

        def predict_encoded(self, batch):
            return np.digitize(batch["numeric"][:, 0], [-1.0, 0.0])

    smoothed = hc.SmoothedClassifier(Three(), noise={"numeric": hc.GaussianNoise(1.0)})
    rows = np.array([[0.8, 0.0], [-2.0, 1.0], [-0.5, 2.0]])
    for k in (1, 2):
        run = smoothed.certify(rows, threat=None, **RULES, top_k=k)
        documents = list(run.certificates())
        assert all(d["estimate"]["method"] == "clopper-pearson-bonferroni" for d in documents)
        assert {True} <= {d["frontier"][0]["certified"] for d in documents}
        for document in documents:
            upper = float.fromhex(document["estimate"]["p_upper"])
            if upper < 1.0:
                moved = copy.deepcopy(document)
                moved["estimate"]["p_upper"] = math.nextafter(upper, 0.0).hex()
                assert not verify_document(moved).ok
    assert run.abstained.dtype == np.bool_


def test_a_bound_that_is_a_float_itself_is_issued_whole():
    """With three symbols and ratio 10, V = p − 3/4 exactly: no ball decides that, only rationals do."""

    class Always(WordsAndNumbers):
        def predict_encoded(self, batch):
            return np.ones(len(batch["text"]), dtype=np.intp)

    smoothed = hc.SmoothedClassifier(Always(), noise={"text": hc.RandomizedResponse(10.0)})
    rules = {"samples": 20, "alpha": 0.125, "seed": 0, "threshold": 0.1, "label": 1}
    run = smoothed.certify(X, threat=hc.Fields(1), **rules)
    document = next(iter(run.certificates()))
    tie = Fraction(float.fromhex(document["estimate"]["p_lower"])) - Fraction(3, 4)
    assert Fraction(float.fromhex(document["frontier"][1]["p_adv"])) == tie
    for point in document["frontier"]:
        moved = copy.deepcopy(document)
        moved["frontier"] = [dict(point, p_adv=math.nextafter(float.fromhex(point["p_adv"]), 1.0).hex())]
        assert not verify_document(moved).ok


@given(st.fractions(0, 2).filter(lambda f: f > 0), st.integers(-40, 40))
def test_float_below_is_the_largest_float_below(value, exponent):
    exact = value * Fraction(2) ** exponent
    before = ctx.prec
    ctx.prec = 300
    try:
        ball = arb(exact.numerator) / exact.denominator
        found = float_below(ball)
    finally:
        ctx.prec = before
    assert Fraction(found) <= exact < Fraction(math.nextafter(found, math.inf))


@given(st.floats(1e-300, 1e300), st.integers(-3000, 3000))
def test_the_search_ends_at_the_last_float_that_is_proven(root, ulps):
    start = max(root + ulps * math.ulp(root), 0.0)
    found = largest_float(lambda x: x < root, start, spare=lambda x: arb(root) - arb(x))
    assert found == math.nextafter(root, 0.0)


@given(st.floats(1e-6, 1.0), st.integers(0, 3000))
def test_the_search_from_above_ends_at_the_least_float(root, ulps):
    start = min(root + ulps * math.ulp(root), 1.0)
    found = least_float(lambda x: x >= root, start)
    assert found == root


def test_confidence_is_rounded_down():
    assert confidence_text(0.01) == "0.989999999999999999"
    assert Fraction(confidence_text(0.5)) == Fraction(1, 2)
    assert confidence_text(math.nextafter(1.0, 0.0)) == "0.000000000000000111"
    assert confidence_text(5e-324) == "0.999999999999999999"
