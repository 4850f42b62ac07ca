"""The default demo, small: real images, a trained filter, honest tables."""

import numpy as np
import pytest

from hybridcert.experiments.multimodal import DemoSettings, run_demo


@pytest.fixture(scope="module")
def result():
    return run_demo(DemoSettings(samples=1_000, inputs=60, noisy_copies=3))


def test_some_pairs_are_certified_against_both_modalities_at_once(result):
    table = result.frontier()
    assert table.loc[1, 0.1] > 0
    assert (table.diff(axis=0).iloc[1:] <= 0).all(axis=None)
    assert (table.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)
    assert list(table.index) == list(range(9))


def test_every_pair_counts_and_only_unsafe_ones_are_certified(result):
    assert len(result.hybrid) + result.benign_hits.size == 60
    assert (result.unsafe.label == "unsafe").all()
    assert (result.hybrid.predictions == "unsafe").all()


def test_rivals_claim_nothing_they_did_not_measure(result):
    table = result.rivals()
    assert table.loc["image only", "d=2, ε=0.4"] is not None
    assert table.isna().loc["image only", "d=2, ε=0.4"]
    assert table.isna().loc["text only", "d=2, ε=0.4"]
    assert not table.isna().loc["hybrid (joint)"].any()
    assert (table.loc["drop the suffix", "d=8, ε=0.4"]) == table.loc["image only", "d=0, ε=0.4"]


def test_at_budget_zero_the_joint_certificate_is_the_gaussian_one(result):
    from scipy.special import ndtri

    radii = result.hybrid.point(0).radii
    exact = 0.25 * ndtri(result.hybrid.p_lower[radii.certified])
    assert np.allclose(radii.radius[radii.certified], exact, rtol=1e-9)


def test_accuracy_and_false_alarms_cover_unsafe_and_both_benign_kinds(result):
    table = result.accuracy()
    assert table["pairs"].sum() == 60
    assert (table["clean accuracy"] > 0.9).all()
    assert (table["smoothed accuracy"] > 0.85).all()
    assert table.loc["benign, no number", "mean P(unsafe)"] < 0.05
