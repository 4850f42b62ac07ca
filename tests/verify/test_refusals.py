"""Whatever is claimed beyond what is proven is refused, down to the last bit."""

from __future__ import annotations

import copy
import functools
import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from issuing import _float, _order, hexadecimal
from specimens import SPECIMENS

from hybridcert.verify import verify_document

Json = dict[str, Any]
FOLDER = Path(__file__).resolve().parents[1] / "data" / "certificates"


@functools.cache
def text_of(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def specimen(name: str) -> Json:
    return json.loads(text_of(name))


def holds(document: Json) -> bool:
    return verify_document(document).ok


def refused(document: Json, expected: str = "") -> None:
    verdict = verify_document(document)
    assert not verdict.ok
    assert any(expected in reason for reason in verdict.reasons), verdict.reasons
    assert not any("broke down" in reason for reason in verdict.reasons)


def one_ulp_too_much(document: Json, holder: Json, key: str) -> None:
    """Raise a float to the largest one that verifies, at most a few ulps up, then once more."""
    value = float.fromhex(holder[key])
    for _ in range(8):
        holder[key] = hexadecimal(math.nextafter(value, math.inf))
        if not holds(document):
            holder[key] = hexadecimal(value)
            assert holds(document)
            return
        value = math.nextafter(value, math.inf)
    raise AssertionError(f"{key} can grow by eight ulps")


@pytest.mark.parametrize("name", [n for n in SPECIMENS if n != "uniform-all-noise"])
def test_every_issued_number_is_the_largest_that_verifies(name: str):
    document = specimen(name)
    for point in document["frontier"]:
        one_ulp_too_much(document, point, "p_adv")
        if point["radius"] is not None and document["threat"]["continuous"]["norm"] != "none":
            one_ulp_too_much(document, point, "radius")
    if "alpha" in document["estimate"]:
        one_ulp_too_much(document, document["estimate"], "p_lower")


def test_a_score_of_one_is_refused_at_once():
    document = specimen("uniform-all-noise")  # all of the samples: the score is as large as it can be
    assert float.fromhex(document["estimate"]["p_lower"]) ** 1000 <= 0.001
    document["estimate"]["p_lower"] = "1"
    refused(document, "estimate.p_lower: must be in [0, 1), got '1'")
    one = specimen("uniform-all-noise")
    above = math.nextafter(float.fromhex(one["estimate"]["p_lower"]), 1.0)
    one["estimate"]["p_lower"] = hexadecimal(above)
    refused(one, "estimate.p_lower: P(Bin(samples, p_lower) >= 1000) <= alpha does not hold")


def test_the_reason_names_the_place():
    document = specimen("uniform")
    radius = document["frontier"][2]["radius"]
    document["frontier"][2]["radius"] = hexadecimal(float.fromhex(radius) * 1.5)
    assert verify_document(document).reasons == (
        "frontier[2].radius: D > threshold does not hold for witnesses[0] at d = 2",
    )


def test_p_upper_cannot_be_lowered():
    document = specimen("top-k")
    estimate = document["estimate"]
    estimate["p_upper"] = hexadecimal(math.nextafter(float.fromhex(estimate["p_upper"]), 0.0))
    refused(document, "estimate.p_upper: P(Bin(samples, p_upper) <= 300) <= alpha / classes does not hold")


@pytest.mark.parametrize("name", ["uniform", "flips", "edit", "laplace"])
def test_a_threshold_above_what_is_proven_is_refused(name: str):
    document = specimen(name)
    worst = min(float.fromhex(point["p_adv"]) for point in document["frontier"])
    document["claim"]["threshold"] = hexadecimal(math.nextafter(worst, 1.0))
    refused(document, "D > threshold")


CANDIDATES = ["fields-enumerated", "flips", "synonyms", "matrix", "indel", "two-modalities"]


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_listed_change_is_needed(name: str):
    document = specimen(name)
    for i, point in enumerate(document["frontier"]):
        for left_out in range(len(point["witnesses"])):
            broken = copy.deepcopy(document)
            del broken["frontier"][i]["witnesses"][left_out]
            refused(broken, f"frontier[{i}].witnesses: nothing listed covers")


@pytest.mark.parametrize("name", sorted(SPECIMENS))
def test_no_witnesses_prove_nothing(name: str):
    document = specimen(name)
    document["frontier"][0]["witnesses"] = []
    refused(document, "frontier[0].witnesses: nothing listed covers")


@pytest.mark.parametrize(
    ("name", "point", "change"),
    [
        ("uniform", 2, [{"positions": [[0, 0, 1]]}]),
        ("fields", 1, [{"positions": [[0, 0, 1], [3, 0, 1]]}]),
        ("fields", 0, [{"positions": [[1, 0, 1]]}]),
        ("randomized-response", 0, [{"positions": [[1, 0, 1]]}]),
        ("flips-capped", 0, [{"positions": [[1, 0, 3]]}]),
        ("additions", 0, [{"positions": [[1, 0, 2]]}]),
        ("removals", 0, [{"positions": [[1, 0, 9]]}]),
        ("absorbing", 1, [{"positions": []}]),
        ("insertion", 0, [{"insertions": 2, "deletions": 3}]),
        ("edit", 0, [{"insertions": 2, "deletions": 1}]),
        ("deletion-short", 0, [{"insertions": 9, "deletions": 1}]),
        ("envelope", 0, [{"envelope": {"base": "5/4", "exponents": [-12, 14], "d": 1}}]),
    ],
)
def test_weaker_changes_do_not_cover(name: str, point: int, change: list[Json]):
    document = specimen(name)
    for witness in document["frontier"][point]["witnesses"]:
        witness["change"] = change
    refused(document, f"frontier[{point}].witnesses: nothing listed covers")


@pytest.mark.parametrize(
    ("name", "point", "change"),
    [
        ("uniform", 1, [{"positions": [[0, 0, 5]]}]),
        ("fields", 0, [{"positions": [[1, 0, 1], [2, 0, 1]]}]),
        ("edit", 0, [{"insertions": 3, "deletions": 4}]),
    ],
)
def test_stronger_changes_cover_if_their_bounds_are_good_enough(name: str, point: int, change: list[Json]):
    document = specimen(name)
    found = document["frontier"][point]
    found.update({"certified": False, "radius": None, "p_adv": "0x0p+0"})
    for witness in found["witnesses"]:
        witness.update({"change": change, "log_t": None, "log_t_at_zero": [None]})
    assert holds(document)


def shifted(text: str, by: float) -> str:
    return hexadecimal(float.fromhex(text) + by)


@pytest.mark.parametrize("name", sorted(SPECIMENS))
def test_wrong_witnesses_prove_less(name: str):
    document = specimen(name)
    for point in document["frontier"]:
        for witness in point["witnesses"]:
            witness["log_t_at_zero"] = [shifted(u, 3.0) for u in witness["log_t_at_zero"]]
    refused(document, "D >= p_adv does not hold")


def _tamper(path: str, value: object) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        *parents, last = path.split(".")
        holder: Any = document
        for key in parents:
            holder = holder[int(key) if isinstance(holder, list) else key]
        holder[int(last) if isinstance(holder, list) else last] = value

    return change


TAMPERED = [
    ("uniform", "law.discrete.0.beta", hexadecimal(0.2)),
    ("uniform", "law.discrete.0.positions.0.0", 60000),
    ("uniform", "law.continuous.0.sigma", hexadecimal(0.2)),
    ("fields", "law.discrete.0.positions.2.0.size", 43),
    ("fields", "law.discrete.0.positions.2.0.beta", hexadecimal(0.45)),
    ("randomized-response", "law.discrete.0.ratio", "4"),
    ("absorbing", "law.discrete.0.beta", hexadecimal(0.7)),
    ("flips", "law.discrete.0.p_plus", hexadecimal(0.1)),
    ("flips", "law.discrete.0.p_minus", hexadecimal(0.4)),
    ("synonyms", "law.discrete.0.positions.0.0.1.0.1", 7),
    ("matrix", "law.discrete.0.rows.0.0", "4"),
    ("matrix", "law.discrete.0.rows.2.2", "9"),
    ("matrix", "law.discrete.0.substitutions", [[0, 2], [2, 0]]),
    ("edit", "law.discrete.0.beta", hexadecimal(0.5)),
    ("deletion-short", "law.discrete.0.length", 3),
    ("deletion", "threat.discrete.0.kind", "edit"),
    ("insertion", "threat.discrete.0.kind", "substitution"),
    ("indel", "threat.discrete.0.kind", "edit"),
    ("laplace", "law.continuous.0.scale", hexadecimal(0.2)),
    ("flips-capped", "threat.discrete.0.max_additions", 2),
    ("top-1", "claim.k", 2),
    ("top-k", "claim.k", 1),
    ("top-k", "claim.classes", 6),
    ("top-k", "estimate.counts.2", 400),
    ("top-k", "estimate.label_index", 1),
    ("uniform", "estimate.successes", 9989),
    ("uniform", "estimate.samples", 10001),
    ("uniform", "estimate.alpha", "1/101"),
    ("uniform", "scope.confidence", "0.991"),
    ("uniform", "frontier.1.d", 3),
    ("uniform", "schema", "hybridcert/certificate/2"),
]


@pytest.mark.parametrize(("name", "path", "value"), TAMPERED)
def test_tampering_with_the_law_or_the_counts_is_noticed(name: str, path: str, value: object):
    document = specimen(name)
    _tamper(path, value)(document)
    refused(document)


def test_unknown_versions_name_the_known_ones():
    document = specimen("given")
    for schema in ("hybridcert/certificate/2", "x", None, 1, []):
        document["schema"] = schema
        refused(document, "this verifier knows hybridcert/certificate/1")


def test_ties_are_settled_exactly():
    """p_adv may equal D, also where D is a rational that no ball holds exactly."""
    document = specimen("given")
    document["estimate"]["p_lower"] = document["frontier"][0]["p_adv"] = "1/3"
    document["frontier"][0].update({"certified": False, "radius": None})
    document["frontier"][0]["witnesses"][0].update({"log_t": None, "log_t_at_zero": ["0"]})
    assert holds(document)
    document["frontier"][0]["p_adv"] = "33333333333333333333333333333334/100000000000000000000000000000000"
    refused(document, "D >= p_adv does not hold")
    flat = specimen("randomized-response")  # B = 0: D does not depend on u between two ratios
    flat["estimate"] = {"method": "given", "p_lower": "9/14"}
    flat["scope"]["confidence"] = None
    flat["law"]["discrete"][0].update({"ratio": "9", "positions": [[6, 1]]})
    point = flat["frontier"][1]
    flat["frontier"] = [point]
    point.update({"d": 1, "certified": False, "radius": None, "p_adv": "1/14"})
    point["witnesses"] = [{"change": [{"positions": [[0, 0, 1]]}], "log_t": None, "log_t_at_zero": ["-1"]}]
    assert holds(flat)
    point["p_adv"] = str(Fraction(1, 14) + Fraction(1, 10**40))
    refused(flat, "D >= p_adv")


def test_a_tail_that_equals_alpha_is_accepted():
    document = specimen("given")
    document["estimate"] = {
        "method": "clopper-pearson",
        "samples": 2,
        "successes": 2,
        "alpha": "1/9",
        "p_lower": "1/3",
    }
    document["scope"]["confidence"] = "0.8"
    point = document["frontier"][0]
    point.update({"certified": False, "radius": None, "p_adv": "0"})
    point["witnesses"][0].update({"log_t": None, "log_t_at_zero": [None]})
    assert holds(document)
    document["estimate"]["alpha"] = "100000000000000000000000/900000000000000000000001"
    refused(document, "estimate.p_lower")


def test_floats_in_order():
    assert _float(_order(1.5) + 1) == math.nextafter(1.5, 2.0)
