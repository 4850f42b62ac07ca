"""Certificates issued by hand from the format's page alone: fractions, bisection, no code of the package.

Slow and obvious on purpose: the laws of a change are multiplied out outcome by outcome in fractions, D is
summed as it stands on the page, and witnesses come from a ternary search.
"""

from __future__ import annotations

import copy
import itertools
import math
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from flint import arb

from balls import ball, normal_cdf, precision
from exact_laws import IDENTITY, Law, compose, law_of, power

Json = dict[str, Any]
BITS = 160


def value_of(text: str) -> Fraction:
    """A real of the format."""
    return Fraction(float.fromhex(text)) if "x" in text else Fraction(text)


def hexadecimal(value: float) -> str:
    return value.hex()


# --- laws ------------------------------------------------------------------------------------------------


def _replacement(size: int, beta: Fraction) -> list[list[tuple[Fraction, Fraction]]]:
    move = beta / (size - 1)
    return [[(1 - beta, move), (move, 1 - beta), *[(move, move)] * (size - 2)]]


def options_of(law: Json, kind: Any) -> list[list[tuple[Fraction, Fraction]]]:
    """Outcomes (P, Q) of every option of a class."""
    match law["kernel"]:
        case "uniform":
            return _replacement(kind, value_of(law["beta"]))
        case "fields":
            return _replacement(kind["size"], value_of(kind["beta"]))
        case "randomized-response":
            return _replacement(kind, Fraction(kind - 1) / (kind - 1 + value_of(law["ratio"])))
        case "absorbing":
            beta = value_of(law["beta"])
            return [[(beta, beta), (1 - beta, Fraction(0)), (Fraction(0), 1 - beta)]]
        case "flips":
            plus, minus = value_of(law["p_plus"]), value_of(law["p_minus"])
            if kind == 0:
                return [[(plus, 1 - minus), (1 - plus, minus)]]
            return [[(minus, 1 - plus), (1 - minus, plus)]]
        case "synonyms":
            size, others = kind
            return [
                [
                    (Fraction(n, size), Fraction(n, other)),
                    (Fraction(size - n, size), Fraction(0)),
                    (Fraction(0), Fraction(other - n, other)),
                ]
                for other, n in others
            ]
        case "matrix":
            rows = [[value_of(weight) for weight in row] for row in law["rows"]]
            rows = [[weight / sum(row) for weight in row] for row in rows]
            allowed = law["substitutions"]
            return [
                list(zip(rows[kind], rows[other], strict=True))
                for other in range(len(rows))
                if other != kind and (allowed == "all" or [kind, other] in allowed)
            ]
    raise AssertionError(law["kernel"])


def grouped(outcomes: Sequence[tuple[Fraction, Fraction]]) -> Law:
    return law_of({i: p for i, (p, _) in enumerate(outcomes)}, {i: q for i, (_, q) in enumerate(outcomes)})


def missed(law: Law, t: Fraction) -> Fraction:
    """H(t) = Σ max(t P − Q, 0)."""
    return sum((max(t * p - q, Fraction(0)) for p, q in law.values()), Fraction(0))


def envelope_law(base: Fraction, low: int, high: int, laws: Sequence[Law]) -> Law:
    """The pieces of v(p) = max(0, max_e t_e p − h_e), found by comparing all lines at all their crossings."""
    lines = [(Fraction(0), Fraction(0))]
    for e in range(low, high + 1):
        t = base**e
        lines.append((t, max(missed(law, t) for law in laws)))
    crossings = {Fraction(0), Fraction(1)}
    for (s, g), (t, h) in itertools.combinations(lines, 2):
        crossing = (h - g) / (t - s)
        if 0 < crossing < 1:
            crossings.add(crossing)
    law: Law = {}
    for left, right in itertools.pairwise(sorted(crossings)):
        middle = (left + right) / 2
        slope, _ = max(lines, key=lambda line: line[0] * middle - line[1])
        p, q = law.get(slope, (Fraction(0), Fraction(0)))
        law[slope] = (p + right - left, q + slope * (right - left))
    return law


def law_of_change(law: Json, threat: Json, change: Json) -> Law:
    """The pair of laws of one modality under one listed change."""
    if law["kernel"] == "deletion":
        beta, a, b = value_of(law["beta"]), change["insertions"], change["deletions"]
        return grouped([(beta**b, beta**a), (1 - beta**b, Fraction(0)), (Fraction(0), 1 - beta**a)])
    if "envelope" in change:
        envelope = change["envelope"]
        bit = {"additions": 0, "removals": 1}.get(threat["kind"])
        laws = [
            grouped(option)
            for kind, positions in law["positions"]
            if positions and (bit is None or kind == bit)
            for option in options_of(law, kind)
        ]
        return power(envelope_law(value_of(envelope["base"]), *envelope["exponents"], laws), envelope["d"])
    total = IDENTITY
    for c, o, n in change["positions"]:
        total = compose(total, power(grouped(options_of(law, law["positions"][c][0])[o]), n))
    return total


def law_of_changes(document: Json, changes: Sequence[Json]) -> Law:
    laws = {law["modality"]: law for law in document["law"]["discrete"]}
    total = IDENTITY
    for threat, change in zip(document["threat"]["discrete"], changes, strict=True):
        total = compose(total, law_of_change(laws[threat["modality"]], threat, change))
    return total


# --- the dual bound, as it stands on the page ------------------------------------------------------------


def gaussian(s: arb, m: arb) -> tuple[arb, arb]:
    return normal_cdf(s / m + m / 2), normal_cdf(s / m - m / 2)


def laplace(s: arb, m: arb) -> tuple[arb, arb]:
    if s < -m:
        return arb(0), arb(0)
    if s >= m:
        return arb(1), arb(1)
    return 1 - (-(s + m) / 2).exp() / 2, ((s - m) / 2).exp() / 2


def dual(law: Law, noise: str, m: Fraction, u: float, p: Fraction) -> arb:
    """D(u; m, p)."""
    with precision(BITS):
        t, zero = ball(u).exp(), law.get(Fraction(0), (Fraction(0), Fraction(0)))[0]
        if m == 0:
            overlap = sum((arb(0) + ball(q).min(t * ball(c)) for r, (c, q) in law.items() if r), arb(0))
            return overlap - t * (1 - ball(p))
        total = t * ball(p - zero)
        for ratio, (clean, adversarial) in law.items():
            if ratio:
                s = ball(u) - ball(ratio).log()
                accepted, missing = (gaussian if noise == "gaussian" else laplace)(s, ball(m))
                total += ball(adversarial) * missing - t * ball(clean) * accepted
        return total


def best_log_t(law: Law, noise: str, m: Fraction, p: Fraction) -> float:
    """A u at which D is nearly largest: D is concave in t, so a ternary search over u finds it."""
    if m == 0:
        ratios = [ratio for ratio in law if ratio]
        found = [math.log(ratio.numerator) - math.log(ratio.denominator) for ratio in ratios]
        return max(found, key=lambda u: float(dual(law, noise, m, u, p).mid()))
    low, high = -40.0, 40.0
    while high - low > 1e-9 * (1 + abs(low)):
        third = (high - low) / 3
        if dual(law, noise, m, low + third, p).mid() < dual(law, noise, m, high - third, p).mid():
            low += third
        else:
            high -= third
    return (low + high) / 2


# --- floats in order -------------------------------------------------------------------------------------


def largest_float(holds: Callable[[float], bool], most: float) -> float | None:
    """The largest float in [0, most] that holds, for a condition that holds up to some point, or None."""
    if not holds(0.0):
        return None
    low, high = 0, _order(most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(_float(middle)) else (low, middle)
    return _float(low)


def _order(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def _float(order: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", order))[0])


def tail(k: int, n: int, p: Fraction) -> arb:
    """P(Bin(n, p) >= k)."""
    with precision(BITS):
        if k == 0:
            return arb(1)
        return ball(p) ** n if k == n else ball(p).beta_lower(k, n - k + 1, 1)


def clopper_pearson_lower(k: int, n: int, alpha: Fraction) -> float:
    if k == 0:
        return 0.0
    found = largest_float(lambda p: bool(tail(k, n, Fraction(p)) <= ball(alpha)), 1.0)
    assert found is not None
    return found


def clopper_pearson_upper(k: int, n: int, alpha: Fraction) -> float:
    """The least float p with P(Bin(n, p) <= k) <= alpha, or 1."""
    if k == n:
        return 1.0
    above = largest_float(lambda p: not tail(n - k, n, 1 - Fraction(p)) <= ball(alpha), 1.0)
    assert above is not None
    return math.nextafter(above, 2.0)


# --- documents -------------------------------------------------------------------------------------------


def document(
    *,
    discrete: Sequence[Json] = (),
    continuous: Sequence[Json] = (),
    threats: Sequence[Json] = (),
    norm: Json | None = None,
    claim: Json | None = None,
    estimate: Json | None = None,
    points: Sequence[tuple[Any, Sequence[Sequence[Json]]]] = (),
) -> Json:
    """A complete certificate; ``points`` lists (d, changes of each witness)."""
    claim = claim or {"kind": "score", "label": "unsafe", "threshold": hexadecimal(0.5)}
    estimate = estimate or counted(9990, 10_000, "1/100")
    given = estimate["method"] == "given"
    result: Json = {
        "schema": "hybridcert/certificate/1",
        "input": {"index": "17", "digest": "00" * 16, "base_label": "unsafe"},
        "claim": claim,
        "law": {"discrete": list(discrete), "continuous": list(continuous)},
        "threat": {"discrete": list(threats), "continuous": norm or {"norm": "none"}},
        "estimate": estimate,
        "frontier": [],
        "scope": {
            "confidence": None if given else "0.99",
            "holds": "per input, simultaneously over the frontier",
            "statement": "no input in reach scores at or below the threshold",
        },
        "assumptions": ["the noise was drawn as the law says", "the samples are independent"],
        "provenance": {"package": "by hand", "seed": 7},
    }
    result = copy.deepcopy(result)
    for d, listed in points:
        result["frontier"].append(point(result, d, listed))
    return result


def counted(k: int, n: int, alpha: str) -> Json:
    return {
        "method": "clopper-pearson",
        "samples": n,
        "successes": k,
        "alpha": alpha,
        "p_lower": hexadecimal(clopper_pearson_lower(k, n, value_of(alpha))),
    }


def bonferroni(counts: Sequence[int], index: int, k: int, n: int, alpha: str) -> Json:
    share = value_of(alpha) / len(counts)
    others = sorted((c for i, c in enumerate(counts) if i != index), reverse=True)
    return {
        "method": "clopper-pearson-bonferroni",
        "samples": n,
        "counts": list(counts),
        "label_index": index,
        "alpha": alpha,
        "p_lower": hexadecimal(clopper_pearson_lower(counts[index], n, share)),
        "p_upper": hexadecimal(clopper_pearson_upper(others[k - 1], n, share)),
    }


def noise_of(document: Json) -> tuple[str, Fraction]:
    """The law of the continuous noise, and the scale of a radius."""
    continuous = document["law"]["continuous"]
    match document["threat"]["continuous"]["norm"]:
        case "l2":
            return "gaussian", value_of(continuous[0]["sigma"])
        case "l1":
            return "laplace", value_of(continuous[0]["scale"])
        case "mahalanobis":
            return "gaussian", Fraction(1)
    return "none", Fraction(1)


def scores_of(document: Json) -> list[Fraction]:
    """The clean scores that the entries of log_t belong to."""
    estimate = document["estimate"]
    p = value_of(estimate["p_lower"])
    if document["claim"]["kind"] == "score":
        return [p]
    return [p, 1 - value_of(estimate["p_upper"]) if "p_upper" in estimate else p]


def bound_of(document: Json) -> Fraction:
    claim = document["claim"]
    return value_of(claim["threshold"]) if claim["kind"] == "score" else Fraction(1)


def proven(document: Json, law: Law, m: Fraction, log_t: Sequence[float]) -> arb:
    """The left side of the condition on a certified point."""
    noise, scores = noise_of(document)[0], scores_of(document)
    return sum((dual(law, noise, m, u, p) for u, p in zip(log_t, scores, strict=True)), arb(0))


def point(document: Json, d: Any, listed: Sequence[Sequence[Json]]) -> Json:
    """One point of the frontier, as tight as the witnesses allow."""
    (noise, scale), scores, bound = noise_of(document), scores_of(document), bound_of(document)
    laws = [law_of_changes(document, changes) for changes in listed]
    at_zero = [[best_log_t(law, noise, Fraction(0), p) for p in scores] for law in laws]
    p_adv = min(
        largest_float(
            lambda v, u=u, law=law: bool(dual(law, noise, Fraction(0), u, scores[0]) >= ball(v)), 1.0
        )
        or 0.0
        for law, (u, *_) in zip(laws, at_zero, strict=True)
    )

    def reached(law: Law, log_t: Callable[[Fraction], list[float]]) -> Callable[[float], bool]:
        return lambda r: bool(
            proven(document, law, Fraction(r) / scale, log_t(Fraction(r) / scale)) > ball(bound)
        )

    certified = all(reached(law, lambda m, u=u: u)(0.0) for law, u in zip(laws, at_zero, strict=True))
    radius, log_t = (0.0 if certified else None), at_zero
    if certified and noise != "none":
        coarse = []
        for law in laws:
            low, high = 0.0, 64.0 * float(scale)
            for _ in range(40):
                middle = (low + high) / 2
                m = Fraction(middle) / scale
                holds = proven(document, law, m, [best_log_t(law, noise, m, p) for p in scores]) > ball(bound)
                low, high = (middle, high) if holds else (low, middle)
            coarse.append(low)
        m = Fraction(min(coarse)) / scale
        if m:
            log_t = [[best_log_t(law, noise, m, p) for p in scores] for law in laws]
            radius = min(
                largest_float_near(reached(law, lambda m, u=u: u), min(coarse))
                for law, u in zip(laws, log_t, strict=True)
            )
    return {
        "d": d,
        "certified": certified,
        "radius": None if radius is None else hexadecimal(radius),
        "p_adv": hexadecimal(p_adv),
        "worst_case": "single" if len(listed) == 1 else "enumeration",
        "witnesses": [
            {
                "change": list(changes),
                "log_t": [hexadecimal(u) for u in found] if certified else None,
                "log_t_at_zero": [hexadecimal(u) for u in zero],
            }
            for changes, found, zero in zip(listed, log_t, at_zero, strict=True)
        ],
    }


def largest_float_near(holds: Callable[[float], bool], near: float) -> float:
    """The largest float that holds, searched a little around ``near``; D at a fixed u falls in m there."""
    found = near
    step = 2.0**-40
    while not holds(found):
        found, step = near * (1 - step), 4 * step
    low, high = _order(found), _order(near * (1 + 1e-3))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(_float(middle)) else (low, middle)
    return _float(low)
