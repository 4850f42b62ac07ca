"""Pairs that are unsafe only together: each half alone is safe, and noise alone does not trigger either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.certificate.confidence import clopper_pearson_upper
from hybridcert.certificate.deployment import copies_for
from hybridcert.certificate.directed import format_exact
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.datasets.image_text import ImageTextPairs
from hybridcert.errors import DataError, ModelError, ParameterError
from hybridcert.experiments.interaction_questions import UNASKED, Answers, Asker, Half
from hybridcert.experiments.interaction_result import InteractionResult as InteractionResult
from hybridcert.experiments.interaction_result import Step as Step
from hybridcert.sampling.classifier import class_index
from hybridcert.sampling.engine import Retries
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.store import RunStore
from hybridcert.smoothing import SmoothedClassifier

Report = Callable[[str, int, int], None]
"""What is being done, examples done, examples in all."""


def filter_interaction(
    smoothed: SmoothedClassifier,
    pairs: ImageTextPairs,
    *,
    blank: Any,
    samples: int,
    alpha: float,
    threshold: float,
    seed: int,
    safe: str = "safe",
    unsafe: str = "unsafe",
    batch: int = 64,
    executor: Executor | None = None,
    retries: Retries | None = None,
    store: RunStore | None = None,
    progress: Report | None = None,
) -> InteractionResult:
    """Keep the pairs that a classifier calls unsafe only because of what text and image say together.

    Without noise, f(text, no image) and f(no text, image) have to be safe, and f(text, image) unsafe. With
    noise, the share of answers other than safe has to be small for (text, no image), (no text, image) and
    (no text, no image): each upper Clopper–Pearson bound at level ``alpha`` below ``threshold``.

    Guarantee: with probability at least 1 − ``alpha`` over the noisy copies, for each pair: if the share of
    answers other than safe is ``threshold`` or more for at least one of the three, the pair is dropped. (All
    three bounds have to pass, so one that errs is not enough; nothing is divided among them.) The copies of
    (no text, no image) are the same for all pairs; where noise triggers on them, nothing else is asked with
    noise. A certificate draws other copies.

    Parameters
    ----------
    smoothed : SmoothedClassifier
        Its classifier takes ``text`` and ``image``; its noise is the noise that is meant.
    pairs : ImageTextPairs
    blank : image as the classifier takes it
        "No image": mid grey, `Canvas.blank`. "No text" is the empty string.
    samples : int >= 1
        Noisy copies of each of the three.
    alpha : float in (0, 1)
    threshold : float in (0, 1)
    seed : int >= 0
    safe, unsafe : str
        Labels; all other answers, such as one for "unreadable", count against the pair.
    batch : int >= 1
        Examples that are encoded together; limits memory and changes no result.
    executor, retries, store : optional
        See `SmoothedClassifier.certify`; what the store holds is not asked again.
    progress : callable(what, done, total), optional

    Raises
    ------
    ParameterError
        For values outside these ranges, labels that the classifier does not have, and so few samples that
        no pair could pass.
    DataError
        Without pairs, and where none of them can be read.
    ModelError
        Where the classifier breaks down on three pairs, one by one, with no success between them; on the
        last ones, and on (no text, no image) as well; or on all. Another pair that breaks it is dropped, with
        the reason.
    """
    for name, count in (("samples", samples), ("batch", batch)):
        check_count(name, count)
    for name, level in (("alpha", alpha), ("threshold", threshold)):
        check_open(name, level)
    _check_power(samples, alpha, threshold)
    for label in (safe, unsafe):
        class_index(smoothed.classes_, label)
    if not len(pairs):
        raise DataError(f"{pairs.source}: there are no pairs to filter")
    asker = Asker(smoothed, blank, safe, seed, executor=executor, retries=retries, store=store)
    report = progress if progress is not None else _silent
    clean = _clean(asker, pairs, batch, report)
    judged = [_judged(answers, safe=safe, unsafe=unsafe) for answers in clean]
    left = [row for row, (step, _) in enumerate(judged) if step is Step.KEPT]
    noisy = _noisy(asker, pairs, left, batch, report, level=(samples, alpha, threshold))
    for row, halves in noisy.items():
        judged[row] = _judged_noise(halves, samples, alpha, threshold)
    settings = {
        "samples": int(samples),
        "alpha": float(alpha),
        "threshold": float(threshold),
        "seed": int(seed),
        "safe": safe,
        "unsafe": unsafe,
        "noise": {name: {"kernel": k.name} | k.parameters() for name, k in sorted(smoothed.noise.items())},
        "model": _model(smoothed.classifier),
    }
    kept = [row for row, (step, _) in enumerate(judged) if step is Step.KEPT]
    frame = _frame(pairs, clean, noisy, judged, samples, alpha)
    return InteractionResult(kept=pairs.rows(kept), frame=frame, settings=settings)


def _model(classifier: Any) -> dict[str, Any]:
    """Return what a classifier says of itself, its policy included, or at least what kind it is."""
    described = getattr(classifier, "described", None)
    return {"class": type(classifier).__qualname__, **({} if described is None else described())}


def _check_power(samples: int, alpha: float, threshold: float) -> None:
    """Refuse so few copies that even a classifier that never triggers would not pass."""
    if float(clopper_pearson_upper(0, samples, alpha)) < threshold:
        return
    needed = max(samples + 1, copies_for(threshold=threshold, miss=alpha))
    while float(clopper_pearson_upper(0, needed, alpha)) >= threshold:
        needed += 1
    raise ParameterError(
        f"samples must be at least {needed} for threshold {threshold!r} at alpha {alpha!r}, got {samples}: "
        "with fewer no pair can pass"
    )


def _clean(asker: Asker, pairs: ImageTextPairs, batch: int, report: Report) -> list[Answers]:
    """Return the answers without noise; give up where there are none at all."""
    found: list[Answers] = []
    for start in range(0, len(pairs), batch):
        report("asking without noise", start, len(pairs))
        found += asker.clean(pairs.rows(slice(start, start + batch)))
    asker.check()
    readable = [answers for answers in found if not answers.unreadable]
    if not readable:
        raise DataError(f"{pairs.source}: no pair can be read; the first: {found[0].unreadable}")
    if all(answers.failed for answers in readable):
        raise ModelError(f"the classifier failed on all {len(readable)} pairs: {readable[0].failures[0]}")
    return found


def _noisy(
    asker: Asker,
    pairs: ImageTextPairs,
    left: Sequence[int],
    batch: int,
    report: Report,
    *,
    level: tuple[int, float, float],
) -> dict[int, dict[str, Half]]:
    """Return what noise alone does to the pairs that are left."""
    if not left:
        return {}
    samples = level[0]
    nothing = asker.nothing(samples=samples)
    if _judged_noise({"nothing": nothing}, *level)[0] is not Step.KEPT:
        return {row: {"nothing": nothing, "text": UNASKED, "image": UNASKED} for row in left}
    found: dict[int, dict[str, Half]] = {}
    for start in range(0, len(left), batch):
        report("asking with noise", start, len(left))
        some = left[start : start + batch]
        halves = asker.noisy(pairs.rows(some), samples=samples)
        for row, (text, image) in zip(some, halves, strict=True):
            found[row] = {"nothing": nothing, "text": text, "image": image}
    asker.check()
    return found


def _judged(answers: Answers, *, safe: str, unsafe: str) -> tuple[Step, str]:
    """Return where an example falls out without noise, and why."""
    if answers.unreadable:
        return Step.UNREADABLE, answers.unreadable
    names = ("text alone", "image alone", "text and image together")
    steps = (Step.TEXT, Step.IMAGE, Step.PAIR)
    for name, step, wanted, label, failure in zip(
        names, steps, (safe, safe, unsafe), answers.labels, answers.failures, strict=True
    ):
        if failure is not None:
            return Step.FAILED, f"{name}: {failure}"
        if label != wanted:
            return step, f"{name}: the answer is {label}"
    return Step.KEPT, ""


_NOISY = {
    "nothing": "(no text, no image)",
    "text": "(text, no image)",
    "image": "(no text, image)",
}


def _judged_noise(
    halves: Mapping[str, Half], samples: int, alpha: float, threshold: float
) -> tuple[Step, str]:
    """Return whether noise alone triggers on one of the halves, and how often."""
    for key, half in halves.items():
        if half.failure is not None:
            return Step.FAILED, f"noisy copies of {_NOISY[key]}: {half.failure}"
        if half.hits is None:
            continue
        share_upper = float(clopper_pearson_upper(half.hits, samples, alpha))
        if share_upper >= threshold:
            return Step.NOISE, (
                f"noise alone triggers: {half.hits} of {samples} noisy copies of {_NOISY[key]} are not safe; "
                f"their share is at most {format_exact(share_upper)}, which is not below "
                f"{format_exact(threshold)}"
            )
    return Step.KEPT, ""


def _frame(
    pairs: ImageTextPairs,
    clean: Sequence[Answers],
    noisy: Mapping[int, Mapping[str, Half]],
    judged: Sequence[tuple[Step, str]],
    samples: int,
    alpha: float,
) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "id": list(pairs.ids),
        "kept": [step is Step.KEPT for step, _ in judged],
        "step": [str(step) for step, _ in judged],
        "reason": [" ".join(reason.split()) for _, reason in judged],
    }
    for at, name in enumerate(("text_alone", "image_alone", "together")):
        columns[name] = [answers.labels[at] for answers in clean]
    for name in _NOISY:
        hits = [noisy[row][name].hits if row in noisy else None for row in range(len(pairs))]
        columns[f"{name}_hits"] = pd.array(hits, dtype="Int64")
        columns[f"{name}_upper"] = _uppers(hits, samples, alpha)
    return pd.DataFrame(columns)


def _uppers(hits: Sequence[int | None], samples: int, alpha: float) -> npt.NDArray[np.float64]:
    return np.array(
        [np.nan if h is None else float(clopper_pearson_upper(h, samples, alpha)) for h in hits],
        dtype=np.float64,
    )


def _silent(what: str, done: int, total: int) -> None:
    del what, done, total
