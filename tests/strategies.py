"""Hypothesis strategies: probabilities, shifts and likelihood laws, extremes included."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import strategies as st

from exact_laws import IDENTITY, Law, compose, shared_law, uniform_law
from hybridcert.certificate.channel import ChannelPair
from hybridcert.kernels.replacement import replacement_pair

LAST_SCORE = math.nextafter(1.0, 0.0)


def scores(*, certain: bool = True) -> st.SearchStrategy[float]:
    """Clean scores in [0, 1], crowded near both ends; without 1 unless ``certain``."""
    ends = [0.0, 5e-324, 1e-300, 1e-20, 0.5, math.nextafter(0.5, 0.0), 0.999, LAST_SCORE]
    return st.one_of(
        st.floats(0.0, 1.0 if certain else LAST_SCORE),
        st.floats(1.0, 53.0).map(lambda bits: 1.0 - 2.0**-bits),
        st.floats(-300.0, 0.0).map(lambda e: min(10.0**e, LAST_SCORE)),
        st.sampled_from([*ends, 1.0] if certain else ends),
    )


def shifts() -> st.SearchStrategy[float]:
    """Gaussian shifts m: none, ordinary, tiny and huge."""
    return st.one_of(
        st.just(0.0),
        st.floats(0.0, 6.0),
        st.floats(-299.0, 3.0).map(lambda e: 10.0**e),
        st.sampled_from([1e-300, 1e-100, 1e-16, 38.0, 1e3]),
    )


def plain_shifts() -> st.SearchStrategy[float]:
    """Shifts at which values are tight: smaller ones cost up to the rounding of the thresholds."""
    return st.one_of(st.just(0.0), st.floats(1e-6, 6.0), st.sampled_from([1e-6, 1e-3, 38.0, 1e3]))


def rates() -> st.SearchStrategy[float]:
    """Corruption rates β in (0, 1]."""
    return st.one_of(
        st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9, 1.0]),
        st.floats(1e-3, 1.0),
        st.sampled_from([1e-300, 1e-40, 1e-12, LAST_SCORE]),
    )


def sizes(*, at_most: int = 3) -> st.SearchStrategy[list[int]]:
    """Alphabet sizes of the positions that change."""
    return st.lists(st.sampled_from([2, 3, 5, 256, 50_000, 2**60]), max_size=at_most)


def probability_vectors(size: int) -> st.SearchStrategy[list[Fraction]]:
    """Exact probabilities whose weights span up to 60 decades."""
    weight = st.one_of(
        st.integers(1, 1000).map(Fraction),
        st.integers(-60, 0).map(lambda e: Fraction(10) ** e),
        st.just(Fraction(0)),
    )
    return (
        st.lists(weight, min_size=size, max_size=size)
        .filter(any)
        .map(lambda weights: [w / sum(weights) for w in weights])
    )


@st.composite
def free_laws(draw: st.DrawFn) -> Law:
    """Laws of two arbitrary distributions on up to six outcomes and one that only the adversary produces."""
    outcomes = draw(st.integers(1, 6))
    p, q = draw(probability_vectors(outcomes)), draw(probability_vectors(outcomes + 1))
    law: Law = {}
    for clean, adversarial in zip(p, q, strict=False):
        if clean > 0:
            before = law.get(adversarial / clean, (Fraction(0), Fraction(0)))
            law[adversarial / clean] = (before[0] + clean, before[1] + adversarial)
    return law


@st.composite
def kernel_laws(draw: st.DrawFn) -> Law:
    """Laws that the kernels produce, and products of two of them."""
    law = IDENTITY
    for _ in range(draw(st.integers(1, 2))):
        beta = draw(rates().filter(lambda rate: rate >= 1e-12))
        if draw(st.booleans()):
            law = compose(law, uniform_law(beta, draw(sizes(at_most=2))))
        else:
            inserted, removed = draw(st.integers(0, 4)), draw(st.integers(0, 4))
            law = compose(law, shared_law(Fraction(beta) ** removed, Fraction(beta) ** inserted))
    return law


def laws() -> st.SearchStrategy[Law]:
    """Any law with at least one outcome in common, so that something can be certified."""
    return st.one_of(free_laws(), kernel_laws())


@st.composite
def channel_pairs(draw: st.DrawFn) -> ChannelPair:
    """Pairs of laws of one symbol: kernels, small weights with many ties, and laws without common support."""
    if draw(st.booleans()):
        return replacement_pair(
            draw(st.sampled_from([2, 3, 4, 9])), draw(st.sampled_from([0.1, 0.5, 0.75, 0.9, 1.0]))
        )
    outcomes = draw(st.integers(1, 4))
    weights = st.lists(st.integers(0, 4), min_size=outcomes, max_size=outcomes).filter(any)
    p, q = draw(weights), draw(weights)
    return ChannelPair.of((Fraction(a, sum(p)), Fraction(b, sum(q))) for a, b in zip(p, q, strict=True))


def pair_law(pair: ChannelPair) -> Law:
    """The law of a pair, ratio by ratio."""
    return {r: (p, q) for r, p, q in zip(pair.ratios, pair.masses, pair.adversarial, strict=True)}
