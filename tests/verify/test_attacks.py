"""The cover against brute force: every attack choice on tiny spaces, in exact fractions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from issuing import envelope_law, missed

from balls import ball, precision
from exact_laws import IDENTITY, Law, compose
from hybridcert.errors import DataError
from hybridcert.verify.attacks import required_changes
from hybridcert.verify.changes import EnvelopeChange, PositionChange, read_change
from hybridcert.verify.cover import dominates_by_position, uncovered
from hybridcert.verify.envelope import super_position
from hybridcert.verify.kernels import PositionLaw, discrete_law
from hybridcert.verify.laws import Threatened
from hybridcert.verify.meter import Meter
from hybridcert.verify.pairs import Pair, dominates
from hybridcert.verify.threats import discrete_threat

Json = dict[str, Any]
METER = Meter(10**18)
weights = st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any)
rows = st.lists(weights, min_size=3, max_size=3)


def law_of(pair: Pair) -> Law:
    law: Law = {}
    for ratio, p, q in pair.atoms:
        law[Fraction(int(ratio.p), int(ratio.q))] = (
            Fraction(int(p.p), int(p.q)),
            Fraction(int(q.p), int(q.q)),
        )
    if pair.zero:
        law[Fraction(0)] = (Fraction(int(pair.zero.p), int(pair.zero.q)), Fraction(0))
    return law


def is_worse(strong: Law, weak: Law) -> bool:
    """H_strong >= H_weak at all ratios of both, and between and beyond them."""
    ratios = sorted({*strong, *weak, Fraction(0)})
    between = [(a + b) / 2 for a, b in itertools.pairwise(ratios)]
    return all(missed(strong, t) >= missed(weak, t) for t in [*ratios, *between, ratios[-1] * 2 + 1])


def product_of(change: Any) -> Law:
    law = IDENTITY
    for pair, n in change:
        for _ in range(n):
            law = compose(law, law_of(pair))
    return law


def matrix_law(rows: list[list[int]], positions: list[int]) -> PositionLaw:
    law = discrete_law(
        {
            "modality": "text",
            "kernel": "matrix",
            "rows": [[str(weight) for weight in row] for row in rows],
            "substitutions": "all",
            "positions": [[x, n] for x, n in enumerate(positions)],
        },
        "law",
    )
    assert isinstance(law, PositionLaw)
    return law


def threat_of(kind: str, **caps: int) -> Any:
    return discrete_threat({"modality": "text", "kind": kind, "max_d": 99, **caps}, "threat")


def all_changes(law: PositionLaw, threat: Any, n: int) -> list[list[tuple[Pair, int]]]:
    """Every way to change n positions, position by position."""
    slots = [
        [None, *[(c, pair) for pair in positions.options]]
        for c, positions in enumerate(law.classes)
        for _ in range(positions.positions)
    ]
    found = []
    for choice in itertools.product(*slots):
        taken = [option for option in choice if option is not None]
        bits = [law.classes[c].bit for c, _ in taken]
        if len(taken) == n and all(bits.count(bit) <= threat.cap(bit) for bit in set(bits)):
            found.append([(pair, 1) for _, pair in taken])
    return found


@given(rows, rows)
def test_dominance_is_the_order_of_all_tests(first: list[list[int]], second: list[list[int]]):
    one = matrix_law(first, [1, 1, 1]).classes[0].options
    two = matrix_law(second, [1, 1, 1]).classes[0].options
    for strong, weak in itertools.product((*one, *two), repeat=2):
        assert dominates(strong, weak, METER) == is_worse(law_of(strong), law_of(weak))


@given(rows=rows, positions=st.lists(st.integers(0, 2), min_size=3, max_size=3), d=st.integers(0, 3))
def test_required_changes_dominate_every_attack(rows: list[list[int]], positions: list[int], d: int):
    law, threat = matrix_law(rows, positions), threat_of("substitution")
    required = required_changes(law, threat, d).changes
    n = min(d, sum(positions))
    laws = [product_of(change) for change in required]
    for change in required:
        assert sum(count for _, count in change) == n
    for change in all_changes(law, threat, n):
        attacked = product_of(change)
        assert any(is_worse(law, attacked) for law in laws)


@given(rows=rows, positions=st.lists(st.integers(0, 2), min_size=3, max_size=3), d=st.integers(1, 3))
def test_no_required_change_is_an_exchange_away_from_a_worse_one(
    rows: list[list[int]], positions: list[int], d: int
):
    law, threat = matrix_law(rows, positions), threat_of("substitution")
    required = required_changes(law, threat, d).changes
    for one, other in itertools.permutations(required, 2):
        assert not (dominates_by_position(one, other, METER) and sum(n for _, n in one) == 1)


@given(
    plus=st.fractions(0, Fraction(9, 10), max_denominator=12),
    minus=st.fractions(0, Fraction(9, 10), max_denominator=12),
    zeros=st.integers(0, 2),
    ones=st.integers(0, 2),
    caps=st.dictionaries(st.sampled_from(["max_additions", "max_removals"]), st.integers(0, 2)),
    kind=st.sampled_from(["flips", "additions", "removals"]),
    d=st.integers(0, 4),
)
def test_flips_with_caps(
    plus: Fraction, minus: Fraction, zeros: int, ones: int, caps: dict[str, int], kind: str, d: int
):
    law = discrete_law(
        {
            "modality": "text",
            "kernel": "flips",
            "p_plus": str(plus),
            "p_minus": str(minus),
            "positions": [[0, zeros], [1, ones]],
        },
        "law",
    )
    assert isinstance(law, PositionLaw)
    threat = threat_of(kind, **(caps if kind == "flips" else {}))
    laws = [product_of(change) for change in required_changes(law, threat, d).changes]
    attacks = [change for n in range(d + 1) for change in all_changes(law, threat, n)]
    assert all(any(is_worse(law, product_of(change)) for law in laws) for change in attacks)


@given(rows=rows, d=st.integers(1, 2), data=st.data())
def test_listed_changes_cover_exactly_if_every_attack_is_dominated_by_position(
    rows: list[list[int]], d: int, data: st.DataObject
):
    law, threat = matrix_law(rows, [2, 1, 0]), threat_of("substitution")
    choices = [
        [[c, o, n] for (c, o), n in taken.items()]
        for taken in (
            {key: list(change).count(key) for key in set(change)}
            for change in itertools.combinations_with_replacement([(0, 0), (0, 1), (1, 0), (1, 1)], d)
            if sum(c == 1 for c, _ in change) <= 1
        )
    ]
    picked = data.draw(st.lists(st.sampled_from(choices), max_size=3))
    listed = tuple((read_change({"positions": parts}, law, threat, "change"),) for parts in picked)
    missing = uncovered((Threatened(law, threat),), (d,), listed, METER)

    def pairs(change: PositionChange) -> list[Pair]:
        return [law.classes[c].options[o] for c, o, n in change.taken for _ in range(n)]

    def by_position(strong: list[Pair], weak: list[Pair]) -> bool:
        return any(
            all(dominates(a, b, METER) for a, b in zip(order, weak, strict=True))
            for order in itertools.permutations(strong, len(weak))
        )

    attacks = [[pair for pair, _ in change] for change in all_changes(law, threat, d)]
    covered = all(any(by_position(pairs(change), attack) for (change,) in listed) for attack in attacks)
    assert (missing is None) == covered


@given(
    rows=rows,
    base=st.fractions(Fraction(11, 10), 3, max_denominator=10),
    low=st.integers(-6, 2),
    lines=st.integers(0, 8),
)
def test_an_envelope_dominates_every_option(rows: list[list[int]], base: Fraction, low: int, lines: int):
    law, threat = matrix_law(rows, [1, 1, 0]), threat_of("substitution")
    value = {"envelope": {"base": str(base), "exponents": [low, low + lines], "d": 1}}
    change = read_change(value, law, threat, "change")
    assert isinstance(change, EnvelopeChange)
    exact = envelope_law(base, low, low + lines, [law_of(pair) for pair in change.envelope.pairs])
    assert {pair for c in law.classes[:2] for pair in c.options} == set(change.envelope.pairs)
    assert all(is_worse(exact, law_of(pair)) for pair in change.envelope.pairs)
    with precision(256):
        zero, atoms = super_position(change.envelope, METER, 1)
        assert zero.overlaps(ball(exact.get(Fraction(0), (Fraction(0),))[0]))
        for e, clean, adversarial in atoms:
            p, q = exact.get(base**e, (Fraction(0), Fraction(0)))
            assert clean.overlaps(ball(p))
            assert adversarial.overlaps(ball(q))
            assert float(clean.rad()) < 1e-60


def field_law(kinds: list[tuple[int, str]]) -> PositionLaw:
    law = discrete_law(
        {
            "modality": "text",
            "kernel": "fields",
            "positions": [[{"size": size, "beta": beta}, 1] for size, beta in kinds],
        },
        "law",
    )
    assert isinstance(law, PositionLaw)
    return law


def test_many_ordered_fields_need_one_change():
    law = field_law([(n, "1/2") for n in range(3, 603)])
    assert len(required_changes(law, threat_of("fields"), 8).changes) == 1
    assert len(required_changes(law, threat_of("fields"), 600).changes) == 1


def test_many_equal_positions_need_one_change():
    law = discrete_law(
        {"modality": "text", "kernel": "uniform", "beta": "1/2", "positions": [[50, 1]] * 5000}, "law"
    )
    assert isinstance(law, PositionLaw)
    assert len(required_changes(law, threat_of("substitution"), 4000).changes) == 1


def test_incomparable_fields_are_enumerated_up_to_the_limit():
    kinds = [(2 + 3 * i, f"{20 + 2 * i}/100") for i in range(20)]
    law = field_law(kinds)
    threat = threat_of("fields")
    singles = required_changes(law, threat, 1).changes
    assert len(singles) > 5
    assert len(required_changes(law, threat, 2).changes) <= math.comb(20, 2)
    many = field_law([(2 + 3 * i, f"{2000 + 5 * i}/10000") for i in range(700)])
    with pytest.raises(DataError, match=r"an envelope covers them all|s of work"):
        required_changes(many, threat, 350)


def test_positions_of_one_kind_may_be_exchanged_for_one_of_another():
    """A flow is needed: each weak option is dominated, but by options that others need too."""

    def flip(p: int) -> Pair:
        return Pair.of(((fmpq(p, 10), fmpq(10 - p, 10)), (fmpq(10 - p, 10), fmpq(p, 10))))

    strong, middle, weak = flip(1), flip(2), flip(3)
    assert dominates(strong, middle, METER)
    assert dominates(middle, weak, METER)
    assert not dominates(weak, middle, METER)
    assert dominates_by_position(((strong, 2), (middle, 3)), ((middle, 4), (weak, 1)), METER)
    assert dominates_by_position(((strong, 1), (middle, 1)), ((weak, 1), (middle, 1)), METER)
    assert not dominates_by_position(((strong, 1), (weak, 5)), ((middle, 2),), METER)
    assert not dominates_by_position(((strong, 1),), ((weak, 2),), METER)
