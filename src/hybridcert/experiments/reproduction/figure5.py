"""Figure 5: certified pairs against ε when any d tokens of the prompt may be replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from hybridcert.certificate.directed import format_exact
from hybridcert.experiments.reproduction.bench import Bench
from hybridcert.experiments.reproduction.finding import Curve, Finding, Panel, reached
from hybridcert.experiments.reproduction.paper import THRESHOLD
from hybridcert.experiments.reproduction.wording import down, setting_sentence, share_down

TITLE = "Figure 5: certified pairs under ℓ₀ changes of the whole prompt and an ℓ₂ shift of the image"

_BUDGETS = (0, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Curves:
    """One threshold and σ: the image alone, and jointly for d = 0 and 1."""

    threshold: float
    sigma: float
    image_only: Curve
    joint: tuple[Curve, ...]
    inputs: int


def measure(bench: Bench) -> Finding:
    """Certify with noise on the whole prompt, and with noise on the image alone."""
    setting, inputs = bench.setting, len(bench)
    found = []
    for threshold in setting.claim.thresholds:
        for sigma in setting.noise.sigmas:
            joint = bench.certified(bench.whole, beta=setting.noise.beta, sigma=sigma, threshold=threshold)
            image = bench.certified(bench.slots, beta=None, sigma=sigma, threshold=threshold)
            alone = dataclasses.replace(reached(image, 0), name="image only")
            curves = tuple(reached(joint, d) for d in _BUDGETS)
            found.append(Curves(threshold, sigma, alone, curves, inputs))
    names = ("image only", *(f"d = {d}" for d in _BUDGETS))
    rows = [
        {
            "threshold": one.threshold,
            "sigma": one.sigma,
            "curve": name,
            "eps": eps,
            "certified": sum(radius >= eps for radius in curve.x),
            "inputs": inputs,
        }
        for one in found
        for name, curve in zip(names, (one.image_only, *one.joint), strict=True)
        for eps in setting.eps
    ]
    return Finding(
        title=TITLE,
        table=pd.DataFrame(rows),
        shown=_shown(found, setting.eps),
        paragraphs=(setting_sentence(setting, inputs), *sentences(found)),
        panels=tuple(
            Panel(
                title=f"σ = {format_exact(one.sigma)}, τ = {format_exact(one.threshold)}",
                x_label="ε, ℓ₂ distance in pixel values",
                y_label="certified (% of pairs)",
                kind="steps",
                curves=(one.image_only, *one.joint),
                inputs=inputs,
            )
            for one in found
        ),
        facts={"beta": setting.noise.beta, "sigmas": list(setting.noise.sigmas), "region": "whole prompt"},
    )


def _shown(found: Sequence[Curves], eps: Sequence[float]) -> list[list[str]]:
    rows = [["τ", "σ", "", *(f"ε = {format_exact(e)}" for e in eps)]]
    for one in found:
        for curve in (one.image_only, *one.joint):
            shares = (share_down(sum(r >= e for r in curve.x), one.inputs) for e in eps)
            rows.append([format_exact(one.threshold), format_exact(one.sigma), curve.name, *shares])
    return rows


def sentences(found: Sequence[Curves]) -> list[str]:
    """Compare the curves with what the paper says of its own: one changed token costs much of the radius."""
    said = []
    for one in found:
        if one.threshold != THRESHOLD:
            continue
        none, single = one.joint
        alone, joint = _median(one.image_only, one.inputs), _median(single, one.inputs)
        head = f"At σ = {format_exact(one.sigma)}, τ = {format_exact(one.threshold)}, "
        if not single.x:
            said.append(
                f"{head}no pair is certified against one replaced token: less than in the paper's figure."
            )
            continue
        drop = _drop(alone, joint)
        said.append(
            f"{head}half of the pairs are certified {_up_to(alone)} by noise on the image alone, "
            f"{_up_to(_median(none, one.inputs))} with noise on the prompt as well and no change there, "
            f"and {_up_to(joint)} against one replaced token: {drop}"
        )
    for threshold in sorted({one.threshold for one in found} - {THRESHOLD}):
        others = [one for one in found if one.threshold == threshold]
        left = max(len(one.joint[1].x) for one in others)
        few = f"at most {left} of {others[0].inputs} pairs are" if left else "no pair is"
        said.append(f"At τ = {format_exact(threshold)} {few} certified against one replaced token.")
    said.append(
        "The paper gives no numbers beside its figure; its claim is that one token costs much of the "
        "certified radius, because a single word can decide what a pair means."
    )
    return said


def _drop(alone: float | None, joint: float | None) -> str:
    if alone is None or not alone:
        return "noise on the image certifies fewer than half of the pairs in the first place."
    if joint is None:
        return "fewer than half keep a certificate, the rapid loss that the paper describes."
    if joint >= alone:
        return "none of that radius is lost, unlike in the paper."
    lost = 100.0 * (1.0 - joint / alone)
    kind = (
        "the rapid loss that the paper describes"
        if lost >= 25.0
        else "a smaller loss than the paper describes"
    )
    return f"{lost:.0f} % of that radius is lost, {kind}."


def _up_to(radius: float | None) -> str:
    return "at no ε" if radius is None else f"up to ε = {down(radius)}"


def _median(curve: Curve, inputs: int) -> float | None:
    """Return the largest ε that at least half of all inputs are certified at; None for none."""
    needed = -(-inputs // 2)
    return curve.x[-needed] if len(curve.x) >= needed else None
