"""The claim of a query and the evidence for it: counts of noisy answers, or bounds that are simply given."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np

from hybridcert.certificate.confidence import clopper_pearson_lower, label_bounds
from hybridcert.cli.rules import RULES, Given, Spell, required
from hybridcert.documents.claims import Claim, ScoreAbove, TopK
from hybridcert.errors import ParameterError


@dataclasses.dataclass(frozen=True, slots=True)
class Asserted:
    """Bounds on clean scores that somebody vouches for; ``p_upper`` with top-k claims."""

    p_lower: float
    p_upper: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """Successes among samples, and the level of the confidence bound."""

    successes: int
    samples: int
    alpha: float


@dataclasses.dataclass(frozen=True, slots=True)
class LabelCounts:
    """Answers per label, ``samples`` in all; unreadable answers are a label of their own."""

    counts: tuple[int, ...]
    label_index: int
    samples: int
    alpha: float


Evidence = Asserted | Counts | LabelCounts


class Bounds(NamedTuple):
    """Bounds on clean scores as a claim needs them, and the method of an issued certificate."""

    p_lower: float
    p_upper: float | None
    method: str


@functools.lru_cache(maxsize=4096)
def bounds_of(evidence: Evidence, claim: Claim) -> Bounds:
    """Return the bounds on the clean scores that the evidence gives."""
    if isinstance(evidence, Asserted):
        return Bounds(evidence.p_lower, evidence.p_upper, "given")
    counts, index = answers_by_label(evidence)
    if isinstance(claim, ScoreAbove):
        lower = clopper_pearson_lower(counts[index], evidence.samples, evidence.alpha)
        return Bounds(float(lower), None, "clopper-pearson")
    found = label_bounds(
        np.array([counts], dtype=np.int64),
        claimed=np.array([index]),
        k=claim.k,
        alpha=evidence.alpha,
        samples=evidence.samples,
        method="clopper-pearson" if isinstance(evidence, Counts) else None,
    )
    return Bounds(float(found.p_lower[0]), float(found.p_upper[0]), found.method)


def answers_by_label(evidence: Counts | LabelCounts) -> tuple[tuple[int, ...], int]:
    """Return the answers for each label, and which label is claimed; one count leaves one rival."""
    if isinstance(evidence, Counts):
        return (evidence.successes, evidence.samples - evidence.successes), 0
    return evidence.counts, evidence.label_index


_TOP_KEYS = ("top_k", "p_upper")
_LABEL_KEYS = ("classes", "counts", "label_index")


def read_claim(given: Given, spell: Spell) -> Claim:
    """Build the claim from checked values.

    Where the number of classes is not given it is one more than k: it does not enter any number.

    Raises
    ------
    ParameterError
        For a claim that is missing, or two of them.
    """
    top = [key for key in _TOP_KEYS if key in given]
    if "threshold" in given:
        if top:
            raise ParameterError(
                f"{spell('threshold')} and {spell(top[0])} exclude each other: claim a score above a "
                "threshold, or a place among the labels"
            )
        for key in _LABEL_KEYS:
            if key in given:
                raise ParameterError(
                    f"{spell(key)} does not apply to {spell('threshold')}: leave it out or use "
                    f"{spell('top_k')}"
                )
        return ScoreAbove(given["threshold"])
    if not top:
        raise ParameterError(
            f"{spell('threshold')} is required: {RULES['threshold'].allowed}, or {spell('top_k')} for a "
            "place among the labels"
        )
    k = given.get("top_k", 1)
    classes = given.get("classes", len(given["counts"]) if "counts" in given else k + 1)
    if "counts" in given and len(given["counts"]) != classes:
        raise ParameterError(
            f"{spell('counts')} must list one number for each of {spell('classes')} = {classes}, "
            f"got {len(given['counts'])}"
        )
    if k >= classes:
        raise ParameterError(f"{spell('top_k')} must be less than the number of classes, {classes}, got {k}")
    return TopK(k, classes)


def read_evidence(given: Given, claim: Claim, spell: Spell) -> Evidence:
    """Build the evidence from checked values.

    Raises
    ------
    ParameterError
        For values that are missing, exclude each other, or do not add up.
    """
    counted = [key for key in ("successes", "counts", "label_index", "samples", "alpha") if key in given]
    if "p_lower" in given:
        if counted:
            raise ParameterError(
                f"{spell('p_lower')} and {spell(counted[0])} exclude each other: give a bound or the counts"
            )
        if isinstance(claim, TopK) and "p_upper" not in given:
            raise required("p_upper", f" with {spell('top_k')} and {spell('p_lower')}", spell)
        return Asserted(given["p_lower"], given.get("p_upper"))
    if "p_upper" in given:
        raise required("p_lower", f" with {spell('p_upper')}", spell)
    if isinstance(claim, TopK) and "successes" not in given:
        return _label_counts(given, claim, counted, spell)
    if isinstance(claim, TopK):
        _check_successes_serve(given, claim, spell)
    return _counts(given, counted, spell)


def _counts(given: Given, counted: list[str], spell: Spell) -> Counts:
    if not counted:
        raise ParameterError(
            f"{spell('p_lower')} in [0, 1) is required, or {spell('successes')}, {spell('samples')} "
            f"and {spell('alpha')}"
        )
    for key in ("successes", "samples", "alpha"):
        if key not in given:
            raise required(key, f" with {spell(counted[0])}", spell)
    counts = Counts(given["successes"], given["samples"], given["alpha"])
    if counts.successes > counts.samples:
        raise ParameterError(
            f"{spell('successes')} must be in [0, {spell('samples')} = {counts.samples}], "
            f"got {counts.successes}"
        )
    return counts


def _label_counts(given: Given, claim: TopK, counted: list[str], spell: Spell) -> LabelCounts:
    if not counted:
        raise ParameterError(
            f"{spell('counts')} and {spell('alpha')} are required with {spell('top_k')}, or "
            f"{spell('p_lower')} and {spell('p_upper')}"
        )
    for key in ("counts", "alpha"):
        if key not in given:
            raise required(key, f" with {spell(next(k for k in counted if k != key))}", spell)
    counts: tuple[int, ...] = given["counts"]
    index, total = given.get("label_index", 0), sum(counts)
    if index >= claim.classes:
        raise ParameterError(f"{spell('label_index')} must be in [0, {claim.classes - 1}], got {index}")
    samples = given.get("samples", total)
    if total != samples:
        raise ParameterError(
            f"{spell('counts')} must add up to {spell('samples')} = {samples}, got {total}: count "
            "answers that are none of the labels as a label of their own"
        )
    if not RULES["samples"].accepts(samples):
        raise ParameterError(f"{spell('counts')} must add up to {RULES['samples'].allowed}, got {samples}")
    return LabelCounts(counts, index, samples, given["alpha"])


def _check_successes_serve(given: Given, claim: TopK, spell: Spell) -> None:
    """One count bounds the others together, and so the strongest of them only."""
    for key in ("counts", "label_index"):
        if key in given:
            raise ParameterError(
                f"{spell('successes')} and {spell(key)} exclude each other: give one of them"
            )
    if claim.k > 1:
        raise required("counts", f" with {spell('top_k')} {claim.k}", spell)


def described(claim: Claim, evidence: Evidence, bounds: Bounds) -> dict[str, Any]:
    """Return claim and evidence as JSON-ready values; the threshold is null for top-k claims."""
    values: dict[str, Any] = {
        "threshold": claim.threshold if isinstance(claim, ScoreAbove) else None,
        "p_lower": bounds.p_lower,
    }
    if isinstance(claim, TopK):
        values |= {"p_upper": bounds.p_upper, "top_k": claim.k}
    if not isinstance(evidence, Asserted):
        values |= {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(evidence).items()}
    return values
