"""The 0–1 knapsack against every deterministic classifier on tiny spaces, and where it does not hold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridcert as hc
from exact_laws import Row, absorbing_row, fields_row, float_below, knapsack, law_of, uniform_row
from hybridcert.baselines.knapsack01 import knapsack01, text_only_01
from hybridcert.baselines.outcome_space import OutcomeSpace, choices
from hybridcert.baselines.text_only import text_only_budgets
from hybridcert.errors import ParameterError
from test_brute_force import least_adversarial_score

SPACES = [((2,), 1), ((3,), 1), ((4,), 1), ((2, 2), 1), ((2, 2), 2), ((3, 3), 1), ((3, 3), 2), ((2, 3), 1),
          ((2, 5), 2), ((2, 2, 2), 1), ((2, 2, 2), 2), ((2, 2, 3), 3), ((2, 2, 2, 2), 2)]  # fmt: skip


def attacked(sizes: Sequence[int], changed: Sequence[int]) -> tuple[int, ...]:
    return tuple(1 if i in changed else 0 for i in range(len(sizes)))


def rows(beta: float, sizes: Sequence[int], changed: Sequence[int]) -> tuple[Row, Row]:
    clean = (0,) * len(sizes)
    return uniform_row(clean, beta, sizes), uniform_row(attacked(sizes, changed), beta, sizes)


def bound(space: OutcomeSpace, p: Fraction | float, **options: int) -> Fraction:
    return knapsack01(space, float_below(Fraction(p)), also_noised=(), **options).value


@pytest.mark.parametrize(("sizes", "d"), SPACES)
@pytest.mark.parametrize("beta", [0.25, 0.5, 0.875, 1.0])
def test_equal_to_the_least_score_of_every_classifier(sizes: tuple[int, ...], d: int, beta: float) -> None:
    """All 2ⁿ classifiers of all words: at each clean score that one of them has, and between two of them."""
    for changed in choices(sizes, d):
        clean, adversarial = rows(beta, sizes, changed)
        scores, least = least_adversarial_score(clean, adversarial)
        space = OutcomeSpace.changed(hc.UniformReplacement(beta), sizes, changed)
        for below, score, truth in zip([Fraction(0), *scores], scores[:200], least[:200], strict=False):
            for p in (score, (below + score) / 2):  # the second is a score that no classifier has
                if below < float_below(p) or p == 0:  # rounding p down must not pass the score before
                    assert bound(space, p) == truth


@pytest.mark.parametrize(("sizes", "d"), [((3,), 1), ((2, 2), 1), ((2, 2), 2), ((2, 2, 2), 2)])
@pytest.mark.parametrize("beta", [0.25, 0.5, 1.0])
def test_absorbing_noise_equal_to_the_least_score(sizes: tuple[int, ...], d: int, beta: float) -> None:
    clean = absorbing_row((0,) * len(sizes), beta)
    changed = tuple(range(d))
    scores, least = least_adversarial_score(clean, absorbing_row(attacked(sizes, changed), beta))
    space = OutcomeSpace.changed(hc.Absorbing(beta), sizes, changed)
    for score, truth in zip(scores, least, strict=True):
        assert bound(space, score) == truth


@pytest.mark.parametrize(("sizes", "d"), SPACES)
def test_between_the_fractional_value_and_the_truth_at_any_limit_of_nodes(
    sizes: tuple[int, ...], d: int
) -> None:
    beta = 0.375
    changed = next(choices(sizes, d))
    clean, adversarial = rows(beta, sizes, changed)
    law, space = law_of(clean, adversarial), OutcomeSpace.changed(hc.UniformReplacement(beta), sizes, changed)
    scores, least = least_adversarial_score(clean, adversarial)
    for score, truth in zip(scores[::7], least[::7], strict=True):
        p = float_below(score)
        before = knapsack(law, Fraction(p))
        for nodes in (1, 2, 5, 10_000):
            found = knapsack01(space, p, also_noised=(), most_nodes=nodes)
            assert found.fractional == knapsack(law, Fraction(p))
            assert before <= found.value <= truth
            before = found.value
        assert found.exact


def test_a_limit_of_nodes_is_felt_and_admitted() -> None:
    """Masses without a common measure: one node does not settle it, and it says so."""
    masses = [Fraction(n, 100) for n in (3, 7, 11, 13, 17, 19, 30)]
    other = [Fraction(n, 100) for n in (5, 4, 13, 9, 23, 16, 30)]
    space = OutcomeSpace.of([tuple((p, q, 1) for p, q in zip(masses, other, strict=True))])
    short = knapsack01(space, 0.555, also_noised=(), most_nodes=1)
    full = knapsack01(space, 0.555, also_noised=())
    chosen = [
        sum(q for q, take in zip(other, choice, strict=True) if take)
        for choice in itertools.product((0, 1), repeat=7)
        if sum(p for p, take in zip(masses, choice, strict=True) if take) >= Fraction(0.555)
    ]
    assert full.exact
    assert full.value == min(chosen)
    assert not short.exact
    assert short.fractional <= short.value < full.value


@settings(max_examples=60)
@given(
    weights=st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(1, 3)), min_size=1, max_size=5
    ),
    p=st.floats(0.0, 1.0),
    nodes=st.sampled_from([1, 3, 10_000]),
)
def test_any_groups_against_all_sets(weights: list[tuple[int, int, int]], p: float, nodes: int) -> None:
    total = sum(a * n for a, _, n in weights)
    over = max(1, sum(b * n for _, b, n in weights))
    position = tuple((Fraction(a, total), Fraction(b, over), n) for a, b, n in weights)
    least = min(
        sum((x * q for x, (_, q, _) in zip(taken, position, strict=True)), Fraction(0))
        for taken in itertools.product(*(range(n + 1) for _, _, n in weights))
        if sum((x * c for x, (c, _, _) in zip(taken, position, strict=True)), Fraction(0)) >= Fraction(p)
    )
    found = knapsack01(OutcomeSpace.of([position]), p, also_noised=(), most_nodes=nodes)
    assert found.value <= least
    if found.exact:
        assert found.value == least
    assert found.fractional <= found.value


def test_items_of_the_changed_positions_alone_are_too_coarse() -> None:
    """A second position that nobody changed splits the words: a classifier that reads it gets below."""
    beta, sizes = 0.5, (3, 3)
    coarse = OutcomeSpace.changed(hc.UniformReplacement(beta), sizes[:1], [0])
    fine = OutcomeSpace.changed(hc.UniformReplacement(beta), sizes, [0])
    scores, least = least_adversarial_score(*rows(beta, sizes, [0]))
    wrong = [truth for score, truth in zip(scores, least, strict=True) if bound(coarse, score) > truth]
    assert wrong
    assert all(bound(fine, score) <= truth for score, truth in zip(scores, least, strict=True))


def test_other_noise_makes_the_fractional_value_the_true_one_and_is_refused() -> None:
    """A classifier that reads a fair coin beside the word has a score that no set of words has."""
    beta, sizes = 0.5, (3,)
    clean, adversarial = rows(beta, sizes, [0])
    coin = [Fraction(1, 2), Fraction(1, 2)]
    both = [{(z, c): p * coin[c] for z, p in row.items() for c in (0, 1)} for row in (clean, adversarial)]
    scores, least = least_adversarial_score(*both)
    space = OutcomeSpace.changed(hc.UniformReplacement(beta), sizes, [0])
    table = dict(zip(scores, least, strict=True))
    assert table[Fraction(5, 8)] == Fraction(3, 8)  # the word kept, and half of another one
    assert bound(space, Fraction(5, 8)) == Fraction(1, 2)  # what a set of words would score: not true here
    assert knapsack01(space, 0.625, also_noised=()).fractional == Fraction(3, 8)
    with pytest.raises(
        ParameterError, match="also_noised must be empty for the 0–1 knapsack, got \\['image'\\]"
    ):
        knapsack01(space, 0.625, also_noised=["image"])
    with pytest.raises(ParameterError, match="also_noised must be empty"):
        knapsack01(space, 0.625, also_noised="image")


@pytest.mark.parametrize("kernel", [hc.UniformReplacement(0.25), hc.Absorbing(0.25)])
def test_budgets_hold_on_every_adversary_and_reach_at_least_the_fractional_ones(kernel: object) -> None:
    sizes = (2, 2, 3)
    row = absorbing_row if isinstance(kernel, hc.Absorbing) else None
    clean = row((0, 0, 0), 0.25) if row else fields_row((0, 0, 0), (0.25,) * 3, sizes)
    truths: dict[int, dict[Fraction, Fraction]] = {}
    for other in itertools.product(*(range(size) for size in sizes)):
        moved = row(other, 0.25) if row else fields_row(other, (0.25,) * 3, sizes)
        distance = sum(map(bool, other))
        scores, least = least_adversarial_score(clean, moved)
        worst = truths.setdefault(distance, dict(zip(scores, least, strict=True)))
        for score, truth in zip(scores, least, strict=True):
            worst[score] = min(worst[score], truth)
    scores = sorted(truths[0])[::9]
    p = [float_below(score) for score in scores]
    for threshold in (0.05, 0.2, 0.5):
        found = text_only_01(
            kernel=kernel, sizes=sizes, p_lower=p, threshold=threshold, max_d=3, also_noised=()
        )  # type: ignore[arg-type]
        for row_number, score in enumerate(scores):
            if found.certified[row_number]:
                for d in range(int(found.d[row_number]) + 1):
                    assert truths[d][score] > Fraction(threshold)
        spectra = [kernel.spectra(hc.Substitution(3), d, sizes) for d in range(4)]  # type: ignore[attr-defined]
        fractional = text_only_budgets(p_lower=p, spectra=spectra, threshold=threshold)
        assert (found.d >= fractional.d).all()


def test_the_gain_vanishes_for_texts() -> None:
    """Eight slots over 50 words: one word more or less is nothing."""
    space = OutcomeSpace.changed(hc.UniformReplacement(0.25), (50,) * 8, range(2))
    found = knapsack01(space, 0.99, also_noised=(), most_nodes=50)
    assert math.isclose(found.value, found.fractional, rel_tol=1e-6)
    assert found.value >= found.fractional


def test_a_gain_at_a_table_by_hand() -> None:
    """One binary field at β = ¼ and p = 0.8: ¾ alone is too little, so both words are needed, at mass 1."""
    space = OutcomeSpace.changed(hc.UniformReplacement(0.25), (2,), [0])
    found = knapsack01(space, 0.8, also_noised=())
    assert found.value == 1
    assert found.fractional == Fraction(1, 4) + (Fraction(0.8) - Fraction(3, 4)) * 3


def test_extremes() -> None:
    space = OutcomeSpace.changed(hc.Absorbing(0.5), (2, 2), [0])
    assert knapsack01(space, 0.0, also_noised=()).value == 0
    assert knapsack01(space, 1.0, also_noised=()).value == Fraction(
        1, 2
    )  # all words, at their adversarial mass


@pytest.mark.parametrize(
    ("kernel", "sizes", "changed", "message"),
    [
        (hc.RandomDeletion(0.5), (2, 2), [0], "kernel must be UniformReplacement or Absorbing"),
        (hc.UniformReplacement(0.5), (2, 2), [2], "changed must list positions in \\[0, 1\\], got \\(2,\\)"),
        (hc.UniformReplacement(0.5), (2, 2), [0, 0], "changed must list positions"),
        (hc.UniformReplacement(0.5), (1, 2), [0], "alphabet size must be an integer >= 2, got 1"),
        (hc.UniformReplacement(0.3), tuple(range(2, 30)), [], "more than 20000 groups"),
    ],
)
def test_spaces_that_cannot_be_listed(
    kernel: object, sizes: tuple[int, ...], changed: list[int], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        OutcomeSpace.changed(kernel, sizes, changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(("p", "nodes", "message"), [(1.5, 1, "p_lower must be in"), (0.5, 0, "most_nodes")])
def test_numbers_out_of_range(p: float, nodes: int, message: str) -> None:
    space = OutcomeSpace.changed(hc.Absorbing(0.5), (2,), [0])
    with pytest.raises(ParameterError, match=message):
        knapsack01(space, p, also_noised=(), most_nodes=nodes)


def test_masses_that_are_no_pair_of_laws() -> None:
    half = Fraction(1, 2)
    for position in (((half, half, 1),), ((half, Fraction(1), 2),)):
        with pytest.raises(ParameterError, match="masses must be >= 0 and sum to 1"):
            OutcomeSpace.of([position])


@given(sizes=st.lists(st.integers(2, 5), max_size=6), d=st.integers(0, 7))
def test_every_combination_of_alphabets_is_changed_once(sizes: list[int], d: int) -> None:
    kinds = {tuple(sorted(sizes[i] for i in c)) for c in itertools.combinations(range(len(sizes)), d)}
    found = list(choices(sizes, d))
    assert all(len(set(changed)) == d for changed in found)
    assert sorted(tuple(sorted(sizes[i] for i in changed)) for changed in found) == sorted(kinds)


def test_equal_positions_of_a_long_text_are_not_enumerated() -> None:
    """C(2000, 6) is 9e16."""
    assert list(choices([50_000] * 2_000, 6)) == [(0, 1, 2, 3, 4, 5)]


def test_scores_are_grouped_back_to_their_inputs() -> None:
    found = text_only_01(
        kernel=hc.Absorbing(0.5), sizes=(2, 2, 2), p_lower=np.array([0.99, 0.2, 0.99]), threshold=0.4,
        max_d=9, also_noised=(),
    )  # fmt: skip
    assert found.d[0] == found.d[2]
    assert not found.certified[1]


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(2, 4), min_size=1, max_size=3),
    beta=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
    p=st.floats(0.01, 1.0),
    threshold=st.floats(0.001, 0.99),
)
def test_budgets_are_decided_as_the_values_say(
    sizes: list[int], beta: float, p: float, threshold: float
) -> None:
    """The search that ends at the threshold against the value itself."""
    kernel = hc.UniformReplacement(beta)
    found = text_only_01(
        kernel=kernel, sizes=sizes, p_lower=p, threshold=threshold, max_d=len(sizes), also_noised=()
    )
    values = [
        min(
            knapsack01(OutcomeSpace.changed(kernel, sizes, changed), p, also_noised=()).value
            for changed in choices(sizes, d)
        )
        for d in range(len(sizes) + 1)
    ]
    holds = list(itertools.takewhile(lambda value: value > threshold, values))
    assert bool(found.certified[0]) is bool(holds)
    assert int(found.d[0]) == max(0, len(holds) - 1)


def test_scores_of_budgets_are_checked() -> None:
    with pytest.raises(ParameterError, match="p_lower must be in \\[0, 1\\], got nan"):
        text_only_01(
            kernel=hc.Absorbing(0.5), sizes=(2,), p_lower=float("nan"), threshold=0.5, max_d=1, also_noised=()
        )
