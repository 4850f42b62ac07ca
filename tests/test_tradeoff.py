"""The dual bound against the exact dual value in ball arithmetic: never above it, with zero tolerance."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridcert as hc
from balls import BallLaw, ball, precision
from exact_laws import (
    IDENTITY,
    Law,
    compose,
    float_above,
    float_below,
    knapsack,
    shared_law,
    spectrum_of,
    uniform_law,
)
from hybridcert.certificate.tradeoff import dual_bound_lower
from strategies import LAST_SCORE, laws, scores, shifts

BITS = 1400  # e^690 next to 1e-300 still leaves 400 bits
IDENTITY_SPECTRUM = hc.LikelihoodSpectrum.identity()


def dual_bound(spectrum: hc.LikelihoodSpectrum, m: float, p: float, u: float) -> float:
    return float(hc.Tradeoff(spectrum, m).dual_bound(p, u))


def assert_below_the_exact_dual(
    spectrum: hc.LikelihoodSpectrum, law: BallLaw, m: float, p: float, u: float
) -> None:
    with precision(BITS):
        value = dual_bound(spectrum, m, p, u)
        assert bool(ball(value) <= law.dual(m, u, p)), (m, p, u, value)


def ball_law(law: Law) -> BallLaw:
    with precision(BITS):
        return BallLaw.of(law)


def near_plateaus(law: Law) -> st.SearchStrategy[float]:
    """Scores a few units in the last place from a partial sum of the clean masses: where p − F cancels."""
    sums, total = [], Fraction(0)
    for ratio in sorted(law):
        total += law[ratio][0]
        sums.append(total)

    def move(choice: tuple[Fraction, int]) -> float:
        exact, steps = choice
        p = float_below(exact)
        for _ in range(abs(steps)):
            p = math.nextafter(p, math.inf if steps > 0 else 0.0)
        return min(max(p, 0.0), 1.0)

    return st.tuples(st.sampled_from(sums), st.integers(-3, 3)).map(move)


def thresholds(spectrum: hc.LikelihoodSpectrum, m: float, p: float) -> st.SearchStrategy[float]:
    """Any log t, and ones next to the optimal one."""
    best = float(hc.Tradeoff(spectrum, m).lower(p).log_t)
    anything = st.one_of(
        st.floats(-690.0, 690.0), st.floats(-5.0, 5.0), st.sampled_from([-690.0, 0.0, 690.0])
    )
    if not math.isfinite(best):
        return anything
    return st.one_of(st.just(best), st.floats(-1e-6, 1e-6).map(lambda step: best + step), anything)


@given(st.data())
@settings(max_examples=300)
def test_the_bound_never_exceeds_the_exact_dual_value(data: st.DataObject) -> None:
    law = data.draw(laws())
    spectrum = spectrum_of(law)
    m = data.draw(shifts())
    p = data.draw(st.one_of(scores(), near_plateaus(law)))
    u = min(max(data.draw(thresholds(spectrum, m, p)), -690.0), 690.0)
    assert_below_the_exact_dual(spectrum, ball_law(law), m, p, u)


KERNEL_CASES: list[tuple[hc.LikelihoodSpectrum, Law]] = [
    (hc.LikelihoodSpectrum.identity(), IDENTITY),
    (hc.UniformReplacement(0.25).spectrum([50_000] * 4), uniform_law(0.25, [50_000] * 4)),
    (hc.UniformReplacement(0.3).spectrum([2, 3, 9]), uniform_law(0.3, [2, 3, 9])),
    (hc.UniformReplacement(0.9).spectrum([5, 5]), uniform_law(0.9, [5, 5])),
    (hc.UniformReplacement(1.0).spectrum([2]), uniform_law(1.0, [2])),
    (hc.UniformReplacement(1.0).spectrum([5, 5, 9]), uniform_law(1.0, [5, 5, 9])),
    (hc.UniformReplacement(1e-12).spectrum([2, 2]), uniform_law(1e-12, [2, 2])),
    (hc.UniformReplacement(1e-40).spectrum([256] * 3), uniform_law(1e-40, [256] * 3)),
    (hc.UniformReplacement(0.3).spectrum([2**60] * 3), uniform_law(0.3, [2**60] * 3)),
    (hc.Absorbing(0.9).spectrum(5), shared_law(Fraction(0.9) ** 5, Fraction(0.9) ** 5)),
    (hc.Absorbing(LAST_SCORE).spectrum(1), shared_law(Fraction(LAST_SCORE), Fraction(LAST_SCORE))),
    (
        hc.RandomDeletion(0.5).spectrum(insertions=64, deletions=3),
        shared_law(Fraction(1, 8), Fraction(1, 2) ** 64),
    ),
    (
        hc.RandomDeletion(0.7).spectrum(insertions=1, deletions=9),
        shared_law(Fraction(0.7) ** 9, Fraction(0.7)),
    ),
    (
        hc.RandomDeletion(0.9).spectrum(deletions=2).compose(hc.UniformReplacement(0.5).spectrum([7, 7])),
        compose(shared_law(Fraction(0.9) ** 2, Fraction(1)), uniform_law(0.5, [7, 7])),
    ),
]


def random_score(stream: random.Random, law: Law) -> float:
    """Scores from all over [0, 1], many of them within an ulp of a plateau of the clean law."""
    kind = stream.randrange(5)
    if kind == 0:
        return stream.random()
    if kind == 1:
        return 10.0 ** stream.uniform(-300, 0)
    if kind == 2:
        return 1.0 - 2.0 ** -stream.uniform(1, 53)
    if kind == 3:
        masses = [law[ratio][0] for ratio in sorted(law)]
        p = float_below(sum(masses[: stream.randint(1, len(masses))], Fraction(0)))
        return min(1.0, max(0.0, p * (1 + stream.randint(-3, 3) * 2.0**-52)))
    return stream.choice([0.0, 5e-324, 0.5, math.nextafter(0.5, 0.0), LAST_SCORE, 1.0])


def random_shift(stream: random.Random) -> float:
    kind = stream.randrange(4)
    if kind == 0:
        return 0.0
    if kind == 1:
        return 10.0 ** stream.uniform(-299, 3)
    return stream.uniform(0.0, 6.0)


@pytest.mark.parametrize("case", range(len(KERNEL_CASES)))
def test_the_bound_never_exceeds_the_exact_dual_value_of_any_kernel(case: int) -> None:
    """350 seeded settings a kernel: at the proposed threshold, next to it and anywhere."""
    spectrum, law = KERNEL_CASES[case]
    exact, stream = ball_law(law), random.Random(case)
    for _ in range(120):
        m, p = random_shift(stream), random_score(stream, law)
        best = float(hc.Tradeoff(spectrum, m).lower(p).log_t)
        tried = [stream.uniform(-690.0, 690.0), stream.uniform(-5.0, 5.0)]
        if math.isfinite(best):
            tried += [best, best + stream.gauss(0.0, 1e-7)]
        for u in tried:
            if abs(u) <= 690.0:
                assert_below_the_exact_dual(spectrum, exact, m, p, u)


@pytest.mark.parametrize("atoms", [2, 50, 1000])
@pytest.mark.parametrize("u", [-690.0, -689.0, -688.0, -600.0])
def test_products_that_underflow_do_not_lift_the_bound(atoms: int, u: float) -> None:
    """Many clean masses of 1e-24 at t = e^−689: every t·p_k is subnormal, rounded by up to half its size."""
    base = Fraction(6, 10**25)
    law: Law = {
        1 + Fraction(k + 1, atoms + 7): (base, base * (1 + Fraction(k + 1, atoms + 7))) for k in range(atoms)
    }
    law[Fraction(0)] = (1 - atoms * base, Fraction(0))
    for p in (LAST_SCORE, 1.0):
        assert_below_the_exact_dual(spectrum_of(law), ball_law(law), 0.0, p, u)
    # the same in the form for small p: what the tiny atoms take away is rounded to nothing
    worthless = Fraction(1, 10**330)
    hostile: Law = {worthless * (k + 1): (base, base * worthless * (k + 1)) for k in range(atoms)}
    hostile[Fraction(1)] = (1 - atoms * base, 1 - atoms * base)
    assert_below_the_exact_dual(spectrum_of(hostile), ball_law(hostile), 0.0, float(2 * atoms * base), u)


@pytest.mark.parametrize("m", [0.0, 1e-3, 0.5, 4.0])
@pytest.mark.parametrize(("beta", "size"), [(0.25, 50_000), (0.6, 3)])
def test_the_bound_holds_for_ten_thousand_changes(beta: float, size: int, m: float) -> None:
    """20 001 atoms; their exact masses come from the same recurrence in balls of 400 bits."""
    d, rate = 10_000, Fraction(beta)
    spectrum = hc.UniformReplacement(beta).spectrum([size] * d)
    bound = hc.Tradeoff(spectrum, m).lower([0.6, 0.999, LAST_SCORE])
    with precision(400):
        law = trinomial_balls(rate, size, d)
        for p, value, u in zip(
            [0.6, 0.999, LAST_SCORE], bound.value.tolist(), bound.log_t.tolist(), strict=True
        ):
            if value > 0.0:
                assert bool(ball(value) <= law.dual(m, u, p))


def trinomial_balls(rate: Fraction, size: int, d: int) -> BallLaw:
    """Law of a sum of d steps −1, 0, 1, as balls: coefficients of (a + bx + cx²)^d, from both ends."""

    def half(a: Fraction, b: Fraction, c: Fraction) -> list:  # type: ignore[type-arg]
        first = [ball(a) ** d]
        before, ratio_b, ratio_c = ball(0), ball(b / a), ball(c / a)
        for k in range(d):
            first.append((ratio_b * (d - k) * first[-1] + ratio_c * (2 * d - k + 1) * before) / (k + 1))
            before = first[-2]
        return first

    stay, same, move = 1 - rate, rate * Fraction(size - 2, size - 1), rate / (size - 1)
    masses = half(stay, same, move) + half(move, same, stay)[-2::-1]
    log = ball(stay / move).log()
    atoms = [(p, q, k * log) for k, p, q in zip(range(-d, d + 1), masses, masses[::-1], strict=True)]
    return BallLaw(atoms, ball(0))


# -- the certified value -----------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=150)
def test_without_a_shift_the_value_is_the_fractional_knapsack(data: st.DataObject) -> None:
    law = data.draw(laws())
    p = data.draw(st.one_of(scores(), near_plateaus(law)))
    value = float(hc.Tradeoff(spectrum_of(law)).lower(p).value)
    exact = knapsack(law, Fraction(p))
    assert Fraction(value) <= exact
    # what float64 masses cannot resolve: an ulp of p, exchanged at the ratio where p lies
    following = knapsack(law, min(Fraction(1), Fraction(p) * (1 + Fraction(1, 2**45)) + Fraction(1, 10**280)))
    lost = (following - exact) + exact * Fraction(1, 10**10) + Fraction(1, 10**280)
    preceding = knapsack(law, max(Fraction(0), Fraction(p) - Fraction(1, 2**45) * min(Fraction(p), 1)))
    assert Fraction(value) >= preceding - lost


@pytest.mark.parametrize(
    "p", [1e-300, 1e-280, 1e-200, 1e-100, 1e-30, 1e-15, 1e-9, 1e-4, 0.3, 0.5, 0.999, LAST_SCORE]
)
def test_without_any_change_the_value_is_the_score_itself(p: float) -> None:
    value = float(hc.Tradeoff(IDENTITY_SPECTRUM).lower(p).value)
    assert value <= p
    assert p < 1e-285 or value >= p * (1 - 1e-12)


@pytest.mark.parametrize("case", range(len(KERNEL_CASES)))
def test_the_value_is_tight_between_the_plateaus(case: int) -> None:
    """Within 1e-9 relative of the exact value, at scores that are no plateau and values above 1e-6."""
    spectrum, law = KERNEL_CASES[case]
    exact, stream = ball_law(law), random.Random(100 + case)
    with precision(300):
        for _ in range(25):
            m, p = (
                stream.uniform(0.01, 4.0),
                stream.choice([stream.random(), 1 - 10 ** stream.uniform(-6, -1)]),
            )
            bound = hc.Tradeoff(spectrum, m).lower(p)
            value, u = float(bound.value), float(bound.log_t)
            below, above = exact.value_between(m, p, near=u if math.isfinite(u) else 0.0)
            assert bool(ball(value) <= above)
            if below > 1e-6:
                assert bool(ball(value) >= below * (1 - ball(1e-9))), (m, p, value)


def test_values_and_witnesses_belong_together() -> None:
    """The value is the dual bound at log t; where it is the trivial 0, log t is −∞."""
    tradeoff = hc.Tradeoff(hc.UniformReplacement(0.25).spectrum([50_000] * 2), 0.5)
    bound = tradeoff.lower([0.0, 0.1, 0.9, 0.98, 1.0])
    for p, value, u in zip(
        [0.0, 0.1, 0.9, 0.98, 1.0], bound.value.tolist(), bound.log_t.tolist(), strict=True
    ):
        assert (u == -math.inf) == (value == 0.0)
        if value > 0.0:
            assert float(tradeoff.dual_bound(p, u)) == value


def test_a_bad_threshold_costs_tightness_only() -> None:
    tradeoff = hc.Tradeoff(hc.UniformReplacement(0.25).spectrum([50_000]), 0.5)
    best = tradeoff.lower(0.98)
    u = np.linspace(-30, 30, 500)
    assert (tradeoff.dual_bound(0.98, u) <= best.value * (1 + 1e-12)).all()


@pytest.mark.parametrize("u", [-math.inf, math.inf, math.nan, -691.0, 691.0])
def test_thresholds_beyond_the_range_of_floats_give_the_trivial_bound(u: float) -> None:
    for m in (0.0, 0.5):
        assert dual_bound(hc.UniformReplacement(0.25).spectrum([5]), m, 0.9, u) == 0.0


def test_shapes_follow_the_scores() -> None:
    tradeoff = hc.Tradeoff(hc.Absorbing(0.9).spectrum(2), 0.1)
    assert tradeoff.lower(0.9).value.shape == ()
    assert tradeoff.lower(np.full((2, 3), 0.9)).value.shape == (2, 3)
    assert tradeoff.lower([]).value.shape == (0,)
    rows = dual_bound_lower(
        hc.Absorbing(0.9).spectrum(2), np.array([0.0, 0.1]), np.array([0.9, 0.2]), np.zeros(2)
    )
    assert rows.shape == (2,)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan, math.inf])
def test_scores_outside_the_unit_interval_are_refused(p: float) -> None:
    with pytest.raises(hc.ParameterError, match=r"p_lower must be in \[0, 1\], got"):
        hc.Tradeoff(IDENTITY_SPECTRUM).lower([0.5, p])


@pytest.mark.parametrize("shift", [-0.1, math.nan, math.inf])
def test_impossible_shifts_are_refused(shift: float) -> None:
    with pytest.raises(hc.ParameterError, match="shift must be a finite number >= 0, got"):
        hc.Tradeoff(IDENTITY_SPECTRUM, shift)


@given(st.lists(st.tuples(st.floats(0.0, 1e6), st.floats(1e-6, 1e6)), min_size=1, max_size=5))
def test_combined_shift_is_the_root_of_the_sum_of_squares_rounded_up(
    pairs: list[tuple[float, float]],
) -> None:
    shift = hc.combined_shift([e for e, _ in pairs], [s for _, s in pairs])
    squares = sum((Fraction(e) / Fraction(s)) ** 2 for e, s in pairs)
    assert Fraction(shift) ** 2 >= squares
    assert shift == pytest.approx(math.sqrt(squares), rel=1e-14)
    assert (shift == 0.0) == (squares == 0)


@pytest.mark.parametrize(
    ("epsilons", "sigmas"), [([-1.0], [1.0]), ([1.0], [0.0]), ([0.0], [0.0]), ([math.nan], [1.0])]
)
def test_combined_shift_refuses_impossible_budgets(epsilons: list[float], sigmas: list[float]) -> None:
    with pytest.raises(hc.ParameterError, match="epsilon must be >= 0 and every sigma > 0"):
        hc.combined_shift(epsilons, sigmas)


def test_combined_shift_takes_single_numbers() -> None:
    assert hc.combined_shift(1.0, 2.0) == pytest.approx(0.5)


def test_extreme_budgets_raise_no_warning_and_never_exceed_the_score() -> None:
    """Warnings are errors here: shifts and scores from the smallest to the largest floats."""
    for spectrum, _ in KERNEL_CASES:
        for m in (0.0, 5e-324, 1e-310, 1e-200, 1e-8, 1e3, 1e154, 1e200, 1.7e308):
            p = np.array([0.0, 5e-324, 1e-300, 0.3, 0.5, LAST_SCORE, 1.0])
            value = hc.Tradeoff(spectrum, m).lower(p).value
            assert ((value >= 0.0) & (value <= p)).all()


def test_certainty_keeps_all_adversarial_mass_in_the_support() -> None:
    """V(1) is the adversarial mass on the clean support, also where the largest ratio is beyond e^690."""
    for spectrum, law in KERNEL_CASES:
        shared = sum(q for r, (_, q) in law.items() if r > 0)
        assert float(hc.Tradeoff(spectrum).lower(1.0).value) == pytest.approx(float(shared), rel=1e-9)
    steep = Fraction(1, 10**302)
    law: Law = {Fraction(1, 2): (1 - steep, (1 - steep) / 2), 1 / (4 * steep): (steep, Fraction(1, 4))}
    value = float(hc.Tradeoff(spectrum_of(law)).lower(1.0).value)
    assert value >= 0.4
    assert Fraction(value) <= knapsack(law, Fraction(1))


@pytest.mark.parametrize("m", [1e-3, 0.1, 2.0, 8.0])
def test_certainty_is_worth_at_least_as_much_as_any_smaller_score(m: float) -> None:
    for spectrum, _ in KERNEL_CASES:
        below, certain = hc.Tradeoff(spectrum, m).lower([LAST_SCORE, 1.0]).value
        assert certain >= below * (1 - 1e-9)


def test_distribution_functions_are_what_their_names_say() -> None:
    law = uniform_law(0.3, [5, 5])
    tradeoff = hc.Tradeoff(hc.UniformReplacement(0.3).spectrum([5, 5]), 0.7)
    with precision(120):
        exact = BallLaw.of(law)
        for u in (-2.0, 0.0, 1.5):
            assert float(tradeoff.cdf_clean(u)) == pytest.approx(
                float(exact.clean(ball(0.7), ball(u))), rel=1e-13
            )
            assert float(tradeoff.cdf_adversarial(u)) == pytest.approx(
                float(exact.adversarial(ball(0.7), ball(u))), rel=1e-13
            )
    step = hc.Tradeoff(hc.UniformReplacement(0.3).spectrum([5, 5]))
    assert float(step.cdf_clean(0.0)) == pytest.approx(float(sum(p for r, (p, _) in law.items() if r <= 1)))
    assert float(step.cdf_adversarial(0.0)) == pytest.approx(
        float(sum(q for r, (_, q) in law.items() if r <= 1))
    )
    assert float_above(Fraction(1, 3)) > 1 / 3 - 1e-16
