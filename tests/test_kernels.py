"""Kernels: samplers against their law, worst cases against enumeration, parameters against their range.

Every chi-square test has a false-alarm rate of 1e-6 by its critical value; seeds are fixed.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2, kstest

import hybridcert as hc
from exact_laws import Row, absorbing_row, deletion_row, knapsack, uniform_law, uniform_row
from hybridcert.kernels.deletion import PADDING
from hybridcert.kernels.draws import corrupted

FALSE_ALARM = 1e-6
COPIES = 60_000


def assert_drawn_from(row: Row, draws: list[object]) -> None:
    """Chi-square goodness of fit; outcomes of probability 0 must not occur at all."""
    counts = Counter(draws)
    assert set(counts) <= {z for z, p in row.items() if p > 0}
    expected = {z: float(p) * len(draws) for z, p in row.items() if p > 0}
    assert min(expected.values()) > 5
    if len(expected) > 1:
        statistic = sum((counts[z] - e) ** 2 / e for z, e in expected.items())
        assert statistic < chi2.isf(FALSE_ALARM, len(expected) - 1)


def copies(word: tuple[int, ...], count: int = COPIES) -> NDArray[np.int64]:
    return np.tile(np.array(word, dtype=np.int64), (count, 1))


# -- samplers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("word", "sizes"), [((2,), (5,)), ((0, 1), (3, 2)), ((1, 2, 0), (2, 3, 4))])
def test_uniform_sampler_follows_its_law(beta: float, word: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    noisy = hc.UniformReplacement(beta).sample(copies(word), sizes, np.random.default_rng(101))
    assert_drawn_from(uniform_row(word, beta, sizes), [tuple(z) for z in noisy.tolist()])


@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0])
def test_absorbing_sampler_follows_its_law(beta: float) -> None:
    sizes = (4, 2)
    noisy = hc.Absorbing(beta).sample(copies((3, 0)), sizes, np.random.default_rng(102)).tolist()
    shown = [tuple("mask" if z == size else z for z, size in zip(row, sizes, strict=True)) for row in noisy]
    assert_drawn_from(absorbing_row((3, 0), beta), shown)


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("word", [(0,), (0, 0), (0, 1, 2), (0, 1, 0, 1)])
def test_deletion_sampler_follows_its_law(beta: float, word: tuple[int, ...]) -> None:
    noisy = hc.RandomDeletion(beta).sample(copies(word), (), np.random.default_rng(103)).tolist()
    for row in noisy[:100]:
        assert PADDING not in row[: len(row) - row.count(PADDING)], "padding closes the row"
    assert_drawn_from(deletion_row(word, beta), [tuple(z for z in row if z != PADDING) for row in noisy])


def test_deletion_of_padded_rows_ignores_the_padding() -> None:
    padded = copies((0, 1, PADDING, PADDING))
    noisy = hc.RandomDeletion(0.5).sample(padded, (), np.random.default_rng(104)).tolist()
    assert_drawn_from(deletion_row((0, 1), 0.5), [tuple(z for z in row if z != PADDING) for row in noisy])


def test_positions_and_copies_are_independent() -> None:
    """Replacement of one position says nothing about the next position or the next copy."""
    noisy = hc.UniformReplacement(0.5).sample(copies((0, 0)), (2, 2), np.random.default_rng(105))
    pairs = list(zip(noisy[:-1, 0].tolist(), noisy[1:, 0].tolist(), strict=True))[::2]
    even: Row = {(a, b): Fraction(1, 4) for a in (0, 1) for b in (0, 1)}
    assert_drawn_from(even, pairs)  # type: ignore[arg-type]


def test_gaussian_sampler_follows_its_law() -> None:
    """Kolmogorov–Smirnov at the same false-alarm rate."""
    noise = hc.GaussianNoise(sigma=2.5)
    values = np.full((20_000, 3), 7.0)
    noisy = noise.sample(values, np.random.default_rng(106))
    assert kstest((noisy - 7.0).ravel() / 2.5, "norm").pvalue > FALSE_ALARM
    assert values.tolist() == np.full((20_000, 3), 7.0).tolist()


@pytest.mark.parametrize("kernel", [hc.UniformReplacement(0.5), hc.Absorbing(0.5), hc.RandomDeletion(0.5)])
def test_sampling_leaves_its_input_alone_and_depends_on_the_stream_only(kernel) -> None:  # type: ignore[no-untyped-def]
    codes = copies((0, 1, 2), 50)
    first = kernel.sample(codes, (3, 3, 3), np.random.default_rng(7))
    second = kernel.sample(codes, (3, 3, 3), np.random.default_rng(7))
    assert np.array_equal(first, second)
    assert np.array_equal(codes, copies((0, 1, 2), 50))
    assert not np.array_equal(first, kernel.sample(codes, (3, 3, 3), np.random.default_rng(8)))


def test_at_rate_one_every_symbol_is_corrupted_always() -> None:
    stream = np.random.default_rng(108)
    codes = stream.integers(0, 5, size=(COPIES, 2))
    assert not (hc.UniformReplacement(1.0).sample(codes, (5, 5), stream) == codes).any()
    assert (hc.Absorbing(1.0).sample(codes, (5, 5), stream) == 5).all()
    assert (hc.RandomDeletion(1.0).sample(codes, (), stream) == PADDING).all()


def test_huge_alphabets_are_sampled_in_range_and_on_both_sides() -> None:
    size, code = 2**60, 2**59
    noisy = hc.UniformReplacement(1.0).sample(copies((code,), 2000), (size,), np.random.default_rng(109))[
        :, 0
    ]
    assert ((noisy >= 0) & (noisy < size) & (noisy != code)).all()
    low = int((noisy < code).sum())
    assert abs(low - 1000) < 5 * math.sqrt(2000) / 2


class Bits(np.random.Generator):
    """A stream that returns the given 64-bit words."""

    def __init__(self, words: list[int]) -> None:
        super().__init__(np.random.PCG64(0))
        self.words = np.array(words, dtype=np.uint64)

    def integers(self, low, high=None, size=None, dtype=np.int64, endpoint=False):  # type: ignore[no-untyped-def]
        del low, high, dtype, endpoint
        return np.resize(self.words, size)


@pytest.mark.parametrize("beta", [2.0**-12, 0.1, 0.3, 0.5, math.nextafter(1.0, 0.0)])
def test_the_rate_of_corruption_is_exactly_beta(beta: float) -> None:
    """Of the 2⁶⁴ equally likely words, exactly β·2⁶⁴ corrupt: the words below it do, the others do not."""
    limit = Fraction(beta) * 2**64
    assert limit.denominator == 1
    boundary = int(limit)
    words = [0, boundary - 1, boundary, min(boundary + 1, 2**64 - 1), 2**64 - 1]
    expected = [word < boundary for word in words]
    assert corrupted(beta, len(words), Bits(words)).tolist() == expected


# -- worst cases -------------------------------------------------------------------------------------------


def worst_sizes(beta: float, sizes: list[int], d: int) -> list[tuple[int, ...]]:
    """Alphabet sizes of the positions that each candidate changes."""
    kernel = hc.UniformReplacement(beta)
    exposure = kernel.exposure_of_sizes(sizes)
    changes = [c.change["positions"] for c in kernel.candidates(hc.Fields(d), d, exposure).candidates]
    return [tuple(exposure[c][0] for c, _, n in change for _ in range(n)) for change in changes]


@given(
    st.one_of(st.floats(1e-3, 1.0), st.sampled_from([0.5, 2 / 3, 0.75, 0.8, 1.0])),
    st.lists(st.sampled_from([2, 3, 4, 5, 9, 42]), min_size=1, max_size=4),
    st.data(),
)
@settings(max_examples=60)
def test_worst_fields_include_the_worst_of_all_choices(
    beta: float, sizes: list[int], data: st.DataObject
) -> None:
    d = data.draw(st.integers(0, len(sizes)))
    chosen = worst_sizes(beta, sizes, d)
    assert all(len(choice) == d and not Counter(choice) - Counter(sizes) for choice in chosen)
    subsets = {tuple(sorted(c)) for c in itertools.combinations(sizes, d)}
    for p in (Fraction(1, 5), Fraction(3, 5), Fraction(19, 20)):
        worst = min(knapsack(uniform_law(beta, subset), p) for subset in subsets)
        assert min(knapsack(uniform_law(beta, choice), p) for choice in chosen) == worst


def test_largest_fields_alone_are_worst_where_the_order_holds() -> None:
    assert worst_sizes(0.5, [2, 9, 16, 7], 2) == [(9, 16)]
    assert sorted(worst_sizes(0.9, [2, 9, 16, 7], 2)) == [(2, 7), (2, 16)]


@pytest.mark.parametrize("d", [0, 1, 5, 64])
def test_deletion_kernel_serves_edits_as_substitutions(d: int) -> None:
    kernel = hc.RandomDeletion(0.9)
    edit, substitution = kernel.spectra(hc.Edit(d), d)[0], kernel.spectra(hc.Substitution(d), d)[0]
    for m in (0.0, 0.5):
        assert hc.Tradeoff(edit, m).lower(0.9).value == hc.Tradeoff(substitution, m).lower(0.9).value


def test_nothing_changed_is_the_identity_for_every_kernel() -> None:
    for spectra in (
        hc.UniformReplacement(0.3).spectra(hc.Substitution(0), 0, [5, 6]),
        hc.UniformReplacement(0.9).spectra(hc.Fields(0), 0, [2, 6]),
        hc.Absorbing(0.3).spectra(hc.Substitution(0), 0, [5]),
        hc.RandomDeletion(0.3).spectra(hc.Insertion(0), 0, []),
        hc.RandomDeletion(0.3).spectra(hc.Edit(0), 0, []),
    ):
        assert float(hc.Tradeoff(spectra[0], 0.0).lower(0.7).value) == pytest.approx(0.7, rel=1e-14)


# -- parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [hc.UniformReplacement, hc.Absorbing, hc.RandomDeletion])
@pytest.mark.parametrize("beta", [0.0, -0.1, 1.5, math.nan, math.inf])
def test_rates_outside_their_range_are_refused(kernel: type, beta: float) -> None:
    with pytest.raises(hc.ParameterError, match=r"beta must be in \(0, 1\], got"):
        kernel(beta)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_sigmas_outside_their_range_are_refused(sigma: float) -> None:
    with pytest.raises(hc.ParameterError, match="sigma must be a finite number > 0, got"):
        hc.GaussianNoise(sigma)


@pytest.mark.parametrize("size", [1, 0, -3, 2.5])
def test_alphabets_outside_their_range_are_refused(size: float) -> None:
    kernel = hc.UniformReplacement(0.5)
    with pytest.raises(hc.ParameterError, match="alphabet size must be an integer >= 2, got"):
        kernel.spectrum([size])  # type: ignore[list-item]
    with pytest.raises(hc.ParameterError, match="alphabet size must be an integer >= 2, got"):
        kernel.spectra(hc.Fields(1), 1, [5, size])  # type: ignore[list-item]


@pytest.mark.parametrize("kernel", [hc.UniformReplacement(0.5), hc.Absorbing(0.5), hc.RandomDeletion(0.5)])
def test_negative_budgets_are_refused(kernel) -> None:  # type: ignore[no-untyped-def]
    """A negative d would give masses above one, and certificates above the truth."""
    with pytest.raises(hc.ParameterError, match=">= 0"):
        kernel.spectra(hc.Substitution(3), -1, [2, 3, 4])


def test_budgets_beyond_the_positions_are_refused() -> None:
    for kernel in (hc.UniformReplacement(0.5), hc.Absorbing(0.5)):
        with pytest.raises(hc.ParameterError, match="d must be at most the number of eligible positions, 2"):
            kernel.spectra(hc.Substitution(3), 3, [2, 3])


def test_kernels_refuse_threats_they_cannot_serve() -> None:
    for kernel in (hc.UniformReplacement(0.5), hc.Absorbing(0.5)):
        for threat in (hc.Insertion(1), hc.Edit(1)):
            with pytest.raises(hc.ParameterError, match="certifies against substitution or fields"):
                kernel.spectra(threat, 1, [5])
    served = "insertion or deletion or indel or edit or substitution"
    with pytest.raises(hc.ParameterError, match=f"certifies against {served}, got threat fields"):
        hc.RandomDeletion(0.5).spectra(hc.Fields(1), 1, [5])


def test_kernels_compare_by_value_and_cannot_be_changed() -> None:
    assert hc.UniformReplacement(0.5) == hc.UniformReplacement(0.5)
    assert hc.UniformReplacement(0.5) != hc.UniformReplacement(0.25)
    with pytest.raises(AttributeError):
        hc.Absorbing(0.5).beta = 0.1  # type: ignore[misc]


@pytest.mark.parametrize("size", [2**53, 2**60, 2**64 + 13, 3 * 10**18 + 7, 10**19 + 9, 10**30, 10**40])
@pytest.mark.parametrize("d", [1, 2, 7, 3000])
def test_mass_that_is_told_apart_is_never_understated_in_huge_alphabets(size: int, d: int) -> None:
    """At β = 1 it is 1 − (1 − 1/(V−1))^d, of the order of d/V: not to be had as a difference of decimals."""
    spectrum = hc.UniformReplacement(1.0).spectrum([size] * d)
    exact = 1 - Fraction(size - 2, size - 1) ** d
    assert exact <= Fraction(spectrum.ratio_zero_upper) <= exact * (1 + Fraction(1, 10**14))


def test_a_tie_with_a_tiny_rate_is_decided_by_further_bits() -> None:
    """β = 1e-12 is 18446744 + 0.07… in units of 2⁻⁶⁴: a hit of the whole part is an event 7 times in 100."""
    beta = 1e-12
    whole = int(beta * 2.0**64)
    words = iter([[whole - 1, whole, whole, whole + 1], [0, 2**64 - 1]])

    class Scripted:
        def integers(self, low: int, high: int, size: int, dtype: type) -> np.ndarray:
            drawn = np.array(next(words), dtype=dtype)
            assert (low, high, size) == (0, 2**64, drawn.size)
            return drawn

    events = corrupted(beta, 4, Scripted())  # type: ignore[arg-type]
    assert events.tolist() == [True, True, False, False]
