"""Pairs of laws: their order against every test there is, their powers against exact products."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridcert as hc
from exact_laws import IDENTITY, Law, compose, knapsack, power
from hybridcert.certificate.channel import ChannelPair
from hybridcert.kernels.replacement import replacement_pair
from strategies import channel_pairs, pair_law

NONE = (Fraction(0), Fraction(0))


def assert_encloses(spectrum: hc.LikelihoodSpectrum, law: Law, *, slack: Fraction) -> None:
    """Atoms of one exact ratio enclose its masses, together, within ``slack`` relative."""
    found: dict[Fraction, list[int]] = {}
    for atom in range(len(spectrum)):
        ratio = Fraction(1)
        for base, exponent in zip(spectrum.bases, spectrum.exponents[atom].tolist(), strict=True):
            ratio *= base**exponent
        found.setdefault(ratio, []).append(atom)
    for ratio, atoms in found.items():
        p, q = law.get(ratio, NONE)
        bounds = (spectrum.clean_lower, spectrum.clean_upper, spectrum.adversarial_lower)
        lower, upper, adversarial = (sum(Fraction(float(bound[i])) for i in atoms) for bound in bounds)
        assert lower <= p <= upper
        assert adversarial <= q
        assert upper - lower <= slack * p + Fraction(1e-280)
        assert q - adversarial <= slack * q + Fraction(1e-280)
    unseen = sum((p for ratio, (p, _) in law.items() if ratio not in found), Fraction(0))
    assert unseen <= Fraction(spectrum.ratio_zero_upper) <= unseen * (1 + slack) + Fraction(1e-280)


def below_everywhere(first: Law, second: Law) -> bool:
    """Whether the trade-off curve of ``first`` is nowhere above the other: checked at every kink of both."""
    kinks = {Fraction(1)}
    for law in (first, second):
        mass = Fraction(0)
        for ratio in sorted(law):
            mass += law[ratio][0]
            kinks.add(mass)
    return all(knapsack(first, p) <= knapsack(second, p) for p in kinks)


def product(laws: list[Law]) -> Law:
    result = IDENTITY
    for law in laws:
        result = compose(result, law)
    return result


# -- the order ---------------------------------------------------------------------------------------------


@given(channel_pairs(), channel_pairs())
@settings(max_examples=300)
def test_dominance_is_the_order_of_the_optimal_tests(first: ChannelPair, second: ChannelPair) -> None:
    assert first.dominates(second) == below_everywhere(pair_law(first), pair_law(second))


@given(channel_pairs(), channel_pairs())
@settings(max_examples=100)
def test_hockey_stick_is_the_conjugate_of_the_trade_off_curve(
    first: ChannelPair, second: ChannelPair
) -> None:
    """V(p) ≥ t·p − H(t), with equality for some p: at the kink of ratio t."""
    law = pair_law(first)
    for t in (*first.ratios, *second.ratios):
        mass = sum((law[ratio][0] for ratio in law if ratio < t), Fraction(0))
        assert knapsack(law, mass) == t * mass - first.hockey_stick(t)


@given(channel_pairs(), channel_pairs(), channel_pairs())
@settings(max_examples=100)
def test_products_keep_the_order(first: ChannelPair, second: ChannelPair, third: ChannelPair) -> None:
    if not first.dominates(second):
        return
    for p in (Fraction(1, 7), Fraction(1, 2), Fraction(9, 10)):
        stronger = [pair_law(first), pair_law(third)]
        weaker = [pair_law(second), pair_law(third)]
        assert knapsack(product(stronger), p) <= knapsack(product(weaker), p)


@pytest.mark.parametrize(("beta", "ordered"), [(0.1, True), (0.5, True), (0.75, True), (0.9, False)])
def test_larger_alphabets_dominate_up_to_the_known_rate(beta: float, ordered: bool) -> None:
    """The rule β ≤ 1 − 1/K_min, here with K_min = 4."""
    assert replacement_pair(9, beta).dominates(replacement_pair(4, beta)) is ordered


# -- powers ------------------------------------------------------------------------------------------------


@given(channel_pairs(), st.integers(0, 4))
@settings(max_examples=200)
def test_powers_enclose_the_product_law(pair: ChannelPair, times: int) -> None:
    assert_encloses(pair.spectrum(times), power(pair_law(pair), times), slack=Fraction(1, 10**12))


@pytest.mark.parametrize("decay", [Fraction(1, 2), Fraction(7, 10), Fraction(1, 1000)])
@pytest.mark.parametrize("times", [1, 2, 3, 7])
def test_ratios_on_one_lattice_merge(decay: Fraction, times: int) -> None:
    """Geometric noise on a line of six symbols: ratios are powers of one number, found as such."""
    rows = [[decay ** abs(x - z) for z in range(6)] for x in (1, 4)]
    pair = ChannelPair.of((p / sum(rows[0]), q / sum(rows[1])) for p, q in zip(*rows, strict=True))
    spectrum = pair.spectrum(times)
    assert len(spectrum) <= 3 * times + 1
    assert_encloses(spectrum, power(pair_law(pair), times), slack=Fraction(1, 10**12))


def test_a_lattice_of_ratios_that_is_given_is_used() -> None:
    """Ratios base² and base⁻⁵ alone do not show their base."""
    base = Fraction(9, 8)
    ratios = (base**-5, base**-2, base**2, base**3)
    weights = [Fraction(1, 2), Fraction(1, 5), Fraction(1, 5), Fraction(1, 10)]
    pair = ChannelPair(ratios, tuple(weights))
    assert_encloses(pair.spectrum(5, base=base), power(pair_law(pair), 5), slack=Fraction(1, 10**12))
    assert len(pair.spectrum(5, base=base)) <= 5 * 8 + 1


@pytest.mark.parametrize("size", [2, 3, 50_000])
@pytest.mark.parametrize("beta", [1e-12, 0.25, 0.999])
def test_a_pair_and_its_mirror_image_share_their_bases(beta: float, size: int) -> None:
    """So the spectra of added and removed bits merge when they are composed."""
    pair = ChannelPair.of([(Fraction(1, 4), Fraction(2, 3)), (Fraction(3, 4), Fraction(1, 3))])
    mirrored = ChannelPair.of(zip(pair.adversarial, pair.masses, strict=True))
    assert pair.spectrum(2).bases == mirrored.spectrum(3).bases
    assert len(pair.spectrum(2).compose(mirrored.spectrum(3))) == 6
    assert replacement_pair(size, beta).spectrum(2).bases == replacement_pair(size, beta).spectrum(5).bases


def test_ten_thousand_positions_take_no_time() -> None:
    pair = replacement_pair(50_000, 0.25)
    started = time.process_time()
    spectrum = pair.spectrum(10_000)
    assert time.process_time() - started < 0.5
    assert spectrum.clean_lower.sum() <= 1.0 <= spectrum.clean_upper.sum() + spectrum.ratio_zero_upper


def test_disjoint_and_equal_laws() -> None:
    one, none = Fraction(1), Fraction(0)
    disjoint = ChannelPair.of([(one, none), (none, one)])
    equal = ChannelPair.of([(one / 3, one / 3), (2 * one / 3, 2 * one / 3)])
    assert float(hc.Tradeoff(disjoint.spectrum(2)).lower(0.999).value) == 0.0
    assert float(hc.Tradeoff(equal.spectrum(9)).lower(0.7).value) == pytest.approx(0.7, rel=1e-14)
    assert disjoint.dominates(equal)
    assert not equal.dominates(disjoint)


# -- input -------------------------------------------------------------------------------------------------


def test_laws_that_are_none_are_refused() -> None:
    half = Fraction(1, 2)
    with pytest.raises(
        hc.ParameterError, match="clean mass 1 and adversarial mass at most 1, got 1/2 and 1/2"
    ):
        ChannelPair.of([(half, half)])
    with pytest.raises(hc.ParameterError, match="got 1 and 3/2"):
        ChannelPair.of([(half, half), (half, Fraction(1))])
    with pytest.raises(hc.ParameterError, match="positions must be an integer >= 0, got -1"):
        replacement_pair(3, 0.5).spectrum(-1)
