"""Figure 4: certified pairs against ε for each suffix budget d, at several σ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hybridcert.certificate.directed import format_exact
from hybridcert.experiments.reproduction.bench import Bench
from hybridcert.experiments.reproduction.finding import Curve, Finding, Panel, reached
from hybridcert.experiments.reproduction.paper import THRESHOLD, reported
from hybridcert.experiments.reproduction.wording import exact, listed, setting_sentence, share_down

TITLE = "Figure 4: certified pairs under suffixes of d tokens and an ℓ₂ shift of the image"


@dataclasses.dataclass(frozen=True, slots=True)
class Frontiers:
    """Curves of one threshold and σ, by budget, and what they are out of."""

    threshold: float
    sigma: float
    curves: tuple[Curve, ...]
    inputs: int

    def count(self, d: int, eps: float) -> int:
        """Return how many pairs are certified at (d, ε)."""
        return sum(radius >= eps for radius in self.curves[d].x)

    @property
    def largest_d(self) -> int | None:
        """Largest d at which any pair is certified."""
        return max((d for d, curve in enumerate(self.curves) if curve.x), default=None)

    @property
    def longest(self) -> float:
        """Longest radius at d = 0."""
        return max(self.curves[0].x, default=0.0)


def measure(bench: Bench) -> Finding:
    """Certify suffixes of every length at every σ and threshold of the setting."""
    setting = bench.setting
    inputs = len(bench)
    found = []
    for threshold in setting.claim.thresholds:
        for sigma in setting.noise.sigmas:
            frontier = bench.frontier(beta=setting.noise.beta, sigma=sigma, threshold=threshold)
            curves = tuple(reached(run, d) for d, run in enumerate(frontier.runs))
            found.append(Frontiers(threshold, sigma, curves, inputs))
    rows = [
        {
            "threshold": one.threshold,
            "sigma": one.sigma,
            "d": d,
            "eps": eps,
            "certified": one.count(d, eps),
            "inputs": inputs,
        }
        for one in found
        for d in range(len(one.curves))
        for eps in setting.eps
    ]
    return Finding(
        title=TITLE,
        table=pd.DataFrame(rows),
        shown=shown(found, setting.eps),
        paragraphs=(setting_sentence(setting, inputs), *sentences(found, setting.eps)),
        panels=tuple(
            Panel(
                title=f"σ = {format_exact(one.sigma)}, τ = {format_exact(one.threshold)}",
                x_label="ε, ℓ₂ distance in pixel values",
                y_label="certified (% of pairs)",
                kind="steps",
                curves=one.curves,
                inputs=inputs,
            )
            for one in found
        ),
        facts={
            "beta": setting.noise.beta,
            "sigmas": list(setting.noise.sigmas),
            "scope": "simultaneous over d",
        },
    )


def shown(found: Sequence[Frontiers], eps: Sequence[float]) -> list[list[str]]:
    """Return the table as people read it: budgets that certify nothing are left out."""
    rows = [["τ", "σ", "d", *(f"ε = {format_exact(e)}" for e in eps)]]
    for one in found:
        for d in range((one.largest_d if one.largest_d is not None else -1) + 1):
            counts = (share_down(one.count(d, e), one.inputs) for e in eps)
            rows.append([format_exact(one.threshold), format_exact(one.sigma), str(d), *counts])
    return rows


def sentences(found: Sequence[Frontiers], eps: Sequence[float]) -> list[str]:
    """Compare the curves with the paper's."""
    paper = reported("figure4")
    strict = [one for one in found if one.threshold == THRESHOLD]
    if not strict:
        return [f"None of the thresholds is the paper's, {format_exact(THRESHOLD)}: nothing is compared."]
    return [
        _orders(found, eps),
        _reach(strict, paper["vacuous_from"]),
        *_sigmas(strict, eps, paper["point"]),
        *_majority(found),
    ]


def _orders(found: Sequence[Frontiers], eps: Sequence[float]) -> str:
    """Say whether curves of larger budgets lie below: each d has noise of its own, so they need not."""
    broken = sum(
        one.count(d, e) > one.count(d - 1, e) for one in found for d in range(1, len(one.curves)) for e in eps
    )
    if not broken:
        return (
            "Certified shares fall with ε and, at every ε of the table, with d, as in the paper. (Falling "
            "with d is an observation: every d has noise on d slots, and is a smoothed classifier of its "
            "own.)"
        )
    return (
        f"Certified shares fall with ε, but not always with d, unlike in the paper: at {broken} points of "
        "the table a larger d certifies more, since every d has noise on d slots and a score of its own."
    )


def _reach(strict: Sequence[Frontiers], vacuous: int) -> str:
    said = [
        f"σ = {format_exact(one.sigma)}: " + ("nothing" if one.largest_d is None else f"d = {one.largest_d}")
        for one in strict
    ]
    largest = max((one.largest_d or 0 for one in strict), default=0)
    verdict = f"The paper finds certification nearly vacuous from d = {vacuous} on; " + (
        "here nothing at all is certified from there on."
        if largest < vacuous
        else f"here d = {vacuous} is certified for up to {_most(strict, vacuous)} at ε = 0."
    )
    return (
        f"At τ = {format_exact(THRESHOLD)} the largest budget with a certified pair is {listed(said)}. "
        f"{verdict}"
    )


def _most(strict: Sequence[Frontiers], d: int) -> str:
    """Return the largest share of pairs that is certified at d and ε = 0."""
    best = max((one for one in strict if d < len(one.curves)), key=lambda one: one.count(d, 0.0))
    return share_down(best.count(d, 0.0), best.inputs)


def _sigmas(strict: Sequence[Frontiers], eps: Sequence[float], point: Mapping[str, Any]) -> list[str]:
    """Say what the larger of two σ does to small and to large shifts."""
    if len(strict) < 2:
        return []
    small, large = strict[0], strict[-1]
    d = min(int(point["d"]), len(small.curves) - 1)
    a, b = small.count(d, min(eps)), large.count(d, min(eps))
    near = "fewer" if b < a else "more" if b > a else "as many"
    far = "longer" if large.longest > small.longest else "no longer"
    alike = "as in the paper" if (near, far) == ("fewer", "longer") else "unlike the paper"
    return [
        (
            f"With σ = {format_exact(large.sigma)} in place of {format_exact(small.sigma)}, {near} pairs are "
            f"certified at d = {d} and ε = {format_exact(min(eps))} ({share_down(b, large.inputs)} and "
            f"{share_down(a, small.inputs)}), and the longest radius at d = 0 is {far}: {alike}, where more "
            f"noise costs shares at small ε ({point['certified'][0]} % and {point['certified'][1]} % at d = "
            f"{point['d']}, ε = {point['eps']}) and reaches further."
        )
    ]


def _majority(found: Sequence[Frontiers]) -> list[str]:
    """Say what is left where the threshold is no longer tiny; the paper has one threshold only."""
    others = [one for one in found if one.threshold != THRESHOLD]
    if not others:
        return []
    largest = max(one.largest_d or 0 for one in others)
    tau = exact(sorted({one.threshold for one in others}))
    verdict = (
        "no pair keeps a certificate once a token changes"
        if not largest
        else f"certificates end at d = {largest}"
    )
    tiny = max((one.largest_d or 0 for one in found if one.threshold == THRESHOLD), default=0)
    why = ": the budgets above owe much to a tiny τ" if largest < tiny else ""
    return [f"At τ = {tau}, from the same counts, {verdict}{why}."]
