"""Certificates issued for random settings, the way a run issues them but for the sampling."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from noise_cases import PARTS, Part
from sequential_cases import mixed, shared, walked

import hybridcert as hc
from hybridcert.certificate.confidence import LabelBounds, label_bounds
from hybridcert.documents.claims import Claim, ScoreAbove, TopK
from hybridcert.documents.evidence import Estimate, PointEvidence, SequentialPlan
from hybridcert.documents.frontier import frontier_section, sharpened
from hybridcert.documents.issue import compose
from hybridcert.joint_threat import JointThreat
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.threats import ContinuousSurface
from strategies import LAST_SCORE

Json = Any
MOST_WORK = 10_000  # atoms of the spectra at one budget
LARGEST_ALPHABET = 10**15  # that the verifier takes


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Counts or assertions, and the bounds on clean scores that they give."""

    labels: LabelBounds
    counts: list[int]
    index: int
    samples: int | None
    alpha: float | None
    plan: SequentialPlan | None = None


@st.composite
def continuous_kernels(draw: st.DrawFn) -> dict[str, Any]:
    """None, one of each kind, or several Gaussians."""
    scale = st.one_of(st.floats(0.05, 4.0), st.sampled_from([1e-6, 0.1, 0.25, 1.0, 255.0]))
    kind = draw(st.sampled_from(["none", "gaussian", "gaussian", "features", "several", "laplace"]))
    return {
        "none": dict,
        "gaussian": lambda: {"image": hc.GaussianNoise(draw(scale))},
        "features": lambda: {"image": hc.GaussianNoise([draw(scale), draw(scale), draw(scale)])},
        "several": lambda: {"image": hc.GaussianNoise(draw(scale)), "sound": hc.GaussianNoise(draw(scale))},
        "laplace": lambda: {"image": hc.LaplaceNoise(draw(scale))},
    }[kind]()


@st.composite
def claims_and_bounds(draw: st.DrawFn) -> tuple[Claim, Bounds]:
    """A claim with bounds under which it has a chance."""
    classes = draw(st.integers(2, 4))
    top = draw(st.booleans())
    k = draw(st.integers(1, classes - 1)) if top else 1
    method = draw(st.sampled_from(["counts", "counts", "given", "shared", "mixed", "walked"]))
    alpha = draw(st.one_of(st.floats(1e-6, 0.2), st.sampled_from([0.001, 0.01, 1e-12])))
    most = draw(st.sampled_from([20, 500, 10_000]))
    own = most - draw(st.integers(0, most // 4))
    rest = draw(st.lists(st.integers(0, most // 8), min_size=classes - 1, max_size=classes - 1))
    index = draw(st.integers(0, classes - 1))
    counts = [*rest[:index], own, *rest[index:]]
    samples = sum(counts)
    if method == "given":
        p = draw(st.one_of(st.floats(0.6, 0.999999), st.sampled_from([0.0, 0.5, LAST_SCORE])))
        upper = draw(st.floats(0.0, 0.5).filter(bool))
        labels = LabelBounds(np.array([p]), np.array([upper if top else 1.0]), "given")
        bounds = Bounds(labels, [], 0, None, None)
    elif method == "shared":
        labels, plan = shared(draw, counts, index, k, top, alpha)
        bounds = Bounds(labels, counts, index, samples, alpha, plan)
    elif method == "mixed" and k == 1:
        labels, plan = mixed(draw, own, samples, alpha)
        bounds = Bounds(labels, counts, index, samples, alpha, plan)
    elif method == "walked" and not top:
        labels, plan, samples, own = walked(draw, own / most, alpha)
        bounds = Bounds(labels, [samples - own, own], 1, samples, alpha, plan)
    elif top:
        labels = label_bounds(
            np.array([counts]), claimed=np.array([index]), k=k, alpha=alpha, samples=samples
        )
        bounds = Bounds(labels, counts, index, samples, alpha)
    else:
        p = hc.clopper_pearson_lower([own], samples, alpha)
        bounds = Bounds(LabelBounds(p, np.ones(1), "clopper-pearson"), counts, index, samples, alpha)
    if top:
        return TopK(k, classes), bounds
    near = float(bounds.labels.p_lower[0]) * draw(st.floats(0.01, 0.999))
    tau = draw(st.one_of(st.just(near), st.sampled_from([0.5, 4.6e-5, 1e-9, 0.1]), st.floats(0.001, 0.6)))
    return ScoreAbove(tau if 0.0 < tau < 1.0 else 0.5), bounds


@st.composite
def documents(draw: st.DrawFn, names: tuple[str, ...] = tuple(PARTS)) -> Json:
    """One issued certificate; composing it verifies it."""
    parts: dict[str, Part] = {}
    for modality in ("text", "table")[: draw(st.sampled_from([0, 1, 1, 1, 2]))]:
        parts[modality] = draw(PARTS[draw(st.sampled_from(names))])
    still = {m for m in parts if draw(st.integers(0, 9)) == 0}  # noisy, but without a threat
    continuous = draw(continuous_kernels())
    assume(parts or continuous)
    assume(all(max(part.sizes, default=0) <= LARGEST_ALPHABET for part in parts.values()))
    surfaces = {m: part.surface for m, part in parts.items()}
    surfaces |= {m: ContinuousSurface(3, (0, 1, 2), "units") for m in continuous}  # type: ignore[misc]
    inputs: dict[str, Any] = {m: np.array([part.codes], dtype=np.int64) for m, part in parts.items()}
    inputs |= {m: np.zeros((1, 3)) for m in continuous}
    noise = SmoothingNoise({m: part.kernel for m, part in parts.items()} | continuous, surfaces)
    joint = JointThreat.of(noise, {m: part.threat for m, part in parts.items() if m not in still})
    claim, bounds = draw(claims_and_bounds())
    cases, case = joint.exposures(inputs)
    setting = joint.setting(claim, cases[0])
    chosen = {tuple(budget_within(draw, threat.max_d) for threat in joint.threats.values()) for _ in range(2)}
    labels = bounds.labels
    top = isinstance(claim, TopK) and labels.method in ("clopper-pearson-bonferroni", "given")
    estimate = Estimate(
        labels.method,
        float(labels.p_lower[0]),
        float(labels.p_upper[0]) if top else None,
        bounds.samples,
        bounds.alpha,
        bounds.counts,
        bounds.index,
        bounds.plan,
    )
    points = []
    for d in sorted(chosen):
        assume(affordable(joint, d, cases[0]))
        point = joint.point(d, claim, labels, cases, case)
        points.append(
            PointEvidence(
                d=list(point.d) if isinstance(point.d, tuple) else point.d,
                certified=bool(point.radii.certified[0]),
                radius=float(point.radii.radius[0]),
                attack=point.attacks[0],
            )
        )
    estimate = sharpened(estimate, claim)
    return compose(
        setting,
        estimate,
        frontier_section(setting, estimate, points),
        label="yes",
        subject={"index": "0", "digest": "", "base_label": "yes"},
        provenance={"seed": 7},
    )


def budget_within(draw: st.DrawFn, max_d: int) -> int:
    """Mostly a few changes."""
    return min(max_d, draw(st.sampled_from([0, 1, 1, 2, 2, 3, max_d])))


def affordable(joint: JointThreat, d: tuple[int, ...], exposures: Any) -> bool:
    """Whether the law is small enough for a test."""
    sizes = [
        sum(
            len(c.spectrum)
            for c in joint.noise.kernels[name].candidates(threat, b, exposures[name]).candidates
        )  # type: ignore[union-attr]
        for (name, threat), b in zip(joint.threats.items(), d, strict=True)
    ]
    return math.prod(sizes) <= MOST_WORK
