"""Table 6: MMCert-style subsampling of words and patches, beside the joint certificate on the same pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hybridcert.adapters.image_text import IMAGE, TEXT
from hybridcert.baselines.draws import Draws
from hybridcert.baselines.elements import Patches, Tokens
from hybridcert.baselines.subsampling import Changes, KeepShare, Part, Subsampled, Subsampling, subsampled
from hybridcert.certificate.directed import format_exact
from hybridcert.experiments.reproduction.bench import UNSAFE, Bench
from hybridcert.experiments.reproduction.finding import Curve, Finding, Panel
from hybridcert.experiments.reproduction.paper import THRESHOLD, reported
from hybridcert.experiments.reproduction.wording import NONE, about, listed, setting_sentence
from hybridcert.experiments.training import told

TITLE = "Table 6: subsampling of words and patches, beside the joint certificate"

PATCHES, FINE, IMAGE_WHOLE, TEXT_WHOLE = "patches", "finer patches", "image kept whole", "text kept whole"
ONE_WHOLE = 0.2
"""Share that is kept of the other half where one is kept whole."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One way to subsample.

    Attributes
    ----------
    kind : str
    keep : float
    mean_share : float
        Mean over the pairs of the share of views that are flagged: an estimate.
    above : mapping of threshold to int
        Pairs whose share of flagged views is above it.
    certified : mapping of threshold to int
        Pairs whose claim is certified against one modified word or one modified patch, or more.
    """

    kind: str
    keep: float
    mean_share: float
    above: Mapping[float, int]
    certified: Mapping[float, int]
    inputs: int


@dataclasses.dataclass(frozen=True, slots=True)
class Joint:
    """Pairs with a joint certificate at a threshold, each together with some shift of the image."""

    threshold: float
    tokens: int
    suffix: int
    shift: int


def measure(bench: Bench) -> Finding:
    """Count flagged views at every keep ratio, with two sizes of patches, and with one half kept whole."""
    setting, inputs = bench.setting, len(bench)
    own = setting.subsampling
    thresholds = tuple(sorted({*setting.claim.thresholds, THRESHOLD, 0.5}))
    rows = [_row(bench, PATCHES, keep, keep, keep, own.patch, thresholds) for keep in own.keep]
    rows += [
        _row(bench, FINE, keep, keep, keep, own.fine_patch, thresholds) for keep in own.keep if keep < 1.0
    ]
    rows += [
        _row(bench, IMAGE_WHOLE, ONE_WHOLE, ONE_WHOLE, None, own.patch, thresholds),
        _row(bench, TEXT_WHOLE, ONE_WHOLE, None, ONE_WHOLE, own.patch, thresholds),
    ]
    joint = [_joint(bench, threshold) for threshold in thresholds]
    table = pd.DataFrame([_record(row) for row in rows] + [dataclasses.asdict(one) for one in joint])
    return Finding(
        title=TITLE,
        table=table,
        shown=_shown(rows, thresholds),
        paragraphs=(
            (
                f"{setting_sentence(setting, inputs)} Subsampling: {own.samples} views of each pair; words "
                f"and square patches of {own.patch} (finer: {own.fine_patch}) pixels are kept at random, "
                "independently."
            ),
            *sentences(rows, joint),
        ),
        panels=(_panel(rows),),
        facts={"samples": own.samples, "patch": own.patch, "fine_patch": own.fine_patch},
    )


def _row(
    bench: Bench,
    kind: str,
    keep: float,
    words: float | None,
    patches: float | None,
    side: int,
    thresholds: Sequence[float],
) -> Row:
    canvas, own = bench.canvas, bench.setting.subsampling
    parts: dict[str, Part] = {}
    if words is not None:
        parts[TEXT] = Part(Tokens(), KeepShare(words))
    if patches is not None:
        grid = Patches(
            channels=canvas.channels, height=canvas.height, width=canvas.width, patch=(side, side), fill=0.5
        )
        parts[IMAGE] = Part(grid, KeepShare(patches))
    found = subsampled(
        bench.guard(bench.whole, None).classifier,
        bench.X,
        subsampling=Subsampling(parts),
        label=UNSAFE,
        draws=Draws(
            samples=own.samples,
            alpha=bench.setting.claim.alpha,
            seed=bench.setting.claim.seed,
            executor=bench.executor(len(bench) * own.samples),
            store=bench.store,
            progress=told(bench.report, f"{kind}, {keep:g} kept"),
        ),
    )
    bench.count({"model_calls": int(found.scores.samples.sum())})
    return Row(
        kind,
        keep,
        float(found.p_hat.mean()),
        {tau: int((found.p_hat > tau).sum()) for tau in thresholds},
        {tau: int(_one_element(found, tau).sum()) for tau in thresholds},
        len(bench),
    )


def _one_element(found: Subsampled, threshold: float) -> np.ndarray:
    """Return whether one modified element of some modality is certified: the least that is a promise."""
    each = [
        found.certified({name: Changes(modified=1)}, threshold=threshold) for name in found.subsampling.parts
    ]
    return np.asarray(np.any(each, axis=0))


def _joint(bench: Bench, threshold: float) -> Joint:
    beta, sigma = bench.setting.noise.beta, bench.setting.noise.sigma
    whole = bench.certified(bench.whole, beta=beta, sigma=sigma, threshold=threshold).point(1).radii
    suffix = bench.frontier(beta=beta, sigma=sigma, threshold=threshold).runs[1].point(1).radii
    image = bench.certified(bench.slots, beta=None, sigma=sigma, threshold=threshold).point(0).radii
    return Joint(
        threshold, *(int((radii.certified & (radii.radius > 0.0)).sum()) for radii in (whole, suffix, image))
    )


def _record(row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {"kind": row.kind, "keep": row.keep, "mean_share": row.mean_share}
    for tau in row.above:
        record[f"above {format_exact(tau)}"] = row.above[tau]
        record[f"certified {format_exact(tau)}"] = row.certified[tau]
    return record | {"inputs": row.inputs}


def _panel(rows: Sequence[Row]) -> Panel:
    return Panel(
        title="mean share of flagged views",
        x_label="keep ratio",
        y_label="%",
        kind="lines",
        curves=tuple(
            Curve(
                kind,
                tuple(row.keep for row in rows if row.kind == kind),
                tuple(100.0 * row.mean_share for row in rows if row.kind == kind),
            )
            for kind in (PATCHES, FINE)
        ),
    )


def _shown(rows: Sequence[Row], thresholds: Sequence[float]) -> list[list[str]]:
    paper = reported("table6")
    heads = [
        f"{what} {format_exact(tau)}"
        for tau in thresholds
        for what in ("p̂ > τ =", "1 element certified at τ =")
    ]
    table = [["", "keep", "mean p̂", *heads, "paper: mean p̂", "paper: p̂ > τ"]]
    for row in rows:
        theirs = _theirs(row, paper)
        counts = [
            f"{count} of {row.inputs}" for tau in thresholds for count in (row.above[tau], row.certified[tau])
        ]
        table.append([row.kind, format_exact(row.keep), about(row.mean_share), *counts, *theirs])
    return table


def _theirs(row: Row, paper: Mapping[str, Any]) -> list[str]:
    if row.kind == PATCHES and row.keep in paper["rows"]:
        above, mean = paper["rows"][row.keep]
        return [about(mean), f"{above} of 100"]
    if row.kind == FINE and row.keep in paper["fine"]:
        return [about(paper["fine"][row.keep]), NONE]
    if row.kind in (IMAGE_WHOLE, TEXT_WHOLE):
        return [NONE, "0 of 100"]
    return [NONE, NONE]


def sentences(rows: Sequence[Row], joint: Sequence[Joint]) -> list[str]:
    """Say if subsampling certifies anything, if the paper's numbers fit, and what the joint one holds."""
    said = [_conclusion(rows, joint, tau) for tau in rows[0].above]
    return [*said, _meaning(rows), _arithmetic(), _fine(rows), _beside(joint, rows[0].inputs)]


def _conclusion(rows: Sequence[Row], joint: Sequence[Joint], tau: float) -> str:
    """Say whether the paper's conclusion holds at a threshold, by the count that is a certificate."""
    best = max((row for row in rows if row.keep < 1.0), key=lambda row: row.certified[tau])
    above = max(row.above[tau] for row in rows if row.keep < 1.0)
    own = next(one for one in joint if one.threshold == tau)
    head = f"At τ = {format_exact(tau)}, "
    if not best.certified[tau]:
        return (
            f"{head}the paper's conclusion holds: subsampling certifies none of {best.inputs} pairs against "
            f"a single modified word or patch, at any keep ratio, although up to {above} pairs have p̂ > τ. "
            f"The joint certificate holds for {own.tokens} of them against one replaced token together with "
            "a shift."
        )
    where = f"{best.kind}, {format_exact(best.keep)} kept"
    return (
        f"{head}the paper's conclusion is refuted here: subsampling certifies up to {best.certified[tau]} "
        f"of {best.inputs} pairs against one modified word or patch ({where}). The joint certificate holds "
        f"for {own.tokens} against one replaced token together with a shift."
    )


def _meaning(rows: Sequence[Row]) -> str:
    """Say why p̂ > τ is no certificate."""
    return (
        "p̂ > τ alone promises nothing against any change: after r modified elements of n, with k kept, "
        "the worst score is p less the probability 1 − C(n−r, k)/C(n, k) that a view holds one of them, so "
        "a certificate needs p beyond that as well. Both counts are given."
    )


def _arithmetic() -> str:
    """Check the paper's own column against its means."""
    paper = reported("table6")
    tau, least = paper["threshold"], min(paper["rows"].items(), key=lambda item: item[1][1])
    keep, (above, mean) = least
    if not above and mean > tau:
        at_half = max(value for count, value in paper["rows"].values() if not count)
        return (
            "The paper's column contradicts its means unless τ means a majority there: if none of 100 "
            f"pairs has p̂ > {format_exact(tau)}, the mean is at most {format_exact(tau)}, not {mean} (keep "
            f"ratio {keep}), and at least one pair must lie above the mean or at it. With τ = 0.5 the two "
            f"fit, the largest mean of a row without such a pair being {at_half}. The counts at τ = 0.5 are "
            "the ones to compare."
        )
    return "The paper's counts and means agree with each other."


def _fine(rows: Sequence[Row]) -> str:
    paper = reported("table6")
    coarse = {row.keep: row.mean_share for row in rows if row.kind == PATCHES}
    fine = {row.keep: row.mean_share for row in rows if row.kind == FINE}
    lower = [keep for keep in fine if fine[keep] < coarse[keep]]
    shares = listed(
        [f"{about(fine[keep])} in place of {about(coarse[keep])} at {format_exact(keep)}" for keep in fine]
    )
    alike = all(value < paper["rows"][keep][1] for keep, value in paper["fine"].items())
    verdict = (
        "lower throughout" if len(lower) == len(fine) else f"lower at {len(lower)} of {len(fine)} ratios"
    )
    theirs = "lower throughout in the paper" if alike else "not lower throughout in the paper"
    halves = {row.kind: row for row in rows if row.kind in (IMAGE_WHOLE, TEXT_WHOLE)}
    asymmetric = listed([f"{about(row.mean_share)} with the {kind}" for kind, row in halves.items()])
    return (
        f"With finer patches the mean share is {shares}: {verdict}, {theirs}. Keeping one half whole and a "
        f"fifth of the other gives {asymmetric}."
    )


def _beside(joint: Sequence[Joint], inputs: int) -> str:
    said = [
        f"at τ = {format_exact(one.threshold)} {one.suffix} against a suffix of one token, {one.tokens} "
        f"against one replaced token, {one.shift} against some shift of the image alone"
        for one in joint
    ]
    return (
        f"Of {inputs} pairs the joint certificate holds {listed(said)}. Threats differ: one modified patch "
        "is any change of a few pixels, ε any small change of all of them."
    )
