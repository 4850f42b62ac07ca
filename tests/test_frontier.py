"""Radii and worst-case values: never beyond the exact ones, within 1e-9 of them, and in the right order."""

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
from balls import BallLaw, ball, precision
from exact_laws import IDENTITY, Law, compose, knapsack, shared_law, spectrum_of, uniform_law
from strategies import LAST_SCORE, laws, scores

TIGHT = 1e-9


def radius(spectrum: hc.LikelihoodSpectrum, p: float, threshold: float, sigma: float = 1.0) -> hc.Radius:
    return hc.radius(p_lower=p, spectrum=spectrum, sigma=sigma, threshold=threshold)[0]


def random_law(stream: random.Random) -> tuple[Law, hc.LikelihoodSpectrum]:
    kind, beta = stream.randrange(5), stream.choice([0.1, 0.25, 0.5, 0.75, 0.9, 1.0, stream.random()])
    if kind == 0:
        sizes = [stream.choice([2, 3, 5, 256, 50_000])] * stream.randint(0, 5)
        return uniform_law(beta, sizes), hc.UniformReplacement(beta).spectrum(sizes)
    if kind == 1:
        sizes = [stream.choice([2, 3, 5, 256]) for _ in range(stream.randint(1, 3))]
        return uniform_law(beta, sizes), hc.UniformReplacement(beta).spectrum(sizes)
    if kind == 2:
        inserted, removed = stream.randint(0, 5), stream.randint(0, 5)
        law = shared_law(Fraction(beta) ** removed, Fraction(beta) ** inserted)
        return law, hc.RandomDeletion(beta).spectrum(insertions=inserted, deletions=removed)
    if kind == 3:
        d = stream.randint(1, 3)
        law = compose(shared_law(Fraction(0.9) ** d, Fraction(0.9) ** d), uniform_law(beta, [5, 5]))
        return law, hc.Absorbing(0.9).spectrum(d).compose(hc.UniformReplacement(beta).spectrum([5, 5]))
    p = [Fraction(stream.random()) for _ in range(4)]
    q = [Fraction(10 ** stream.uniform(-4, 0)) for _ in range(5)]
    masses = {(b / sum(q)) / (a / sum(p)): (a / sum(p), b / sum(q)) for a, b in zip(p, q, strict=False)}
    return masses, spectrum_of(masses)


def settings_at_random(seed: int, count: int):  # type: ignore[no-untyped-def]
    stream = random.Random(seed)
    for _ in range(count):
        law, spectrum = random_law(stream)
        threshold = stream.choice([1e-10, 1e-6, 4.6e-5, 0.001, 0.01, 0.1, 0.5, 0.9, stream.random()])
        p = stream.choice([stream.random(), 1 - 10 ** stream.uniform(-9, 0), 0.999, 0.99])
        yield law, spectrum, threshold, p


def assert_sound_and_tight(law: Law, spectrum: hc.LikelihoodSpectrum, threshold: float, p: float) -> None:
    """V(r) > τ in balls; V(r (1 + 1e-9)) ≤ τ in balls; not certified only if V(0) ≤ τ (1 + 1e-9)."""
    answer, exact = radius(spectrum, p, threshold), BallLaw.of(law)
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
    assert bool(above <= ball(threshold))


def test_radii_are_sound_and_within_1e9_of_exact_in_seeded_settings() -> None:
    with precision(220):
        for law, spectrum, threshold, p in settings_at_random(1, 900):
            assert_sound_and_tight(law, spectrum, threshold, p)


@pytest.mark.slow
def test_radii_are_sound_and_within_1e9_of_exact_in_many_seeded_settings() -> None:
    with precision(220):
        for law, spectrum, threshold, p in settings_at_random(2, 20_000):
            assert_sound_and_tight(law, spectrum, threshold, p)


@given(laws(), scores(certain=False), st.floats(1e-12, 0.99))
@settings(max_examples=150)
def test_no_radius_of_any_law_is_unsound(law: Law, p: float, threshold: float) -> None:
    answer = radius(spectrum_of(law), p, threshold)
    if answer.certified:
        assert knapsack(law, Fraction(p)) > Fraction(threshold)
        if answer.radius:
            with precision(600):
                below, _ = BallLaw.of(law).value_between(answer.radius, p, near=answer.log_t or 0.0)
                assert bool(below > ball(threshold))


@given(laws(), scores(certain=False), st.floats(1e-12, 0.99))
@settings(max_examples=60)
def test_the_witness_proves_the_radius_without_a_search(law: Law, p: float, threshold: float) -> None:
    spectrum = spectrum_of(law)
    radii = hc.radius(p_lower=p, spectrum=spectrum, sigma=1.0, threshold=threshold)
    if radii.certified[0]:
        assert radii.radius[0] <= radii.shift[0]
        assert float(hc.Tradeoff(spectrum, radii.shift[0]).dual_bound(p, radii.log_t[0])) > threshold


@given(laws(), st.floats(0.0, LAST_SCORE), st.floats(1e-6, 0.99), st.floats(1e-6, 0.99))
@settings(max_examples=80)
def test_radius_falls_with_the_threshold(law: Law, p: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    easy, hard = radius(spectrum_of(law), p, low), radius(spectrum_of(law), p, high)
    assert easy.certified >= hard.certified
    assert (hard.radius or 0.0) <= (easy.radius or 0.0) * (1 + 1e-8) + 1e-12


@given(
    st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0]),
    st.sampled_from([2, 5, 50_000]),
    st.floats(0.0, LAST_SCORE),
    st.sampled_from([4.6e-5, 0.1, 0.5]),
)
@settings(max_examples=60)
def test_radius_falls_with_the_number_of_changes(beta: float, size: int, p: float, threshold: float) -> None:
    kernel = hc.UniformReplacement(beta)
    points = [radius(kernel.spectrum([size] * d), p, threshold) for d in range(5)]
    for fewer, more in itertools.pairwise(points):
        assert fewer.certified >= more.certified
        assert (more.radius or 0.0) <= (fewer.radius or 0.0) * (1 + 1e-8) + 1e-12


@given(st.floats(1e-3, 1e3), st.floats(0.5, LAST_SCORE))
@settings(max_examples=40)
def test_radius_is_homogeneous_in_sigma(sigma: float, p: float) -> None:
    spectrum = hc.UniformReplacement(0.25).spectrum([50_000])
    unit, scaled = radius(spectrum, p, 4.6e-5), radius(spectrum, p, 4.6e-5, sigma)
    assert unit.certified == scaled.certified
    if unit.radius is not None:
        assert scaled.radius == pytest.approx(sigma * unit.radius, rel=1e-14)


def test_certified_with_radius_zero_is_not_uncertified() -> None:
    """At ε = 0 the claim may hold with nothing to spare for a shift that floats can express."""
    spectrum = hc.Absorbing(0.5).spectrum(1)
    p = math.nextafter(0.75, 1.0)  # V(0) = p − ½, an ulp above τ
    assert radius(spectrum, 0.8, 0.25).certified
    assert not radius(spectrum, 0.75, 0.25).certified
    answer = radius(spectrum, p + 1e-14, 0.25)
    assert answer.certified
    assert answer.radius is not None
    assert answer.radius < 1e-6
    assert radius(spectrum, 0.3, 0.25) == hc.Radius(False, None, None)


def test_a_sequence_of_spectra_means_the_worst_of_them() -> None:
    kernel, p = hc.UniformReplacement(0.9), [0.9, 0.99, 0.9999]
    spectra = [kernel.spectrum(sizes) for sizes in ([2, 5], [2, 9], [5, 9])]
    together = hc.radius(p_lower=p, spectrum=spectra, sigma=2.0, threshold=0.3)
    apart = [hc.radius(p_lower=p, spectrum=s, sigma=2.0, threshold=0.3) for s in spectra]
    assert together.certified.tolist() == np.all([a.certified for a in apart], axis=0).tolist()
    worst = np.where(together.certified, np.min([a.radius for a in apart], axis=0), 0.0)
    assert together.radius == pytest.approx(worst, rel=1e-14)
    values, log_t = hc.adversarial_value(p_lower=p, spectrum=spectra, sigma=2.0, epsilon=0.5)
    singles = [hc.adversarial_value(p_lower=p, spectrum=s, sigma=2.0, epsilon=0.5)[0] for s in spectra]
    assert values.tolist() == np.min(singles, axis=0).tolist()
    assert (np.isneginf(log_t) == (values == 0.0)).all()


def test_values_at_the_radius_exceed_the_threshold() -> None:
    """The two public functions agree: at ε = r the value is still above τ, at 1.000001 r it is not."""
    spectrum, p = hc.UniformReplacement(0.25).spectrum([50_000] * 2), np.array([0.97, 0.99, 0.9995])
    radii = hc.radius(p_lower=p, spectrum=spectrum, sigma=0.5, threshold=4.6e-5)
    for score, r in zip(p, radii.radius.tolist(), strict=True):
        near, _ = hc.adversarial_value(p_lower=score, spectrum=spectrum, sigma=0.5, epsilon=r * (1 - 1e-9))
        far, _ = hc.adversarial_value(p_lower=score, spectrum=spectrum, sigma=0.5, epsilon=r * (1 + 1e-6))
        assert near > 4.6e-5 >= far


def test_order_and_repetition_of_scores_change_nothing() -> None:
    spectrum = hc.UniformReplacement(0.25).spectrum([50_000])
    p = np.array([0.99, 0.3, 0.98, 0.99, 0.76])
    mixed = hc.radius(p_lower=p, spectrum=spectrum, sigma=1.0, threshold=4.6e-5)
    for i, score in enumerate(p):
        alone = radius(spectrum, score, 4.6e-5)
        assert mixed[i].certified == alone.certified
        assert (mixed[i].radius or 0.0) == pytest.approx(alone.radius or 0.0, rel=1e-12)
    assert mixed[0] == mixed[3]
    assert [point.certified for point in mixed] == mixed.certified.tolist()
    assert len(mixed) == 5


def test_large_batches_are_as_tight_as_single_scores() -> None:
    """The interpolated path: 3000 scores at once, 40 of them checked in balls."""
    law, spectrum = uniform_law(0.25, [50_000] * 3), hc.UniformReplacement(0.25).spectrum([50_000] * 3)
    rng = np.random.default_rng(5)
    p = 1 - 10 ** rng.uniform(-9, -0.3, 3000)
    batch = hc.radius(p_lower=p, spectrum=spectrum, sigma=1.0, threshold=4.6e-5)
    with precision(220):
        exact = BallLaw.of(law)
        for i in rng.choice(np.flatnonzero(batch.certified), 40):
            r, u = float(batch.radius[i]), float(batch.log_t[i])
            assert bool(exact.value_between(r, float(p[i]), near=u)[0] > ball(4.6e-5))
            farther = ball(r) * (1 + ball(TIGHT))
            assert bool(exact.value_between(farther, float(p[i]), near=u)[1] <= ball(4.6e-5))


@pytest.mark.parametrize(("beta", "size"), [(0.25, 50_000), (0.6, 3)])
def test_ten_thousand_changes_end_in_an_answer(beta: float, size: int) -> None:
    """V(0) for d = 10 000 is beyond any certificate unless the noise hides the changes."""
    spectrum = hc.UniformReplacement(beta).spectrum([size] * 10_000)
    assert not radius(spectrum, 0.9999, 0.5).certified
    hidden = hc.UniformReplacement(2 / 3).spectrum([3] * 10_000)
    answer = radius(hidden, 0.9999, 0.5)
    assert answer.radius == pytest.approx(radius(spectrum_of(IDENTITY), 0.9999, 0.5).radius, rel=1e-6)


def test_extreme_inputs_raise_no_warning() -> None:
    spectra = [
        hc.LikelihoodSpectrum.identity(),
        hc.UniformReplacement(1.0).spectrum([2]),
        hc.UniformReplacement(1e-300).spectrum([5] * 3),
        hc.UniformReplacement(0.3).spectrum([2**60] * 3),
        hc.Absorbing(1e-300).spectrum(2),
    ]
    p = np.array([0.0, 5e-324, 1e-300, 1e-20, 0.3, 0.5, 0.999, LAST_SCORE])
    for spectrum in spectra:
        for threshold in (5e-324, 1e-300, 1e-20, 0.5, LAST_SCORE):
            for sigma in (1e-300, 1.0, 1e300):
                radii = hc.radius(p_lower=p, spectrum=spectrum, sigma=sigma, threshold=threshold)
                assert np.isfinite(radii.radius).all()
                assert not (radii.certified & (p <= threshold)).any()
        for epsilon, sigma in ((5e-324, 1.0), (1e300, 1.0), (1.0, 1e-308), (1e-300, 1e300)):
            values, _ = hc.adversarial_value(p_lower=p, spectrum=spectrum, sigma=sigma, epsilon=epsilon)
            assert ((values >= 0.0) & (values <= p)).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"p_lower": 1.0}, r"p_lower must be in \[0, 1\), got 1.0"),
        ({"p_lower": [0.5, math.nan]}, r"p_lower must be in \[0, 1\), got nan"),
        ({"threshold": 0.0}, r"threshold must be in \(0, 1\), got 0.0"),
        ({"threshold": 1.0}, r"threshold must be in \(0, 1\), got 1.0"),
        ({"sigma": 0.0}, "sigma must be a finite number > 0, got 0.0"),
        ({"sigma": math.inf}, "sigma must be a finite number > 0, got inf"),
        ({"spectrum": []}, "at least one spectrum is needed"),
    ],
)
def test_arguments_outside_their_range_are_refused(changed: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "p_lower": 0.9,
        "spectrum": hc.LikelihoodSpectrum.identity(),
        "sigma": 1.0,
        "threshold": 0.5,
    }
    with pytest.raises(hc.ParameterError, match=message):
        hc.radius(**(arguments | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("epsilon", [-1.0, math.nan, math.inf])
def test_impossible_distances_are_refused(epsilon: float) -> None:
    with pytest.raises(hc.ParameterError, match="eps must be a finite number >= 0, got"):
        hc.adversarial_value(
            p_lower=0.9, spectrum=hc.LikelihoodSpectrum.identity(), sigma=1.0, epsilon=epsilon
        )
