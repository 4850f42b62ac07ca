"""Continuous kernels: samplers against their laws, what they write down, and what a joint radius means."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import kstest, laplace, norm

import hybridcert as hc
from classifiers import WordsAndNumbers
from hybridcert.kernels.continuous import JointBudget, joint_budget
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.kernels.laplace import LaplaceNoise
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.threats import ContinuousSurface

CENTRE = np.array([1.0, -2.0, 30.0])


def draw(kernel: GaussianNoise | LaplaceNoise, copies: int = 40_000) -> np.ndarray:
    tiled = np.broadcast_to(CENTRE, (copies, 3))
    return kernel.sample(tiled, np.random.default_rng(1)) - CENTRE


@pytest.mark.parametrize(
    ("kernel", "laws"),
    [
        (GaussianNoise(2.5), [norm(0, 2.5)] * 3),
        (GaussianNoise([0.1, 2.0, 7.0]), [norm(0, 0.1), norm(0, 2.0), norm(0, 7.0)]),
        (LaplaceNoise(0.5), [laplace(0, 0.5)] * 3),
    ],
)
def test_samples_follow_the_law(kernel, laws) -> None:  # type: ignore[no-untyped-def]
    """False-alarm rate: nine Kolmogorov–Smirnov tests at 1e-7; features are uncorrelated."""
    noise = draw(kernel)
    for feature, law in enumerate(laws):
        assert kstest(noise[:, feature], law.cdf).pvalue > 1e-7
    correlation = np.corrcoef(noise.T)[np.triu_indices(3, 1)]
    assert (np.abs(correlation) < 5.5 / math.sqrt(len(noise))).all()


@pytest.mark.parametrize("kernel", [GaussianNoise(2.5), GaussianNoise([1.0, 2.0, 3.0]), LaplaceNoise(0.5)])
def test_samples_depend_on_the_stream_only_and_leave_the_input_alone(
    kernel: GaussianNoise | LaplaceNoise,
) -> None:
    values = np.zeros((5, 3))
    values.setflags(write=False)
    first, again = (kernel.sample(values, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, kernel.sample(values, np.random.default_rng(8)))
    assert first.shape == (5, 3)


def test_kernels_state_their_law_exactly() -> None:
    assert GaussianNoise(0.1).law(64) == {"kernel": "gaussian", "sigma": (0.1).hex(), "features": 64}
    assert GaussianNoise((0.5, 1)).law(2) == {
        "kernel": "gaussian",
        "sigma": ["0x1.0000000000000p-1", "0x1.0000000000000p+0"],
        "features": 2,
    }
    assert LaplaceNoise(2).law(3) == {"kernel": "laplace", "scale": (2.0).hex(), "features": 3}


def test_parameters_are_plain_values() -> None:
    kernels = (GaussianNoise(0.5), GaussianNoise(np.array([0.5, 1.0])), LaplaceNoise(0.25))
    written = [json.loads(json.dumps(kernel.parameters())) for kernel in kernels]
    assert written == [{"sigma": 0.5}, {"sigma": [0.5, 1.0]}, {"scale": 0.25}]


def test_kernels_compare_by_value_and_cannot_be_changed() -> None:
    assert GaussianNoise([0.5, 1.0]) == GaussianNoise((0.5, 1.0))
    assert (
        len({GaussianNoise([0.5, 1.0]), GaussianNoise((0.5, 1.0)), LaplaceNoise(1.0), LaplaceNoise(1.0)}) == 2
    )
    with pytest.raises(AttributeError):
        LaplaceNoise(0.5).scale = 0.1  # type: ignore[misc]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, True])
def test_scales_are_positive_finite_numbers(value: float) -> None:
    with pytest.raises(hc.ParameterError, match="sigma must be a finite number > 0, got"):
        GaussianNoise(value)
    with pytest.raises(hc.ParameterError, match="sigma must be a finite number > 0, got"):
        GaussianNoise([1.0, value])
    with pytest.raises(hc.ParameterError, match="scale must be a finite number > 0, got"):
        LaplaceNoise(value)


def test_a_sigma_per_feature_has_to_match_the_features() -> None:
    with pytest.raises(hc.ParameterError, match="sigma must be one number or one for each feature, got none"):
        GaussianNoise([])
    surface = ContinuousSurface(features=4, eligible=(0, 2, 3), unit="pixels")
    GaussianNoise([1.0, 2.0, 3.0]).check_surface(surface)
    GaussianNoise(1.0).check_surface(surface)
    LaplaceNoise(1.0).check_surface(surface)
    with pytest.raises(hc.ParameterError, match="sigma must list 3 numbers, one per eligible feature, got 4"):
        SmoothingNoise({"image": GaussianNoise([1.0] * 4)}, {"image": surface})


def test_continuous_modalities_are_found() -> None:
    surfaces = WordsAndNumbers().surfaces()
    noise = SmoothingNoise(
        {"text": hc.UniformReplacement(0.5), "other": GaussianNoise(2.0), "numeric": LaplaceNoise(1.0)},
        surfaces,
    )
    assert list(noise.continuous) == ["numeric", "other"]
    with pytest.raises(hc.ParameterError, match="'text' is discrete: the laplace kernel does not fit"):
        SmoothingNoise({"text": LaplaceNoise(1.0)}, surfaces)


def test_what_a_joint_radius_means() -> None:
    one, several = GaussianNoise(0.5), GaussianNoise([0.5, 1.0])
    assert joint_budget({}) == JointBudget("none", 1.0, "gaussian")
    assert joint_budget({"image": one}) == JointBudget("l2", 0.5, "gaussian")
    assert joint_budget({"image": several}) == JointBudget("mahalanobis", 1.0, "gaussian")
    assert joint_budget({"image": one, "sound": one}) == JointBudget("mahalanobis", 1.0, "gaussian")
    assert joint_budget({"image": LaplaceNoise(0.25)}) == JointBudget("l1", 0.25, "laplace")


@pytest.mark.parametrize("other", [GaussianNoise(1.0), LaplaceNoise(1.0)])
def test_laplace_noise_stands_alone(other: GaussianNoise | LaplaceNoise) -> None:
    message = "laplace noise must be the only continuous noise, got it on 'image' among image, sound"
    with pytest.raises(hc.ParameterError, match=message):
        joint_budget({"image": LaplaceNoise(1.0), "sound": other})


@pytest.mark.parametrize(
    ("kernel", "offset", "norm_of"),
    [
        (GaussianNoise([0.5, 2.0]), np.array([0.3, 1.1]), lambda d: math.hypot(d[0] / 0.5, d[1] / 2.0)),
        (LaplaceNoise(0.5), np.array([0.3, 0.4]), lambda d: abs(d).sum() / 0.5),
    ],
)
def test_scores_of_a_linear_rule_stay_above_the_certified_value(kernel, offset, norm_of) -> None:  # type: ignore[no-untyped-def]
    """The score of a half-plane, before and after the shift, on 200 000 draws (6 standard errors)."""
    budget = joint_budget({"numeric": kernel})
    noise = kernel.sample(np.zeros((200_000, 2)), np.random.default_rng(5))
    direction = np.sign(offset) if budget.noise == "laplace" else offset / np.square(kernel.sigma)
    cut = np.quantile(noise @ direction, 0.8)
    clean = float((noise @ direction <= cut).mean())
    moved = float(((noise + offset) @ direction <= cut).mean())
    value, _ = hc.adversarial_value(
        p_lower=clean,
        spectrum=hc.LikelihoodSpectrum.identity(),
        sigma=1.0,
        epsilon=norm_of(offset),
        noise=budget.noise,
    )
    assert moved >= value - 6 * 0.5 / math.sqrt(200_000)
    if budget.noise == "gaussian":  # this half-plane is the worst case
        assert moved == pytest.approx(float(value), abs=6e-3)
