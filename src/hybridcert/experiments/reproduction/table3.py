"""Table 3: what each way to certify costs, measured side by side in one run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hybridcert.adapters.image_text import SUFFIX
from hybridcert.certificate.directed import format_exact
from hybridcert.certification import CertificationRun
from hybridcert.experiments.reproduction.bench import UNSAFE, Bench
from hybridcert.experiments.reproduction.finding import Finding, mean_lower
from hybridcert.experiments.reproduction.paper import reported
from hybridcert.experiments.reproduction.wording import NONE, down
from hybridcert.sampling.executors.serial import Serial
from hybridcert.slot_reuse import on_first_slots, slot_frontier
from hybridcert.slot_runs import share_of
from hybridcert.smoothing import SmoothedClassifier
from hybridcert.threats import Substitution

TITLE = "Table 3: cost of the ways to certify"

IMAGE = "image only"
DEFAULT = "joint, one kernel for each d"
COMPLETED = "joint, completed copies"
ONE_SHOT = "joint, one-shot"
TEXT = "text only, one-shot"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What one way costs and certifies.

    Attributes
    ----------
    seconds, copies : float
        For each pair.
    mean_radius, mean_d : float or None
        At d = 1 (image only: d = 0), and the largest certified d; lower bounds, uncertified pairs as 0.
    """

    way: str
    seconds: float
    copies: float
    mean_radius: float | None
    mean_d: float | None


def measure(bench: Bench) -> Finding:
    """Certify the same few pairs in every way, one after the other, in one process, with fresh counts."""
    setting = bench.setting
    threshold = setting.claim.thresholds[0]
    few = bench.pairs.pairs.rows(slice(setting.cost.pairs))
    joint = bench.smoothed(bench.slots, beta=setting.noise.beta, sigma=setting.noise.sigma)
    joint.ask(few.inputs, seed=setting.claim.seed)  # loads the guard
    slots = setting.regions.suffix_slots
    options: dict[str, Any] = {
        "samples": setting.cost.samples,
        "seed": setting.claim.seed,
        "threshold": threshold,
        "label": UNSAFE,
        "executor": Serial(),
    }
    alpha, share = setting.claim.alpha, share_of(setting.claim.alpha, slots + 1)

    def one(smoothed: SmoothedClassifier, most: int | None, level: float) -> CertificationRun:
        threat = None if most is None else Substitution(most)
        return smoothed.certify(few.inputs, threat=threat, alpha=level, **options)

    image = bench.smoothed(bench.slots, beta=None, sigma=setting.noise.sigma)
    text = bench.smoothed(bench.slots, beta=setting.noise.beta, sigma=None)
    ways: dict[str, Callable[[], Iterable[CertificationRun]]] = {
        IMAGE: lambda: [one(image, None, alpha)],
        DEFAULT: lambda: [
            one(image, None, share)
            if d == 0
            else one(on_first_slots(joint, modality=SUFFIX, slots=d), d, share)
            for d in range(slots + 1)
        ],
        COMPLETED: lambda: (
            slot_frontier(
                joint,
                few.inputs,
                modality=SUFFIX,
                scope="simultaneous",
                reuse="completed",
                alpha=alpha,
                **options,
            ).runs
        ),
        ONE_SHOT: lambda: [one(joint, slots, alpha)],
        TEXT: lambda: [one(text, slots, alpha)],
    }
    rows = []
    for number, (way, certify) in enumerate(ways.items()):
        if bench.report is not None:
            bench.report(f"measuring the cost: {way}", number, len(ways))
        started = time.perf_counter()
        runs = list(certify())
        seconds = time.perf_counter() - started
        rows.append(_row(way, runs, seconds, setting.cost.samples, len(few)))
        bench.count({"model_calls": round(rows[-1].copies * len(few))})
    return Finding(
        title=TITLE,
        table=pd.DataFrame([dataclasses.asdict(row) for row in rows]),
        shown=_shown(rows),
        paragraphs=(
            (
                f"Measured in one run on {len(few)} pairs with n = {setting.cost.samples} copies each, one "
                f"process, certificates included; τ = {format_exact(threshold)}, β = "
                f"{format_exact(setting.noise.beta)}, σ = {format_exact(setting.noise.sigma)}. Seconds "
                "depend on the machine; ratios are what can be compared."
            ),
            *sentences(rows, slots),
        ),
        panels=(),
        facts={"pairs": len(few), "samples": setting.cost.samples, "slots": slots},
    )


def _row(way: str, runs: Sequence[CertificationRun], seconds: float, samples: int, pairs: int) -> Row:
    """Put together one row: several runs are one kernel each, for d = 0, 1, …."""
    several = len(runs) > 1
    points = [run.point(d) for d, run in enumerate(runs)] if several else list(runs[0].points)
    certified = np.stack([point.radii.certified for point in points])
    radius = points[min(1, len(points) - 1)].radii
    d = np.where(certified, np.arange(len(points))[:, None], 0).max(axis=0)
    asked = samples * (1 if way == COMPLETED else len(runs))
    return Row(
        way,
        seconds / pairs,
        float(asked),
        mean_lower(np.where(radius.certified, radius.radius, 0.0)) if way != TEXT else 0.0,
        mean_lower(d),
    )


def _shown(rows: Sequence[Row]) -> list[list[str]]:
    paper = reported("table3")
    theirs = {
        IMAGE: f"{paper['image_only']} s",
        DEFAULT: f"{paper['default']} s",
        COMPLETED: f"× {paper['batched_factor']} of the default (batching, FlashAttention)",
        ONE_SHOT: f"{paper['one_shot']} s",
        TEXT: f"{paper['one_shot']} s",
    }
    base = _of(rows, IMAGE).seconds
    table = [["", "s a pair", "× image only", "copies a pair", "mean radius", "mean d", "paper, H100"]]
    for row in rows:
        table.append(
            [
                row.way,
                f"{row.seconds:.3g}",
                f"{row.seconds / base:.2f}",
                f"{row.copies:.0f}",
                down(row.mean_radius),
                down(row.mean_d),
                theirs.get(row.way, NONE),
            ]
        )
    return table


def _of(rows: Sequence[Row], way: str) -> Row:
    return next(row for row in rows if row.way == way)


def sentences(rows: Sequence[Row], slots: int) -> list[str]:
    """Compare ratios with the paper's, and say what the cheaper ways lose."""
    paper = reported("table3")
    image, default, completed, shot = (_of(rows, way) for way in (IMAGE, DEFAULT, COMPLETED, ONE_SHOT))
    ours, theirs = default.seconds / image.seconds, paper["default"] / paper["image_only"]
    said = [
        (
            f"One kernel for each of d = 0, …, {slots} costs {ours:.1f} times image-only certification here "
            f"and {theirs:.1f} times in the paper, which does not say how many d it goes through; "
            f"{slots + 1} equal runs would cost {slots + 1} times."
        ),
        _batched(completed.seconds / default.seconds, paper["batched_factor"]),
        _one_shot(shot, default, paper),
    ]
    strange = paper["one_shot"] / paper["image_only"]
    said.append(
        f"The paper's one-shot certification takes {strange:.2f} times its image-only one, with as many "
        f"copies; here it takes {shot.seconds / image.seconds:.2f} times. The paper does not say why as "
        "many copies take a quarter of the time: its two rows may differ in more than the method."
    )
    return said


def _batched(factor: float, paper: float) -> str:
    kind = "cheaper than" if factor < paper else "no cheaper than"
    return (
        "Completed copies certify the same systems with as many copies and the same confidence for "
        f"{factor:.2f} of the default's time, {kind} the {paper} that the paper reports for batching with "
        "FlashAttention: one noisy copy serves all d, answered once for each of its different beginnings, "
        "and what a guard computes before the slots is shared by them."
    )


def _one_shot(shot: Row, default: Row, paper: Mapping[str, Any]) -> str:
    pairs = [
        (shot.mean_d or 0.0, default.mean_d or 0.0, "largest d", paper["d"]),
        (shot.mean_radius or 0.0, default.mean_radius or 0.0, "radius at d = 1", paper["radius"]),
    ]
    said = []
    for ours, before, name, theirs in pairs:
        change = f"{'falls' if ours < before else 'rises'} from {down(before)} to {down(ours)}"
        change = change if ours != before else f"stays at {down(ours)}"
        said.append(f"the mean {name} {change} (paper: {theirs[0]} to {theirs[1]})")
    head = (
        "One-shot certification, noise on all slots whatever d is, takes "
        f"{shot.seconds / default.seconds:.2f} of the time: "
    )
    lost = any(ours < before for ours, before, _, _ in pairs)
    cause = "noise on further slots, against a share of α for each d"
    tail = (
        f"It loses something here, as in the paper; the two differ in {cause}."
        if lost
        else f"It loses nothing here, unlike in the paper; the two differ in {cause}."
    )
    return f"{head}{said[0]}, {said[1]}. {tail}"
