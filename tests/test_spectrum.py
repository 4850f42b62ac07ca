"""The likelihood spectrum against enumeration, and the invariants of the theory page (sections 1 and 6)."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridcert as hc
from balls import ball, precision
from exact_laws import (
    IDENTITY,
    Law,
    absorbing_row,
    compose,
    deletion_row,
    knapsack,
    law_of,
    power,
    shared_law,
    spectrum_of,
    uniform_law,
    uniform_row,
)
from hybridcert.certificate import spectrum as spectrum_module
from strategies import laws, plain_shifts, rates, scores, sizes


def key_ratio(spectrum: hc.LikelihoodSpectrum, atom: int) -> Fraction:
    """The exact likelihood ratio of an atom."""
    exponents = spectrum.exponents[atom].tolist()
    return math.prod((b**e for b, e in zip(spectrum.bases, exponents, strict=True)), start=Fraction(1))


def assert_encloses(spectrum: hc.LikelihoodSpectrum, law: Law, *, slack: float = 1e-13) -> None:
    """Masses enclosed and within ``slack`` relative, log ratios within their stated error."""
    atoms: dict[Fraction, list[int]] = {}
    for atom in range(len(spectrum)):
        atoms.setdefault(key_ratio(spectrum, atom), []).append(atom)
    assert set(atoms) <= set(law)
    zero, _ = law.get(Fraction(0), (Fraction(0), Fraction(0)))
    missing = zero + sum(law[r][0] for r in law if r > 0 and r not in atoms)
    assert missing <= Fraction(spectrum.ratio_zero_upper) <= missing + Fraction(slack)
    for ratio, members in atoms.items():
        p, q = law[ratio]
        lower, upper, adversarial = (
            sum(Fraction(float(masses[i])) for i in members)
            for masses in (spectrum.clean_lower, spectrum.clean_upper, spectrum.adversarial_lower)
        )
        assert lower <= p <= upper
        assert adversarial <= q
        if p > Fraction(1, 10**280):
            assert upper - lower <= Fraction(slack) * p
        if q > Fraction(1, 10**280):
            assert q - adversarial <= Fraction(slack) * q
        with precision(800):
            for i in members:
                error = abs(ball(float(spectrum.log_ratio[i])) - ball(ratio).log())
                assert bool(error <= spectrum.log_ratio_error)


def values(spectrum: hc.LikelihoodSpectrum, p: float, m: float) -> float:
    return float(hc.Tradeoff(spectrum, m).lower(p).value)


# -- against enumeration -----------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.25, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("alphabet", [(2,), (5,), (2, 2), (3, 3), (2, 3), (3, 3, 3), (2, 3, 4)])
def test_uniform_spectrum_equals_the_enumerated_law(beta: float, alphabet: tuple[int, ...]) -> None:
    zeros, ones = (0,) * len(alphabet), (1,) * len(alphabet)
    law = law_of(uniform_row(zeros, beta, alphabet), uniform_row(ones, beta, alphabet))
    assert law == uniform_law(beta, alphabet)
    assert_encloses(hc.UniformReplacement(beta).spectrum(alphabet), law)


@pytest.mark.parametrize("beta", [0.25, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_absorbing_spectrum_equals_the_enumerated_law(beta: float, d: int) -> None:
    law = law_of(absorbing_row((0,) * d, beta), absorbing_row((1,) * d, beta))
    assert_encloses(hc.Absorbing(beta).spectrum(d), law)


@pytest.mark.parametrize("beta", [0.25, 0.3, 0.9, 1.0])
@pytest.mark.parametrize(
    ("word", "other"), [((0,), (0, 1)), ((0, 0), (1, 0, 2, 0)), ((0, 1), (2, 3)), ((0,), ())]
)
def test_deletion_spectrum_equals_the_law_of_fresh_symbols(
    beta: float, word: tuple[int, ...], other: tuple[int, ...]
) -> None:
    """Words that share nothing but the symbols common to both: there the spectrum is exact."""
    clean, adversarial = deletion_row(word, beta), deletion_row(other, beta)
    removed = sum(x not in other for x in word)
    inserted = sum(x not in word for x in other)
    spectrum = hc.RandomDeletion(beta).spectrum(insertions=inserted, deletions=removed)
    exact = shared_law(Fraction(beta) ** removed, Fraction(beta) ** inserted)
    assert_encloses(spectrum, exact)
    for p in (0.1, 0.5, 0.9, 0.999):
        assert Fraction(values(spectrum, p, 0.0)) <= knapsack(law_of(clean, adversarial), Fraction(p))


@given(rates(), sizes())
def test_uniform_spectrum_equals_its_law_at_extreme_rates_and_alphabets(
    beta: float, alphabet: list[int]
) -> None:
    assert_encloses(hc.UniformReplacement(beta).spectrum(alphabet), uniform_law(beta, alphabet))


@given(rates(), st.integers(0, 6), st.integers(0, 6))
def test_deletion_spectrum_equals_its_law_at_extreme_rates(beta: float, inserted: int, removed: int) -> None:
    spectrum = hc.RandomDeletion(beta).spectrum(insertions=inserted, deletions=removed)
    shared = Fraction(beta) ** removed, Fraction(beta) ** inserted
    if max(shared) > Fraction(1, 10**280):
        assert_encloses(spectrum, shared_law(*shared))


@given(laws())
@settings(max_examples=60)
def test_hand_made_spectra_enclose_their_law(law: Law) -> None:
    assert_encloses(spectrum_of(law), law)


@pytest.mark.parametrize(("beta", "size"), [(0.25, 50_000), (0.6, 3), (0.4, 2), (1e-12, 5), (0.999, 2)])
def test_a_sum_of_ten_thousand_steps_keeps_its_mass_and_its_symmetry(beta: float, size: int) -> None:
    """Σ clean ≈ 1, Σ adversarial ≈ 1, and exchanging the two laws mirrors the exponents."""
    spectrum = hc.UniformReplacement(beta).spectrum([size] * 10_000)
    assert spectrum.clean_lower.sum() <= 1.0 <= spectrum.clean_upper.sum() + spectrum.ratio_zero_upper
    assert spectrum.clean_upper.sum() - spectrum.clean_lower.sum() < 1e-11
    assert spectrum.adversarial_lower.sum() == pytest.approx(1.0, rel=1e-13)
    exponents = spectrum.exponents[:, 0].tolist()
    clean = dict(zip(exponents, spectrum.clean_lower.tolist(), strict=True))
    adversarial = dict(zip(exponents, spectrum.adversarial_lower.tolist(), strict=True))
    assert all(adversarial[-k] == clean[k] for k in exponents if -k in clean)


@pytest.mark.parametrize(
    ("beta", "size", "d"), [(0.25, 50_000, 60), (0.6, 3, 40), (0.9, 2, 64), (1e-40, 7, 12)]
)
def test_many_equal_positions_agree_with_repeated_convolution(beta: float, size: int, d: int) -> None:
    spectrum = hc.UniformReplacement(beta).spectrum([size] * d)
    rate = Fraction(beta)
    stay, move = 1 - rate, rate / (size - 1)
    up = 1 if stay > move else -1  # exponents belong to the base above one
    steps = {-up: stay, 0: (size - 2) * move, up: move}
    masses = {0: Fraction(1)}
    for _ in range(d):
        new: dict[int, Fraction] = {}
        for (k, p), (step, q) in itertools.product(masses.items(), steps.items()):
            new[k + step] = new.get(k + step, Fraction(0)) + p * q
        masses = new
    for atom, (exponent,) in enumerate(spectrum.exponents.tolist()):
        assert (
            Fraction(spectrum.clean_lower[atom]) <= masses[exponent] <= Fraction(spectrum.clean_upper[atom])
        )
        assert Fraction(spectrum.adversarial_lower[atom]) <= masses[-exponent]
    kept = {exponent for (exponent,) in spectrum.exponents.tolist()}
    assert sum(p for k, p in masses.items() if k not in kept) <= Fraction(spectrum.ratio_zero_upper)


# -- composition -------------------------------------------------------------------------------------------


@given(laws(), laws())
@settings(max_examples=60)
def test_composition_encloses_the_product_law(first: Law, second: Law) -> None:
    assert_encloses(spectrum_of(first).compose(spectrum_of(second)), compose(first, second), slack=1e-12)


@given(laws(), laws(), scores(certain=False), plain_shifts())
@settings(max_examples=60)
def test_composition_is_commutative_in_value(first: Law, second: Law, p: float, m: float) -> None:
    one, two = spectrum_of(first), spectrum_of(second)
    assert values(one.compose(two), p, m) == pytest.approx(values(two.compose(one), p, m), rel=1e-6, abs=1e-9)


@given(laws(), laws(), rates(), scores(certain=False), plain_shifts())
@settings(max_examples=40)
def test_composition_is_associative_in_value(
    first: Law, second: Law, beta: float, p: float, m: float
) -> None:
    one, two, three = spectrum_of(first), spectrum_of(second), hc.UniformReplacement(beta).spectrum([3])
    left, right = one.compose(two).compose(three), one.compose(two.compose(three))
    assert values(left, p, m) == pytest.approx(values(right, p, m), rel=1e-6, abs=1e-9)


@given(laws())
@settings(max_examples=20)
def test_nothing_changed_is_the_neutral_element(law: Law) -> None:
    spectrum = spectrum_of(law)
    for joint in (
        spectrum.compose(hc.LikelihoodSpectrum.identity()),
        hc.LikelihoodSpectrum.identity().compose(spectrum),
    ):
        assert_encloses(joint, law)


@pytest.mark.parametrize("beta", [0.3, 0.9, 1.0])
def test_positions_composed_one_by_one_equal_positions_at_once(beta: float) -> None:
    kernel = hc.UniformReplacement(beta)
    one_by_one = kernel.spectrum([5]).compose(kernel.spectrum([5])).compose(kernel.spectrum([5]))
    together = kernel.spectrum([5, 5, 5])
    assert len(one_by_one) == len(together)
    for p, m in itertools.product((0.2, 0.6, 0.99), (0.0, 0.4, 2.0)):
        assert values(one_by_one, p, m) == pytest.approx(values(together, p, m), rel=1e-12)


@pytest.mark.parametrize(("p", "m"), list(itertools.product((0.2, 0.45, 0.6, 0.9), (0.0, 0.5))))
def test_singular_masses_compose_without_double_counting(p: float, m: float) -> None:
    """P(some part is told apart) = 1 − (1 − z₁)(1 − z₂), not z₁ + z₂."""
    half = hc.Absorbing(0.95).spectrum(3)
    assert values(half.compose(half), p, m) == pytest.approx(
        values(hc.Absorbing(0.95).spectrum(6), p, m), rel=1e-10
    )


def test_fields_of_several_sizes_equal_the_product_law() -> None:
    spectrum = hc.UniformReplacement(0.3).spectrum([9, 16, 9, 42])
    law = uniform_law(0.3, [9, 16, 9, 42])
    for p in (0.3, 0.7, 0.95, 0.9995):
        exact = knapsack(law, Fraction(p))
        value = values(spectrum, p, 0.0)
        assert exact * (1 - Fraction(1, 10**11)) <= Fraction(value) <= exact


def test_composition_refuses_to_grow_without_bound() -> None:
    large = hc.UniformReplacement(0.3).spectrum([3] * 1000)
    other = hc.UniformReplacement(0.3).spectrum([4] * 1000)
    with pytest.raises(hc.ParameterError, match="joint spectrum would have"):
        large.compose(other)


# -- splitting, merging, permuting -------------------------------------------------------------------------


def rebuilt(spectrum: hc.LikelihoodSpectrum, order: np.ndarray, shares: list[float]) -> hc.LikelihoodSpectrum:
    """The same atoms in another order, each split into the given dyadic shares."""
    index = np.repeat(order, len(shares))
    weight = np.tile(np.array(shares), len(order))
    return hc.LikelihoodSpectrum.build(
        spectrum.bases,
        spectrum.exponents[index],
        clean=(spectrum.clean_lower[index] * weight, spectrum.clean_upper[index] * weight),
        adversarial_lower=spectrum.adversarial_lower[index] * weight,
        ratio_zero_upper=spectrum.ratio_zero_upper,
    )


@given(
    rates().filter(lambda rate: rate >= 1e-12),
    sizes(),
    scores(certain=False),
    plain_shifts(),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60)
def test_permuting_splitting_and_merging_atoms_changes_nothing(beta, alphabet, p, m, random) -> None:  # type: ignore[no-untyped-def]
    spectrum = hc.UniformReplacement(beta).spectrum(alphabet)
    order = list(range(len(spectrum)))
    random.shuffle(order)
    before = values(spectrum, p, m)
    assert values(rebuilt(spectrum, np.array(order, dtype=np.intp), [1.0]), p, m) == pytest.approx(
        before, rel=1e-7, abs=1e-9
    )
    split = rebuilt(spectrum, np.array(order, dtype=np.intp), [0.5, 0.25, 0.25])
    assert len(split) == len(spectrum)
    assert values(split, p, m) == pytest.approx(before, rel=1e-7, abs=1e-9)


def test_atoms_at_ratio_one_merge_whatever_their_bases() -> None:
    one = np.full(2, 0.5)
    spectrum = hc.LikelihoodSpectrum.build(
        (Fraction(1), Fraction(1)),
        np.array([[1, 0], [3, -2]]),
        clean=(one, one),
        adversarial_lower=one,
        ratio_zero_upper=0.0,
    )
    assert len(spectrum) == 1
    assert spectrum.bases == ()
    assert spectrum.log_ratio.tolist() == [0.0]


def test_negligible_atoms_are_coarsened_never_dropped() -> None:
    """Their clean mass moves to ratio 0, so the certified value can only fall."""
    tiny = Fraction(1, 10**295)
    law = {Fraction(1): (1 - tiny, 1 - tiny), Fraction(2): (tiny, 2 * tiny)}
    spectrum = spectrum_of(law)
    assert len(spectrum) == 1
    assert Fraction(spectrum.ratio_zero_upper) >= tiny
    heavy_for_the_adversary = {
        Fraction(1, 2): (1 - tiny, Fraction(1, 2) - tiny),
        1 / tiny: (tiny / 4, Fraction(1, 4)),
    }
    assert len(spectrum_of(heavy_for_the_adversary)) == 2


# -- monotone in everything it should be -------------------------------------------------------------------


def ordered(smaller: float, larger: float) -> bool:
    """Up to what rounding may take from a certified value, which is most next to a plateau of F."""
    return smaller <= larger * (1 + 1e-7) + 1e-9


@given(laws(), scores(certain=False), scores(certain=False), plain_shifts())
@settings(max_examples=80)
def test_value_is_at_most_the_score_and_grows_with_it(law: Law, p: float, other: float, m: float) -> None:
    spectrum = spectrum_of(law)
    low, high = sorted((p, other))
    assert 0.0 <= values(spectrum, low, m) <= low
    assert ordered(values(spectrum, low, m), values(spectrum, high, m))


@given(laws(), scores(certain=False), plain_shifts(), plain_shifts())
@settings(max_examples=80)
def test_value_falls_with_the_shift_and_is_at_most_each_unimodal_value(
    law: Law, p: float, m: float, other: float
) -> None:
    spectrum = spectrum_of(law)
    near, far = sorted((m, other))
    assert ordered(values(spectrum, p, far), values(spectrum, p, near))
    assert ordered(values(spectrum, p, m), values(spectrum, p, 0.0))
    assert ordered(values(spectrum, p, m), values(hc.LikelihoodSpectrum.identity(), p, m))


@given(
    rates(), st.sampled_from([2, 3, 5, 256, 50_000]), st.integers(0, 5), scores(certain=False), plain_shifts()
)
@settings(max_examples=80)
def test_value_falls_with_the_number_of_changes(beta: float, size: int, d: int, p: float, m: float) -> None:
    for fewer, more in (
        (
            hc.UniformReplacement(beta).spectrum([size] * d),
            hc.UniformReplacement(beta).spectrum([size] * (d + 1)),
        ),
        (hc.Absorbing(beta).spectrum(d), hc.Absorbing(beta).spectrum(d + 1)),
        (hc.RandomDeletion(beta).spectrum(insertions=d), hc.RandomDeletion(beta).spectrum(insertions=d + 1)),
        (hc.RandomDeletion(beta).spectrum(deletions=d), hc.RandomDeletion(beta).spectrum(deletions=d + 1)),
    ):
        assert ordered(values(more, p, m), values(fewer, p, m))


@given(
    st.integers(2, 60),
    st.integers(0, 1000),
    st.floats(1e-3, 1.0),
    st.integers(1, 3),
    scores(certain=False),
    plain_shifts(),
)
@settings(max_examples=80)
def test_value_falls_with_the_alphabet_where_the_order_holds(
    size: int, more: int, share: float, d: int, p: float, m: float
) -> None:
    beta = share * (1 - 1 / size)
    small = hc.UniformReplacement(beta).spectrum([size] * d)
    large = hc.UniformReplacement(beta).spectrum([size + more] * d)
    assert ordered(values(large, p, m), values(small, p, m))


def test_identity_gives_the_gaussian_closed_form() -> None:
    from scipy.special import ndtr, ndtri

    p = np.array([1e-6, 0.1, 0.5, 0.9, 0.999999])
    for m in (0.0, 0.1, 1.0, 4.0):
        exact = ndtr(ndtri(p) - m) if m else p
        assert hc.Tradeoff(hc.LikelihoodSpectrum.identity(), m).lower(p).value == pytest.approx(
            exact, rel=1e-9
        )


def test_pure_insertion_gives_its_closed_form() -> None:
    from scipy.special import ndtr, ndtri

    p = np.array([0.1, 0.5, 0.9, 0.999999])
    for beta, d, m in itertools.product((0.25, 0.9), (0, 1, 5, 64), (0.5, 2.0)):
        spectrum = hc.RandomDeletion(beta).spectrum(insertions=d)
        exact = beta**d * ndtr(ndtri(p) - m)
        assert hc.Tradeoff(spectrum, m).lower(p).value == pytest.approx(exact, rel=1e-9)


def test_spectra_are_immutable() -> None:
    spectrum = hc.UniformReplacement(0.3).spectrum([3, 3])
    for name in ("clean_lower", "clean_upper", "adversarial_lower", "log_ratio", "exponents"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(spectrum, name)[0] = 0
    with pytest.raises(AttributeError):
        spectrum.ratio_zero_upper = 0.5  # type: ignore[misc]


@pytest.mark.parametrize("base", [Fraction(0), Fraction(-1), Fraction(1)])
def test_impossible_bases_are_refused(base: Fraction) -> None:
    one = np.ones(1)
    with pytest.raises(hc.ParameterError, match="base must be positive"):
        hc.LikelihoodSpectrum((base,), np.ones((1, 1), dtype=np.int64), one, one.copy(), one.copy(), 0.0)


@given(st.integers(2, 2**200), st.integers(2, 2**200))
def test_logarithms_of_bases_are_within_their_error(numerator: int, denominator: int) -> None:
    base = Fraction(numerator, denominator)
    for ratio in (base, 1 + base / 10**6, 1 + base / 2**220):
        if ratio != 1:
            with precision(700):
                exact = ball(ratio).log()
                computed = spectrum_module._log(ratio)
                assert bool(abs(ball(computed) - exact) <= 3 * 2.0**-53 * abs(exact)), ratio


def test_powers_of_a_law_match_equal_positions() -> None:
    assert power(uniform_law(0.3, [5]), 3) == uniform_law(0.3, [5, 5, 5])
    assert power(uniform_law(0.3, [5]), 0) == IDENTITY
