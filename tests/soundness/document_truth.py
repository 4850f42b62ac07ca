"""What an issued certificate says, judged by this bench's own arithmetic and its own adversaries.

`refuted` reads a document and looks for a claim that does not follow from its witnesses. Covers are not
looked at: the adversary's changes are enumerated (or drawn), and each has to be answered by some witness of
its point. What it finds is always a mistake of the document; that it finds none proves nothing.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from adversaries import (
    MOST_ATOMS,
    Positions,
    Sequences,
    drawn_from,
    flip,
    masking,
    replacement,
    rows_pair,
)
from binomial_oracle import at_most
from dual_oracle import Change, Law, atom_count, proves
from stopped_paths import outweighed, rarely_crossed

Json = Any


def real(text: str) -> Fraction:
    """A real of the format, as it stands on the page."""
    return Fraction(float.fromhex(text)) if "x" in text else Fraction(text)


def witness(text: str | None) -> float | None:
    return None if text is None else float(real(text))


def options(law: Mapping[str, Any], kind: Any) -> tuple[Any, ...]:
    """Options of one class of positions, from the table of kernels."""
    match law["kernel"]:
        case "uniform":
            return (replacement(kind, real(law["beta"])),)
        case "fields":
            return (replacement(kind["size"], real(kind["beta"])),)
        case "randomized-response":
            return (replacement(kind, Fraction(kind - 1) / (kind - 1 + real(law["ratio"]))),)
        case "absorbing":
            return (masking(real(law["beta"])),)
        case "flips":
            return (flip(kind, real(law["p_plus"]), real(law["p_minus"])),)
        case "synonyms":
            size, others = kind
            words = range(size)
            return tuple(
                drawn_from(words, [*words[:shared], *range(size, size + other - shared)])
                for other, shared in others
            )
        case "matrix":
            rows, allowed = [[real(w) for w in row] for row in law["rows"]], law["substitutions"]
            return tuple(
                rows_pair(rows[kind], rows[other])
                for other in range(len(rows))
                if other != kind and (allowed == "all" or [kind, other] in allowed)
            )
    raise ValueError(law["kernel"])


def adversary(law: Mapping[str, Any], threat: Mapping[str, Any], d: int) -> Positions | Sequences:
    """Who may change one modality."""
    if law["kernel"] == "deletion":
        return Sequences(real(law["beta"]), threat["kind"], law["length"])
    choices: list[Any] = []
    groups: dict[int, set[int]] = {0: set(), 1: set()}
    for kind, count in law["positions"]:
        for _ in range(min(count, d)):  # no more than d of a class change
            if law["kernel"] == "flips":
                groups[kind].add(len(choices))
            choices.append(options(law, kind))
    caps = {
        "additions": {1: 0},
        "removals": {0: 0},
        "flips": {0: threat.get("max_additions"), 1: threat.get("max_removals")},
    }.get(threat["kind"], {})
    return Positions(
        tuple(choices), tuple((frozenset(groups[b]), c) for b, c in caps.items() if c is not None)
    )


def changes(document: Json, d: Any, stream: random.Random, most: int) -> list[Change]:
    """Changes of all threatened modalities within their budgets."""
    threats = document["threat"]["discrete"]
    laws = {law["modality"]: law for law in document["law"]["discrete"]}
    budgets = d if len(threats) > 1 else [d] * len(threats)
    assert len(threats) or d == 0
    found: list[Change] = [()]
    for threat, budget in zip(threats, budgets, strict=True):
        assert budget <= threat["max_d"]
        own = adversary(laws[threat["modality"]], threat, budget).changes(budget, stream, most=most)
        found = [(*a, *b) for a in found for b in own]
    fitting = [change for change in found if atom_count(change) <= MOST_ATOMS]
    return fitting if len(fitting) <= most else stream.sample(fitting, most)


def shift_of(document: Json, radius: Fraction) -> tuple[str, Fraction]:
    """The continuous noise, and the shift m that a radius amounts to."""
    continuous, norm = document["law"]["continuous"], document["threat"]["continuous"]["norm"]
    if norm == "none":
        assert radius == 0
        return "gaussian", Fraction(0)
    if norm == "mahalanobis":
        assert continuous
        assert all(law["kernel"] == "gaussian" for law in continuous)
        return "gaussian", radius
    [law] = continuous
    kernel, scale = {"l2": ("gaussian", "sigma"), "l1": ("laplace", "scale")}[norm]
    assert law["kernel"] == kernel
    return kernel, radius / real(law[scale])


def bounds(document: Json) -> tuple[list[Fraction], str | None]:
    """The clean scores that enter the dual bounds, and what is wrong with them."""
    claim, estimate = document["claim"], document["estimate"]
    p_lower, method = real(estimate["p_lower"]), estimate["method"]
    wrong = None if 0 <= p_lower < 1 else "p_lower"
    p_upper = 1 - p_lower
    if method != "given":
        n, level = estimate["samples"], real(estimate["alpha"])
        assert 0 < level < 1
        successes = estimate.get("successes")
        if method.startswith("clopper-pearson") and "looks" in estimate:
            assert [m for m, _ in estimate["looks"]] == sorted({m for m, _ in estimate["looks"]})
            wrong = "alphas" if sum(real(a) for _, a in estimate["looks"]) > level else wrong
            level = {m: real(a) for m, a in estimate["looks"]}[n]
        if method == "clopper-pearson-bonferroni":
            counts, own = estimate["counts"], estimate["label_index"]
            assert len(counts) == claim["classes"]
            assert sum(counts) == n
            level, successes = level / len(counts), counts[own]
            p_upper = real(estimate["p_upper"])
            rival = sorted((c for i, c in enumerate(counts) if i != own), reverse=True)[claim["k"] - 1]
            if p_upper != 1 and not (rival < n and p_upper > 0 and at_most(n - rival, n, 1 - p_upper, level)):
                wrong = "p_upper"
        else:
            assert claim["kind"] == "score" or claim["k"] == 1
        assert 0 <= successes <= n
        if p_lower > 0 and not (successes and holds_of_the_label(estimate, p_lower, level)):
            wrong = "p_lower"
        if Fraction(document["scope"]["confidence"]) > 1 - real(estimate["alpha"]):
            wrong = "confidence"
    elif claim["kind"] == "top-k":
        p_upper = real(estimate["p_upper"])
    return [p_lower] if claim["kind"] == "score" else [p_lower, 1 - p_upper], wrong


def holds_of_the_label(estimate: Json, p: Fraction, level: Fraction) -> bool:
    """Whether the counts of the claimed label prove that its score is at least p."""
    n = estimate["samples"]
    if estimate["method"] == "group-sequential":
        return rarely_crossed(estimate, p, level)
    if estimate["method"] == "beta-mixture":
        a, b = map(real, estimate["prior"])
        return outweighed(estimate["successes"], n, p, (a, b), level)
    own = estimate["counts"][estimate["label_index"]] if "counts" in estimate else estimate["successes"]
    return at_most(own, n, p, level)


@functools.lru_cache(maxsize=2048)
def known_law(change: Change) -> Law:
    """The law of a change, with its balls kept from one document to the next."""
    return Law(change)


def refuted(document: Json, *, seed: int = 0, most: int = 40) -> str | None:
    """Return a claim of the document that does not hold, or None; raise where it cannot be read."""
    scores, wrong = bounds(document)
    claim, stream = document["claim"], random.Random(seed)
    needed = real(claim["threshold"]) if claim["kind"] == "score" else Fraction(1)
    assert claim["kind"] == "top-k" or 0 < needed < 1
    seen = []
    for index, point in enumerate(document["frontier"]):
        assert point["d"] not in seen
        seen.append(point["d"])
        at_zero = [witness(w["log_t_at_zero"][0]) for w in point["witnesses"]]
        p_adv, certified = real(point["p_adv"]), point["certified"]
        assert (point["radius"] is not None) == certified
        radius = real(point["radius"]) if certified else Fraction(0)
        assert radius >= 0
        assert p_adv >= 0
        noise, shift = shift_of(document, radius)
        for change in changes(document, point["d"], stream, most):
            law = known_law(change)
            zero = [(scores[0], [None, *at_zero])]
            if not proves(law, noise, Fraction(0), zero, p_adv):
                wrong = f"frontier[{index}].p_adv"
            if certified:
                found = [
                    (score, [None, *(witness(w["log_t"][k]) for w in point["witnesses"])])
                    for k, score in enumerate(scores)
                ]
                if not proves(law, noise, shift, found, needed, strict=True):
                    wrong = f"frontier[{index}].radius"
    return wrong
