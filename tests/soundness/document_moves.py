"""What can be made of an issued certificate: numbers moved up, witnesses dropped or exchanged, other laws."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

Json = Any


def up(text: str) -> str:
    """The next float64."""
    return math.nextafter(float.fromhex(text), math.inf).hex()


def down(text: str) -> str:
    return math.nextafter(float.fromhex(text), -math.inf).hex()


def scaled(text: str, factor: float) -> str:
    return (float.fromhex(text) * factor).hex()


def changed(document: Json, change: Callable[[Json], None]) -> Json:
    moved = copy.deepcopy(document)
    change(moved)
    return moved


def setting(document: Json, path: tuple[Any, ...], value: Any) -> Json:
    """A copy with one entry replaced."""

    def put(moved: Json) -> None:
        *way, last = path
        for step in way:
            moved = moved[step]
        moved[last] = value

    return changed(document, put)


def entry(document: Json, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def promised(document: Json) -> Iterator[tuple[str, Json]]:
    """Documents with one number moved by one unit in the last place, or no witness left: each must fail."""
    claim, estimate = document["claim"], document["estimate"]
    if estimate["method"] != "given":
        yield "p_lower up", setting(document, ("estimate", "p_lower"), up(estimate["p_lower"]))
    if estimate["method"] == "clopper-pearson-bonferroni":
        yield "p_upper down", setting(document, ("estimate", "p_upper"), down(estimate["p_upper"]))
    for i, point in enumerate(document["frontier"]):
        at = ("frontier", i)
        yield "p_adv up", setting(document, (*at, "p_adv"), up(point["p_adv"]))
        if point["certified"]:
            if document["threat"]["continuous"]["norm"] == "none":
                yield "radius without noise", setting(document, (*at, "radius"), (5e-324).hex())
            elif float.fromhex(point["radius"]) > 0.0:
                yield "radius up", setting(document, (*at, "radius"), up(point["radius"]))
            if claim["kind"] == "score":  # no score is above the clean one
                yield "threshold up", setting(document, ("claim", "threshold"), up(estimate["p_lower"]))
        else:
            moved = setting(document, (*at, "certified"), True)
            moved["frontier"][i]["radius"] = (0.0).hex()
            for witness in moved["frontier"][i]["witnesses"]:
                spare = [witness["log_t_at_zero"][0]] * len(witness["log_t_at_zero"])
                witness["log_t"] = spare
            yield "not certified, called certified", moved
        yield "no candidates", setting(document, (*at, "witnesses"), [])
        budgets = point["d"] if isinstance(point["d"], list) else [point["d"]]
        for number, _ in enumerate(document["threat"]["discrete"]):
            if budgets[number] > 0:
                path = ("threat", "discrete", number, "max_d")
                yield "max_d below d", setting(document, path, budgets[number] - 1)


def in_favour(document: Json) -> Iterator[tuple[str, Json]]:
    """Documents changed so that they may say too much: verification must never be more generous than that."""
    claim, estimate = document["claim"], document["estimate"]
    if claim["kind"] == "score":
        for factor in (1 + 1e-12, 1 + 1e-6, 1.5):
            tau = float.fromhex(claim["threshold"]) * factor
            if tau < 1.0:
                yield "threshold", setting(document, ("claim", "threshold"), tau.hex())
    else:
        yield "k", setting(document, ("claim", "k"), max(1, claim["k"] - 1))
        yield "classes", setting(document, ("claim", "classes"), claim["classes"] - 1)
    if estimate["method"] != "given":
        yield "alpha", setting(document, ("estimate", "alpha"), scaled(estimate["alpha"], 1 - 1e-9))
        more = setting(document, ("estimate", "samples"), estimate["samples"] + 1)
        if "successes" in estimate:
            yield "samples", more
            yield "successes", setting(document, ("estimate", "successes"), estimate["successes"] - 1)
        else:
            counts = list(estimate["counts"])
            index = (estimate["label_index"] + 1) % len(counts)
            counts[index] += 1
            yield "samples", setting(more, ("estimate", "counts"), counts)
            counts[estimate["label_index"]] -= 1
            yield "counts", setting(document, ("estimate", "counts"), counts)
            yield "label_index", setting(document, ("estimate", "label_index"), index)
    else:
        yield "given p_lower", setting(document, ("estimate", "p_lower"), up(estimate["p_lower"]))
        lower = scaled(estimate["p_lower"], 1 - 1e-9)
        yield "less given", setting(document, ("estimate", "p_lower"), lower)
    yield from changed_plans(document)
    yield from changed_laws(document)
    yield from changed_points(document)


def changed_plans(document: Json) -> Iterator[tuple[str, Json]]:
    """Other looks, shares, boundaries, paths and priors than those that the sampling followed."""
    estimate = document["estimate"]
    at = ("estimate", "looks")
    for i, (n, other) in enumerate(estimate.get("looks", [])):
        yield "look dropped", changed(document, lambda moved, i=i: entry(moved, at).pop(i))
        yield "look moved", setting(document, (*at, i, 0), n + 1)
        if isinstance(other, str):
            yield "share", setting(document, (*at, i, 1), scaled(other, 1 + 1e-9))
            yield "share", setting(document, (*at, i, 1), scaled(other, 1 - 1e-9))
        else:
            yield "boundary", setting(document, (*at, i, 1), other + 1)
            yield "boundary", setting(document, (*at, i, 1), max(0, other - 1))
    for i, k in enumerate(estimate.get("successes_at", [])):
        for moved in (k - 1, k + 1):
            yield "path", setting(document, ("estimate", "successes_at", i), moved)
    if "successes_at" in estimate:
        shorter = setting(document, ("estimate", "successes_at"), estimate["successes_at"][:-1])
        for moved in (shorter, setting(shorter, ("estimate", "samples"), estimate["samples"] - 1)):
            yield "shorter path", moved
            yield "shorter path", setting(moved, ("estimate", "look"), len(estimate["looks"]) - 1)
        for look in range(len(estimate["looks"])):
            yield "outcome", setting(document, ("estimate", "look"), look)
    for i, shape in enumerate(estimate.get("prior", [])):
        for factor in (1 - 1e-9, 1 + 1e-9, 0.5, 2.0):
            yield "prior", setting(document, ("estimate", "prior", i), scaled(shape, factor))


def changed_laws(document: Json) -> Iterator[tuple[str, Json]]:
    """Noise and threats other than those that the witnesses are for."""
    for i, law in enumerate(document["law"]["continuous"]):
        for key in {"sigma", "scale"} & set(law):
            for factor in (1 - 1e-12, 0.5, 2.0):
                value = law[key]
                found = (
                    [scaled(v, factor) for v in value] if isinstance(value, list) else scaled(value, factor)
                )
                yield key, setting(document, ("law", "continuous", i, key), found)
    for norm in ("l1", "l2", "mahalanobis", "none"):
        yield "norm", setting(document, ("threat", "continuous", "norm"), norm)
    for i, law in enumerate(document["law"]["discrete"]):
        at = ("law", "discrete", i)
        for key in {"beta", "ratio", "p_plus", "p_minus"} & set(law):
            for factor in (1 - 1e-9, 1 + 1e-9, 0.5, 2.0):
                yield key, setting(document, (*at, key), scaled(law[key], factor))
        if law.get("length") is not None:
            yield "length", setting(document, (*at, "length"), law["length"] + 1)
            yield "length", setting(document, (*at, "length"), None)
        for j, (kind, count) in enumerate(law.get("positions", [])):
            yield "count", setting(document, (*at, "positions", j, 1), count + 1)
            yield "no count", setting(document, (*at, "positions", j, 1), count - 1)
            if isinstance(kind, int) and law["kernel"] != "flips":
                yield "size", setting(document, (*at, "positions", j, 0), kind + 1)
            if isinstance(kind, dict):
                size = setting(document, (*at, "positions", j, 0, "size"), kind["size"] + 1)
                yield "field", size
        if law["kernel"] == "matrix":
            yield "substitutions", setting(document, (*at, "substitutions"), "all")
            first = law["rows"][0][0]
            yield "weight", setting(document, (*at, "rows", 0, 0), f"{first}/2" if first.isdigit() else "1/3")
        for kernel in ("uniform", "absorbing", "randomized-response", "deletion", "flips"):
            yield "kernel", setting(document, (*at, "kernel"), kernel)
    for i, threat in enumerate(document["threat"]["discrete"]):
        at = ("threat", "discrete", i)
        for kind in (
            "substitution",
            "insertion",
            "deletion",
            "indel",
            "edit",
            "flips",
            "additions",
            "removals",
        ):
            yield "threat", setting(document, (*at, "kind"), kind)
        for cap in {"max_additions", "max_removals"} & set(threat):
            if threat[cap] is not None:
                yield cap, setting(document, (*at, cap), threat[cap] + 1)
            yield cap, changed(document, lambda moved, at=at, cap=cap: entry(moved, at).pop(cap))


def changed_points(document: Json) -> Iterator[tuple[str, Json]]:
    """Budgets, witnesses and changes that belong elsewhere."""
    points = document["frontier"]
    for i, point in enumerate(points):
        at = ("frontier", i)
        if isinstance(point["d"], list):
            for j, d in enumerate(point["d"]):
                yield "d", setting(document, (*at, "d", j), d + 1)
        else:
            moved = setting(document, (*at, "d"), point["d"] + 1)
            yield "d", moved
            yield (
                "d",
                changed(moved, lambda m: [t.update(max_d=t["max_d"] + 1) for t in m["threat"]["discrete"]]),
            )
        for j, other in enumerate(points):
            if i != j:
                yield "witnesses of another point", setting(document, (*at, "witnesses"), other["witnesses"])
                yield "all of another point", setting(document, at, other | {"d": point["d"]})
        for j, witness in enumerate(point["witnesses"][:4]):
            here = (*at, "witnesses", j)
            kept = [w for k, w in enumerate(point["witnesses"]) if k != j]
            yield "candidate dropped", setting(document, (*at, "witnesses"), kept)
            for key in ("log_t", "log_t_at_zero"):
                if witness[key] is not None:
                    for number, value in enumerate(witness[key]):
                        path = (*here, key, number)
                        yield key, setting(document, path, None)
                        for moved in () if value is None else (up(value), scaled(value, 1 + 1e-6), "3/2"):
                            yield key, setting(document, path, moved)
            for other in point["witnesses"][:3]:
                yield "change of another", setting(document, (*here, "change"), other["change"])
            for number, change in enumerate(witness["change"]):
                yield from changed_changes(document, (*here, "change", number), change)


def changed_changes(document: Json, path: tuple[Any, ...], change: Json) -> Iterator[tuple[str, Json]]:
    """Weaker changes in the place of the listed one."""
    for key in {"insertions", "deletions"} & set(change):
        yield key, setting(document, (*path, key), change[key] - 1)
        yield key, setting(document, (*path, key), change[key] + 1)
    for i, (c, o, n) in enumerate(change.get("positions", [])):
        for triple in ([c, o, n - 1], [c, o, n + 1], [c + 1, o, n], [c, o + 1, n], [max(c - 1, 0), o, n]):
            yield "positions", setting(document, (*path, "positions", i), triple)
        fewer = change["positions"][:i] + change["positions"][i + 1 :]
        yield "fewer positions", setting(document, (*path, "positions"), fewer)
    if "envelope" in change:
        envelope = change["envelope"]
        lo, hi = envelope["exponents"]
        for key, value in (
            ("d", envelope["d"] - 1),
            ("exponents", [lo + 5, hi]),
            ("exponents", [lo, hi - 5]),
            ("base", "2"),
            ("base", "101/100"),
        ):
            yield f"envelope {key}", setting(document, (*path, "envelope", key), value)
