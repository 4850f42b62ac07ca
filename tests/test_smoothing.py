"""SmoothedClassifier: what it claims, against classifiers whose smoothed score is known."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr, ndtri
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import check_estimator

import hybridcert as hc
from classifiers import Sign, WordsAndNumbers
from hybridcert.sampling.engine import count_labels
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import Stage

RULES = {"samples": 2_000, "alpha": 0.01, "threshold": 0.5, "seed": 5}


def rows(p, n=1):
    """Rows of `Sign` whose score for "yes" under σ = 0.5 is p."""
    return np.stack([np.full(n, 0.5 * ndtri(p)), np.arange(float(n))], axis=1)


def smoothed(classifier=None, **options):
    return hc.SmoothedClassifier(classifier or Sign(), noise={"numeric": hc.GaussianNoise(0.5)}, **options)


def stage_counts(inputs, samples, stage):
    base = Sign()
    noise = SmoothingNoise({"numeric": hc.GaussianNoise(0.5)}, base.surfaces())
    return count_labels(base, base.encode(inputs), noise, samples=samples, seed=5, stage=stage)


def words(n=20):
    rng = np.random.default_rng(0)
    return {
        "text": np.stack([np.zeros(n, dtype=int), rng.integers(0, 4, n), rng.integers(0, 5, n)], axis=1),
        "tag": rng.integers(0, 2, (n, 1)),
        "numeric": np.linspace(0.5, 3.0, n)[:, None],
        "other": np.zeros((n, 1)),
    }


def test_the_bound_fails_no_more_often_than_alpha():
    """4 000 procedures at α = 0.05; the test itself fails with probability below 1e-6 if they are valid."""
    n, alpha, p = 4_000, 0.05, 0.8
    run = smoothed().certify(rows(p, n), threat=None, **(RULES | {"alpha": alpha}), label="yes")
    wrong = int((run.p_lower > p).sum())
    assert wrong <= n * alpha + 4.9 * np.sqrt(n * alpha * (1 - alpha))
    assert wrong >= n * alpha * 0.5  # exact Clopper-Pearson is not this conservative: the test can fail


def test_radii_are_the_gaussian_ones_and_never_beyond_the_truth_given_the_bound():
    run = smoothed().certify(rows(0.9, 50), threat=None, **RULES, label="yes")
    exact = 0.5 * ndtri(run.p_lower)
    assert np.allclose(run.point(0).radii.radius, exact, rtol=1e-9)
    assert run.unit == "units"


def test_the_class_is_chosen_on_samples_of_its_own():
    """At p = ½ eleven copies choose at random: SELECT decides the claim, ESTIMATE the bound."""
    inputs, run = rows(0.5, 60), smoothed().certify(rows(0.5, 60), threat=None, **RULES, selection_samples=11)
    chosen = stage_counts(inputs, 11, Stage.SELECT).argmax(axis=1)
    assert np.array_equal(run.claimed, chosen)
    assert not np.array_equal(chosen, stage_counts(inputs, 11, Stage.ESTIMATE).argmax(axis=1))
    estimate = stage_counts(inputs, 2_000, Stage.ESTIMATE)
    assert np.array_equal(run.successes, estimate[np.arange(60), chosen])


def test_exploring_certifying_and_predicting_never_share_copies():
    inputs = rows(0.5, 60)
    explored = smoothed().counts(inputs, samples=500, seed=5)
    for stage in (Stage.SELECT, Stage.ESTIMATE, Stage.PREDICT, Stage.TRAIN):
        assert not np.array_equal(explored, stage_counts(inputs, 500, stage))


def test_predict_decides_a_coin_toss_no_more_often_than_alpha():
    """2 000 rows at p = ½, α = 0.3; the exact test decides 0.29 of them, a test at 2α would decide 0.58."""
    answers = smoothed().predict(rows(0.5, 2_000), samples=201, alpha=0.3, seed=0)
    assert 0.15 < (answers != "abstain").mean() < 0.36


def test_codes_outside_the_declared_alphabet_are_refused():
    inputs = words(3) | {"text": np.array([[0, 1, 2], [0, 1, 5], [0, 9, 4]])}
    model = hc.SmoothedClassifier(WordsAndNumbers(), noise={"text": hc.UniformReplacement(0.3)})
    with pytest.raises(hc.DataError, match=r"'text', row 1, position 2: code must be in \[0, 4\], got 5"):
        model.counts(inputs, samples=10, seed=0)


def test_a_class_called_abstain_asks_for_another_word():
    class Abstainer(Sign):
        classes_ = np.array(["abstain", "yes"])

    with pytest.raises(hc.ParameterError, match="abstain_label="):
        smoothed(Abstainer()).predict(rows(0.5, 2), samples=5, alpha=0.01, seed=0)


def test_boolean_labels_stay_boolean_beside_an_abstention():
    class Bits(Sign):
        classes_ = np.array([False, True])

    answers = smoothed(Bits()).predict(rows(0.5, 3), samples=5, alpha=0.01, seed=0)
    assert answers.tolist() == ["abstain"] * 3
    mixed = np.concatenate([rows(0.5, 1), rows(1 - 1e-9, 1)])
    assert smoothed(Bits()).predict(mixed, samples=50, alpha=0.01, seed=0).tolist() == ["abstain", True]


def test_numpy_numbers_are_welcome_and_cost_counts_distinct_rows(tmp_path):
    run = smoothed().certify(
        np.repeat(rows(0.9), 5, axis=0),
        threat=None,
        samples=np.int64(50),
        alpha=np.float64(0.01),
        threshold=0.5,
        seed=np.int64(3),
        label=np.array(["yes"])[0],
    )
    assert run.cost["model_calls"] == 50 + 1
    run.save(tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["seed"] == 3


def test_a_label_that_is_rarely_right_is_a_result_and_not_an_error():
    run = smoothed().certify(rows(0.2, 5), threat=None, **RULES, label="yes")
    assert not run.point(0).radii.certified.any()
    frame = run.frame()
    assert frame["radius"].isna().all()
    assert (frame["p_adv"] > 0).all()


def test_joint_certificates_match_the_mathematics():
    noise = {"text": hc.UniformReplacement(0.3), "numeric": hc.GaussianNoise(0.5)}
    run = hc.SmoothedClassifier(WordsAndNumbers(), noise=noise).certify(
        words(), threat=hc.Substitution(2), **(RULES | {"threshold": 0.1}), label=1
    )
    for d, sizes in ((0, []), (1, [5]), (2, [5, 3])):
        spectrum = hc.UniformReplacement(0.3).spectrum(sizes)
        expected = hc.radius(p_lower=run.p_lower, spectrum=spectrum, sigma=0.5, threshold=0.1)
        assert np.array_equal(run.point(d).radii.radius, expected.radius)
        assert np.array_equal(run.point(d).radii.certified, expected.certified)
    assert run.point(0).radii.certified.any()


def test_no_attack_by_exhaustion_gets_below_the_certified_value():
    """Every substitution of the eligible words, and shifts of the number, against the known score."""
    beta, sigma = 0.3, 0.5
    noise = {"text": hc.UniformReplacement(beta), "numeric": hc.GaussianNoise(sigma)}
    run = hc.SmoothedClassifier(WordsAndNumbers(), noise=noise).certify(
        words(), threat=hc.Substitution(1), **(RULES | {"threshold": 0.1}), label=1
    )
    for row, x in enumerate(words()["numeric"][:, 0]):
        for d, first in ((0, 0), (1, 1)):
            point = run.point(d)
            if not point.radii.certified[row]:
                continue
            keeps = 1 - beta if first == 0 else beta / 2
            worst = keeps * ndtr((x - point.radii.radius[row]) / sigma)
            assert worst > 0.1


def test_several_modalities_on_both_sides_compose():
    noise = {
        "text": hc.UniformReplacement(0.3),
        "tag": hc.Absorbing(0.9),
        "numeric": hc.GaussianNoise(0.5),
        "other": hc.GaussianNoise(2.0),
    }
    threat = {"text": hc.Substitution(1), "tag": hc.Fields(1)}
    run = hc.SmoothedClassifier(WordsAndNumbers(), noise=noise).certify(
        words(), threat=threat, **(RULES | {"threshold": 0.05}), label=1
    )
    assert [point.d for point in run.points] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    joint = hc.Absorbing(0.9).spectrum(1).compose(hc.UniformReplacement(0.3).spectrum([5]))
    expected = hc.radius(p_lower=run.p_lower, spectrum=joint, sigma=1.0, threshold=0.05)
    assert np.array_equal(run.point((1, 1)).radii.radius, expected.radius)
    assert {"d_tag", "d_text"} <= set(run.frame().columns)
    assert run.unit.startswith("noise scales")


def test_without_continuous_noise_only_radius_zero_is_certified():
    run = hc.SmoothedClassifier(WordsAndNumbers(), noise={"text": hc.UniformReplacement(0.3)}).certify(
        words(), threat=hc.Substitution(0), **RULES, label=1
    )
    assert run.point(0).radii.certified.all()
    assert (run.point(0).radii.radius == 0).all()
    assert run.certified(0, 0.0).all()
    assert not run.certified(0, 1e-300).any()


def test_certified_accuracy_counts_right_and_certified_inputs():
    run = smoothed().certify(rows(0.9, 10), threat=None, **RULES, label="yes")
    y = np.array(["yes"] * 6 + ["no"] * 4)
    table = run.certified_accuracy(y, d=[0], eps=[0.0, 100.0])
    assert table.loc[0, 0.0] == 0.6
    assert table.loc[0, 100.0] == 0.0
    with pytest.raises(hc.DataError, match="y holds none of the classes"):
        run.certified_accuracy([1] * 10, d=[0], eps=[0.0])
    with pytest.raises(hc.DataError, match="one label for each of 10"):
        run.certified_accuracy(y[:3], d=[0], eps=[0.0])
    with pytest.raises(hc.ParameterError, match="d must be one of 0, got 3"):
        run.certified_accuracy(y, d=[3], eps=[0.0])
    with pytest.raises(hc.ParameterError, match="eps must be >= 0"):
        run.certified_accuracy(y, d=[0], eps=[-1.0])


def test_predict_abstains_near_a_tie_and_only_there():
    options = {"samples": 1_000, "alpha": 0.001, "seed": 0}
    assert (smoothed(**options).predict(rows(0.5, 20)) == "abstain").sum() >= 18
    assert (smoothed(**options).predict(rows(0.9, 20)) == "yes").all()
    assert (smoothed(**options, abstain_label="?").predict(rows(0.5, 20)) == "?").sum() >= 18
    with pytest.raises(hc.ParameterError, match="abstain_label must not be a class"):
        smoothed(**options, abstain_label="no").predict(rows(0.5, 1))


def test_nothing_that_carries_the_guarantee_is_defaulted():
    with pytest.raises(hc.ParameterError, match="samples is needed"):
        smoothed().predict(rows(0.9))
    with pytest.raises(hc.ParameterError, match="seed is needed"):
        smoothed(samples=10, alpha=0.1).predict(rows(0.9))
    with pytest.raises(hc.ParameterError, match="certify needs threshold"):
        smoothed().certify(rows(0.9), threat=None, samples=10, alpha=0.1, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.0}, r"alpha must be in \(0, 1\), got 0.0"),
        ({"alpha": float("nan")}, r"alpha must be in \(0, 1\), got nan"),
        ({"threshold": 1.0}, r"threshold must be in \(0, 1\), got 1.0"),
        ({"samples": 0}, "samples must be an integer >= 1, got 0"),
        ({"label": "maybe"}, "label must be one of no, yes, got 'maybe'"),
        ({"threat": hc.Fields(1)}, "0 discrete modalities have noise"),
        ({"threat": 2}, "threat must be a threat, a mapping of modality to threat or None, got 2"),
        ({"threat": {"text": 1}}, "threat of modality 'text' must be a threat such as Fields"),
        ({"samples": 100.0}, "samples must be an integer >= 1, got 100.0"),
        ({"alpha": "0.1"}, r"alpha must be in \(0, 1\), got '0.1'"),
    ],
)
def test_parameters_out_of_range_are_refused_before_sampling(change, message):
    classifier = Sign()
    with pytest.raises(hc.ParameterError, match=message):
        smoothed(classifier).certify(rows(0.9), **({"threat": None, "label": "yes"} | RULES | change))
    assert sum(classifier.calls) <= 1


def test_a_budget_beyond_the_eligible_positions_is_refused():
    model = hc.SmoothedClassifier(WordsAndNumbers(), noise={"text": hc.UniformReplacement(0.3)})
    with pytest.raises(hc.ParameterError, match="d must be at most the number of eligible positions, 2"):
        model.certify(words(), threat=hc.Substitution(3), **RULES)


def test_results_can_be_saved_and_read_back(tmp_path):
    run = smoothed().certify(rows(0.9, 4), threat=None, **RULES, label="yes")
    run.save(tmp_path / "run")
    stored = pd.read_parquet(tmp_path / "run" / "results.parquet")
    assert np.array_equal(stored["radius"].astype(float), run.point(0).radii.radius)
    assert (stored["log_t"].astype(float) == run.point(0).radii.log_t).all()
    run.plot().savefig(tmp_path / "curve.png")
    run.plot(["yes"] * 4).savefig(tmp_path / "accuracy.png")


def test_scikit_learn_accepts_it_as_an_estimator():
    """Invariance to the order and the subset of rows is among these checks."""
    base = hc.DataFrameClassifier(LogisticRegression())
    estimator = smoothed(base, samples=200, alpha=0.05, seed=0, noisy_copies=2)
    report = check_estimator(
        estimator,
        on_skip=None,
        expected_failed_checks={"check_dtype_object": "dictionaries as cells are refused in other words"},
    )
    passed = {r["check_name"] for r in report if r["status"] == "passed"}
    assert {"check_methods_sample_order_invariance", "check_methods_subset_invariance"} <= passed
