"""Super-positions: below every member, exactly and after rounding, and close to the lowest of them."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridcert as hc
from exact_laws import IDENTITY, compose, float_below, knapsack
from hybridcert.certificate.channel import ChannelPair
from hybridcert.certificate.envelope import Envelope, super_position
from hybridcert.kernels.replacement import replacement_pair
from strategies import channel_pairs, pair_law

PAIRS = st.lists(channel_pairs(), min_size=1, max_size=4)


@given(PAIRS, st.integers(1, 300))
@settings(max_examples=60)
def test_the_super_position_dominates_every_option(pairs: list[ChannelPair], d: int) -> None:
    envelope = Envelope.of(pairs, d)
    assert all(envelope.pair.dominates(pair) for pair in pairs)
    lo, hi = envelope.exponents
    assert envelope.base > 1
    slopes = {envelope.base**e for e in range(lo, hi + 1)}
    assert set(envelope.pair.ratios) <= slopes | {Fraction(0)}


@given(PAIRS, st.fractions(Fraction(9, 8), 4, max_denominator=8), st.integers(-6, 2), st.integers(1, 6))
@settings(max_examples=100)
def test_its_trade_off_curve_is_the_largest_of_the_lines(
    pairs: list[ChannelPair], base: Fraction, lo: int, count: int
) -> None:
    """The formula of the format page, at kinks and between them."""
    pair = super_position(pairs, base, lo, lo + count)
    slopes = [base**e for e in range(lo, lo + count + 1)]
    heights = [max(option.hockey_stick(t) for option in pairs) for t in slopes]
    mass, kinks = Fraction(0), [Fraction(1, 3)]
    for ratio in pair.masses:
        mass += ratio
        kinks += [mass, mass - ratio / 2]
    for p in kinks:
        lines = [t * p - h for t, h in zip(slopes, heights, strict=True)]
        assert knapsack(pair_law(pair), p) == max(Fraction(0), *lines)


@given(PAIRS, st.integers(1, 3), st.data())
@settings(max_examples=60)
def test_copies_bound_every_mixed_change_from_below(
    pairs: list[ChannelPair], d: int, data: st.DataObject
) -> None:
    changed = data.draw(st.lists(st.sampled_from(pairs), max_size=d))
    law = IDENTITY
    for pair in changed:
        law = compose(law, pair_law(pair))
    bound = hc.Tradeoff(Envelope.of(pairs, d).spectrum())
    for p in (Fraction(1, 5), Fraction(1, 2), Fraction(9, 10), Fraction(999, 1000)):
        score = float_below(p)
        assert Fraction(float(bound.lower(score).value)) <= knapsack(law, Fraction(score))


@pytest.mark.parametrize(("d", "loss"), [(1, 0.001), (3, 0.025)])
def test_it_loses_little_against_enumeration(d: int, loss: float) -> None:
    pairs = [replacement_pair(3 + k, 0.6 + 0.02 * k) for k in range(8)]
    p = [0.9, 0.99, 0.999]
    exact = []
    for changed in itertools.combinations_with_replacement(pairs, d):
        law = IDENTITY
        for pair in changed:
            law = compose(law, pair_law(pair))
        exact.append([float(knapsack(law, Fraction(score))) for score in p])
    values = np.array([float(hc.Tradeoff(Envelope.of(pairs, d).spectrum()).lower(s).value) for s in p])
    worst = np.min(exact, axis=0)
    assert (values <= worst).all()
    assert (values >= worst - loss).all()


def test_one_option_alone_is_approached_from_below() -> None:
    pair = replacement_pair(50, 0.5)
    alone = float(hc.Tradeoff(pair.spectrum(4)).lower(0.999).value)
    value = float(hc.Tradeoff(Envelope.of([pair], 4).spectrum()).lower(0.999).value)
    assert 0.99 * alone <= value <= alone


def test_few_slopes_bound_the_number_of_atoms() -> None:
    pairs = [replacement_pair(size, 0.5) for size in (2, 50, 50_000)]
    for d in (1, 20, 100):
        assert len(Envelope.of(pairs, d).spectrum()) < 6000


def test_extreme_rates_and_laws_without_common_support() -> None:
    one, none = Fraction(1), Fraction(0)
    disjoint = ChannelPair.of([(one, none), (none, one)])
    equal = ChannelPair.of([(one, one)])
    for pairs in ([disjoint], [disjoint, equal], [replacement_pair(10**40, 1e-300), equal]):
        envelope = Envelope.of(pairs, 2)
        assert all(envelope.pair.dominates(pair) for pair in pairs)
        assert float(hc.Tradeoff(envelope.spectrum()).lower(0.9).value) <= 1e-290
    assert float(hc.Tradeoff(Envelope.of([equal], 3).spectrum()).lower(0.9).value) == pytest.approx(0.9)


def test_it_describes_itself_as_an_issued_certificate_does() -> None:
    envelope = Envelope.of([replacement_pair(9, 0.5), replacement_pair(4, 0.75)], 2)
    said = envelope.described()
    assert Fraction(str(said["base"])) == envelope.base
    assert said == {"base": str(envelope.base), "exponents": list(envelope.exponents), "d": 2}
