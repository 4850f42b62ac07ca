"""Whatever a stranger writes is answered with one line, soon, and never with an acceptance or a traceback."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st
from test_refusals import _tamper, specimen, text_of

from hybridcert.errors import DataError
from hybridcert.verify import Verdict, limits, verify_document, verify_text
from hybridcert.verify.balls import precision
from hybridcert.verify.changes import EnvelopeChange
from hybridcert.verify.envelope import super_position
from hybridcert.verify.estimate import check_estimate
from hybridcert.verify.meter import Meter
from hybridcert.verify.pairs import Pair, dominates
from hybridcert.verify.verdict import read_certificate

Json = dict[str, Any]


def assert_refused(verdict: Verdict) -> str:
    assert not verdict.ok
    assert verdict.reasons
    for reason in verdict.reasons:
        assert reason.isprintable()
        assert len(reason) < 600
        assert "broke down" not in reason
    return verdict.reasons[0]


BROKEN_TEXTS: list[tuple[str | bytes, str]] = [
    ("", "not JSON"),
    ("{", "not JSON"),
    ("[]", "expected an object, got a list"),
    ("null", "expected an object, got null"),
    ('"x"', "expected an object"),
    ("1", "expected an object"),
    ("{}", "unknown version null"),
    (b"\xff\xfe", "not UTF-8"),
    ('{"schema": 1, "schema": 2}', "the key 'schema' occurs twice"),
    ('{"a": NaN}', "NaN is not a number"),
    ('{"a": -Infinity}', "-Infinity is not a number"),
    ('{"a": 0.5}', "JSON floats are refused"),
    ('{"a": 1e400}', "JSON floats are refused"),
    ('{"a": ' + "9" * 5000 + "}", "at most 18 digits"),
    ('{"a": ' + "9" * 19 + "}", "at most 18 digits"),
    ("[" * 100_000, "nested too deeply"),
    ('{"a":' * 100_000, "nested too deeply"),
    ('{"a": ' + "[" * 100 + "]" * 100 + "}", "nested more than 32 deep"),
    ('{"\\ud800": 1}', "not Unicode"),
    (b"\x00" * 100, "not JSON"),
]


@pytest.mark.parametrize(("text", "expected"), BROKEN_TEXTS)
def test_broken_texts(text: str | bytes, expected: str):
    assert expected in assert_refused(verify_text(text))


def test_documents_beyond_the_size_limit_are_not_parsed():
    assert "longer than" in assert_refused(verify_text(" " * (limits.DOCUMENT_BYTES + 1)))


def test_a_repeated_key_is_found_soon_among_many():
    keys = ",".join(f'"k{i}":0' for i in range(200_000))
    started = time.monotonic()
    assert "the key 'z' occurs twice" in assert_refused(verify_text(f'{{{keys},"z":0,"z":0}}'))
    assert time.monotonic() - started < 10  # a fraction of a second


@pytest.mark.parametrize("value", ["{}", "0", "[]", '{"a":0}'])
def test_documents_of_too_many_values_are_not_parsed(value: str):
    text = f"[{','.join([value] * (limits.VALUES + 1))}]"
    assert "more than 2000000 values" in assert_refused(verify_text(text[: limits.DOCUMENT_BYTES]))


@pytest.mark.parametrize(
    "value", [None, 1, "x", [], {1: 2}, {"schema": object()}, {"a": float("nan")}, {"a": 0.5}, {"a": b"x"}]
)
def test_documents_that_are_no_json(value: Any):
    assert_refused(verify_document(value))


def test_a_document_that_holds_itself():
    document: Json = {}
    document["schema"] = [document]
    assert "nested more than" in assert_refused(verify_document(document))


@pytest.mark.parametrize("key", list(specimen("uniform")))
def test_every_section_must_be_there(key: str):
    document = specimen("uniform")
    del document[key]
    assert key in assert_refused(verify_document(document))
    document = specimen("uniform")
    document[key] = None
    assert key in assert_refused(verify_document(document))


WRONG: list[tuple[str, str, object, str]] = [
    ("uniform", "extra", 1, "document: unknown key 'extra'"),
    ("uniform", "claim.kind", "other", "claim.kind: expected 'score' or 'top-k'"),
    ("uniform", "claim.threshold", "0", "claim.threshold: must be in (0, 1), got '0'"),
    ("uniform", "claim.threshold", "1", "claim.threshold: must be in (0, 1)"),
    ("uniform", "claim.threshold", "nan", "claim.threshold: expected a real"),
    ("uniform", "claim.threshold", 1, "claim.threshold: expected a real as a string"),
    ("uniform", "claim.label", 1, "claim.label: expected a string, got 1"),
    ("uniform", "estimate.method", "guess", "estimate.method: expected 'clopper-pearson'"),
    ("uniform", "estimate.method", "clopper-pearson-bonferroni", "is for top-k claims"),
    ("uniform", "estimate.samples", 0, "estimate.samples: must be an integer in [1,"),
    ("uniform", "estimate.samples", True, "estimate.samples: expected a JSON integer, got true"),
    ("uniform", "estimate.samples", 10**11, "estimate.samples: must be an integer in"),
    ("uniform", "estimate.successes", 10**5, "estimate.successes: must be an integer in [0, 10000]"),
    ("uniform", "estimate.successes", -1, "estimate.successes"),
    ("uniform", "estimate.successes", "5", "estimate.successes: expected a JSON integer"),
    ("uniform", "estimate.alpha", "0", "estimate.alpha: must be in (0, 1)"),
    ("uniform", "estimate.p_lower", "-1/2", "estimate.p_lower: must be in [0, 1)"),
    ("uniform", "estimate.p_upper", "1", "estimate: unknown key 'p_upper'"),
    ("uniform", "scope.confidence", None, "scope.confidence: expected a decimal string"),
    ("uniform", "scope.confidence", "9" * 1000, "scope.confidence: expected a decimal string"),
    ("given", "scope.confidence", "0.5", "scope.confidence: must be absent"),
    ("uniform", "assumptions", [], "assumptions: expected at least one"),
    ("uniform", "assumptions", [1], "assumptions[0]: expected a string"),
    ("uniform", "provenance", [], "provenance: expected an object"),
    ("uniform", "law.discrete", {}, "law.discrete: expected a list"),
    ("uniform", "law.discrete.0", 1, "law.discrete[0]: expected an object, got 1"),
    ("uniform", "law.discrete.0.kernel", "magic", "law.discrete[0].kernel: unknown kernel 'magic'"),
    ("uniform", "law.discrete.0.kernel", ["x"], "unknown kernel a list"),
    ("uniform", "law.discrete.0.beta", "0", "law.discrete[0].beta: must be in (0, 1], got '0'"),
    ("uniform", "law.discrete.0.beta", "3/2", "law.discrete[0].beta: must be in (0, 1]"),
    ("uniform", "law.discrete.0.positions", [[1, 8]], "positions[0][0]: must be an integer in [2,"),
    ("uniform", "law.discrete.0.positions", [[50]], "expected [class, count], got 1 entries"),
    ("uniform", "law.discrete.0.positions", [[50, -1]], "positions[0][1]: must be an integer in [0,"),
    ("uniform", "threat.discrete.0.modality", "other", "the law has no discrete modality 'other'"),
    ("uniform", "threat.discrete.0.kind", "flips", "kernel 'uniform' takes substitution, fields"),
    ("uniform", "threat.discrete.0.max_d", 1, "frontier[2].d: must be an integer in [0, 1], got 2"),
    ("uniform", "threat.discrete.0.max_d", 10**7, "threat.discrete[0].max_d: must be an integer in"),
    ("uniform", "threat.discrete.0.max_additions", 1, "applies to the kind 'flips' only"),
    ("uniform", "threat.continuous.norm", "l1", "'l1' wants exactly one continuous modality, laplace"),
    ("uniform", "threat.continuous.norm", "l7", "expected l2, l1, mahalanobis or none"),
    ("uniform", "threat.continuous.norm", "none", "radius: must be 0 without a continuous threat"),
    ("uniform", "threat.continuous.unit", "pixels in [0, 255]", "must be that of the noise"),
    ("uniform", "law.continuous.0.sigma", "0", "law.continuous[0].sigma: must be in (0, inf)"),
    ("uniform", "law.continuous.0.sigma", ["1"], "expected one scale for each of 64 features, got 1"),
    ("uniform", "law.continuous.0.kernel", "cauchy", "expected 'gaussian' or 'laplace'"),
    ("uniform", "law.continuous.0.modality", "text", "'text' occurs twice"),
    ("uniform", "law.continuous", [], "'l2' wants exactly one continuous modality"),
    ("laplace", "threat.continuous.norm", "mahalanobis", "wants continuous modalities, all Gaussian"),
    ("mahalanobis", "threat.continuous.norm", "l2", "wants exactly one continuous modality"),
    ("mahalanobis", "law.continuous.0.sigma.1", "-1", "law.continuous[0].sigma[1]: must be in (0, inf)"),
    ("uniform", "frontier", [], "frontier: expected at least one point"),
    ("uniform", "frontier.1.d", 0, "the budget 0 occurs twice"),
    ("uniform", "frontier.1.d", [1], "frontier[1].d: expected a JSON integer"),
    ("uniform", "frontier.1.d", True, "frontier[1].d: expected a JSON integer, got true"),
    ("uniform", "frontier.1.certified", 1, "frontier[1].certified: expected true or false"),
    ("uniform", "frontier.1.certified", False, "frontier[1].radius: must be null"),
    ("uniform", "frontier.1.radius", None, "frontier[1].radius: expected a real"),
    ("uniform", "frontier.1.radius", "-1", "frontier[1].radius: must be in [0, inf)"),
    ("uniform", "frontier.1.p_adv", "-1", "frontier[1].p_adv: must be in [0, inf)"),
    ("uniform", "frontier.1.witnesses.0.log_t", None, "witnesses[0].log_t: expected a list"),
    ("uniform", "frontier.1.witnesses.0.log_t", [], "expected 1 entries for a score claim, got 0"),
    ("uniform", "frontier.1.witnesses.0.log_t", [None], "frontier[1].radius: D > threshold does not hold"),
    ("uniform", "frontier.1.witnesses.0.log_t", ["0x1p+50"], "must be at most 1099511627776 in size"),
    ("uniform", "frontier.1.witnesses.0.change", [], "expected one change per threatened modality, 1, got 0"),
    ("uniform", "frontier.1.witnesses.0.change.0.positions", [[1, 0, 1]], "no class 1 with an option 0"),
    ("uniform", "frontier.1.witnesses.0.change.0.positions", [[0, 1, 1]], "no class 0 with an option 1"),
    ("uniform", "frontier.1.witnesses.0.change.0.positions", [[0, 0, 9]], "class 0 has 8 positions, got 9"),
    ("uniform", "frontier.1.witnesses.0.change.0.positions", [[0, 0]], "expected [class, option, count]"),
    (
        "uniform",
        "frontier.1.witnesses.0.change.0",
        {"insertions": 1, "deletions": 1},
        "'positions' is missing",
    ),
    ("edit", "frontier.0.witnesses.0.change.0", {"positions": []}, "'insertions' is missing"),
    ("edit", "law.discrete.0.length", "30", "law.discrete[0].length: expected a JSON integer"),
    ("envelope", "frontier.0.witnesses.0.change.0.envelope.base", "1", "must be in (1, inf), got '1'"),
    ("envelope", "frontier.0.witnesses.0.change.0.envelope.exponents", [3, 2], "expected lo <= hi"),
    (
        "envelope",
        "frontier.0.witnesses.0.change.0.envelope.exponents",
        [-(10**6), 0],
        "must be an integer in",
    ),
    ("mahalanobis", "frontier.0.d", 1, "frontier[0].d: must be an integer in [0, 0], got 1"),
    ("two-modalities", "frontier.0.d", [1], "frontier[0].d: expected 2 budgets, got 1"),
    ("two-modalities", "frontier.0.d", 1, "frontier[0].d: expected a list"),
    ("top-1", "claim.k", 0, "claim.k: must be an integer in [1,"),
    ("top-1", "claim.classes", 1, "claim.classes: must be an integer in [2,"),
    ("top-1", "estimate.p_upper", "0", "estimate.p_upper: must be at least 1 - p_lower"),
    ("top-k", "estimate.counts", [1, 2], "expected 5 counts with a sum of 10000, got 2"),
    ("top-k", "estimate.counts.0", 9999, "with sum"),
    ("top-k", "estimate.label_index", 5, "estimate.label_index: must be an integer in [0, 4]"),
    ("top-k", "estimate.counts.4", 50, "expected 5 counts with a sum of 10000, got 5 with sum 9950"),
    ("uniform", "law.discrete.0.symbols", 1, "law.discrete[0].symbols: expected a string, got 1"),
    ("edit", "law.discrete.0.symbols", "x" * 201, "symbols: at most 200 characters, got 201"),
    ("edit", "law.discrete.0.symbol", "words", "law.discrete[0]: unknown key 'symbol'"),
    ("matrix", "law.discrete.0.rows.0", ["1", "1"], "rows[0]: expected 3 weights"),
    (
        "matrix",
        "law.discrete.0.rows.0",
        ["0", "0", "0"],
        "rows[0]: expected 3 weights >= 0 that are not all 0",
    ),
    ("matrix", "law.discrete.0.rows.0.1", "-1", "rows[0]: expected 3 weights >= 0"),
    ("matrix", "law.discrete.0.rows", [], "rows: expected at least one row"),
    ("matrix", "law.discrete.0.substitutions", [[0, 0]], "no substitute for itself"),
    ("matrix", "law.discrete.0.substitutions", [[0, 1], [0, 1]], "occurs twice"),
    ("matrix", "law.discrete.0.substitutions", [[0, 3]], "must be an integer in [0, 2], got 3"),
    ("synonyms", "law.discrete.0.positions.0.0.1.0", [10, 11], "must be an integer in [0, 10], got 11"),
    ("absorbing", "law.discrete.0.positions.0.0", "word", "the class of kernel 'absorbing' is 'symbol'"),
    ("flips", "law.discrete.0.positions.0.0", True, "expected a JSON integer, got true"),
    ("flips", "law.discrete.0.p_plus", "1", "p_plus: must be in [0, 1)"),
    ("randomized-response", "law.discrete.0.ratio", "0", "ratio: must be in (0, inf)"),
]


@pytest.mark.parametrize(("name", "path", "value", "expected"), WRONG)
def test_what_is_wrong_is_named_with_its_place(name: str, path: str, value: object, expected: str):
    document = specimen(name)
    _tamper(path, value)(document)
    assert expected in assert_refused(verify_document(document))


NAMES = ["uniform", "two-modalities", "envelope", "top-k", "matrix", "synonyms"]


@settings(max_examples=400)
@given(name=st.sampled_from(NAMES), data=st.data())
def test_flipped_bytes_never_break_the_verifier(name: str, data: st.DataObject):
    text = bytearray(json.dumps(specimen(name)).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    verdict = verify_text(bytes(text))
    if not verdict.ok:
        assert_refused(verdict)


@settings(max_examples=200)
@given(name=st.sampled_from(NAMES), share=st.floats(0, 1, exclude_max=True))
def test_truncated_documents_are_refused(name: str, share: float):
    text = text_of(name).strip()
    assert_refused(verify_text(text[: int(share * len(text))]))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [path, *(leaf for key, entry in value.items() for leaf in leaves(entry, (*path, key)))]
    if isinstance(value, list):
        return [path, *(leaf for i, entry in enumerate(value) for leaf in leaves(entry, (*path, i)))]
    return [path]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["0", "1", "-1", "1/2", "0x1p-1", "0x1p+1023", "1/3", "0x1p-1074", "envelope", "all"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=600)
@given(name=st.sampled_from(NAMES), value=json_values, data=st.data())
def test_replaced_values_never_break_the_verifier(name: str, value: Any, data: st.DataObject):
    document = specimen(name)
    path = data.draw(st.sampled_from([leaf for leaf in leaves(document) if leaf]))
    holder: Any = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    verdict = verify_document(document)
    if not verdict.ok:
        assert_refused(verdict)


def _heavy(name: str, **changes: object) -> Json:
    document = specimen(name)
    for path, value in changes.items():
        _tamper(path.replace("__", "."), value)(document)
    return document


def _long_uniform() -> Json:
    document = specimen("uniform")
    document["law"]["discrete"][0]["positions"] = [[50000, 10**6]]
    document["threat"]["discrete"][0]["max_d"] = 10**6
    document["frontier"] = [document["frontier"][1]]
    document["frontier"][0]["d"] = 10**6
    document["frontier"][0]["witnesses"][0]["change"] = [{"positions": [[0, 0, 10**6]]}]
    return document


def _coarse_matrix() -> Json:
    size = 300
    document = specimen("matrix")
    rows = [[str((i * 7919 + j * 104729) % 997 + 1) for j in range(size)] for i in range(size)]
    document["law"]["discrete"][0].update({"rows": rows, "substitutions": "all"})
    document["law"]["discrete"][0]["positions"] = [[x, 1] for x in range(size)]
    return document


def _prime_synonyms() -> Json:
    document = specimen("synonyms")
    positions = [[[10**6 + i, [[10**6 + 2 * i + 1, 10**5 + i]]], 1] for i in range(3000)]
    document["law"]["discrete"][0]["positions"] = positions
    document["frontier"] = document["frontier"][:1]
    return document


def _many_products() -> Json:
    document = specimen("fields")
    kinds = [{"size": 3 + i, "beta": f"{300 + i}/1000"} for i in range(40)]
    document["law"]["discrete"][0]["positions"] = [[kind, 1] for kind in kinds]
    document["threat"]["discrete"][0]["max_d"] = 40
    document["frontier"] = [document["frontier"][0]]
    document["frontier"][0]["d"] = 40
    change = [{"positions": [[i, 0, 1] for i in range(40)]}]
    document["frontier"][0]["witnesses"] = [{**document["frontier"][0]["witnesses"][0], "change": change}]
    return document


def _wide_envelope() -> Json:
    document = specimen("envelope")
    envelope = {"base": "1001/1000", "exponents": [-10_000, 10_000], "d": 10**6}
    document["frontier"][0]["witnesses"][0]["change"] = [{"envelope": envelope}]
    return document


def _tiny_shift() -> Json:
    document = specimen("uniform")
    document["frontier"][1]["radius"] = "0x1p-1074"
    document["law"]["continuous"][0]["sigma"] = "0x1p+1023"
    return document


def _many_samples() -> Json:
    document = specimen("given")
    document["estimate"] = {
        "method": "clopper-pearson",
        "samples": 10**10,
        "successes": 5 * 10**9,
        "alpha": "1/100",
        "p_lower": "1/2",
    }
    document["scope"]["confidence"] = "0.9"
    return document


def _bare(rows: list[list[str]], substitutions: int, change: Json) -> Json:
    """Symbol 0 of a matrix, with so many substitutes, and one point at d = 1."""
    document = specimen("matrix")
    law = {"rows": rows, "substitutions": [[0, i] for i in range(1, substitutions + 1)]}
    document["law"]["discrete"][0].update({**law, "positions": [[0, 5]]})
    document["frontier"][0]["witnesses"] = [{**document["frontier"][0]["witnesses"][0], "change": [change]}]
    return document


def late_matrix(size: int) -> Json:
    """Options whose comparison fails at the last ratio only."""
    rows = [["1"] * size]
    for i in range(1, size):
        spread = [10**9 + (z - size // 2) * 1000 * (size + i) for z in range(size - 1)]
        rows.append([str(weight) for weight in (*spread, 10**10 - i * 10**6)])
    return _bare(rows, size - 1, {"positions": [[0, 0, 1]]})


def flat_envelope(size: int, slopes: int, options: int) -> Json:
    """Ratios and slopes that the first precisions cannot tell from 1."""
    rows = [["1"] * size for _ in range(size)]
    for j in range(1, options + 1):
        rows[j] = [str(2**220 + i * i * j + i) for i in range(size)]
    base = f"0x1.{'0' * 59}1p0"
    envelope = {"base": base, "exponents": [-slopes, slopes], "d": 1}
    return _bare(rows, options, {"envelope": envelope})


def long_weights(size: int = 1000) -> Json:
    """Every row has one weight of many digits, which all of its masses take on."""
    rows = [["1" * 900 + "/" + "7" * 899 + "9", *["1"] * (size - 1)] for _ in range(size)]
    return _bare(rows, 1, {"positions": [[0, 0, 1]]})


def test_options_are_compared_at_the_cost_of_their_ratios():
    works = []
    for size, digits in ((100, 3), (200, 3), (200, 300)):
        total = size * (10**digits + size)
        rises = [fmpq(10**digits + 2 * z + 1, total) for z in range(size)]
        pair, meter = Pair.of((fmpq(1, size), mass) for mass in rises), Meter(limits.WORK)
        assert dominates(pair, pair, meter)
        works.append(meter.spent)
    assert 1.9 < works[1] / works[0] < 3
    assert works[2] > 10 * works[1]


def test_an_envelope_costs_the_lines_that_are_looked_at():
    certificate = read_certificate(flat_envelope(60, 100, 2))
    (change,) = certificate.points[0].witnesses[0].changes
    assert isinstance(change, EnvelopeChange)
    with precision(128):
        meter = Meter(10**9)
        super_position(change.envelope, meter, 1)
    assert meter.spent > 2 * 201 * 60  # all ratios are open at every slope
    with precision(2048):
        meter = Meter(10**9)
        super_position(change.envelope, meter, 1)
    assert meter.spent < 2 * 201 * 10


def test_the_tail_of_many_samples_costs_its_terms():
    certificate = read_certificate(_many_samples())
    meter = Meter(limits.WORK)
    assert check_estimate(certificate, meter) == [
        "estimate.p_lower: P(Bin(samples, p_lower) >= 5000000000) <= alpha does not hold"
    ]
    assert meter.spent > limits.SECOND // 10
    with pytest.raises(DataError, match="s of work"):
        check_estimate(certificate, Meter(limits.SECOND // 10))


HEAVY: list[Any] = [
    long_weights,
    pytest.param(functools.partial(late_matrix, 250), marks=pytest.mark.slow),
    pytest.param(functools.partial(flat_envelope, 700, 10_000, 60), marks=pytest.mark.slow),
    _long_uniform,
    _prime_synonyms,
    _wide_envelope,
    _many_samples,
    pytest.param(_coarse_matrix, marks=pytest.mark.slow),
    pytest.param(_many_products, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("make", HEAVY)
def test_heavy_documents_are_answered_in_seconds(make: Callable[[], Json]):
    document = make()
    started = time.monotonic()
    assert_refused(verify_document(document))
    assert time.monotonic() - started < 60  # a few seconds on an idle core


def test_extreme_scales_are_no_trouble():
    verdict = verify_document(_tiny_shift())
    assert not any("frontier[1]" in reason and "undecided" not in reason for reason in verdict.reasons)


def test_reasons_are_counted_not_repeated_for_ever():
    document = specimen("uniform")
    points = []
    for d in range(9):
        point = json.loads(json.dumps(document["frontier"][0]))
        point["d"] = d
        points.append(point)
    document["frontier"] = points
    document["threat"]["discrete"][0]["max_d"] = 8
    assert len(verify_document(document).reasons) == 8


def test_infinite_looking_floats():
    document = specimen("uniform")
    document["frontier"][1]["radius"] = (1.7976931348623157e308).hex()
    assert "does not hold" in assert_refused(verify_document(document))
