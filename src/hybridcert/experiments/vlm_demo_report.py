"""The run directory of the vision–language demo: certificates of both filters, rivals, false alarms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hybridcert.adapters.canvas import Canvas
from hybridcert.certificate.confidence import clopper_pearson_upper
from hybridcert.certificate.deployment import cutoff_for
from hybridcert.certificate.directed import format_exact
from hybridcert.certification import CertificationRun
from hybridcert.experiments.kept_inputs import of_pairs
from hybridcert.experiments.pairs_tables import percent_rounded_up
from hybridcert.experiments.run_directory import going_on, together
from hybridcert.experiments.run_files import describe_environment, write_run
from hybridcert.experiments.training import Report
from hybridcert.experiments.vlm_demo import (
    SIDE,
    UNSAFE,
    DemoResult,
    DemoSettings,
    identity_of,
    inputs_of,
    run_demo,
)
from hybridcert.sampling.executors.executor import Executor

ANYWHERE = "anywhere"
"""Folder of the run against insertions anywhere, inside that of the run in suffix slots."""

_POINTS = ((0, 0.0), (0, 0.4), (2, 0.0), (2, 0.3), (3, 0.2), (4, 0.0), (4, 0.2), (6, 0.0), (8, 0.0), (8, 0.2))


def do_demo(
    settings: DemoSettings,
    directory: Path,
    *,
    resume: bool,
    executor: Executor,
    finish: Callable[[Path], object],
    report: Report | None = None,
) -> None:
    """Run the demo in a directory that keeps its counts, and write all files of both runs.

    Parameters
    ----------
    resume : bool
        Continue with the counts in the directory, if there are any.
    finish : callable(directory)
        Adds further files to each run directory before all appear in their place.
    """
    with going_on(directory, _config(settings), resume=resume) as opened:
        store = opened.open_store(identity_of(settings))
        found = run_demo(settings, store=store, executor=executor, report=report)
        with together(directory) as hidden:
            write_demo(hidden, found)
            for run in (hidden / ANYWHERE, hidden):
                finish(run)


def _config(settings: DemoSettings) -> dict[str, Any]:
    return {"demo": "vlm", "settings": dataclasses.asdict(settings), "report": {"eps": list(settings.eps)}}


def write_demo(directory: Path, result: DemoResult) -> None:
    """Write both runs, each a run directory of its own, the second inside the first."""
    first, last = result.settings.thresholds
    _write(directory, result, result.slots.runs[first], "suffix slots", _tables(result))
    _write(
        directory / ANYWHERE, result, result.anywhere.runs[last], "insertions anywhere", _tables(result)[1:]
    )


def side_by_side(result: DemoResult) -> list[list[Any]]:
    """Return certified unsafe pairs at some (d, ε) for each filter and threshold, rivals included.

    "drop the suffix" deletes the slots before the guard sees them: what stands there then plays no part, and
    the certificate for the image alone holds at every d.
    """
    first, last = result.settings.thresholds
    rows: list[list[Any]] = []
    for threshold in (first, last):
        name = f"τ = {format_exact(threshold)}"
        image = result.image_only.runs[threshold]
        rows += [
            [f"suffix slots, joint, {name}", *_certified(result.slots.runs[threshold])],
            [f"insertions anywhere, joint, {name}", *_certified(result.anywhere.runs[threshold])],
            [f"image only, {name}", *_certified(image)],
            [f"text only (suffix slots), {name}", *_certified(result.text_only.runs[threshold])],
            [f"drop the suffix, {name}", *(int(image.certified(0, eps).sum()) for _, eps in _POINTS)],
        ]
    return rows


def flagged(result: DemoResult) -> list[list[Any]]:
    """Return what each filter flags: unsafe pairs, benign pairs, and an upper bound for the latter."""
    settings, benign = result.settings, len(result.benign)
    rows: list[list[Any]] = []
    for one in (result.slots, result.anywhere):
        for threshold in settings.thresholds:
            cutoff = cutoff_for(copies=settings.samples, threshold=threshold, miss=settings.alpha)
            hits = one.runs[threshold].successes
            assert one.benign_hits is not None
            alarms = int((one.benign_hits >= cutoff).sum())
            rows.append(
                [
                    f"{one.name}, τ = {format_exact(threshold)}",
                    f"{(hits >= cutoff).sum()} of {len(hits)}",
                    f"{alarms} of {benign}",
                    percent_rounded_up(float(clopper_pearson_upper(alarms, benign, settings.alpha))),
                    f"{hits.mean() / settings.samples:.3f}",
                    f"{one.benign_hits.mean() / settings.samples:.4f}",
                ]
            )
    wrong = int(result.clean_benign.sum())
    upper = percent_rounded_up(float(clopper_pearson_upper(wrong, benign, settings.alpha)))
    caught = f"{result.clean_unsafe.sum()} of {len(result.unsafe)}"
    rows.append(["no noise", caught, f"{wrong} of {benign}", upper, None, None])
    everything = [f"{len(result.unsafe)} of {len(result.unsafe)}", f"{benign} of {benign}", "100 %"]
    return [*rows, ["flag everything", *everything, None, None]]


def _write(
    directory: Path, result: DemoResult, run: CertificationRun, name: str, extras: Sequence[Mapping[str, Any]]
) -> None:
    unsafe = inputs_of(result.unsafe)
    write_run(
        directory,
        run=run,
        target=np.full(len(run), UNSAFE),
        config=_config(result.settings),
        environment=describe_environment(
            title=f"vision-language guard (demo), unsafe pairs, {name}",
            seed=result.settings.seed,
            data={
                "source": "scikit-learn digits, captions from a grammar",
                "certified_rows": len(run),
                "false_alarm_rows": len(result.benign),
            },
            model=result.model,
            cost=result.cost,
        ),
        extras=extras,
        inputs=of_pairs(unsafe["text"], unsafe["image"], Canvas(SIDE, SIDE, 1)),
        thresholds=result.settings.thresholds,
    )


def _tables(result: DemoResult) -> list[dict[str, Any]]:
    settings = result.settings
    points = [f"d={d}, ε={format_exact(eps)}" for d, eps in _POINTS]
    return [
        {
            "title": "Unsafe pairs certified at (d, ε): two threats, and rivals",
            "text": _about_threats(result),
            "columns": ["", *points],
            "rows": side_by_side(result),
        },
        {
            "title": "What the filters flag",
            "text": _about_alarms(settings),
            "columns": [
                "",
                "unsafe flagged",
                "benign flagged",
                "benign share at most",
                "mean score, unsafe",
                "mean share of hits, benign",
            ],
            "rows": flagged(result),
        },
    ]


def _about_threats(result: DemoResult) -> str:
    settings = result.settings
    beta, last = format_exact(settings.deletion), format_exact(settings.thresholds[-1])
    survives = format_exact(round(1 - settings.deletion, 6))
    return (
        "A dash: nothing is promised there. In the suffix slots the adversary writes up to d words behind "
        "the message, and the filter has to know where the slots begin; whoever knows that can drop them, "
        "which is the rival to beat. Insertions anywhere need no boundary: the noise deletes words of the "
        f"whole message. A message that mentions the number once keeps it with probability {survives}, which "
        f"caps its score; a low threshold then buys d. The same {settings.samples} copies of "
        f"{len(result.unsafe)} pairs serve both thresholds. Certificates, settings and report of the run "
        f"against insertions (deletion at {beta}, τ = {last}) are in {ANYWHERE}/."
    )


def _about_alarms(settings: DemoSettings) -> str:
    alpha = format_exact(settings.alpha)
    return (
        f"A deployed filter draws {settings.samples} copies and flags from so many hits on that a score "
        f"above τ is missed with probability at most {alpha}: it errs towards flagging. Unreadable answers "
        "about benign pairs count as hits. Each upper bound holds by itself with probability at least "
        f"1 − {alpha}, not all together."
    )


def _certified(run: CertificationRun) -> list[int | None]:
    """Return the numbers of certified pairs at `_POINTS`; None where the run is about something else."""
    known = {point.d for point in run.points}
    return [
        int(run.certified(d, eps).sum()) if d in known and (eps == 0.0 or run.norm != "none") else None
        for d, eps in _POINTS
    ]
