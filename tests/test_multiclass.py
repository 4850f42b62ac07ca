"""Top-k certificates: closed forms, exact sums of worst cases in balls, every classifier on tiny spaces."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import binom

import hybridcert as hc
from balls import BallLaw, LaplaceLaw, ball, precision
from exact_laws import (
    Law,
    compose,
    float_above,
    float_below,
    knapsack,
    shared_law,
    spectrum_of,
    uniform_law,
    uniform_row,
    words,
)
from hybridcert.certificate.confidence import label_bounds
from hybridcert.certificate.multiclass import TopRadius, radius_top
from strategies import LAST_SCORE, laws, scores

TIGHT = 1e-9
IDENTITY_SPECTRUM = hc.LikelihoodSpectrum.identity()
BALL_LAWS = {"gaussian": BallLaw, "laplace": LaplaceLaw}
NOISES = tuple(BALL_LAWS)


def top(spectrum: hc.LikelihoodSpectrum, p: float, rival: float, noise: str = "gaussian") -> TopRadius:
    return radius_top(p_lower=p, p_upper=rival, spectrum=spectrum, sigma=1.0, noise=noise)[0]


@pytest.mark.parametrize(
    ("p", "rival"),
    [(0.6, 0.2), (0.4, 0.3), (0.3, 0.29), (0.99, 0.01), (0.5, 1e-5), (0.01, 0.001), (0.9, 0.8)],
)
@pytest.mark.parametrize("sigma", [0.25, 1.0, 3.0])
def test_without_discrete_change_the_radius_is_the_one_of_cohen_et_al(
    p: float, rival: float, sigma: float
) -> None:
    """σ/2·(Φ⁻¹(p_A) − Φ⁻¹(p_B))."""
    found = radius_top(p_lower=p, p_upper=rival, spectrum=IDENTITY_SPECTRUM, sigma=sigma)
    assert found.radius[0] == pytest.approx(sigma / 2 * (ndtri(p) - ndtri(rival)), rel=1e-9)


def quantile(p: float) -> float:
    return math.log(2 * p) if p < 0.5 else -math.log(2 * (1 - p))


@pytest.mark.parametrize(("p", "rival"), [(0.6, 0.2), (0.45, 0.3), (0.99, 0.01), (0.9, 0.001), (0.9, 0.8)])
def test_without_discrete_change_the_laplace_radius_has_the_same_form(p: float, rival: float) -> None:
    """b/2·(F⁻¹(p_A) − F⁻¹(p_B)); never below max(½ log(p_A/p_B), −log(1 − p_A + p_B)) of Teng et al."""
    found = top(IDENTITY_SPECTRUM, p, rival, "laplace").radius
    assert found == pytest.approx(0.5 * (quantile(p) - quantile(rival)), rel=1e-9)
    assert found is not None
    assert found >= max(0.5 * math.log(p / rival), -math.log(1 - p + rival)) - 1e-12


@pytest.mark.parametrize("noise", NOISES)
def test_two_labels_are_the_majority_certificate(noise: str) -> None:
    """With p_B = 1 − p_A both sides are V(p_A), and the sum exceeds 1 where V(p_A) exceeds ½."""
    spectrum = hc.UniformReplacement(0.25).spectrum([50] * 2)
    p = 1 - 10 ** np.random.default_rng(0).uniform(-7, -1, 60)
    two = radius_top(p_lower=p, p_upper=1 - p, spectrum=spectrum, sigma=0.5, noise=noise)
    one = hc.radius(p_lower=p, spectrum=spectrum, sigma=0.5, threshold=0.5, noise=noise)
    assert two.certified.tolist() == one.certified.tolist()
    assert two.radius == pytest.approx(one.radius, rel=1e-9)


def random_setting(stream: random.Random) -> tuple[Law, hc.LikelihoodSpectrum, float, float]:
    beta = stream.choice([0.25, 0.5, 0.9, 1.0, stream.random()])
    if stream.random() < 0.6:
        sizes = [stream.choice([2, 3, 5, 256]) for _ in range(stream.randint(0, 2))]
        law, spectrum = uniform_law(beta, sizes), hc.UniformReplacement(beta).spectrum(sizes)
    else:
        inserted, removed = stream.randint(0, 2), stream.randint(0, 2)
        law = shared_law(Fraction(beta) ** removed, Fraction(beta) ** inserted)
        spectrum = hc.RandomDeletion(beta).spectrum(insertions=inserted, deletions=removed)
    p = stream.choice([stream.random(), 1 - 10 ** stream.uniform(-6, 0)])
    rival = (1 - p) * stream.choice([stream.random(), 1.0, 10 ** stream.uniform(-6, 0)])
    return law, spectrum, p, max(rival, 1e-6)


def assert_sound_and_tight(
    law: Law, spectrum: hc.LikelihoodSpectrum, p: float, rival: float, noise: str
) -> bool:
    """V(p_A) + V(1 − p_B) > 1 at the radius, ≤ 1 at a radius 1e-9 larger; both in balls."""
    answer, exact = top(spectrum, p, rival, noise), BALL_LAWS[noise].of(law)
    unshifted = knapsack(law, Fraction(p)) + knapsack(law, 1 - Fraction(rival))
    if not answer.certified:
        assert unshifted <= 1 + Fraction(1, 10**9)
        return False
    assert unshifted > 1
    assert answer.radius is not None
    assert answer.log_t is not None
    other = 1 - ball(rival)

    def between(m: object) -> tuple[object, object]:
        pairs = [
            exact.value_between(m, score, near=u)  # type: ignore[arg-type]
            for score, u in zip((p, other), answer.log_t, strict=True)  # type: ignore[arg-type]
        ]
        return pairs[0][0] + pairs[1][0], pairs[0][1] + pairs[1][1]

    if answer.radius > 0.0:
        assert bool(between(answer.radius)[0] > 1)  # type: ignore[operator]
    farther = ball(answer.radius) * (1 + ball(TIGHT)) if answer.radius > 0.0 else ball(TIGHT)
    assert bool(between(farther)[1] <= 1), (p, rival, answer)  # type: ignore[operator]
    return True


def check_random_radii(seed: int, count: int) -> int:
    stream, certified = random.Random(seed), 0
    with precision(220):
        for _ in range(count):
            law, spectrum, p, rival = random_setting(stream)
            certified += assert_sound_and_tight(law, spectrum, p, rival, stream.choice(NOISES))
    return certified


def test_radii_are_sound_and_within_1e9_of_exact_in_seeded_settings() -> None:
    assert check_random_radii(1, 250) > 80


@pytest.mark.slow
def test_radii_are_sound_and_within_1e9_of_exact_in_many_seeded_settings() -> None:
    check_random_radii(2, 10_000)


@given(laws(), scores(certain=False), st.floats(5e-324, 1.0), st.sampled_from(NOISES))
@settings(max_examples=120)
def test_the_witness_proves_every_radius(law: Law, p: float, rival: float, noise: str) -> None:
    """For arbitrary laws: the exact dual values at the stored pair (u₁, u₂) add up to more than 1."""
    found = radius_top(p_lower=p, p_upper=rival, spectrum=spectrum_of(law), sigma=1.0, noise=noise)
    if found.certified[0]:
        m, (u, v) = float(found.shift[0]), found.log_t[0].tolist()
        assert found.radius[0] <= m
        with precision(1400):
            exact = BALL_LAWS[noise].of(law)
            t = ball(v).exp()
            # D is affine in the clean score with slope t: this is D at 1 − p_upper, without rounding that
            second = exact.dual(m, v, 0.0) + t * (1 - ball(rival))
            assert bool(exact.dual(m, u, p) + second > 1)


def shares(outcomes: dict, row: dict, labels: tuple[int, ...]) -> list[Fraction]:  # type: ignore[type-arg]
    totals = [Fraction(0)] * 3
    for outcome, probability in row.items():
        totals[labels[outcomes[outcome]]] += probability
    return totals


@pytest.mark.parametrize(
    ("beta", "size", "k"), [(0.55, 2, 1), (0.55, 2, 2), (0.7, 3, 1), (0.6, 4, 1), (0.7, 4, 2)]
)
def test_no_classifier_with_three_labels_breaks_a_certificate(beta: float, size: int, k: int) -> None:
    """Every classifier on the noisy words, every clean word, every single change."""
    length = 2 if size == 2 else 1
    space = list(words(size, [length]))
    index = {word: i for i, word in enumerate(space)}
    rows = {word: uniform_row(word, beta, [size] * length) for word in space}
    spectrum = hc.UniformReplacement(beta).spectrum([size])
    clean, certified, total = space[0], 0, 0
    changed = [word for word in space if sum(a != b for a, b in zip(word, clean, strict=True)) == 1]
    for labels in itertools.product(range(3), repeat=len(space)):
        at_clean = shares(index, rows[clean], labels)
        for label in range(3):
            others = sorted((s for c, s in enumerate(at_clean) if c != label), reverse=True)
            p, rival = float_below(at_clean[label]), min(1.0, float_above(others[k - 1]))
            if p >= 1.0 or rival <= 0.0:
                continue
            total += 1
            if not top(spectrum, p, rival).certified:
                continue
            certified += 1
            for word in changed:
                moved = shares(index, rows[word], labels)
                assert sum(s >= moved[label] for c, s in enumerate(moved) if c != label) < k
    assert 0 < certified < total


def test_the_sum_counts_for_each_candidate() -> None:
    """Two candidates: the radius is the smaller of the two, not one made of the worst of either side."""
    spectra = [hc.UniformReplacement(0.9).spectrum([5, 9]), hc.RandomDeletion(0.9).spectrum(insertions=1)]
    p, rival = np.array([0.9, 0.99, 0.999]), np.array([0.05, 0.004, 0.0001])
    together = radius_top(p_lower=p, p_upper=rival, spectrum=spectra, sigma=2.0)
    apart = [radius_top(p_lower=p, p_upper=rival, spectrum=s, sigma=2.0) for s in spectra]
    assert together.certified.tolist() == np.all([a.certified for a in apart], axis=0).tolist()
    worst = np.where(together.certified, np.min([a.radius for a in apart], axis=0), 0.0)
    assert together.radius == pytest.approx(worst, rel=1e-14)


@given(st.floats(0.01, LAST_SCORE), st.floats(1e-6, 0.99), st.floats(1e-6, 0.99), st.sampled_from(NOISES))
@settings(max_examples=60)
def test_radius_falls_with_the_rival(p: float, one: float, other: float, noise: str) -> None:
    spectrum = hc.UniformReplacement(0.5).spectrum([3])
    weak, strong = (top(spectrum, p, rival, noise) for rival in sorted((one, other)))
    assert weak.certified >= strong.certified
    assert (strong.radius or 0.0) <= (weak.radius or 0.0) * (1 + 1e-8) + 1e-12


def test_results_read_like_those_of_one_label() -> None:
    found = radius_top(p_lower=[0.9, 0.2], p_upper=0.3, spectrum=IDENTITY_SPECTRUM, sigma=1.0)
    assert [point.certified for point in found] == [True, False]
    assert len(found) == 2
    assert found[1] == TopRadius(False, None, None)
    assert found.log_t.shape == (2, 2)
    without = found.without_radius()
    assert without.radius.tolist() == without.shift.tolist() == [0.0, 0.0]
    assert without.certified.tolist() == [True, False]
    assert radius_top(p_lower=[], p_upper=0.3, spectrum=IDENTITY_SPECTRUM, sigma=1.0).radius.shape == (0,)


def test_extreme_inputs_raise_no_warning() -> None:
    p = np.array([0.0, 5e-324, 1e-300, 0.3, 0.5, 0.999, LAST_SCORE])
    rival = np.array([5e-324, 1e-300, 1e-20, 0.3, 0.5, LAST_SCORE, 1.0])
    pairs = np.array(list(itertools.product(p, rival)))
    for spectrum in (
        IDENTITY_SPECTRUM,
        hc.LikelihoodSpectrum.disjoint(),
        hc.UniformReplacement(1.0).spectrum([2]),
        hc.UniformReplacement(1e-300).spectrum([5] * 3),
        hc.Absorbing(0.5).spectrum(2),
    ):
        for noise in NOISES:
            found = radius_top(
                p_lower=pairs[:, 0], p_upper=pairs[:, 1], spectrum=spectrum, sigma=1.0, noise=noise
            )
            assert np.isfinite(found.radius).all()
            assert not (found.certified & (pairs[:, 0] <= pairs[:, 1])).any()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"p_lower": 1.0}, r"p_lower must be in \[0, 1\), got 1.0"),
        ({"p_lower": math.nan}, r"p_lower must be in \[0, 1\), got nan"),
        ({"p_upper": 0.0}, r"p_upper must be in \(0, 1\], got 0.0"),
        ({"p_upper": 1.5}, r"p_upper must be in \(0, 1\], got 1.5"),
        ({"sigma": 0.0}, "sigma must be a finite number > 0, got 0.0"),
        ({"spectrum": []}, "at least one spectrum is needed"),
        ({"noise": "cauchy"}, "noise must be gaussian or laplace, got 'cauchy'"),
    ],
)
def test_arguments_outside_their_range_are_refused(changed: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "p_lower": 0.9,
        "p_upper": 0.05,
        "spectrum": IDENTITY_SPECTRUM,
        "sigma": 1.0,
    }
    with pytest.raises(hc.ParameterError, match=message):
        radius_top(**(arguments | changed))  # type: ignore[arg-type]


# -- bounds for labels -------------------------------------------------------------------------------------


def bounds(counts: list[list[int]], claimed: list[int], *, k: int = 1, samples: int, **options: str):  # type: ignore[no-untyped-def]
    return label_bounds(
        np.array(counts), claimed=np.array(claimed), k=k, alpha=0.01, samples=samples, **options
    )


def test_two_labels_share_one_bound() -> None:
    found = bounds([[990, 10], [3, 997], [0, 1000]], [0, 0, 0], samples=1000)
    assert found.method == "clopper-pearson"
    expected = hc.clopper_pearson_lower([990, 3, 0], 1000, 0.01)
    assert found.p_lower.tolist() == expected.tolist()
    for low, high in zip(found.p_lower.tolist(), found.p_upper.tolist(), strict=True):
        assert Fraction(high) >= 1 - Fraction(low)
        assert high == pytest.approx(1 - low, rel=1e-15)
    assert found.p_upper[0] == 1 - found.p_lower[0]


def test_several_labels_share_alpha() -> None:
    found = bounds([[700, 150, 100, 50], [10, 20, 930, 40]], [0, 0], k=2, samples=1000)
    assert found.method == "clopper-pearson-bonferroni"
    share = math.nextafter(0.01 / 4, 0.0)
    assert found.p_lower.tolist() == hc.clopper_pearson_lower([700, 10], 1000, share).tolist()
    assert found.p_upper.tolist() == hc.clopper_pearson_upper([100, 40], 1000, share).tolist()
    assert Fraction(share) * 4 <= Fraction(0.01)


def test_either_method_can_be_asked_for() -> None:
    counts = [[600, 300, 100]]
    together = bounds(counts, [0], samples=1000, method="clopper-pearson")
    apart = bounds([[600, 400]], [0], samples=1000)
    assert together == apart
    each = bounds([[600, 400]], [0], samples=1000, method="clopper-pearson-bonferroni")
    assert each.p_lower[0] < apart.p_lower[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"k": 3}, r"k must be an integer in \[1, 2\], got 3"),
        ({"k": 0}, r"k must be an integer in \[1, 2\], got 0"),
        ({"alpha": 0.0}, r"alpha must be in \(0, 1\), got 0.0"),
        ({"samples": 99}, "counts must add up to samples = 99, got 100"),
        ({"k": 2, "method": "clopper-pearson"}, "k must be 1, got 2"),
        ({"method": "wald"}, "method must be clopper-pearson or clopper-pearson-bonferroni, got 'wald'"),
    ],
)
def test_impossible_requests_are_refused(changed: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"claimed": np.array([0]), "k": 1, "alpha": 0.01, "samples": 100}
    with pytest.raises(hc.ParameterError, match=message):
        label_bounds(np.array([[50, 30, 20]]), **(arguments | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "truth", [(0.5, 0.3, 0.2), (0.34, 0.33, 0.33), (0.9, 0.06, 0.04), (0.25, 0.25, 0.25, 0.25)]
)
@pytest.mark.parametrize("k", [1, 2])
def test_failures_in_repeated_experiments_stay_below_alpha(truth: tuple[float, ...], k: int) -> None:
    """4000 experiments; a true failure rate of α would trip each case with probability below 1e-6."""
    alpha, samples, repeats = 0.1, 60, 4000
    counts = np.random.default_rng(3).multinomial(samples, truth, size=repeats)
    found = label_bounds(
        counts,
        claimed=np.zeros(repeats, dtype=int),
        k=k,
        alpha=alpha,
        samples=samples,
        method="clopper-pearson-bonferroni",
    )
    rival = sorted(truth[1:], reverse=True)[k - 1]
    failures = int(((found.p_lower > truth[0]) | (found.p_upper < rival)).sum())
    assert failures <= binom.isf(1e-6, repeats, alpha)


@pytest.mark.slow
def test_certified_labels_are_on_top_as_often_as_promised() -> None:
    """From counts to "certified at ε = 0": a label that is not on top passes at most as often as promised."""
    alpha, samples, repeats = 0.05, 200, 20_000
    counts = np.random.default_rng(4).multinomial(samples, (0.395, 0.405, 0.2), size=repeats)
    found = label_bounds(counts, claimed=np.zeros(repeats, dtype=int), k=1, alpha=alpha, samples=samples)
    claims = radius_top(p_lower=found.p_lower, p_upper=found.p_upper, spectrum=IDENTITY_SPECTRUM, sigma=1.0)
    assert int(claims.certified.sum()) <= binom.isf(1e-6, repeats, alpha)


def test_composed_modalities_are_one_spectrum() -> None:
    first, second = uniform_law(0.5, [3]), shared_law(Fraction(0.9), Fraction(0.9))
    spectrum = hc.UniformReplacement(0.5).spectrum([3]).compose(hc.Absorbing(0.9).spectrum(1))
    with precision(220):
        assert assert_sound_and_tight(compose(first, second), spectrum, 0.99, 0.001, "gaussian")
