"""Certificates of samples that stopped early: the tightest bounds, in documents that say how they stopped."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridcert as hc
from hybridcert.certificate.alpha_budget import alpha_budget
from hybridcert.certificate.anytime import beta_mixture_lower
from hybridcert.certificate.confidence import LabelBounds, label_bounds
from hybridcert.certificate.group_sequential import group_sequential_design, group_sequential_lower
from hybridcert.documents.claims import Claim, ScoreAbove, TopK
from hybridcert.documents.evidence import Estimate, PointEvidence, SequentialPlan
from hybridcert.documents.frontier import frontier_section, sharpened
from hybridcert.documents.issue import compose
from hybridcert.errors import CertificateError
from hybridcert.joint_threat import JointThreat
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.threats import ContinuousSurface
from hybridcert.verify import explain, verify_document, verify_text

Json = dict[str, Any]
SCORE = ScoreAbove(0.5)
ALPHA = 0.01
DESIGN = group_sequential_design(0.97, 2_000, ALPHA)
SHARES = alpha_budget((100, 300, 1_000), ALPHA)


def issued(estimate: Estimate, claim: Claim = SCORE) -> Json:
    """A certificate of Gaussian noise on three features."""
    noise = SmoothingNoise({"x": hc.GaussianNoise(0.5)}, {"x": ContinuousSurface(3, (0, 1, 2), "units")})
    joint = JointThreat.of(noise, None)
    cases, case = joint.exposures({"x": np.zeros((1, 3))})
    upper = 1.0 - estimate.p_lower if estimate.p_upper is None else estimate.p_upper
    labels = LabelBounds(np.array([estimate.p_lower]), np.array([upper]), estimate.method)
    point = joint.point((), claim, labels, cases, case)
    certified, radius = bool(point.radii.certified[0]), float(point.radii.radius[0])
    setting, found = joint.setting(claim, cases[0]), sharpened(estimate, claim)
    evidence = PointEvidence(0, certified, radius, point.attacks[0])
    document = compose(
        setting,
        found,
        frontier_section(setting, found, [evidence]),
        label="yes",
        subject={"index": "0", "digest": "", "base_label": "yes"},
        provenance={"seed": 7},
    )
    assert verify_text(json.dumps(document)).ok
    return document


def of_path(path: list[int], samples: int, successes: int) -> Estimate:
    """The outcome of a path under the design."""
    crossed = bool(path) and path[-1] >= DESIGN.certify_at[len(path) - 1]
    look = len(path) - 1 if crossed else len(DESIGN.looks) - 1
    rules = {"look": look, "looks": DESIGN.looks, "certify_at": DESIGN.certify_at}
    p = group_sequential_lower(successes, alpha=ALPHA, **rules)
    plan = SequentialPlan(**rules, successes_at=tuple(path))
    counts = [samples - successes, successes]
    return Estimate("group-sequential", p, None, samples, ALPHA, counts, 1, plan)


def walked(failures_per_thousand: int, end: int) -> Estimate:
    """A path with failures evenly among its copies, which ends at ``end`` at the latest."""
    path: list[int] = []
    for n, least in zip(DESIGN.looks, DESIGN.certify_at, strict=True):
        if n > end:
            break
        path.append(n - n * failures_per_thousand // 1000)
        if path[-1] >= least:
            return of_path(path, n, path[-1])
    return of_path(path, end, end - end * failures_per_thousand // 1000)


def mixed(k: int, n: int, a: float, b: float, claim: Claim = SCORE) -> Estimate:
    p = float(beta_mixture_lower([k], n, ALPHA, a=a, b=b)[0])
    counts = [k, *([0] * (claim.classes - 2) if isinstance(claim, TopK) else []), n - k]
    return Estimate("beta-mixture", p, None, n, ALPHA, counts, 0, SequentialPlan(prior=(a, b)))


def shared(counts: list[int], look: int, claim: Claim = SCORE) -> Estimate:
    n, top = sum(counts), isinstance(claim, TopK)
    found = label_bounds(
        np.array([counts] if top else [[counts[0], n - counts[0]]]),
        claimed=np.zeros(1, dtype=np.intp),
        k=claim.k if isinstance(claim, TopK) else 1,
        alpha=SHARES.alphas[look],
        samples=n,
    )
    upper = float(found.p_upper[0]) if top else None
    plan = SequentialPlan(SHARES.looks, look, alphas=SHARES.alphas)
    return Estimate(found.method, float(found.p_lower[0]), upper, n, ALPHA, counts, 0, plan)


ESTIMATES: dict[str, tuple[Estimate, Claim]] = {
    "crossed": (walked(2, 2_000), SCORE),
    "the last look": (walked(40, 2_000), SCORE),
    "ended early": (walked(31, 1_900), SCORE),
    "ended before the first look": (walked(0, 10), SCORE),
    "mixture": (mixed(990, 1_000, 0.5, 0.5), SCORE),
    "mixture of all": (mixed(1_000, 1_000, 9.5, 0.25), SCORE),
    "mixture for the answer": (mixed(450, 500, 1.0, 2.0, TopK(1, 3)), TopK(1, 3)),
    "shares": (shared([292, 8], 1), SCORE),
    "shares for the answer": (shared([850, 100, 50], 2, TopK(1, 3)), TopK(1, 3)),
    "shares for two answers": (shared([150, 130, 15, 5], 1, TopK(2, 4)), TopK(2, 4)),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_issued_bounds_are_the_largest_floats_that_verify(name: str):
    estimate, claim = ESTIMATES[name]
    document = issued(estimate, claim)
    p_lower = float.fromhex(document["estimate"]["p_lower"])
    assert p_lower >= estimate.p_lower
    assert p_lower == pytest.approx(estimate.p_lower, rel=1e-9)
    for section, key, towards in (
        (("estimate",), "p_lower", 1.0),
        (("estimate",), "p_upper", 0.0),
        (("frontier", 0), "p_adv", 1.0),
        (("frontier", 0), "radius", math.inf),
    ):
        moved = copy.deepcopy(document)
        holder: Any = moved
        for step in section:
            holder = holder[step]
        if holder.get(key) is not None:
            holder[key] = math.nextafter(float.fromhex(holder[key]), towards).hex()
            assert not verify_document(moved).ok, key


def test_a_boundary_that_is_crossed_proves_what_the_design_was_made_for():
    document = issued(ESTIMATES["crossed"][0])
    assert float.fromhex(document["estimate"]["p_lower"]) >= DESIGN.p_needed
    assert document["estimate"]["samples"] < DESIGN.looks[-1]


@settings(max_examples=40)
@given(st.integers(0, 200), st.integers(1, 2_000))
def test_every_outcome_of_a_design_can_be_issued(failures_per_thousand: int, end: int):
    document = issued(walked(failures_per_thousand, end))
    assert document["estimate"]["method"] == "group-sequential"


WORDS = {
    "crossed": ["over at most 2000 noise samples, of which ", "The successes reached the boundary at look "],
    "the last look": ["of which 2000 were drawn", "the outcome counts at the last look, of 2000 samples. "],
    "ended early": ["of which 1900 were drawn", "and the 100 that were not drawn are failures. "],
    "mixture": [
        "over any number of noise samples, of which 1000 were drawn",
        "after every number of samples",
    ],
    "shares": [
        "over at most 1000 noise samples, of which 300 were drawn",
        "The bounds of all 3 looks",
    ],
}


@pytest.mark.parametrize("name", WORDS)
def test_statements_say_over_which_samples_and_why_it_could_stop(name: str):
    document = issued(*ESTIMATES[name])
    for expected in WORDS[name]:
        assert expected in document["scope"]["statement"]
    assumed = " ".join(document["assumptions"])
    assert "made for this input after the label, the noise and the threshold were fixed" in assumed
    assert "fixed before the first of these samples was drawn" in assumed
    assert "and none is left out" in assumed
    assert document["scope"]["confidence"] == "0.989999999999999999"


def test_a_fixed_number_of_samples_is_stated_as_before():
    estimate = dataclasses.replace(ESTIMATES["shares"][0], plan=None)
    document = issued(estimate)
    assert "over the 300 noise samples, all points" in document["scope"]["statement"]
    assert "looks" not in document["estimate"]
    assert not any("planned" in assumption for assumption in document["assumptions"])


def test_a_number_of_samples_without_a_plan_is_assumed_not_to_depend_on_the_answers():
    estimate = dataclasses.replace(ESTIMATES["shares"][0], plan=None)
    document = issued(estimate)
    assumed = " ".join(document["assumptions"])
    assert "The number of samples did not depend on their answers" in assumed
    assert "and the error probability as well" in assumed
    assert any(
        "their answers must not decide n" in line for line in explain(document, verify_document(document))
    )


BROKEN = {
    "a plan without the path": {"successes_at": ()},
    "a look that was not reached": {"look": len(DESIGN.looks) - 1},
    "a boundary that was crossed before": {"certify_at": (0, *DESIGN.certify_at[1:])},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_plan_that_does_not_fit_is_not_issued(name: str):
    estimate = ESTIMATES["crossed"][0]
    assert estimate.plan is not None
    plan = dataclasses.replace(estimate.plan, **BROKEN[name])
    with pytest.raises(CertificateError, match=r"does not verify|could not be proven"):
        issued(dataclasses.replace(estimate, plan=plan))


def test_bounds_that_say_too_much_are_not_issued():
    for name in ("crossed", "mixture", "shares"):
        estimate = ESTIMATES[name][0]
        with pytest.raises(CertificateError, match="could not be proven"):
            sharpened(dataclasses.replace(estimate, p_lower=estimate.p_lower + 1e-3), SCORE)
