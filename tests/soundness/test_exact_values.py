"""The other side: reported numbers reach the exact ones, and the oracle that judges them is right."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from adversaries import MOST_ENUMERATED, Positions, replacement
from dual_oracle import Law, compositions, grouped, proves, ways
from flint import arb
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from instances import attack
from noise_cases import PARTS, Part

import hybridcert as hc
from balls import BallLaw, ball, normal_cdf, precision
from exact_laws import Law as RationalLaw
from exact_laws import compose, knapsack

BITS = 300
TIGHT = 1e-9
NOISES = ["gaussian", "laplace"]


def exact_value(law: Law, noise: str, m: Fraction, p: Fraction, near: float) -> arb:
    """V(p; m) to about 60 digits: D is concave in e^u, so its maximum is bracketed and cut down."""
    with precision(BITS):

        def value(u: arb) -> arb:
            return dual_at(law, noise, m, u, p)

        middle, width = ball(near), arb(2) ** -20
        while not value(middle) > 0:  # to the left of it D is positive, and falls to 0 from there
            middle = middle - arb(1) / 2
        while value(middle - width) > value(middle) or value(middle + width) > value(middle):
            width = 2 * width
            assert width < 2000
        low, high = middle - width, middle + width
        for _ in range(260):
            first, second = ((2 * low + high) / 3).mid(), ((low + 2 * high) / 3).mid()
            if value(first).mid() < value(second).mid():
                low = first
            else:
                high = second
        return value(((low + high) / 2).mid())


def dual_at(law: Law, noise: str, m: Fraction, u: arb, p: Fraction) -> arb:
    """D at a threshold that is no float."""
    return law.dual(noise, m, u, p)  # type: ignore[arg-type]


@st.composite
def small_parts(draw: st.DrawFn) -> tuple[Part, int]:
    """Inputs whose changes can all be enumerated, at ordinary rates."""
    part = draw(
        PARTS[draw(st.sampled_from(["uniform", "fields", "absorbing", "flips", "synonyms", "matrix"]))]
    )
    d = min(part.threat.max_d, 3)
    assert isinstance(part.adversary, Positions)
    assume(part.adversary.ways(d) <= min(MOST_ENUMERATED, 60))
    return part, d


@given(
    small_parts(),
    st.floats(0.05, 0.99),
    st.sampled_from([0.0, 0.3, 1.5]),
    st.sampled_from(NOISES),
)
@settings(max_examples=80, suppress_health_check=list(HealthCheck))
def test_the_value_is_the_least_over_all_changes(
    case: tuple[Part, int], p: float, m: float, noise: str
) -> None:
    """Every change of the adversary is solved to 60 digits by a search of this file's own."""
    part, d = case
    found = attack(part, d)
    assume(found.worst_case != "envelope")
    bounds = [hc.Tradeoff(spectrum, m, noise).lower(p) for spectrum in found.spectra]
    reported = min(float(bound.value) for bound in bounds)
    assume(reported > 1e-6)
    near = float(min(bounds, key=lambda bound: float(bound.value)).log_t)
    laws = [Law(change) for change in part.adversary.changes(d, random.Random(0), most=60)]
    with precision(BITS):
        least = min(
            (exact_value(law, noise, Fraction(m), Fraction(p), near) for law in laws),
            key=lambda v: float(v.mid()),
        )
        assert ball(reported) <= least
        assert ball(reported) >= least * (1 - ball(TIGHT))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("p", [0.7, 0.99])
@pytest.mark.parametrize("tau", [1e-4, 0.1, 0.5])
@pytest.mark.parametrize("d", [0, 1, 3])
def test_radii_are_within_1e_9_of_the_exact_ones(noise: str, p: float, tau: float, d: int) -> None:
    pair = replacement(50_000, Fraction(0.25))
    law = Law(((pair, d),) if d else ())
    spectrum = hc.UniformReplacement(0.25).spectrum([50_000] * d)
    found = hc.radius(p_lower=p, spectrum=spectrum, sigma=1.0, threshold=tau, noise=noise)
    radius = float(found.radius[0])
    if not found.certified[0]:
        u = float(hc.Tradeoff(spectrum).lower(p).log_t)
        with precision(BITS):
            near = u if math.isfinite(u) else 0.0
            assert exact_value(law, noise, Fraction(0), Fraction(p), near) < ball(tau) * (1 + ball(TIGHT))
        return
    u = float(found.log_t[0])
    with precision(BITS):
        assert exact_value(law, noise, Fraction(radius), Fraction(p), u) > ball(tau)
        if radius > 0.0:
            beyond = Fraction(radius) * (1 + Fraction(TIGHT))
            assert exact_value(law, noise, beyond, Fraction(p), u) <= ball(tau)


# -- the oracle itself -------------------------------------------------------------------------------------


def rational(pair: tuple[tuple[Fraction, Fraction], ...]) -> RationalLaw:
    atoms, zero = grouped(pair)
    return {ratio: (p, q) for ratio, p, q in atoms} | ({Fraction(0): (zero, Fraction(0))} if zero else {})


def test_the_oracle_agrees_with_the_product_of_laws_and_with_its_gaussian_sums() -> None:
    first, second = (
        replacement(5, Fraction(1, 3)),
        ((Fraction(2, 3), Fraction(1, 9)), (Fraction(1, 3), Fraction(8, 9))),
    )
    law, product = (
        Law(((first, 2), (second, 1))),
        compose(compose(rational(first), rational(first)), rational(second)),
    )
    with precision(BITS):
        reference = BallLaw.of(product)
        for m in (0.0, 0.4, 3.0):
            for u in (-2.0, 0.0, 1.7):
                found = law.dual("gaussian", Fraction(m), u, Fraction(0.8))
                assert found.overlaps(reference.dual(m, u, 0.8))
                assert found.rad() < arb(2) ** -200
        atoms, _ = law.balls()
        assert len(atoms) == len([ratio for ratio in product if ratio > 0])


def test_the_oracle_finds_the_knapsack_value_without_a_shift() -> None:
    pair = replacement(4, Fraction(1, 2))
    law, exact = Law(((pair, 2),)), rational(pair)
    p = Fraction(3, 5)
    with precision(BITS):
        value = exact_value(law, "gaussian", Fraction(0), p, 0.0)
        assert abs(value - ball(knapsack(compose(exact, exact), p))) < arb(2) ** -100


CLOSED_FORMS: dict[str, Callable[[arb, arb], arb]] = {
    "gaussian": lambda z, m: normal_cdf(z - m),  # Cohen et al. 2019: p = Φ(z)
    "laplace": lambda z, m: 1 - (m - z).exp() / 2 if z > m else (z - m).exp() / 2,  # z ≥ 0, p = 1 − e^−z/2
}


@pytest.mark.parametrize("noise", CLOSED_FORMS)
def test_the_oracle_finds_the_closed_forms_without_a_discrete_change(noise: str) -> None:
    for z, m in ((0.5, 0.25), (1.0, 1.5), (2.0, 0.5), (0.25, 3.0)):
        with precision(BITS):
            score = normal_cdf(ball(z)) if noise == "gaussian" else 1 - (-ball(z)).exp() / 2
            p = Fraction(float(score.mid()))  # a float next to the score: off by 1e-16
            value = exact_value(Law(()), noise, Fraction(m), p, 0.1)
            assert abs(value - CLOSED_FORMS[noise](ball(z), ball(m))) < arb(10) ** -14


def test_the_bench_notices_numbers_that_are_too_large() -> None:
    """One part in 10¹⁰ above the exact value is seen, for values and for radii."""
    law, spectrum = Law(((replacement(3, Fraction(0.5)), 2),)), hc.UniformReplacement(0.5).spectrum([3, 3])
    for noise in ("gaussian", "laplace"):
        bound = hc.Tradeoff(spectrum, 0.5, noise).lower(0.9)
        value, u = float(bound.value), float(bound.log_t)
        score = [(Fraction(0.9), [u])]
        assert proves(law, noise, Fraction(0.5), score, value)
        assert not proves(law, noise, Fraction(0.5), score, value * (1 + 1e-10))
        found = hc.radius(p_lower=0.9, spectrum=spectrum, sigma=1.0, threshold=0.3, noise=noise)
        radius, score = float(found.radius[0]), [(Fraction(0.9), [float(found.log_t[0])])]
        assert proves(law, noise, Fraction(radius), score, 0.3, strict=True)
        assert not proves(law, noise, Fraction(radius * (1 + 1e-10)), score, 0.3, strict=True)


def test_ties_are_decided_exactly() -> None:
    assert proves(Law(()), "gaussian", Fraction(0), [(Fraction(1, 3), [0.0])], Fraction(1, 3))
    assert not proves(
        Law(()), "gaussian", Fraction(0), [(Fraction(1, 3), [0.0])], Fraction(1, 3), strict=True
    )
    assert not proves(Law(()), "laplace", Fraction(0), [(Fraction(1, 2), [None])], 0, strict=True)


def test_counts_of_outcomes_are_multinomial() -> None:
    assert sum(ways(counts) for counts in compositions(5, 3)) == 3**5
    assert np.isclose(len(list(compositions(7, 4))), math.comb(10, 3))
