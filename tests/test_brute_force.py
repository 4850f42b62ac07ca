"""Every deterministic classifier on tiny input spaces: certified ≤ true minimum, and tight where it can be.

Laws are exact rationals, scaled to integers so that all 2ⁿ classifiers are scored at once without rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hybridcert as hc
from balls import ball, normal_cdf, precision
from exact_laws import (
    Row,
    Word,
    absorbing_row,
    deletion_row,
    fields_row,
    flips_row,
    float_below,
    knapsack,
    law_of,
    matrix_row,
    response_row,
    sets_row,
    uniform_law,
    uniform_row,
    words,
)
from hybridcert.kernels.fields import FieldReplacement
from hybridcert.kernels.flips import SparseFlips
from hybridcert.kernels.matrix import MatrixKernel
from hybridcert.kernels.randomized_response import RandomizedResponse
from hybridcert.kernels.synonyms import SynonymReplacement
from hybridcert.threats import Additions, Deletion, DiscreteThreat, Flips, Indel, Removals

Ints = NDArray[np.int64]
TIGHT = Fraction(1, 10**12)


def all_subset_sums(weights: Sequence[int]) -> Ints:
    """Sum of every subset, indexed by its bit pattern."""
    sums = np.zeros(1, dtype=np.int64)
    for weight in weights:
        sums = np.concatenate([sums, sums + weight])
    return sums


def scores(clean: Row, adversarial: Row) -> tuple[Ints, Ints, int, int]:
    """Clean and adversarial score of every classifier, as integers over common denominators.

    Outcomes that the clean row never produces are classified against the claim: that is worst for it.
    """
    outcomes = [z for z, p in clean.items() if p > 0]
    assert len(outcomes) <= 16
    p = [clean[z] for z in outcomes]
    q = [adversarial.get(z, Fraction(0)) for z in outcomes]
    over_p, over_q = math.lcm(*(v.denominator for v in p)), math.lcm(*(v.denominator for v in q))
    assert max(over_p, over_q) < 2**62
    return (
        all_subset_sums([int(v * over_p) for v in p]),
        all_subset_sums([int(v * over_q) for v in q]),
        over_p,
        over_q,
    )


def least_adversarial_score(clean: Row, adversarial: Row) -> tuple[list[Fraction], list[Fraction]]:
    """Every attainable clean score with the least adversarial score among classifiers that reach it."""
    p, q, over_p, over_q = scores(clean, adversarial)
    order = np.argsort(p, kind="stable")
    p, q = p[order], q[order]
    least = np.minimum.accumulate(q[::-1])[::-1]  # over all classifiers with at least this clean score
    first = np.flatnonzero(np.diff(p, prepend=-1) > 0)
    return [Fraction(int(v), over_p) for v in p[first]], [Fraction(int(v), over_q) for v in least[first]]


def certified(spectra: Iterable[hc.LikelihoodSpectrum], p: Sequence[float]) -> NDArray[np.float64]:
    values = [hc.Tradeoff(spectrum).lower(np.array(p)).value for spectrum in spectra]
    return np.asarray(np.min(values, axis=0))


def assert_sound(spectra: Sequence[hc.LikelihoodSpectrum], clean: Row, adversarial: Row) -> None:
    """No classifier scores lower at the adversary's input than what is certified from its clean score."""
    attained, least = least_adversarial_score(clean, adversarial)
    values = certified(spectra, [float_below(p) for p in attained])
    for value, bound in zip(values.tolist(), least, strict=True):
        assert Fraction(value) <= bound


def assert_tight(spectra: Sequence[hc.LikelihoodSpectrum], clean: Row, adversarial: Row) -> None:
    """Where a threshold on the likelihood ratio attains p exactly, the certificate equals the minimum."""
    attained, least = least_adversarial_score(clean, adversarial)
    table = dict(zip(attained, least, strict=True))
    law = law_of(clean, adversarial)
    score = Fraction(0)
    for ratio in sorted(law):
        score += law[ratio][0]
        assert table[score] == knapsack(law, score)
        p = float(score)
        if Fraction(p) == score:
            value = float(certified(spectra, [p])[0])
            assert table[score] - TIGHT <= Fraction(value) <= table[score]


def hamming(a: Word, b: Word) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("alphabet", "positions"), [(2, 1), (3, 1), (4, 1), (2, 2), (3, 2), (2, 3), (4, 2), (2, 4)]
)
@pytest.mark.parametrize("beta", [0.25, 0.5, 0.875, 1.0])
def test_uniform_replacement_on_every_classifier(alphabet: int, positions: int, beta: float) -> None:
    kernel, sizes = hc.UniformReplacement(beta), (alphabet,) * positions
    clean_word = (0,) * positions
    clean = uniform_row(clean_word, beta, sizes)
    for other in words(alphabet, [positions]):
        distance = hamming(clean_word, other)
        adversarial = uniform_row(other, beta, sizes)
        for d in range(distance, positions + 1):
            assert_sound(kernel.spectra(hc.Substitution(d), d, sizes), clean, adversarial)
        assert_tight(kernel.spectra(hc.Substitution(distance), distance, sizes), clean, adversarial)


@pytest.mark.parametrize("beta", [0.25, 0.5, 0.625, 0.75, 0.9375, 1.0])
@pytest.mark.parametrize("sizes", [(2, 3), (3, 2), (2, 5), (2, 2, 3), (3, 5), (2, 7)])
def test_fields_of_different_sizes_on_every_classifier(beta: float, sizes: tuple[int, ...]) -> None:
    """Rates beyond 1 − 1/K included, where the largest fields need not be the worst ones."""
    kernel = hc.UniformReplacement(beta)
    clean_word = (0,) * len(sizes)
    clean = uniform_row(clean_word, beta, sizes)
    for other in itertools.product(*(range(size) for size in sizes)):
        distance = hamming(clean_word, other)
        spectra = kernel.spectra(hc.Fields(distance), distance, sizes)
        assert_sound(spectra, clean, uniform_row(other, beta, sizes))


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.7, 0.75, 0.8, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("sizes", [(2, 3, 4), (2, 5, 3), (4, 3, 3), (6, 2)])
def test_the_worst_fields_are_found_at_every_rate(beta: float, sizes: tuple[int, ...]) -> None:
    """Against the exact Neyman–Pearson value of every adversary, randomised classifiers included."""
    kernel = hc.UniformReplacement(beta)
    clean_word = (0,) * len(sizes)
    clean = uniform_row(clean_word, beta, sizes)
    p = [0.05, 0.3, 0.5, 0.75, 0.9, 0.99, 0.999]
    for d in range(len(sizes) + 1):
        laws = [
            law_of(clean, uniform_row(other, beta, sizes))
            for other in itertools.product(*(range(size) for size in sizes))
            if hamming(clean_word, other) <= d
        ]
        exact = [min(knapsack(law, Fraction(score)) for law in laws) for score in p]
        values = certified(kernel.spectra(hc.Fields(d), d, sizes), p).tolist()
        for value, truth in zip(values, exact, strict=True):
            assert truth - TIGHT <= Fraction(value) <= truth


@pytest.mark.parametrize(("alphabet", "positions"), [(2, 1), (2, 2), (3, 2), (2, 3)])
@pytest.mark.parametrize("beta", [0.25, 0.5, 0.875, 1.0])
def test_absorbing_noise_on_every_classifier(alphabet: int, positions: int, beta: float) -> None:
    kernel, sizes = hc.Absorbing(beta), (alphabet,) * positions
    clean_word = (0,) * positions
    clean = absorbing_row(clean_word, beta)
    for other in words(alphabet, [positions]):
        distance, adversarial = hamming(clean_word, other), absorbing_row(other, beta)
        for d in range(distance, positions + 1):
            assert_sound(kernel.spectra(hc.Substitution(d), d, sizes), clean, adversarial)
        assert_tight(kernel.spectra(hc.Substitution(distance), distance, sizes), clean, adversarial)


def edit_distance(a: Word, b: Word) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def is_supersequence(longer: Word, word: Word) -> bool:
    symbols = iter(longer)
    return all(x in symbols for x in word)


@pytest.mark.parametrize("beta", [0.25, 0.5, 0.75, 1.0])
def test_deletion_noise_against_every_edited_word_on_every_classifier(beta: float) -> None:
    """All words of up to 3 symbols over {0, 1}, all words over {0, 1, 2} within edit distance 2."""
    kernel = hc.RandomDeletion(beta)
    rows = {word: deletion_row(word, beta) for word in words(3, range(5))}
    spectra = [kernel.spectra(hc.Edit(d), d) for d in range(3)]
    for word in words(2, range(4)):
        for other, adversarial in rows.items():
            distance = edit_distance(word, other)
            if distance <= 2:
                assert_sound(spectra[distance], rows[word], adversarial)


@pytest.mark.parametrize("beta", [0.25, 0.5, 0.75, 1.0])
def test_deletion_noise_against_every_insertion_on_every_classifier(beta: float) -> None:
    """All words of up to 3 symbols over {0, 1}, all supersequences over {0, 1, 2} with up to 2 insertions."""
    kernel = hc.RandomDeletion(beta)
    rows = {word: deletion_row(word, beta) for word in words(3, range(6))}
    spectra = [kernel.spectra(hc.Insertion(d), d) for d in range(3)]
    for word in words(2, range(4)):
        for other, adversarial in rows.items():
            inserted = len(other) - len(word)
            if 0 <= inserted <= 2 and is_supersequence(other, word):
                assert_sound(spectra[inserted], rows[word], adversarial)


@pytest.mark.parametrize("beta", [0.25, 0.5, 0.75])
def test_deletion_certificates_are_tight_for_symbols_the_input_does_not_hold(beta: float) -> None:
    """Fresh symbols make the worst case real: inserted ones, and ones put in the place of others."""
    kernel = hc.RandomDeletion(beta)
    clean = deletion_row((0, 0), beta)
    assert_tight(kernel.spectra(hc.Insertion(1), 1), clean, deletion_row((0, 1, 0), beta))
    assert_tight(kernel.spectra(hc.Insertion(2), 2), clean, deletion_row((1, 0, 2, 0), beta))
    clean = deletion_row((0, 1), beta)
    assert_tight(kernel.spectra(hc.Edit(2), 2), clean, deletion_row((2, 3), beta))


@pytest.mark.parametrize("beta", [0.25, 0.5, 1.0])
def test_deletion_noise_knows_the_length_and_the_kind_of_edit(beta: float) -> None:
    """Insertions and deletions apart and together, for words too short to lose d symbols."""
    kernel = hc.RandomDeletion(beta)
    rows = {word: deletion_row(word, beta) for word in words(3, range(4))}
    for word in words(2, range(3)):
        for other, adversarial in rows.items():
            lost = len(word) - longest_common(word, other)
            gained = len(other) - longest_common(word, other)
            if lost + gained <= 3:
                found = kernel.candidates(Indel(3), lost + gained, len(word))
                assert_sound(found.spectra, rows[word], adversarial)
            if gained == 0:
                assert_sound(kernel.candidates(Deletion(3), lost, len(word)).spectra, rows[word], adversarial)
            distance = edit_distance(word, other)
            if distance <= 3:
                found = kernel.candidates(hc.Edit(3), distance, len(word))
                assert_sound(found.spectra, rows[word], adversarial)


def longest_common(a: Word, b: Word) -> int:
    """Length of the longest common subsequence."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + longest_common(a[1:], b[1:])
    return max(longest_common(a[1:], b), longest_common(a, b[1:]))


# -- kernels whose worst case depends on the input ---------------------------------------------------------


def assert_worst_case_is_found(
    kernel: Any,
    threat: DiscreteThreat,
    clean_word: Word,
    sizes: Sequence[int],
    row: Callable[[Word], Row],
    others: Iterable[Word],
) -> None:
    """Against each allowed word on every classifier, and at each d equal to the worst of them.

    ``others`` are all words that the adversary may choose, whatever their distance.
    """
    clean = row(clean_word)
    exposure = kernel.exposure(np.array(clean_word, dtype=np.int64), sizes)
    attacked = [(hamming(clean_word, other), row(other)) for other in others]
    for d in range(len(clean_word) + 1):
        spectra = kernel.candidates(threat, d, exposure).spectra
        for distance, adversarial in attacked:
            if distance == d:
                assert_sound(spectra, clean, adversarial)
        laws = [law_of(clean, adversarial) for distance, adversarial in attacked if distance <= d]
        p = [0.05, 0.3, 0.5, 0.75, 0.9, 0.99]
        for score, value in zip(p, certified(spectra, p).tolist(), strict=True):
            truth = min(knapsack(law, Fraction(score)) for law in laws)
            assert truth - TIGHT <= Fraction(value) <= truth


def all_words(sizes: Sequence[int]) -> list[Word]:
    return list(itertools.product(*(range(size) for size in sizes)))


@pytest.mark.parametrize("betas", [(0.25, 0.75), (0.75, 0.25), (0.875, 0.9375), (1.0, 0.5)])
@pytest.mark.parametrize("sizes", [(2, 3), (3, 3), (5, 3), (2, 2)])
def test_fields_with_rates_of_their_own_on_every_classifier(
    betas: tuple[float, float], sizes: tuple[int, ...]
) -> None:
    def row(word: Word) -> Row:
        return fields_row(word, betas, sizes)

    assert_worst_case_is_found(FieldReplacement(betas), hc.Fields(2), (0, 0), sizes, row, all_words(sizes))


@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("sizes", [(2, 3), (5, 3), (2, 2, 3)])
def test_randomized_response_on_every_classifier(ratio: float, sizes: tuple[int, ...]) -> None:
    def row(word: Word) -> Row:
        return response_row(word, ratio, sizes)

    clean = (0,) * len(sizes)
    assert_worst_case_is_found(RandomizedResponse(ratio), hc.Fields(3), clean, sizes, row, all_words(sizes))


@pytest.mark.parametrize(("p_plus", "p_minus"), [(0.125, 0.5), (0.5, 0.125), (0.0, 0.5), (0.875, 0.75)])
@pytest.mark.parametrize("clean", [(0, 0, 1), (1, 1, 0), (0, 0, 0), (1, 1)])
@pytest.mark.parametrize(
    "threat",
    [
        Flips(3),
        Additions(3),
        Removals(3),
        Flips(3, max_additions=1),
        Flips(3, max_additions=0, max_removals=1),
    ],
)
def test_bit_flips_on_every_classifier(
    p_plus: float, p_minus: float, clean: Word, threat: DiscreteThreat
) -> None:
    def row(word: Word) -> Row:
        return flips_row(word, p_plus, p_minus)

    def allowed(other: Word) -> bool:
        added = sum(y > x for x, y in zip(clean, other, strict=True))
        removed = sum(y < x for x, y in zip(clean, other, strict=True))
        if isinstance(threat, Flips):
            most_added, most_removed = threat.max_additions, threat.max_removals
            return (most_added is None or added <= most_added) and (
                most_removed is None or removed <= most_removed
            )
        return (removed if isinstance(threat, Additions) else added) == 0

    sizes = (2,) * len(clean)
    others = [other for other in all_words(sizes) if allowed(other)]
    assert_worst_case_is_found(SparseFlips(p_plus, p_minus), threat, clean, sizes, row, others)


NOISE_SETS = {0: [0, 1, 2], 1: [0, 1], 2: [2, 3], 3: [3], 4: [0, 1, 2, 4]}
SYNONYMS = {0: [1, 2], 1: [0, 4], 2: [0, 3, 4], 4: [0]}


@pytest.mark.parametrize("clean", [(0, 0), (0, 1), (1, 2), (2, 2), (3, 4), (1, 3), (0, 3)])
def test_synonyms_on_every_classifier(clean: Word) -> None:
    def row(word: Word) -> Row:
        return sets_row(word, NOISE_SETS)

    kernel = SynonymReplacement(SYNONYMS, noise_sets=NOISE_SETS)
    others = itertools.product(*([x, *SYNONYMS.get(x, [])] for x in clean))
    assert_worst_case_is_found(kernel, hc.Substitution(2), clean, (5, 5), row, others)


MATRIX = [
    [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)],
    [Fraction(0), Fraction(5, 8), Fraction(3, 8)],
    [Fraction(1, 8), Fraction(1, 8), Fraction(3, 4)],
]


@pytest.mark.parametrize("clean", [(0, 0), (0, 1), (2, 0), (1, 1)])
@pytest.mark.parametrize("substitutions", ["all", [(0, 1), (0, 2), (1, 0)], [(2, 1), (1, 2)]])
def test_matrix_noise_on_every_classifier(clean: Word, substitutions: Any) -> None:
    def row(word: Word) -> Row:
        return matrix_row(word, MATRIX)

    pairs = list(itertools.permutations(range(3), 2)) if substitutions == "all" else substitutions
    others = itertools.product(*([x, *(y for z, y in pairs if z == x)] for x in clean))
    kernel = MatrixKernel(MATRIX, substitutions=substitutions)
    assert_worst_case_is_found(kernel, hc.Substitution(2), clean, (3, 3), row, others)


# -- with a Gaussian part ----------------------------------------------------------------------------------

GRID = 2**58


def joint_masses(row: Row, edges: Sequence[float], mean: float) -> dict[tuple[object, int], tuple[int, int]]:
    """Mass of (outcome, cell between ``edges`` under N(mean, 1)) in units of 2⁻⁵⁸: rounded down, and up."""
    with precision(160):
        ends = [ball(0), *(normal_cdf(ball(edge) - ball(mean)) for edge in edges), ball(1)]
        cells = [b - a for a, b in itertools.pairwise(ends)]
        return {
            (z, index): (
                int((ball(p) * cell * GRID).floor().unique_fmpz()),
                int((ball(p) * cell * GRID).ceil().unique_fmpz()),
            )
            for z, p in row.items()
            for index, cell in enumerate(cells)
        }


@pytest.mark.parametrize("shift", [0.3, 1.0, 2.5])
@pytest.mark.parametrize(
    ("clean", "adversarial", "spectrum"),
    [
        (
            uniform_row((0,), 0.25, [3]),
            uniform_row((1,), 0.25, [3]),
            hc.UniformReplacement(0.25).spectrum([3]),
        ),
        (absorbing_row((0,), 0.5), absorbing_row((1,), 0.5), hc.Absorbing(0.5).spectrum(1)),
        (
            deletion_row((0,), 0.5),
            deletion_row((0, 1), 0.5),
            hc.RandomDeletion(0.5).spectrum(insertions=1),
        ),
    ],
)
def test_joint_certificates_on_every_classifier_of_a_discretised_gaussian(
    clean: Row, adversarial: Row, spectrum: hc.LikelihoodSpectrum, shift: float
) -> None:
    """All subsets of (symbol, cell): 4 cells, whose edges contain likely optimal thresholds."""
    edges = [-shift / 2 - 0.7, -shift / 2, -shift / 2 + 0.7]
    p, q = joint_masses(clean, edges, 0.0), joint_masses(adversarial, edges, -shift)
    outcomes = [z for z in p if p[z][1] > 0]
    score = all_subset_sums([p[z][0] for z in outcomes])
    attacked = all_subset_sums([q[z][1] if z in q else 0 for z in outcomes])
    values = hc.Tradeoff(spectrum, shift).lower([float_below(Fraction(int(v), GRID)) for v in score]).value
    for value, bound in zip(values.tolist(), attacked.tolist(), strict=True):
        assert Fraction(value) <= Fraction(bound, GRID)


@pytest.mark.parametrize("shift", [0.2, 1.0, 3.0])
@pytest.mark.parametrize(("beta", "size", "d"), [(0.25, 50_000, 2), (0.5, 3, 3), (0.9, 5, 1), (1.0, 5, 2)])
def test_joint_certificates_on_half_spaces(shift: float, beta: float, size: int, d: int) -> None:
    """Accept {Gaussian < c_k} at ratio k: sound for every c, tight for the likelihood-ratio test."""
    law = uniform_law(beta, [size] * d)
    bound = hc.Tradeoff(hc.UniformReplacement(beta).spectrum([size] * d), shift)
    rng = np.random.default_rng(11)
    ratios = [r for r in sorted(law) if r > 0]
    zero = ball(law[Fraction(0)][0]) if Fraction(0) in law else ball(0)
    for trial in range(60):
        optimal = trial % 3 == 0
        u = 3 * rng.normal()
        cuts = [(u - math.log(r)) / shift + shift / 2 for r in ratios]
        if not optimal:
            cuts = (2 * rng.normal(size=len(ratios))).tolist()
        with precision(160):
            parts = [(*law[r], ball(c)) for r, c in zip(ratios, cuts, strict=True)]
            score = sum((ball(p) * normal_cdf(c) for p, _, c in parts), zero)
            attacked = sum((ball(q) * normal_cdf(c - ball(shift)) for _, q, c in parts), ball(0))
            p = math.nextafter(float(score.lower()), 0.0)
            value = float(bound.lower(p).value)
            assert bool(ball(value) <= attacked)
            if optimal and attacked > 1e-5 and p < 1 - 1e-6:  # elsewhere the last digit of p decides
                assert value >= float(attacked) * (1 - 1e-9)
