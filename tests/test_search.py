"""Proposals of witnesses: they need no guarantee, but every radius has to end within 1e-9 of the exact one.

Three ways to the same radius are compared: interpolated in a large batch, solved in a small one, solved
alone. Soundness is tested elsewhere; here a tolerance is the point.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

import hybridcert as hc
from hybridcert.certificate.interpolation import LevelCurve
from hybridcert.certificate.mixture import Laws, Mixture
from hybridcert.certificate.search import best_threshold, propose_radius

TIGHT = 1e-9
ROUNDING = (
    2.0**-44
)  # the part of D's terms that directed rounding may cost: decisive just above the threshold


def uniform(beta, sizes):
    return hc.UniformReplacement(beta).spectrum(sizes)


def radii(spectrum, p, threshold):
    return hc.radius(p_lower=p, spectrum=spectrum, sigma=1.0, threshold=threshold)


def cost_of_rounding(spectrum, p, threshold):
    """Return what directed rounding of D may take off the radius."""
    _, u, fall = propose_radius(spectrum, p, np.broadcast_to(threshold, p.shape).copy())
    terms = threshold + np.exp(np.minimum(u, 690.0)) * np.minimum(p, 1.0 - p)
    return np.divide(ROUNDING * terms, fall, out=np.zeros_like(p), where=fall > 0.0)


def critical(spectrum, threshold):
    """Return the clean score from which ε = 0 is certified, and the plateaus of the clean law."""
    order = np.argsort(spectrum.log_ratio)
    clean, adversarial = spectrum.clean_lower[order], spectrum.adversarial_lower[order]
    plateaus = spectrum.ratio_zero_upper + np.concatenate([[0.0], np.cumsum(clean)])
    atom = min(int(np.searchsorted(np.cumsum(adversarial), threshold)), len(spectrum) - 1)
    share = (threshold - adversarial[:atom].sum()) / adversarial[atom]
    return float(plateaus[atom] + clean[atom] * min(share, 1.0)), plateaus


def awkward_scores(rng, spectrum, threshold, count):
    """Spread over everything, dense next to thresholds and plateaus, with duplicates, in no order."""
    start, plateaus = critical(spectrum, threshold)
    near = np.array([0.0, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12])
    corners = [start, *plateaus[:: max(1, plateaus.size // 8)]]
    parts = [rng.uniform(0.0, 1.0, count), 1.0 - 10.0 ** rng.uniform(-15.0, 0.0, count)]
    parts += [start + (1.0 - start) * 10.0 ** rng.uniform(-14.0, 0.0, count)]
    parts += [corner + sign * near for corner in corners for sign in (1.0, -1.0)]
    p = np.concatenate(parts)
    p = p[(p >= 0.0) & (p < 1.0)]
    return rng.permutation(np.concatenate([p, p[:20]]))


CASES = [
    (0.25, [50_000], 4.6e-5),
    (0.25, [50_000] * 4, 4.6e-5),
    (0.25, [50_000] * 8, 4.6e-5),
    (0.45, [2] * 12, 0.01),
    (0.9, [10] * 9, 0.5),  # ratio 1 up to rounding
    (0.9, [10, 256, 10], 0.9),
    (0.53, [256, 256, 16, 16, 2], 1e-12),
    (0.97, [3, 42, 5], 4.6e-5),  # beta above 1 − 1/K: the order of the atoms is reversed
    (1.0, [16, 256, 256], 0.01),  # singular on both sides
    (1.0, [50_000] * 3, 0.9),
    (1.0, [5, 5, 256, 256, 10], 0.2218),
    (0.9999, [50_000] * 3, 4.6e-5),
    (1e-4, [10] * 3, 1e-12),
    (0.999, [256] * 6, 0.5),
    (0.3, [], 0.5),
]


@pytest.mark.parametrize(("beta", "sizes", "threshold"), CASES)
def test_interpolated_rows_agree_with_rows_solved_alone(beta, sizes, threshold):
    rng = np.random.default_rng(len(sizes))
    spectrum = uniform(beta, sizes)
    p = awkward_scores(rng, spectrum, threshold, 600)
    batch = radii(spectrum, p, threshold)
    picked = rng.choice(p.size, 60, replace=False)
    alone = [radii(spectrum, p[i], threshold) for i in picked]
    few = radii(spectrum, p[picked], threshold)
    truth = np.array([one.radius[0] for one in alone])
    assert [bool(one.certified[0]) for one in alone] == list(batch.certified[picked]) == list(few.certified)
    allowed = TIGHT * truth + 8 * cost_of_rounding(spectrum, p[picked], threshold)
    assert np.all(np.abs(batch.radius[picked] - truth) <= allowed)
    assert np.all(np.abs(few.radius - truth) <= allowed)


def test_thresholds_may_differ_from_row_to_row():
    rng = np.random.default_rng(1)
    spectrum = uniform(0.25, [50_000] * 2)
    p = 1.0 - 10.0 ** rng.uniform(-6.0, -1.3, 3000)
    threshold = np.where(np.arange(p.size) % 2 == 0, 4.6e-5, rng.uniform(1e-4, 0.9, p.size))
    batch = radii(spectrum, p, threshold)
    for i in rng.choice(p.size, 40, replace=False):
        alone = radii(spectrum, p[i], threshold[i])
        assert bool(alone.certified[0]) == bool(batch.certified[i])
        assert batch.radius[i] == pytest.approx(alone.radius[0], rel=TIGHT)


@pytest.mark.parametrize("threshold", [1e-12, 4.6e-5, 0.01, 0.5, 0.9])
def test_without_discrete_change_the_radius_is_a_difference_of_probits(threshold):
    p = threshold + (1.0 - threshold) * np.linspace(0.001, 0.999, 2000)
    exact = np.where(p >= 0.5, -ndtri(1.0 - p), ndtri(p)) - ndtri(threshold)
    found = radii(hc.LikelihoodSpectrum.identity(), p, threshold)
    assert found.certified.all()
    assert found.radius == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(("beta", "sizes", "threshold"), CASES[:8])
def test_proposals_solve_both_equations(beta, sizes, threshold):
    spectrum = uniform(beta, sizes)
    start, _ = critical(spectrum, threshold)
    p = start + (1.0 - start) * np.array([0.05, 0.3, 0.7, 0.95])
    for score, m, u, fall in zip(p, *propose_radius(spectrum, p, np.full(p.size, threshold)), strict=True):
        tradeoff = hc.Tradeoff(spectrum, shift=float(m))
        assert float(tradeoff.cdf_clean(u)) == pytest.approx(score, rel=1e-9)
        assert float(tradeoff.cdf_adversarial(u)) == pytest.approx(threshold, rel=1e-9)
        farther = hc.Tradeoff(spectrum, shift=float(m) * (1 + 1e-5)).dual_bound(score, u)
        nearer = hc.Tradeoff(spectrum, shift=float(m) * (1 - 1e-5)).dual_bound(score, u)
        assert float(nearer - farther) == pytest.approx(fall * m * 2e-5, rel=1e-3)


def test_nothing_is_proposed_below_the_critical_score():
    spectrum = uniform(0.25, [50_000] * 3)
    start, _ = critical(spectrum, 4.6e-5)
    for count in (10, 5000):
        m, _, _ = propose_radius(
            spectrum, np.linspace(0.0, start * (1 - 1e-12), count), np.full(count, 4.6e-5)
        )
        assert not m.any()


def test_a_curve_is_trusted_where_a_batch_needs_it():
    spectrum = uniform(0.25, [50_000] * 2)
    curve = LevelCurve.through(np.linspace(0.05, 7.0, 200), Laws.of(spectrum), 4.6e-5)
    assert curve is not None
    assert curve.trusted.mean() > 0.95
    start, _ = critical(spectrum, 4.6e-5)
    assert not curve.at(np.array([start + 1e-9, 1.0 - 1e-16]))[1].any()
    coarse = LevelCurve.through(np.linspace(0.05, 7.0, 20), Laws.of(spectrum), 4.6e-5)
    assert coarse is not None
    assert not coarse.trusted.any()


def test_points_that_floats_cannot_tell_apart_give_no_curve():
    laws = Laws.of(uniform(0.25, [50_000]))
    assert LevelCurve.through(1.0 + 1e-16 * np.arange(20), laws, 4.6e-5) is None


def test_thresholds_at_no_shift_are_the_ratios_that_the_knapsack_splits():
    spectrum = uniform(0.25, [50_000] * 2)
    _, plateaus = critical(spectrum, 0.5)
    middle = 0.5 * (plateaus[:-1] + plateaus[1:])
    u = best_threshold(spectrum, np.zeros(middle.size), middle)
    assert u == pytest.approx(np.sort(spectrum.log_ratio))


masses = st.floats(1e-9, 1.0)


@given(
    weights=st.lists(masses, min_size=1, max_size=6),
    gaps=st.lists(st.floats(0.0, 30.0), min_size=6, max_size=6),
    m=st.floats(1e-2, 20.0),
    share=st.floats(1e-12, 1.0 - 1e-12),
    upper=st.booleans(),
    tilt=st.sampled_from([0.5, -0.5]),
)
def test_quantiles_of_mixtures_have_the_mass_asked_for(weights, gaps, m, share, upper, tilt):
    mixture = Mixture(np.array(weights), np.cumsum(gaps)[: len(weights), None], tilt)
    target, width = np.array([share * sum(weights)]), np.array([m])
    u = mixture.quantile(width, target, np.array([upper]))
    mass = mixture.tail(mixture.arguments(width, u), -1.0 if upper else 1.0)
    assert mass == pytest.approx(target, rel=1e-9)
