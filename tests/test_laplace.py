"""Laplace noise: closed forms, brute force on a grid, and the exact dual value in ball arithmetic."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridcert as hc
from balls import LaplaceLaw, ball, precision
from exact_laws import IDENTITY, Law, compose, knapsack, shared_law, spectrum_of, uniform_law
from hybridcert.certificate import laplace
from hybridcert.certificate.tradeoff import dual_bound_lower, worst_case_lower
from strategies import LAST_SCORE, laws, plain_shifts, scores, shifts

BITS = 1400
TIGHT = 1e-9
IDENTITY_SPECTRUM = hc.LikelihoodSpectrum.identity()


def radius(spectrum: hc.LikelihoodSpectrum, p: float, threshold: float, scale: float = 1.0) -> hc.Radius:
    return hc.radius(p_lower=p, spectrum=spectrum, sigma=scale, threshold=threshold, noise="laplace")[0]


def quantile(p: float) -> float:
    return math.log(2 * p) if p < 0.5 else -math.log(2 * (1 - p))


def cdf(x: float) -> float:
    return 0.5 * math.exp(x) if x < 0 else 1 - 0.5 * math.exp(-x)


# -- closed forms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.51, 0.6, 0.9, 0.999, 1 - 1e-9, LAST_SCORE])
@pytest.mark.parametrize("scale", [0.1, 1.0, 7.0])
def test_the_majority_radius_is_the_one_of_teng_et_al(p: float, scale: float) -> None:
    """−b·log(2(1 − p)), for a majority that nothing discrete threatens."""
    exact = -scale * math.log(2 * (1 - p))
    assert radius(IDENTITY_SPECTRUM, p, 0.5, scale).radius == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("threshold", [1e-10, 4.6e-5, 0.1, 0.5, 0.7])
@pytest.mark.parametrize("p", [1e-8, 0.01, 0.3, 0.5, 0.7, 0.99, 1 - 1e-12])
def test_without_discrete_change_the_radius_is_a_difference_of_quantiles(p: float, threshold: float) -> None:
    answer, exact = radius(IDENTITY_SPECTRUM, p, threshold), quantile(p) - quantile(threshold)
    assert answer.certified == (p > threshold)
    if answer.certified:
        assert answer.radius == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("m", [1e-6, 0.1, 1.0, 5.0, 40.0])
@pytest.mark.parametrize("p", [1e-8, 0.3, 0.5, 0.7, 0.99, 1 - 1e-12])
def test_without_discrete_change_the_value_is_the_shifted_distribution_function(p: float, m: float) -> None:
    value = float(hc.Tradeoff(IDENTITY_SPECTRUM, m, "laplace").lower(p).value)
    with precision(200):
        below, above = LaplaceLaw.of(IDENTITY).value_between(m, p, near=0.0)
        assert bool(ball(value) <= above)
    assert value == pytest.approx(float(below), rel=1e-12)
    assert value == pytest.approx(cdf(quantile(p) - m), rel=1e-7)


def test_pure_insertion_scales_the_value() -> None:
    """Random deletion, insertions only: V = β^d · F(F⁻¹(p) − m)."""
    spectrum = hc.RandomDeletion(0.8).spectrum(insertions=3)
    value = float(hc.Tradeoff(spectrum, 0.7, "laplace").lower(0.9).value)
    assert value == pytest.approx(0.8**3 * cdf(quantile(0.9) - 0.7), rel=1e-12)


# -- brute force -------------------------------------------------------------------------------------------


def grid(shift: float, cells: int = 400, reach: float = 9.0) -> list[tuple[float, float]]:
    """Masses of Laplace(0) and Laplace(shift) in cells; coarser data can only look safer."""
    edges = np.concatenate([[-math.inf], np.linspace(-reach, reach + shift, cells), [math.inf]])
    clean = np.diff([cdf(x) for x in edges])
    moved = np.diff([cdf(x - shift) for x in edges])
    return list(zip(clean.tolist(), moved.tolist(), strict=True))


def fill(outcomes: list[tuple[float, float]], p: float) -> float:
    """Neyman & Pearson: take the outcomes of least ratio until their clean mass is p."""
    value = 0.0
    for clean, moved in sorted(outcomes, key=lambda pair: pair[1] / pair[0]):
        taken = min(1.0, p / clean)
        value, p = value + taken * moved, p - taken * clean
        if p <= 0.0:
            break
    return value


@pytest.mark.parametrize("m", [0.3, 1.5])
@pytest.mark.parametrize("p", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("sizes", [[], [3], [3, 5]])
def test_values_agree_with_brute_force_on_a_grid(sizes: list[int], p: float, m: float) -> None:
    law = uniform_law(0.4, sizes)
    discrete = [(float(a), float(b)) for a, b in law.values()]
    outcomes = [(a * c, b * e) for (a, b), (c, e) in itertools.product(discrete, grid(m))]
    value = float(hc.Tradeoff(hc.UniformReplacement(0.4).spectrum(sizes), m, "laplace").lower(p).value)
    brute = fill(outcomes, p)
    assert value <= brute + 1e-12
    assert value == pytest.approx(brute, abs=2e-3)


@pytest.mark.parametrize("parts", [(0.5, 0.5), (0.9, 0.1), (0.99, 0.01)])
@pytest.mark.parametrize("p", [0.2, 0.6, 0.95])
def test_no_direction_of_the_same_length_is_worse_than_an_axis(parts: tuple[float, float], p: float) -> None:
    """Two features, shifts that add up to m: brute force on a grid stays above the value for one feature."""
    m = 1.2
    first, second = (grid(m * part, cells=120) for part in parts)
    outcomes = [(a * c, b * e) for (a, b), (c, e) in itertools.product(first, second)]
    value = float(hc.Tradeoff(IDENTITY_SPECTRUM, m, "laplace").lower(p).value)
    assert value <= fill(outcomes, p) + 1e-12


# -- the dual bound in balls -------------------------------------------------------------------------------


def ball_law(law: Law) -> LaplaceLaw:
    with precision(BITS):
        return LaplaceLaw.of(law)


def assert_below_the_exact_dual(
    spectrum: hc.LikelihoodSpectrum, law: LaplaceLaw, m: float, p: float, u: float
) -> None:
    with precision(BITS):
        value = float(hc.Tradeoff(spectrum, m, "laplace").dual_bound(p, u))
        assert bool(ball(value) <= law.dual(m, u, p)), (m, p, u, value)


def thresholds(spectrum: hc.LikelihoodSpectrum, m: float, p: float) -> st.SearchStrategy[float]:
    """Any log t, the optimal one, and the places where the accepted mass jumps, give or take an ulp."""
    best = float(hc.Tradeoff(spectrum, m, "laplace").lower(p).log_t)
    places = [0.0] + ([best] if math.isfinite(best) else [])
    places += [float(ratio) + sign * m for ratio in spectrum.log_ratio for sign in (-1, 1)]
    near = st.tuples(st.sampled_from(places), st.sampled_from([0.0, 1e-16, -1e-16, 1e-7, -1e-7]))
    anywhere = st.one_of(st.floats(-690.0, 690.0), st.floats(-5.0, 5.0))
    return st.one_of(near.map(lambda pair: pair[0] * (1 + pair[1]) + pair[1]), anywhere)


@given(st.data())
@settings(max_examples=250)
def test_the_bound_never_exceeds_the_exact_dual_value(data: st.DataObject) -> None:
    law = data.draw(laws())
    spectrum = spectrum_of(law)
    m, p = data.draw(shifts()), data.draw(scores())
    u = min(max(data.draw(thresholds(spectrum, m, p)), -690.0), 690.0)
    assert_below_the_exact_dual(spectrum, ball_law(law), m, p, u)


KERNEL_CASES: list[tuple[hc.LikelihoodSpectrum, Law]] = [
    (IDENTITY_SPECTRUM, IDENTITY),
    (hc.UniformReplacement(0.25).spectrum([50_000] * 4), uniform_law(0.25, [50_000] * 4)),
    (hc.UniformReplacement(1.0).spectrum([5, 5, 9]), uniform_law(1.0, [5, 5, 9])),
    (hc.UniformReplacement(1e-12).spectrum([2, 2]), uniform_law(1e-12, [2, 2])),
    (hc.UniformReplacement(0.3).spectrum([2**60] * 3), uniform_law(0.3, [2**60] * 3)),
    (hc.Absorbing(0.9).spectrum(5), shared_law(Fraction(0.9) ** 5, Fraction(0.9) ** 5)),
    (
        hc.RandomDeletion(0.9).spectrum(deletions=2).compose(hc.UniformReplacement(0.5).spectrum([7, 7])),
        compose(shared_law(Fraction(0.9) ** 2, Fraction(1)), uniform_law(0.5, [7, 7])),
    ),
]


@pytest.mark.parametrize("case", range(len(KERNEL_CASES)))
def test_the_value_is_sound_and_tight_for_every_kernel(case: int) -> None:
    """At and around the proposed threshold; within 1e-9 of the exact value where that is above 1e-6."""
    spectrum, law = KERNEL_CASES[case]
    exact, stream = ball_law(law), random.Random(case)
    for _ in range(60):
        m = stream.choice([stream.uniform(0.0, 6.0), 10 ** stream.uniform(-9, 2)])
        p = stream.choice([stream.random(), 10 ** stream.uniform(-12, 0), 1 - 10 ** stream.uniform(-15, 0)])
        bound = hc.Tradeoff(spectrum, m, "laplace").lower(p)
        u, value = float(bound.log_t), float(bound.value)
        for trial in (u, u + stream.gauss(0.0, 1e-7), stream.uniform(-20.0, 20.0)):
            if abs(trial) <= 690.0:
                assert_below_the_exact_dual(spectrum, exact, m, p, trial)
        with precision(300):
            below, above = exact.value_between(m, p, near=u if math.isfinite(u) else 0.0)
            assert bool(ball(value) <= above)
            if below > 1e-6:
                assert bool(ball(value) >= below * (1 - ball(TIGHT))), (m, p, value)


@given(laws(), scores(certain=False), plain_shifts())
@settings(max_examples=60)
def test_no_threshold_does_better_than_the_proposed_one(law: Law, p: float, m: float) -> None:
    spectrum = spectrum_of(law)
    tradeoff = hc.Tradeoff(spectrum, m, "laplace")
    best = float(tradeoff.lower(p).value)
    u = np.concatenate([np.linspace(-30, 30, 101), spectrum.log_ratio - m, spectrum.log_ratio + m])
    assert (tradeoff.dual_bound(p, u) <= best * (1 + 1e-9) + 1e-15 * min(p, 1.0)).all()


@pytest.mark.parametrize("atoms", [2, 50, 400])
@pytest.mark.parametrize("u", [-690.0, -689.0, -600.0])
def test_products_that_underflow_do_not_lift_the_bound(atoms: int, u: float) -> None:
    base = Fraction(6, 10**25)
    law: Law = {
        1 + Fraction(k + 1, atoms + 7): (base, base * (1 + Fraction(k + 1, atoms + 7))) for k in range(atoms)
    }
    law[Fraction(0)] = (1 - atoms * base, Fraction(0))
    worthless = Fraction(1, 10**330)
    hostile: Law = {worthless * (k + 1): (base, base * worthless * (k + 1)) for k in range(atoms)}
    hostile[Fraction(1)] = (1 - atoms * base, 1 - atoms * base)
    for m in (1e-100, 0.5, 700.0, 1379.0, 1e4) if atoms < 400 else (0.5, 1379.0):
        for p in (LAST_SCORE, 1.0):
            assert_below_the_exact_dual(spectrum_of(law), ball_law(law), m, p, u)
        assert_below_the_exact_dual(spectrum_of(hostile), ball_law(hostile), m, float(2 * atoms * base), u)


# -- radii -------------------------------------------------------------------------------------------------


def random_law(stream: random.Random) -> tuple[Law, hc.LikelihoodSpectrum]:
    beta = stream.choice([0.1, 0.25, 0.5, 0.75, 0.9, 1.0, stream.random()])
    if stream.random() < 0.6:
        sizes = [stream.choice([2, 3, 5, 256, 50_000]) for _ in range(stream.randint(0, 3))]
        return uniform_law(beta, sizes), hc.UniformReplacement(beta).spectrum(sizes)
    inserted, removed = stream.randint(0, 5), stream.randint(0, 5)
    law = shared_law(Fraction(beta) ** removed, Fraction(beta) ** inserted)
    return law, hc.RandomDeletion(beta).spectrum(insertions=inserted, deletions=removed)


def assert_sound_and_tight(law: Law, spectrum: hc.LikelihoodSpectrum, threshold: float, p: float) -> None:
    answer, exact = radius(spectrum, p, threshold), LaplaceLaw.of(law)
    unshifted = knapsack(law, Fraction(p))
    if not answer.certified:
        assert unshifted <= Fraction(threshold) * (1 + Fraction(1, 10**9))
        return
    assert unshifted > Fraction(threshold)
    assert answer.radius is not None
    assert answer.log_t is not None
    if answer.radius > 0.0:
        below, _ = exact.value_between(answer.radius, p, near=answer.log_t)
        assert bool(below > ball(threshold))
    farther = ball(answer.radius) * (1 + ball(TIGHT)) if answer.radius > 0.0 else ball(TIGHT)
    _, above = exact.value_between(farther, p, near=answer.log_t)
    assert bool(above <= ball(threshold)), (threshold, p, answer)


def check_random_radii(seed: int, count: int) -> None:
    stream = random.Random(seed)
    with precision(220):
        for _ in range(count):
            law, spectrum = random_law(stream)
            threshold = stream.choice([1e-10, 1e-6, 4.6e-5, 0.001, 0.01, 0.1, 0.5, 0.9, stream.random()])
            p = stream.choice([stream.random(), 1 - 10 ** stream.uniform(-9, 0), 0.999, 0.99])
            assert_sound_and_tight(law, spectrum, threshold, p)


def test_radii_are_sound_and_within_1e9_of_exact_in_seeded_settings() -> None:
    check_random_radii(1, 250)


@pytest.mark.slow
def test_radii_are_sound_and_within_1e9_of_exact_in_many_seeded_settings() -> None:
    check_random_radii(2, 20_000)


@given(laws(), scores(certain=False), st.floats(1e-12, 0.99))
@settings(max_examples=100)
def test_no_radius_of_any_law_is_unsound_and_its_witness_proves_it(
    law: Law, p: float, threshold: float
) -> None:
    spectrum = spectrum_of(law)
    radii = hc.radius(p_lower=p, spectrum=spectrum, sigma=1.0, threshold=threshold, noise="laplace")
    if radii.certified[0]:
        m, u = float(radii.shift[0]), float(radii.log_t[0])
        assert radii.radius[0] <= m
        assert float(hc.Tradeoff(spectrum, m, "laplace").dual_bound(p, u)) > threshold
        with precision(600):
            assert bool(LaplaceLaw.of(law).dual(m, u, p) > ball(threshold))


def test_large_batches_give_the_radii_of_single_scores() -> None:
    spectrum = hc.UniformReplacement(0.25).spectrum([50] * 2)
    p = 1 - 10 ** np.random.default_rng(5).uniform(-9, -0.3, 3000)
    batch = hc.radius(p_lower=p, spectrum=spectrum, sigma=2.0, threshold=0.3, noise="laplace")
    for i in range(0, 3000, 100):
        alone = radius(spectrum, float(p[i]), 0.3, 2.0)
        assert batch[i].certified == alone.certified
        assert (batch[i].radius or 0.0) == pytest.approx(alone.radius or 0.0, rel=1e-12)


def test_radii_and_values_agree() -> None:
    spectrum, p = hc.UniformReplacement(0.25).spectrum([50] * 2), np.array([0.99999, 0.999999])
    radii = hc.radius(p_lower=p, spectrum=spectrum, sigma=0.5, threshold=0.4, noise="laplace")
    for score, r in zip(p, radii.radius.tolist(), strict=True):
        setting = {"p_lower": score, "spectrum": spectrum, "sigma": 0.5, "noise": "laplace"}
        near, _ = hc.adversarial_value(epsilon=r * (1 - 1e-9), **setting)
        far, _ = hc.adversarial_value(epsilon=r * (1 + 1e-6), **setting)
        assert near > 0.4 >= far


def test_ten_thousand_changes_end_in_an_answer() -> None:
    spectrum = hc.UniformReplacement(0.25).spectrum([50_000] * 10_000)
    assert not radius(spectrum, 0.9999, 0.5).certified
    hidden = hc.UniformReplacement(2 / 3).spectrum([3] * 10_000)
    exact = quantile(0.9999) - quantile(0.4)
    assert radius(hidden, 0.9999, 0.4).radius == pytest.approx(exact, rel=1e-6)


def test_without_a_shift_the_noise_does_not_matter() -> None:
    spectrum, p = hc.UniformReplacement(0.25).spectrum([50] * 2), np.linspace(0.0, 1.0, 50)
    gaussian, other = (worst_case_lower(spectrum, p, 0.0, noise=noise) for noise in ("gaussian", "laplace"))
    assert np.array_equal(gaussian.value, other.value)
    assert np.array_equal(gaussian.log_t, other.log_t)


def test_extreme_budgets_raise_no_warning_and_never_exceed_the_score() -> None:
    p = np.array([0.0, 5e-324, 1e-300, 1e-20, 0.3, 0.5, 0.999, LAST_SCORE, 1.0])
    spectra = [spectrum for spectrum, _ in KERNEL_CASES] + [hc.LikelihoodSpectrum.disjoint()]
    for spectrum in spectra:
        for m in (0.0, 5e-324, 1e-200, 1e-8, 1e3, 1e154, 1.7e308):
            value = hc.Tradeoff(spectrum, m, "laplace").lower(p).value
            assert ((value >= 0.0) & (value <= p)).all()
        for threshold in (5e-324, 1e-20, 0.5, LAST_SCORE):
            radii = hc.radius(
                p_lower=p[:-1], spectrum=spectrum, sigma=1.0, threshold=threshold, noise="laplace"
            )
            assert np.isfinite(radii.radius).all()
            assert not (radii.certified & (p[:-1] <= threshold)).any()


def test_distribution_functions_are_what_their_names_say() -> None:
    tradeoff = hc.Tradeoff(hc.UniformReplacement(0.3).spectrum([5, 5]), 0.7, "laplace")
    with precision(120):
        exact = LaplaceLaw.of(uniform_law(0.3, [5, 5]))
        for u in (-2.0, -0.1, 0.0, 1.5):
            for ours, theirs in (
                (tradeoff.cdf_clean, exact.clean),
                (tradeoff.cdf_adversarial, exact.adversarial),
            ):
                assert float(ours(u)) == pytest.approx(float(theirs(ball(0.7), ball(u))), rel=1e-12)


def test_certainty_keeps_all_adversarial_mass_in_the_support() -> None:
    for spectrum, law in KERNEL_CASES:
        shared = float(sum(q for r, (_, q) in law.items() if r > 0))
        assert float(hc.Tradeoff(spectrum, 2.0, "laplace").lower(1.0).value) == pytest.approx(
            shared, rel=1e-9
        )


@pytest.mark.parametrize("noise", ["", "cauchy", "Gaussian"])
def test_unknown_noise_is_refused(noise: str) -> None:
    message = f"noise must be gaussian or laplace, got {noise!r}"
    with pytest.raises(hc.ParameterError, match=message):
        hc.Tradeoff(IDENTITY_SPECTRUM, 0.1, noise)
    with pytest.raises(hc.ParameterError, match=message):
        hc.radius(p_lower=0.9, spectrum=IDENTITY_SPECTRUM, sigma=1.0, threshold=0.5, noise=noise)
    one = np.ones(1)
    with pytest.raises(hc.ParameterError, match=message):
        dual_bound_lower(IDENTITY_SPECTRUM, one, one, one, noise=noise)


def test_the_optimum_is_found_at_jumps_and_between_them() -> None:
    """p < ½, one atom: u = −m; p > ½ and m small: u = m; else u = 2 F⁻¹(p) − m."""
    p, m = np.array([0.3, 0.99, 0.99]), np.array([1.0, 1.0, 5.0])
    u = laplace.best_threshold(IDENTITY_SPECTRUM, m, p)
    assert u == pytest.approx([-1.0, 1.0, -2 * math.log(0.02) - 5.0], rel=1e-14)
