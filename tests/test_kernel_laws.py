"""Noise beyond uniform replacement: samplers against their law, and what certificates are told of an input.

Every chi-square test has a false-alarm rate of 1e-6 by its critical value; seeds are fixed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

import hybridcert as hc
from exact_laws import Row, Word, fields_row, flips_row, matrix_row, response_row, sets_row
from hybridcert.kernels.deletion import PADDING
from hybridcert.kernels.draws import Categorical
from hybridcert.kernels.fields import FieldReplacement
from hybridcert.kernels.flips import SparseFlips
from hybridcert.kernels.matrix import MatrixKernel
from hybridcert.kernels.randomized_response import RandomizedResponse
from hybridcert.kernels.synonyms import SynonymReplacement
from hybridcert.threats import Additions, Deletion, DiscreteSurface, DiscreteThreat, Flips, Indel, Removals

FALSE_ALARM = 1e-6
COPIES = 60_000
THIRD = Fraction(1, 3)
ROWS = [[THIRD, 2 * THIRD, Fraction(0)], [Fraction(1, 8), Fraction(3, 4), Fraction(1, 8)], [Fraction(1)] * 3]
NOISE_SETS = {0: [0, 1, 2], 1: [0, 1], 2: [2, 3], 3: [3]}
SYNONYMS = {0: [1, 2], 1: [0, 2], 2: [3]}


def assert_drawn_from(row: Row, draws: Sequence[object]) -> None:
    """Chi-square goodness of fit; outcomes of probability 0 must not occur at all."""
    counts = Counter(draws)
    assert set(counts) <= {z for z, p in row.items() if p > 0}
    expected = {z: float(p) * len(draws) for z, p in row.items() if p > 0}
    assert min(expected.values()) > 5
    if len(expected) > 1:
        statistic = sum((counts[z] - e) ** 2 / e for z, e in expected.items())
        assert statistic < chi2.isf(FALSE_ALARM, len(expected) - 1)


def copies(word: Word, count: int = COPIES) -> NDArray[np.int64]:
    return np.tile(np.array(word, dtype=np.int64), (count, 1))


def codes(*word: int) -> NDArray[np.int64]:
    return np.array(word, dtype=np.int64)


# -- samplers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "word", "sizes", "row"),
    [
        (FieldReplacement([0.1, 0.9]), (2, 0), (3, 4), fields_row((2, 0), [0.1, 0.9], (3, 4))),
        (FieldReplacement([1.0, 0.3]), (0, 1), (2, 2), fields_row((0, 1), [1.0, 0.3], (2, 2))),
        (RandomizedResponse(3.0), (1, 2), (2, 5), response_row((1, 2), 3.0, (2, 5))),
        (RandomizedResponse(0.3), (1,), (4,), response_row((1,), 0.3, (4,))),
        (SparseFlips(0.05, 0.6), (0, 1, 1), (2, 2, 2), flips_row((0, 1, 1), 0.05, 0.6)),
        (SparseFlips(0.0, 0.5), (0, 1), (2, 2), flips_row((0, 1), 0.0, 0.5)),
        (
            SynonymReplacement(SYNONYMS, noise_sets=NOISE_SETS),
            (0, 3, 1),
            (4,) * 3,
            sets_row((0, 3, 1), NOISE_SETS),
        ),
        (SynonymReplacement({5: [0, 9]}), (5, 7), (10,) * 2, sets_row((5, 7), {5: [0, 5, 9]})),
        (MatrixKernel(ROWS, weights=True), (0, 1, 2), (3,) * 3, matrix_row((0, 1, 2), ROWS)),
        (
            MatrixKernel(np.array([[0.7, 0.3], [0.0, 1.0]])),
            (0, 1),
            (2,) * 2,
            matrix_row((0, 1), [[Fraction(0.7), Fraction(0.3)], [Fraction(0), Fraction(1)]]),
        ),
    ],
)
def test_samplers_follow_their_law(kernel, word: Word, sizes: Word, row: Row) -> None:  # type: ignore[no-untyped-def]
    clean = copies(word)
    noisy = kernel.sample(clean, sizes, np.random.default_rng(201))
    assert_drawn_from(row, [tuple(z) for z in noisy.tolist()])
    assert np.array_equal(clean, copies(word))
    again = kernel.sample(clean, sizes, np.random.default_rng(201))
    assert np.array_equal(noisy, again)


def test_rows_with_different_words_are_drawn_each_from_its_own_law() -> None:
    clean = np.concatenate([copies((0, 1)), copies((2, 1))])
    noisy = MatrixKernel(ROWS, weights=True).sample(clean, (3, 3), np.random.default_rng(202)).tolist()
    assert_drawn_from(matrix_row((0, 1), ROWS), [tuple(z) for z in noisy[:COPIES]])
    assert_drawn_from(matrix_row((2, 1), ROWS), [tuple(z) for z in noisy[COPIES:]])


class Scripted:
    """A stream that returns the given 64-bit words, call by call."""

    def __init__(self, *words: list[int]) -> None:
        self.words = iter(words)

    def integers(self, low: int, high: int, size: int, dtype: type) -> np.ndarray:
        drawn = np.array(next(self.words), dtype=dtype)
        assert (low, high, size) == (0, 2**64, drawn.size)
        return drawn


def test_categorical_draws_are_exact_to_the_last_of_128_bits() -> None:
    """With thresholds at 1/3 and 1 − 2⁻¹⁰⁰ of 2¹²⁸, words just below and just above them."""
    rare = Fraction(1, 2**100)
    table = Categorical.of([THIRD, Fraction(0), 1 - THIRD - rare, rare])
    third, last = 2**64 // 3, 2**64 - 1
    first = [third - 1, third, third, third + 1, last, last]
    low = 2**64 - 2**28
    ties = [third - 1, third, low - 1, low]  # 2¹²⁸/3 = third·2⁶⁴ + third + 1/3
    stream = Scripted(first, ties)
    assert table.draw(6, stream).tolist() == [0, 0, 2, 2, 2, 3]  # type: ignore[arg-type]


def test_dyadic_probabilities_need_no_second_word() -> None:
    table = Categorical.of([Fraction(1, 4), Fraction(1, 4), Fraction(1, 2)])
    quarter = 2**62
    stream = Scripted([0, quarter - 1, 2 * quarter - 1, 2 * quarter + 1, 2**64 - 1])
    assert table.draw(5, stream).tolist() == [0, 0, 1, 2, 2]  # type: ignore[arg-type]
    assert Categorical.of([Fraction(0), Fraction(1)]).draw(3, np.random.default_rng(0)).tolist() == [1, 1, 1]


# -- what certificates are told of an input ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "word", "sizes", "law"),
    [
        (
            hc.UniformReplacement(0.25),
            (0, 5, 1),
            (9, 2, 9),
            {"kernel": "uniform", "beta": "0x1.0000000000000p-2", "positions": [[2, 1], [9, 2]]},
        ),
        (
            FieldReplacement([0.5, 0.25, 0.5]),
            (0, 5, 1),
            (9, 2, 9),
            {
                "kernel": "fields",
                "positions": [
                    [{"size": 2, "beta": "0x1.0000000000000p-2"}, 1],
                    [{"size": 9, "beta": "0x1.0000000000000p-1"}, 2],
                ],
            },
        ),
        (
            RandomizedResponse(3.0),
            (0, 1),
            (4, 2),
            {"kernel": "randomized-response", "ratio": "0x1.8000000000000p+1", "positions": [[2, 1], [4, 1]]},
        ),
        (
            hc.Absorbing(0.5),
            (0, 1, 1),
            (4, 2, 2),
            {"kernel": "absorbing", "beta": "0x1.0000000000000p-1", "positions": [["symbol", 3]]},
        ),
        (
            SparseFlips(0.25, 0.5),
            (1, 0, 1),
            (2, 2, 2),
            {
                "kernel": "flips",
                "p_plus": "0x1.0000000000000p-2",
                "p_minus": "0x1.0000000000000p-1",
                "positions": [[0, 1], [1, 2]],
            },
        ),
        (
            SynonymReplacement(SYNONYMS, noise_sets=NOISE_SETS),
            (0, 2, 3, 0),
            (4,) * 4,
            {
                "kernel": "synonyms",
                "positions": [[[1, []], 1], [[2, [[1, 1]]], 1], [[3, [[2, 1], [2, 2]]], 2]],
            },
        ),
        (
            MatrixKernel([[0.75, Fraction(1, 4)], [0, 1]], substitutions=[(0, 1)]),
            (1, 0, 1),
            (2,) * 3,
            {
                "kernel": "matrix",
                "rows": [["0x1.8000000000000p-1", "1/4"], ["0", "1"]],
                "substitutions": [[0, 1]],
                "positions": [[0, 1], [1, 2]],
            },
        ),
        (
            hc.RandomDeletion(0.5),
            (3, 4, PADDING),
            (9,) * 3,
            {"kernel": "deletion", "beta": "0x1.0000000000000p-1", "length": 2},
        ),
    ],
)
def test_the_law_is_stated_as_on_the_format_page(
    kernel, word: Word, sizes: Word, law: dict[str, object]
) -> None:  # type: ignore[no-untyped-def]
    exposure = kernel.exposure(codes(*word), sizes)
    assert hash(exposure) is not None
    assert json.loads(json.dumps(kernel.law(exposure))) == law
    assert json.loads(json.dumps(kernel.parameters()))
    assert hash(kernel) == hash(kernel)


def test_the_exposure_does_not_depend_on_the_order_of_positions() -> None:
    kernel = MatrixKernel(ROWS, weights=True)
    assert kernel.exposure(codes(0, 2, 1, 2), (3,) * 4) == kernel.exposure(codes(2, 1, 2, 0), (3,) * 4)


@pytest.mark.parametrize(
    ("threat", "d", "changes"),
    [
        (Flips(9), 4, [[[0, 0, 4]], [[0, 0, 3], [1, 0, 1]], [[0, 0, 2], [1, 0, 2]], [[0, 0, 1], [1, 0, 3]]]),
        (Flips(9, max_additions=1), 3, [[[0, 0, 1], [1, 0, 2]], [[1, 0, 3]]]),
        (Flips(9, max_additions=1, max_removals=1), 5, [[[0, 0, 1], [1, 0, 1]]]),
        (Additions(9), 2, [[[0, 0, 2]]]),
        (Additions(9), 7, [[[0, 0, 5]]]),
        (Removals(9), 7, [[[1, 0, 3]]]),
        (Removals(9), 0, [[]]),
    ],
)
def test_flips_split_over_zeros_and_ones_as_the_threat_allows(
    threat: DiscreteThreat, d: int, changes: list[object]
) -> None:
    """Five zeros, three ones; an addition tells less than a removal, but not at every ratio."""
    kernel = SparseFlips(0.1, 0.6)
    found = kernel.candidates(threat, d, ((0, 5), (1, 3))).candidates
    listed = [candidate.change["positions"] for candidate in found]
    assert sorted(listed) == sorted(changes)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("threat", "length", "changes"),
    [
        (hc.Insertion(9), 2, [(3, 0)]),
        (Deletion(9), None, [(0, 3)]),
        (Deletion(9), 2, [(0, 2)]),
        (Indel(9), None, [(3, 0), (2, 1), (1, 2), (0, 3)]),
        (Indel(9), 1, [(3, 0), (2, 1)]),
        (Indel(9), 0, [(3, 0)]),
        (hc.Edit(9), 2, [(3, 2)]),
        (hc.Edit(9), None, [(3, 3)]),
        (hc.Substitution(9), 2, [(2, 2)]),
    ],
)
def test_edits_of_a_sequence_within_a_budget_of_three(
    threat: DiscreteThreat, length: int | None, changes: list[tuple[int, int]]
) -> None:
    found = hc.RandomDeletion(0.5).candidates(threat, 3, length).candidates
    assert [(c.change["insertions"], c.change["deletions"]) for c in found] == changes


def test_large_budgets_of_insertions_and_deletions_are_covered_in_few_candidates() -> None:
    found = hc.RandomDeletion(0.999).candidates(Indel(9), 4321, 3000).candidates
    assert len(found) <= 1000
    listed = [(c.change["insertions"], c.change["deletions"]) for c in found]
    assert all(any(a >= 4321 - b and c >= b for a, c in listed) for b in range(3001))  # type: ignore[operator]


def test_randomized_response_spectra_merge_over_fields_of_all_sizes() -> None:
    kernel = RandomizedResponse(5.0)
    [spectrum] = kernel.spectra(hc.Fields(6), 6, [2, 3, 5, 8, 13, 21])
    assert len(spectrum) <= 13
    assert kernel.candidates(hc.Fields(1), 1, kernel.exposure_of_sizes([2, 3, 5])).worst_case == "dominance"


def test_added_and_removed_bits_merge() -> None:
    kernel = SparseFlips(0.1, 0.6)
    threat = Flips(9, max_additions=4, max_removals=3)
    [spectrum] = kernel.candidates(threat, 7, ((0, 5), (1, 3))).spectra
    assert len(spectrum) == 8


# -- parameters --------------------------------------------------------------------------------------------


def test_ratio_comes_from_a_privacy_budget() -> None:
    assert RandomizedResponse.from_log_ratio(2.0) == RandomizedResponse(math.exp(2.0))
    for epsilon in (math.nan, 701.0, -math.inf):
        with pytest.raises(hc.ParameterError, match=r"the log ratio must be in \[-700, 700\], got"):
            RandomizedResponse.from_log_ratio(epsilon)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FieldReplacement([0.5, 1.5]), r"beta must be in \(0, 1\], got 1.5"),
        (lambda: RandomizedResponse(0.0), "ratio must be a finite number > 0, got 0.0"),
        (lambda: RandomizedResponse(math.nan), "ratio must be a finite number > 0, got nan"),
        (lambda: SparseFlips(1.0, 0.1), r"p_plus must be in \[0, 1\), got 1.0"),
        (lambda: SparseFlips(0.1, -0.5), r"p_minus must be in \[0, 1\), got -0.5"),
        (lambda: SynonymReplacement({1: [2]}, noise_sets={1: [2]}), "must contain the word, got 1"),
        (lambda: MatrixKernel([[0.5, 0.5]]), "square matrix, got row 0 of 2 entries, not 1"),
        (lambda: MatrixKernel([[1.5, -0.5], [0, 1]]), "row 0: entries must be finite numbers >= 0, got -0.5"),
        (
            lambda: MatrixKernel([[1, 0], [math.nan, 1]]),
            "row 1: entries must be finite numbers >= 0, got nan",
        ),
        (
            lambda: MatrixKernel([[1, 0], [math.inf, 1]]),
            "row 1: entries must be finite numbers >= 0, got inf",
        ),
        (lambda: MatrixKernel([[0, 0], [0, 1]], weights=True), "row 0: the sum must be positive, got 0"),
        (lambda: MatrixKernel([[2, 2], [0, 1]]), "row 0: the sum must be 1 within 1e-09, got 4.0"),
        (
            lambda: MatrixKernel([[1, 0], [0, 1]], substitutions=[(0, 0)]),
            r"different symbols in \[0, 1\], got \(0, 0\)",
        ),
        (
            lambda: MatrixKernel([[1, 0], [0, 1]], substitutions=[(0, 2)]),
            r"different symbols in \[0, 1\], got \(0, 2\)",
        ),
        (
            lambda: MatrixKernel([[1, 0], [0, 1]], substitutions="none"),
            'substitutions must be "all" or pairs',
        ),
        (lambda: Flips(2, max_removals=-1), "max_removals must be an integer >= 0, got -1"),
        (lambda: Flips(2.5), "d must be an integer >= 0, got 2.5"),
    ],
)
def test_parameters_outside_their_range_are_refused(build, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(hc.ParameterError, match=message):
        build()


def test_rows_are_divided_by_their_exact_sum() -> None:
    """0.1 + 0.2 + 0.7 is not 1 in floats; the law has mass 1 all the same."""
    kernel = MatrixKernel([[0.1, 0.2, 0.7], [0.7, 0.2, 0.1], [1, 0, 0]])
    for pair in kernel.options(0):
        assert sum(pair.masses) == 1


@pytest.mark.parametrize(
    ("kernel", "surface", "message"),
    [
        (
            FieldReplacement([0.5]),
            DiscreteSurface((3, 4), (0, 1)),
            "one rate for each of the 2 eligible positions, got 1",
        ),
        (SparseFlips(0.1, 0.1), DiscreteSurface((2, 3), (0, 1)), "needs alphabets of size 2, got 3"),
        (
            MatrixKernel([[1, 0], [0, 1]]),
            DiscreteSurface((3,), (0,)),
            "needs alphabets of 2 symbols, one a row, got 3",
        ),
        (SynonymReplacement({1: [8]}), DiscreteSurface((9, 5), (0, 1)), r"must be in \[0, 4\], got 8"),
        (
            RandomizedResponse(2.0),
            DiscreteSurface((1,), (0,)),
            "alphabet size must be an integer >= 2, got 1",
        ),
        (RandomizedResponse(2.0), DiscreteSurface((9,), (0,), open=True), "kernel needs a declared alphabet"),
        (hc.Absorbing(0.5), DiscreteSurface((9,), (0,), open=True), "kernel needs a declared alphabet"),
    ],
)
def test_kernels_refuse_modalities_that_they_do_not_fit(
    kernel, surface: DiscreteSurface, message: str
) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(hc.ParameterError, match=message):
        kernel.check_surface(surface)


def test_kernels_accept_modalities_that_they_fit() -> None:
    FieldReplacement([0.5, 0.5]).check_surface(DiscreteSurface((3, 1, 4), (0, 2)))
    SparseFlips(0.1, 0.1).check_surface(DiscreteSurface((2, 7), (0,)))
    MatrixKernel(ROWS, weights=True).check_surface(DiscreteSurface((3, 3), (0, 1)))
    SynonymReplacement({1: [4]}).check_surface(DiscreteSurface((5,), (0,)))
    SynonymReplacement({1: [4]}).check_surface(DiscreteSurface((5,), ()))


@pytest.mark.parametrize(
    ("kernel", "exposure"),
    [
        (SparseFlips(0.1, 0.6), ((0, 2), (1, 3))),
        (MatrixKernel(ROWS, weights=True), ((0, 5),)),
        (SynonymReplacement(SYNONYMS), (((1, ()), 5),)),
    ],
)
def test_budgets_and_threats_out_of_range_are_refused(kernel, exposure) -> None:  # type: ignore[no-untyped-def]
    threat = Flips(6) if kernel.name == "flips" else hc.Substitution(6)
    with pytest.raises(
        hc.ParameterError, match="d must be at most the number of eligible positions, 5, got 6"
    ):
        kernel.candidates(threat, 6, exposure)
    with pytest.raises(hc.ParameterError, match="d must be an integer >= 0, got -1"):
        kernel.candidates(threat, -1, exposure)
    with pytest.raises(hc.ParameterError, match=f"the {kernel.name} kernel certifies against"):
        kernel.candidates(hc.Edit(2), 1, exposure)


def test_kernels_compare_by_value() -> None:
    assert FieldReplacement([0.5, 0.25]) == FieldReplacement((0.5, 0.25))
    assert MatrixKernel(ROWS, weights=True) == MatrixKernel(ROWS, weights=True)
    assert MatrixKernel(ROWS, weights=True) != MatrixKernel(ROWS, weights=True, substitutions=[(0, 1)])
    assert SynonymReplacement({1: [2, 3]}) == SynonymReplacement({1: [3, 2, 1]})
    assert SynonymReplacement({1: [2, 3]}) != SynonymReplacement({1: [2]})
    assert len({MatrixKernel(ROWS, weights=True), MatrixKernel(ROWS, weights=True)}) == 1


def test_threats_describe_themselves() -> None:
    assert Flips(4, max_removals=0).described() == {"kind": "flips", "max_d": 4, "max_removals": 0}
    assert Indel(2).described() == {"kind": "indel", "max_d": 2}
