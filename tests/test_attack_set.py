"""Worst changes: every change is dominated by a listed one, and the envelope takes over where lists grow."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridcert as hc
from exact_laws import IDENTITY, Law, compose, knapsack
from hybridcert.certificate import attack_set as module
from hybridcert.certificate.attack_set import PositionClass, attack_set, dominators
from hybridcert.certificate.candidate import AttackSet
from hybridcert.certificate.channel import ChannelPair
from hybridcert.kernels.replacement import replacement_pair
from strategies import channel_pairs, pair_law

SCORES = [Fraction(1, 10), Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)]
Options = tuple[ChannelPair, ...]


def every_change(classes: Sequence[PositionClass], d: int) -> list[Options]:
    """All ways to change at most d positions, one position after the other."""
    positions = [c for c in classes for _ in range(c.limit)]
    found = set()
    for kept in itertools.product(*([None, *c.options] for c in positions)):
        pairs = [pair for pair in kept if pair is not None]
        if len(pairs) <= d:
            found.add(tuple(sorted(pairs, key=repr)))
    return list(found)


def listed_changes(found: AttackSet, classes: Sequence[PositionClass]) -> list[Options]:
    changes = []
    for candidate in found.candidates:
        positions = candidate.change["positions"]
        assert isinstance(positions, list)
        changes.append(tuple(classes[c].options[o] for c, o, n in positions for _ in range(n)))
        for c, members in enumerate(classes):
            assert sum(n for at, _, n in positions if at == c) <= members.limit
    return changes


def product_law(pairs: Options) -> Law:
    law = IDENTITY
    for pair in pairs:
        law = compose(law, pair_law(pair))
    return law


def covered(change: Options, by: Options) -> bool:
    """Whether some matching of positions has every option of ``change`` dominated."""
    return any(
        all(strong.dominates(weak) for strong, weak in zip(chosen, change, strict=True))
        for chosen in itertools.permutations(by, len(change))
    )


@st.composite
def position_classes(draw: st.DrawFn) -> tuple[PositionClass, ...]:
    count = draw(st.integers(1, 4))
    return tuple(
        PositionClass(tuple(draw(st.lists(channel_pairs(), max_size=3))), draw(st.integers(0, 2)))
        for _ in range(count)
    )


@given(position_classes(), st.integers(0, 4))
@settings(max_examples=150)
def test_every_change_is_covered_by_a_listed_one(classes: tuple[PositionClass, ...], d: int) -> None:
    found = attack_set(classes, d)
    listed = listed_changes(found, classes)
    for change in every_change(classes, d):
        assert any(covered(change, by) for by in listed)


@given(position_classes(), st.integers(0, 3))
@settings(max_examples=60)
def test_the_minimum_over_the_candidates_is_the_worst_case(
    classes: tuple[PositionClass, ...], d: int
) -> None:
    found = attack_set(classes, d)
    laws = [product_law(change) for change in every_change(classes, d)]
    for p in SCORES:
        exact = min(knapsack(law, p) for law in laws)
        values = [float(hc.Tradeoff(s).lower(float(p)).value) for s in found.spectra]
        assert Fraction(min(values)) <= min(knapsack(law, Fraction(float(p))) for law in laws)
        assert min(values) == pytest.approx(float(exact), rel=1e-12, abs=1e-15)


@given(st.lists(channel_pairs(), min_size=1, max_size=8, unique=True))
@settings(max_examples=100)
def test_dominators_are_all_that_dominate(pairs: list[ChannelPair]) -> None:
    for weak, above in enumerate(dominators(pairs)):
        exact = {i for i, pair in enumerate(pairs) if i != weak and pair.dominates(pairs[weak])}
        assert above == exact


# -- what is listed ----------------------------------------------------------------------------------------


def fields(sizes: Sequence[int], beta: float) -> tuple[PositionClass, ...]:
    return tuple(PositionClass((replacement_pair(size, beta),), 1) for size in sizes)


def only_change(found: AttackSet) -> Mapping[str, object]:
    [candidate] = found.candidates
    return candidate.change


def test_the_largest_fields_are_worst_where_the_order_holds() -> None:
    found = attack_set(fields([2, 9, 16, 7], 0.5), 2)
    assert only_change(found) == {"positions": [[1, 0, 1], [2, 0, 1]]}
    assert found.worst_case == "dominance"


def test_incomparable_fields_are_enumerated() -> None:
    found = attack_set(fields([2, 9, 16, 7], 0.9), 2)
    assert found.worst_case == "enumeration"
    changes = [candidate.change["positions"] for candidate in found.candidates]
    assert sorted(changes) == [[[0, 0, 1], [2, 0, 1]], [[0, 0, 1], [3, 0, 1]]]


def test_equal_options_are_taken_once() -> None:
    pair = replacement_pair(5, 0.5)
    found = attack_set((PositionClass((pair, pair), 1), PositionClass((pair,), 2)), 2)
    assert only_change(found) == {"positions": [[0, 0, 1], [1, 0, 1]]}


def test_a_single_change_is_called_one() -> None:
    pair = replacement_pair(5, 0.5)
    assert attack_set((PositionClass((pair,), 7),), 3).worst_case == "single"
    assert attack_set((PositionClass((pair,), 1), PositionClass((), 4)), 3).worst_case == "single"
    assert attack_set((PositionClass((), 4),), 3).worst_case == "single"
    assert attack_set(fields([3, 4], 0.5), 0).worst_case == "single"


def test_a_budget_beyond_what_can_change_changes_all() -> None:
    classes = (PositionClass((replacement_pair(5, 0.5),), 2), PositionClass((), 9))
    assert only_change(attack_set(classes, 8)) == {"positions": [[0, 0, 2]]}
    assert only_change(attack_set(classes[1:], 8)) == {"positions": []}


@pytest.mark.parametrize("d", [12_000, 20_000, 31_234])
def test_many_positions_of_comparable_classes_leave_one_choice(d: int) -> None:
    classes = (
        PositionClass((replacement_pair(5, 0.5),), 20_000),
        PositionClass((replacement_pair(9, 0.5),), 20_000),
    )
    largest = min(d, 20_000)
    rest = [(0, 0, d - largest)] if d > largest else []
    assert module.worst_choices(classes, d) == [(*rest, (1, 0, largest))]


def test_a_chain_of_many_fields_needs_no_recursion() -> None:
    classes = tuple(PositionClass((replacement_pair(size, 0.5),), 1) for size in range(2, 402))
    found = module.worst_choices(classes, 300)
    assert found == [tuple((c, 0, 1) for c in range(100, 400))]


# -- envelopes take over -----------------------------------------------------------------------------------


def antichain(count: int) -> tuple[PositionClass, ...]:
    """Larger alphabets with larger rates: hardly any dominates another."""
    rates = np.linspace(0.6, 0.9, count).tolist()
    return tuple(
        PositionClass((replacement_pair(3 + k, rate),), 1)
        for k, rate in zip(range(count), rates, strict=True)
    )


def test_two_hundred_fields_of_different_sizes_and_rates_take_less_than_a_second() -> None:
    classes = antichain(200)
    started = time.process_time()
    found = attack_set(classes, 5)
    certified = hc.radius(p_lower=np.array([0.9, 0.999]), spectrum=found.spectra, sigma=1.0, threshold=0.1)
    assert time.process_time() - started < 1.0
    assert found.worst_case == "envelope"
    assert certified.certified.any()


def test_an_envelope_takes_over_where_choices_are_many() -> None:
    assert attack_set(antichain(20), 2).worst_case == "enumeration"
    assert attack_set(antichain(60), 20).worst_case == "envelope"


def test_an_envelope_takes_over_where_atoms_are_many() -> None:
    """Twenty different alphabets have 3²⁰ atoms, though only one choice is worst."""
    found = attack_set(fields(range(2, 42), 0.5), 20)
    assert found.worst_case == "envelope"
    few = attack_set(fields(range(2, 42), 0.5), 5)
    assert few.worst_case == "dominance"
    p = np.array([0.999])
    outer, _ = hc.adversarial_value(p_lower=p, spectrum=found.spectra, sigma=1.0, epsilon=0.0)
    inner, _ = hc.adversarial_value(p_lower=p, spectrum=few.spectra, sigma=1.0, epsilon=0.0)
    assert outer[0] <= inner[0]


def test_classes_that_lead_to_the_same_changes_share_one_answer() -> None:
    """Inputs with more positions than the budget are one case: they can be certified in one batch."""
    assert attack_set(fields([3, 4], 0.5), 1) is attack_set(fields([3, 4], 0.5), 1)
