"""Estimates of samples that could stop early: what is proven holds, and whatever says more is refused."""

from __future__ import annotations

import functools
import itertools
import json
import math
import time
from fractions import Fraction
from typing import Any

import pytest
from flint import arb, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st
from issuing import hexadecimal, largest_float
from sequences import crossing as crossing_by_hand
from sequences import evidence
from specimens import BOUNDARIES, SHARES
from test_hostile import assert_refused
from test_refusals import _tamper, refused, specimen

from balls import ball, precision
from hybridcert.verify import explain, limits, verify_document
from hybridcert.verify.binomial import binomial_window, window_terms
from hybridcert.verify.decisions import crossing_at_most, evidence_suffices
from hybridcert.verify.sequential import (
    crossing,
    crossing_units,
    exact_crossing,
    exact_evidence,
    log_evidence,
    stages_of,
)

Json = dict[str, Any]
Counts = tuple[int, ...]
BITS = 192
inner = st.fractions(Fraction(1, 1000), Fraction(999, 1000), max_denominator=1000)


def rational(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


@st.composite
def plans(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    """Looks, boundaries, a look and successes there."""
    looks = tuple(sorted(draw(st.sets(st.integers(1, 40), min_size=1, max_size=5))))
    certify_at = tuple(draw(st.integers(0, n + 1)) for n in looks)
    look = draw(st.integers(0, len(looks) - 1))
    return looks, certify_at, look, draw(st.integers(0, looks[look]))


@given(plans(), inner)
def test_crossing_probabilities_are_those_of_paths_followed_copy_by_copy(plan, p: Fraction):
    looks, certify_at, look, successes = plan
    stages = stages_of(looks, certify_at, look, successes)
    with precision(BITS):
        expected = crossing_by_hand(tuple(zip(looks, certify_at, strict=True)), look, successes, p)
        found = crossing(stages, rational(p), BITS)
        assert found.overlaps(expected)
        assert float(found.rad()) < 1e-50
        assert found.overlaps(arb(exact_crossing(stages, rational(p))))


LONG = [(0.993, 0.99), (0.513, 0.5), (0.007, 0.004), (0.9999, 0.999)]


@pytest.mark.parametrize(("share", "p"), LONG)
def test_long_paths_are_those_followed_copy_by_copy(share: float, p: float):
    looks, exact = (1_000, 1_500, 2_500), Fraction(p)
    certify_at = tuple(math.ceil(n * share + 2.5 * math.sqrt(n * share * (1 - share))) for n in looks)
    look, last = 2, min(certify_at[2], 2_500)
    stages = stages_of(looks, certify_at, look, last)
    with precision(BITS):
        below = crossing_by_hand(tuple(zip(looks, certify_at, strict=True)), look, last, exact)
        assert crossing(stages, rational(exact), BITS).overlaps(below)


@given(st.integers(1, 3000), inner, st.sampled_from([64, 128, 512]))
def test_windows_hold_all_but_a_negligible_part(n: int, p: Fraction, bits: int):
    first, masses, left_out = binomial_window(n, rational(p), bits)
    assert len(masses) <= window_terms(n, rational(p), bits) + 40
    with precision(bits + 64):
        total = sum(masses, arb(0))
        assert left_out < arb(2) ** (1 - bits)
        assert total <= 1 + arb(2) ** (20 - bits)
        assert total + left_out >= 1 - arb(2) ** (20 - bits)
        for index in {0, len(masses) // 2, len(masses) - 1}:
            j = first + index
            exact = ball(Fraction(math.comb(n, j)) * p**j * (1 - p) ** (n - j))
            assert masses[index].overlaps(exact)


@given(st.integers(0, 30), st.integers(0, 30), inner, st.fractions(0, 5), st.fractions(0, 5))
def test_mixtures_are_the_ratios_of_the_page(k: int, failures: int, p: Fraction, a: Fraction, b: Fraction):
    a, b = a + Fraction(1, 7), b + Fraction(1, 7)
    expected = evidence(k, k + failures, p, a, b)
    prior = rational(a), rational(b)
    assert exact_evidence(k, k + failures, rational(p), prior) == rational(expected)
    with precision(BITS):
        found = log_evidence(k, k + failures, rational(p), prior, BITS)
        assert found.overlaps(ball(expected).log())
        assert float(found.rad()) < 1e-40


# --- validity, by adding up all outcomes ------------------------------------------------------------------


@functools.cache
def bound(looks: Counts, certify_at: Counts, look: int, k: int, alpha: Fraction) -> Fraction:
    """What the rule of the page gives for an outcome."""
    stages, level = stages_of(looks, certify_at, look, k), rational(alpha)

    def holds(p: float) -> bool:
        return p == 0 or (p < 1 and crossing_at_most(stages, fmpq(*p.as_integer_ratio()), level)[0] is None)

    found = largest_float(holds, 1.0)
    assert found is not None
    return Fraction(found)


@settings(max_examples=40)
@given(data=st.data(), alpha=st.sampled_from([Fraction(1, 20), Fraction(1, 4)]))
def test_bounds_of_a_design_are_wrong_with_probability_at_most_alpha(data: st.DataObject, alpha: Fraction):
    """All paths of a small design, each ended anywhere by an adversary who sees it all."""
    looks = (3, 5, 7)
    certify_at = tuple(data.draw(st.integers(n // 2, n + 1)) for n in looks)
    p = data.draw(st.fractions(Fraction(1, 20), Fraction(19, 20), max_denominator=20))
    wrong = Fraction(0)
    for path in itertools.product((0, 1), repeat=looks[-1]):
        crossed = next((i for i, n in enumerate(looks) if sum(path[:n]) >= certify_at[i]), None)
        drawn = looks[-1] if crossed is None else looks[crossed]
        ends = [(len(looks) - 1, sum(path[:n])) for n in range(drawn)]
        ends.append((len(looks) - 1 if crossed is None else crossed, sum(path[:drawn])))
        largest = max(bound(looks, certify_at, look, k, alpha) for look, k in ends)
        if largest > p:
            wrong += p ** sum(path) * (1 - p) ** (looks[-1] - sum(path))
    assert wrong <= alpha


@pytest.mark.parametrize("p", [Fraction(1, 10), Fraction(1, 2), Fraction(4, 5), Fraction(19, 20)])
def test_bounds_of_a_mixture_are_wrong_at_any_time_with_probability_at_most_alpha(p: Fraction):
    alpha, prior = fmpq(1, 5), (fmpq(1), fmpq(1, 2))
    alive, wrong = {0: Fraction(1)}, Fraction(0)
    for n in range(1, 120):
        grown: dict[int, Fraction] = {}
        for k, mass in alive.items():
            for more, share in ((1, p), (0, 1 - p)):
                grown[k + more] = grown.get(k + more, Fraction(0)) + mass * share
        exceeding = [k for k in grown if evidence_suffices(k, n, rational(p), prior, alpha)[0] is None]
        wrong += sum((grown.pop(k) for k in exceeding), Fraction(0))
        alive = grown
    assert 0 < wrong <= Fraction(1, 5)


# --- refusals ---------------------------------------------------------------------------------------------

ULP_UP = ["looks", "looks-top-k", "group-sequential", "group-sequential-ended", "beta-mixture"]


@pytest.mark.parametrize("name", [*ULP_UP, "group-sequential-last", "beta-mixture-top-1"])
def test_the_next_float_is_refused(name: str):
    document = specimen(name)
    estimate = document["estimate"]
    if name == "beta-mixture-top-1":
        estimate["p_upper"] = "1"
    estimate["p_lower"] = hexadecimal(math.nextafter(float.fromhex(estimate["p_lower"]), 1.0))
    refused(document, "does not hold")
    estimate["p_lower"] = "0"
    assert not any(reason.startswith("estimate") for reason in verify_document(document).reasons)


MOVED = [
    ("looks", "estimate.successes", 290, "estimate.p_lower: P(Bin(samples, p_lower) >= 290) <= looks[1][1]"),
    ("looks", "estimate.samples", 1000, "estimate.p_lower: P(Bin(samples, p_lower) >= 291) <= looks[2][1]"),
    ("looks", "estimate.samples", 301, "estimate.samples: must be the number of samples of a look, got 301"),
    ("looks", "estimate.looks.1.0", 301, "estimate.samples: must be the number of samples of a look"),
    ("looks", "estimate.looks.1.1", "1/501", "estimate.p_lower"),
    (
        "looks",
        "estimate.looks.2.1",
        "71/10000",
        "estimate.looks: the error probabilities must sum to at most",
    ),
    ("looks", "estimate.alpha", "999/100000", "estimate.looks: the error probabilities must sum"),
    ("looks", "estimate.looks.0.1", "0", "estimate.looks[0][1]: must be in (0, 1), got '0'"),
    ("looks", "estimate.looks.0.1", "1", "estimate.looks[0][1]: must be in (0, 1), got '1'"),
    ("looks", "estimate.looks.0.1", 1, "estimate.looks[0][1]: expected a real as a string"),
    ("looks", "estimate.looks.0.0", 300, "estimate.looks[1][0]: must be an integer in [301,"),
    ("looks", "estimate.looks.0.0", 0, "estimate.looks[0][0]: must be an integer in [1,"),
    ("looks", "estimate.looks", [], "estimate.looks: expected at least one"),
    ("looks", "estimate.looks", None, "estimate.looks: expected a list, got null"),
    ("looks", "estimate.looks.1", [300], "estimate.looks[1]: expected two entries, got 1"),
    ("looks", "estimate.looks.1", [300, "1/500", 1], "estimate.looks[1]: at most 2 entries, got 3"),
    ("looks", "estimate.look", 1, "estimate: unknown key 'look'"),
    ("looks", "scope.confidence", "0.9901", "scope.confidence: must be at most 1 - alpha"),
    ("looks", "scope.confidence", "0.998", "scope.confidence: must be at most 1 - alpha"),
    ("looks-top-k", "estimate.looks.1.1", "1/501", "estimate.p_upper: P(Bin(samples, p_upper) <= 20)"),
    ("looks-top-k", "estimate.looks.2.1", "71/10000", "estimate.looks: the error probabilities"),
    ("looks-top-k", "estimate.counts.3", 11, "with a sum of 300, got 4 with sum 301"),
    ("given", "estimate.looks", [[1, "1/2"]], "estimate: unknown key 'looks'"),
    ("given", "estimate.prior", ["1", "1"], "estimate: unknown key 'prior'"),
    ("group-sequential", "estimate.look", 2, "estimate.look: this outcome counts at look 3, got 2"),
    ("group-sequential", "estimate.look", 5, "estimate.look: this outcome counts at look 3, got 5"),
    ("group-sequential", "estimate.look", True, "estimate.look: expected a JSON integer, got true"),
    ("group-sequential", "estimate.successes", 293, "estimate.successes: expected the 292 of"),
    ("group-sequential", "estimate.successes", 301, "estimate.successes: must be an integer in [0, 300]"),
    ("group-sequential", "estimate.successes_at.3", 293, "expected the 293 of estimate.successes_at[3]"),
    ("group-sequential", "estimate.successes_at.3", 295, "must be an integer in [144, 294], got 295"),
    ("group-sequential", "estimate.successes_at.3", 290, "must be an integer in [290, 290], got 292"),
    ("group-sequential", "estimate.successes_at.2", 148, "certifies at 150 samples, where sampling had to"),
    (
        "group-sequential",
        "estimate.successes_at.2",
        141,
        "[3]: must be an integer in [141, 291], got 292",
    ),
    ("group-sequential", "estimate.successes_at.1", 61, "must be an integer in [20, 60], got 61"),
    ("group-sequential", "estimate.successes_at.1", 19, "must be an integer in [20, 60], got 19"),
    ("group-sequential", "estimate.successes_at.0", 21, "must be an integer in [0, 20], got 21"),
    ("group-sequential", "estimate.successes_at", [20, 58, 144], "300 samples reach 4 looks, got 3"),
    ("group-sequential", "estimate.successes_at", {}, "estimate.successes_at: expected a list"),
    ("group-sequential", "estimate.samples", 299, "299 samples reach 3 looks, got 4"),
    ("group-sequential", "estimate.samples", 301, "certifies at 300 samples, where sampling had to stop"),
    ("group-sequential", "estimate.samples", 601, "estimate.samples: must be at most the last look, 600"),
    ("group-sequential", "estimate.alpha", "1/101", "estimate.p_lower: P_p_lower(certified before looks[3]"),
    ("group-sequential", "estimate.looks.2.1", 145, "estimate.p_lower"),
    ("group-sequential", "estimate.looks.2.1", 144, "certifies at 150 samples"),
    ("group-sequential", "estimate.looks.0.1", 22, "estimate.looks[0][1]: must be an integer in [0, 21]"),
    ("group-sequential", "estimate.looks.0.1", -1, "estimate.looks[0][1]: must be an integer in [0, 21]"),
    ("group-sequential", "estimate.looks.0.1", "21", "estimate.looks[0][1]: expected a JSON integer"),
    ("group-sequential", "estimate.looks.3.1", 293, "estimate.look: this outcome counts at look 5, got 3"),
    ("group-sequential", "estimate.looks.3.0", 310, "300 samples reach 3 looks, got 4"),
    ("group-sequential", "estimate.looks.3.0", 150, "estimate.looks[3][0]: must be an integer in [151,"),
    ("group-sequential", "estimate.p_upper", "1", "estimate: unknown key 'p_upper'"),
    ("group-sequential-last", "estimate.successes_at.5", 565, "must be an integer in [565, 565], got 566"),
    ("group-sequential-last", "estimate.look", 4, "this outcome counts at look 5, got 4"),
    ("group-sequential-last", "estimate.looks.4.1", 379, "estimate.p_lower"),
    ("group-sequential-ended", "estimate.successes", 565, "must be an integer in [384, 564]"),
    ("group-sequential-ended", "estimate.successes", 555, "at least 555 successes there) <= alpha does not"),
    ("group-sequential-ended", "estimate.looks.5.0", 601, "estimate.p_lower"),
    ("beta-mixture", "estimate.samples", 501, "estimate.p_lower: B(a + successes, b + failures) / B(a, b)"),
    ("beta-mixture", "estimate.successes", 479, "does not hold"),
    ("beta-mixture", "estimate.alpha", "1/101", "does not hold"),
    ("beta-mixture", "estimate.prior.0", "1/3", "does not hold"),
    ("beta-mixture", "estimate.prior.0", "0", "estimate.prior[0]: must be in (0, inf), got '0'"),
    ("beta-mixture", "estimate.prior.1", "-1", "estimate.prior[1]: must be in (0, inf)"),
    ("beta-mixture", "estimate.prior", ["1"], "estimate.prior: expected two parameters, got 1"),
    ("beta-mixture", "estimate.prior", ["1", "1", "1"], "estimate.prior: at most 2 entries, got 3"),
    ("beta-mixture", "estimate.prior", "1", "estimate.prior: expected a list"),
    ("beta-mixture", "estimate.looks", [[500, "1/100"]], "estimate: unknown key 'looks'"),
    ("beta-mixture", "estimate.p_lower", "97/100", "does not hold"),
    ("beta-mixture-top-1", "claim.k", 2, "'beta-mixture' proves top-k claims with k = 1, got 2"),
    ("beta-mixture-top-1", "estimate.p_upper", "1/20", "estimate.p_upper: must be at least 1 - p_lower"),
    ("top-1", "estimate.method", "group-sequential", "'group-sequential' is for score claims"),
    ("uniform", "estimate.method", "group-sequential", "estimate: the key 'looks' is missing"),
    ("uniform", "estimate.method", "beta-mixture", "estimate: the key 'prior' is missing"),
    ("uniform", "estimate.method", ["beta-mixture"], "estimate.method: expected 'clopper-pearson', "),
]


@pytest.mark.parametrize(("name", "path", "value", "expected"), MOVED)
def test_every_field_that_says_more_is_refused(name: str, path: str, value: object, expected: str):
    document = specimen(name)
    _tamper(path, value)(document)
    refused(document, expected)


def test_a_budget_may_be_spent_to_the_last():
    document = specimen("looks")
    assert sum(Fraction(share) for _, share in document["estimate"]["looks"]) == Fraction(1, 100)
    document["estimate"]["looks"][2][1] = "7000000000000000000000000001/1000000000000000000000000000000"
    refused(document, "estimate.looks: the error probabilities must sum to at most alpha")


def test_boundaries_after_the_outcome_do_not_matter():
    document = specimen("group-sequential")
    document["estimate"]["looks"][5][1] = 0
    assert verify_document(document).ok


def proving(estimate: Json) -> Json:
    """A document that claims nothing beyond its estimate."""
    document = specimen("given")
    document["estimate"] = estimate
    document["scope"]["confidence"] = "0.5"
    point = document["frontier"][0]
    point.update({"certified": False, "radius": None, "p_adv": "0"})
    point["witnesses"][0].update({"log_t": None, "log_t_at_zero": [None]})
    return document


def test_ties_are_settled_in_rationals():
    estimate = {"method": "group-sequential", "samples": 2, "successes": 1, "alpha": "5/9", "look": 1}
    estimate |= {"looks": [[1, 2], [2, 2]], "successes_at": [0, 1], "p_lower": "1/3"}
    document = proving(estimate)
    document["scope"]["confidence"] = "0.4"
    assert verify_document(document).ok  # 1 - (2/3)^2 = 5/9
    estimate["alpha"] = "5000000000000000000000000000000/9000000000000000000000000000001"
    refused(document, "does not hold")
    mixture = {"method": "beta-mixture", "samples": 1, "successes": 1, "alpha": "1/2", "prior": ["1", "1"]}
    document = proving(mixture | {"p_lower": "1/4"})
    assert verify_document(document).ok  # (1/2) / (1/4) = 2
    document["estimate"]["p_lower"] = "25000000000000000000000000000001/100000000000000000000000000000000"
    refused(document, "does not hold")


# --- hostile sizes ----------------------------------------------------------------------------------------


def _hostile(name: str) -> Json:
    most = limits.LOOKS
    estimate: Json = {"method": "group-sequential", "alpha": "1/100", "p_lower": "1/2", "look": 0}
    match name:
        case "too many looks":
            looks = [[n, n + 1] for n in range(1, most + 2)]
            estimate |= {"samples": 1, "successes": 1, "looks": looks, "successes_at": [1]}
        case "many wide looks":
            looks = [[10**7 * n, 5 * 10**6 * n + 10**4] for n in range(1, most + 1)]
            path = [5 * 10**6 * n for n in range(1, most + 1)]
            estimate |= {"samples": 10**10, "successes": path[-1], "looks": looks, "successes_at": path}
            estimate["look"] = most - 1
        case "one huge look":
            looks = [[5 * 10**9, 5 * 10**9 + 1], [10**10, 10**10]]
            path = [25 * 10**8, 5 * 10**9]
            estimate |= {"samples": 10**10, "successes": path[-1], "looks": looks, "successes_at": path}
            estimate["look"] = 1
        case "many short looks":
            looks = [[n, n * 3 // 4 + 5] for n in range(1, most + 1)]
            path = [n // 2 for n in range(1, most + 1)]
            estimate |= {"samples": most, "successes": path[-1], "looks": looks, "successes_at": path}
            estimate["look"] = most - 1
        case "many shares":
            looks = [[n, f"1/{10**12 + n}"] for n in range(1, most + 2)]
            estimate = {"method": "clopper-pearson", "samples": 5, "successes": 5, "alpha": "1/100"}
            estimate |= {"looks": looks, "p_lower": "1/2"}
        case "long shares":
            looks = [[n, f"1/{'7' * 990}{n}"] for n in range(1, most + 1)]
            estimate = {"method": "clopper-pearson", "samples": 5, "successes": 5, "alpha": "1/100"}
            estimate |= {"looks": looks, "p_lower": "1/2"}
        case "extreme prior":
            prior = [f"1/{'9' * 1900}", "9" * 1900]
            estimate = {"method": "beta-mixture", "samples": 10**10, "successes": 10**10, "alpha": "1/100"}
            estimate |= {"prior": prior, "p_lower": "0x1.fffffffffffffp-1"}
        case "long probability":
            looks = [[n, n + 1] for n in range(1, most)] + [[10**6, 10**6]]
            path = [0] * (most - 1) + [999_999]
            estimate |= {"samples": 10**6, "successes": 999_999, "looks": looks, "successes_at": path}
            estimate |= {"look": most - 1, "p_lower": f"{'9' * 990}/1{'0' * 990}"}
    return proving(estimate)


SIZES = ["too many looks", "many wide looks", "one huge look", "many short looks", "many shares"]
SIZES += ["long shares", "extreme prior", "long probability"]


@pytest.mark.parametrize("name", SIZES)
def test_hostile_sizes_are_answered_soon(name: str):
    document = _hostile(name)
    started = time.process_time()
    assert_refused(verify_document(document))
    assert time.process_time() - started < 60  # a few seconds on an idle core


def test_work_grows_with_looks_and_samples():
    p = fmpq(1, 2)
    few = crossing_units(((100, 40), (200, 80)), p, 128)
    assert few < crossing_units(tuple((50 * i, 20 * i) for i in range(1, 5)), p, 128)
    assert few < crossing_units(((10_000, 4_000), (20_000, 8_000)), p, 128) < limits.SECOND
    assert crossing_units(tuple((10**7 * i, 10**6 * i) for i in range(1, 1001)), p, 128) > limits.WORK


FUZZED = ["looks", "looks-top-k", "group-sequential", "group-sequential-ended", "beta-mixture"]
numbers = st.one_of(
    st.integers(-1, 700),
    st.sampled_from(["1/100", "1/1000", "0x1p-1", "0", "1", 10**10, None, True, [], [1, 2], [[1, "1/2"]]]),
)


@settings(max_examples=300)
@given(name=st.sampled_from(FUZZED), value=numbers, data=st.data())
def test_replaced_entries_never_break_the_verifier(name: str, value: Any, data: st.DataObject):
    document = specimen(name)
    estimate = document["estimate"]
    key = data.draw(st.sampled_from(sorted(estimate)))
    holder: Any = estimate
    while isinstance(holder[key], list) and data.draw(st.booleans()):
        holder, key = holder[key], data.draw(st.integers(0, len(holder[key]) - 1))
    holder[key] = value
    verdict = verify_document(document)
    if not verdict.ok:
        assert_refused(verdict)


# --- explanations -----------------------------------------------------------------------------------------


def explained(name: str) -> str:
    document = specimen(name)
    return "\n".join(explain(document, verify_document(document)))


def test_what_could_have_stopped_the_sampling_is_said():
    text = explained("looks")
    assert "over the draw of at most 1000 noisy samples (300 were drawn), which proves" in text
    assert "Sampling could stop at 3 looks, for any reason" in text
    assert "this one 0.002, and the shares add up to no more than all of it." in text
    text = explained("group-sequential")
    assert "they reached it at look 4, as the listed successes show." in text
    assert "all paths of successes that are at least as extreme proves the clean score" in text
    assert "all looks, and what belongs to each, must come first" in text
    assert "they count as an outcome of all 600 samples." in explained("group-sequential-last")
    text = explained("group-sequential-ended")
    assert "as an outcome of all 600 samples, the 20 samples not drawn as failures." in text
    text = explained("beta-mixture-top-1")
    assert "any number of noisy samples (500 were drawn)" in text
    assert "by a mixture of likelihoods with prior Beta(5, 0.333333)." in text
    assert "and those of all" not in text
    assert "Sampling" not in explained("uniform")


def test_what_the_specimens_are_made_of():
    assert json.loads(json.dumps(SHARES)) == specimen("looks")["estimate"]["looks"]
    assert json.loads(json.dumps(BOUNDARIES)) == specimen("group-sequential")["estimate"]["looks"]
