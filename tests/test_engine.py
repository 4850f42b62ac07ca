"""Counting: every draw counts, and grouping does not."""

import numpy as np
import pytest

from classifiers import Sign, WordsAndNumbers
from hybridcert.errors import ModelError, ParameterError
from hybridcert.kernels.absorbing import Absorbing
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.kernels.uniform import UniformReplacement
from hybridcert.sampling import engine
from hybridcert.sampling.engine import count_labels
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import Stage

ROWS = np.stack([np.linspace(-1, 1, 9), np.arange(9.0)], axis=1)


def noise_for(classifier, **kernels):
    return SmoothingNoise(kernels, classifier.surfaces())


def count(classifier, rows=ROWS, samples=7_000, seed=3, stage=Stage.ESTIMATE, progress=None):
    noise = noise_for(classifier, numeric=GaussianNoise(0.5))
    inputs = classifier.encode(rows)
    return count_labels(classifier, inputs, noise, samples=samples, seed=seed, stage=stage, progress=progress)


def test_every_row_has_as_many_answers_as_samples():
    assert (count(Sign()).sum(axis=1) == 7_000).all()


@pytest.mark.parametrize("batch", [1, 5_000, 7_001, 10**6])
def test_counts_do_not_depend_on_the_batch_size(batch, monkeypatch):
    expected = count(Sign())
    monkeypatch.setattr(engine, "BATCH", batch)
    assert np.array_equal(count(Sign()), expected)


def test_counts_follow_the_rows_wherever_they_stand():
    expected = count(Sign())
    order = np.random.default_rng(0).permutation(len(ROWS))
    assert np.array_equal(count(Sign(), ROWS[order]), expected[order])
    assert np.array_equal(count(Sign(), ROWS[4:5]), expected[4:5])


def test_equal_rows_are_asked_once():
    classifier = Sign()
    counts = count(classifier, np.repeat(ROWS[:1], 5, axis=0), samples=100)
    assert sum(classifier.calls) == 100
    assert (counts == counts[0]).all()


def test_stages_and_seeds_draw_anew():
    base = count(Sign())
    assert not np.array_equal(count(Sign(), stage=Stage.SELECT), base)
    assert not np.array_equal(count(Sign(), seed=4), base)


def test_counts_agree_with_the_known_score():
    """False-alarm rate 1e-6: nine two-sided normal tests at 5.4 standard deviations."""
    from scipy.special import ndtr

    n, p = 50_000, ndtr(ROWS[:, 0] / 0.5)
    hits = count(Sign(), samples=n)[:, 1]
    assert (np.abs(hits - n * p) <= 5.4 * np.sqrt(n * p * (1 - p)) + 1).all()


def test_progress_reaches_the_total():
    seen = []
    count(Sign(), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (9 * 7_000, 9 * 7_000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize("answer", [-1, 2])
def test_an_answer_that_is_no_class_stops_the_run(answer):
    with pytest.raises(ModelError, match=r"indices in \[0, 1\], got"):
        count(Sign(answer=answer))


@pytest.mark.parametrize("samples", [0, -1, 2.5, True])
def test_samples_are_a_positive_whole_number(samples):
    with pytest.raises(ParameterError, match="samples must be an integer >= 1"):
        count(Sign(), samples=samples)


def test_ineligible_positions_stay_as_they_are():
    classifier = WordsAndNumbers()
    noise = noise_for(classifier, text=UniformReplacement(1.0), numeric=GaussianNoise(1.0))
    inputs = {
        "text": np.array([[0, 1, 2]]),
        "tag": np.array([[1]]),
        "numeric": np.array([[0.0]]),
        "other": np.array([[5.0]]),
    }
    drawn = noise.draw(inputs, 0, 200, b"0" * 16, stage=Stage.ESTIMATE, block=0)
    assert (drawn["text"][:, 1] == 1).all()
    assert (drawn["text"][:, [0, 2]] != [0, 2]).all()
    assert (drawn["tag"] == 1).all()
    assert (drawn["other"] == 5.0).all()
    assert len(np.unique(drawn["numeric"])) == 200


def test_kernels_have_to_fit_their_modalities():
    surfaces = WordsAndNumbers().surfaces()
    with pytest.raises(ParameterError, match="at least one modality"):
        SmoothingNoise({}, surfaces)
    with pytest.raises(ParameterError, match="noise names modality 'sound'"):
        SmoothingNoise({"sound": GaussianNoise(1.0)}, surfaces)
    with pytest.raises(ParameterError, match="'text' is discrete: the gaussian kernel"):
        SmoothingNoise({"text": GaussianNoise(1.0)}, surfaces)
    with pytest.raises(ParameterError, match="'numeric' is continuous: the absorbing kernel"):
        SmoothingNoise({"numeric": Absorbing(0.5)}, surfaces)
