"""Counting: every draw counts, and grouping does not."""

import dataclasses

import numpy as np
import pytest

from classifiers import Sign, WordsAndNumbers
from hybridcert.errors import ModelError, ParameterError
from hybridcert.kernels.absorbing import Absorbing
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.kernels.uniform import UniformReplacement
from hybridcert.sampling import rounds
from hybridcert.sampling.blocks import ByLabel, Work
from hybridcert.sampling.engine import Retries, Sampler, count_labels
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.stopping import EveryLook, FixedSamples, Verdict
from hybridcert.sampling.store import RunStore
from hybridcert.sampling.streams import Stage

ROWS = np.stack([np.linspace(-1, 1, 9), np.arange(9.0)], axis=1)


def noise_for(classifier, **kernels):
    return SmoothingNoise(kernels, classifier.surfaces())


def count(classifier, rows=ROWS, samples=7_000, seed=3, stage=Stage.ESTIMATE, report=None):
    noise = noise_for(classifier, numeric=GaussianNoise(0.5))
    inputs = classifier.encode(rows)
    return count_labels(classifier, inputs, noise, samples=samples, seed=seed, stage=stage, report=report)


def test_every_row_has_as_many_answers_as_samples():
    assert (count(Sign()).sum(axis=1) == 7_000).all()


@pytest.mark.parametrize("task", [1, 5_000, 7_001, 10**6])
def test_counts_do_not_depend_on_the_size_of_tasks(task, monkeypatch):
    expected = count(Sign())
    monkeypatch.setattr(rounds, "TASK", task)
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
    count(Sign(), report=seen.append)
    assert (seen[-1].calls, seen[-1].calls_at_most, seen[-1].calls_saved) == (9 * 7_000, 9 * 7_000, 0)
    assert (seen[-1].inputs_done, seen[-1].inputs) == (9, 9)
    assert [p.calls for p in seen] == sorted(p.calls for p in seen)


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


def sampler(classifier, rows=ROWS, seed=3, **options):
    noise = noise_for(classifier, numeric=GaussianNoise(0.5))
    return Sampler(Work(classifier, noise), classifier.encode(rows), seed=seed, **options)


class StopsPositive:
    """Stops inputs at the first look that has more answers "yes" than "no", all at the second."""

    def schedule(self, rows):
        return np.tile(np.array([300, 12_300]), (len(rows), 1))

    def verdicts(self, look, rows, counts):
        yes = counts[:, 1] > counts[:, 0]
        return np.where(yes, Verdict.CERTIFIED, Verdict.GIVE_UP if look else Verdict.GO_ON).astype(np.int8)

    def outlook(self, look, rows, counts):
        raise AssertionError("only a budget needs it")


def test_rounds_draw_only_for_inputs_that_go_on():
    classifier = Sign()
    seen = []
    with sampler(classifier) as drawing:
        found = drawing.sample(Stage.ESTIMATE, StopsPositive(), report=seen.append)
    early = found.verdicts == Verdict.CERTIFIED
    early &= found.samples == 300
    assert early[5:].all()
    assert not early[:4].any()
    assert (found.samples[~early] == 12_300).all()
    assert (found.counts.sum(axis=1) == found.samples).all()
    assert (found.path[:, 0].sum(axis=1) == 300).all()
    assert (found.path[:, -1] == found.counts).all()
    assert (found.looks == np.where(early, 0, 1)).all()
    assert sum(classifier.calls) == found.calls == found.samples.sum()
    assert found.calls_at_most == 9 * 12_300
    last = seen[-1]
    assert (last.calls_saved, last.certified) == (early.sum() * 12_000, (found.verdicts == 1).sum())


def test_the_copies_of_an_input_do_not_depend_on_when_others_stop():
    with sampler(Sign()) as drawing:
        found = drawing.sample(Stage.ESTIMATE, StopsPositive())
    for row in (0, 8):
        with sampler(Sign(), ROWS[row : row + 1]) as drawing:
            alone = drawing.sample(Stage.ESTIMATE, StopsPositive())
        assert (alone.counts[0] == found.counts[row]).all()


def test_a_budget_goes_to_the_most_urgent_inputs_and_is_never_exceeded():
    with sampler(Sign()) as drawing:
        found = drawing.sample(Stage.ESTIMATE, EveryLook((100, 1_000)), budget=2_000)
    assert found.calls == 900 + 900
    assert (found.samples == [1_000, *[100] * 8]).all()
    assert (found.verdicts[1:] == Verdict.GO_ON).all()
    with sampler(Sign()) as drawing:
        found = drawing.sample(Stage.ESTIMATE, FixedSamples(100), budget=250)
    assert (found.samples == [100, 100, *[0] * 7]).all()
    assert (found.looks[2:] == -1).all()


class Flaky(Sign):
    """Raises while a file-less counter lasts, whenever a row with this second number is asked."""

    def __init__(self, bad, times):
        super().__init__()
        self.bad, self.left = bad, times

    def predict_encoded(self, batch):
        if self.left and (batch["numeric"][:, 1] == self.bad).any():
            self.left -= 1
            raise OSError("the endpoint is away\nsecond line")
        return super().predict_encoded(batch)


@pytest.mark.parametrize("times", [1, 2])
def test_a_block_that_fails_is_drawn_again_from_the_same_stream(times):
    expected = count(Sign())
    with sampler(Flaky(4.0, times)) as drawing:
        found = drawing.sample(Stage.ESTIMATE, FixedSamples(7_000))
    assert (found.counts == expected).all()
    assert not found.failures
    assert found.calls_repeated > 0


def test_an_input_that_keeps_failing_is_reported_and_the_run_goes_on():
    expected = count(Sign(), samples=300)
    with sampler(Flaky(4.0, 10**9)) as drawing:
        found = drawing.sample(Stage.SELECT, FixedSamples(50))
        assert found.failures == {4: "OSError: the endpoint is away"}
        found = drawing.sample(Stage.ESTIMATE, FixedSamples(300))
    assert found.failures == {4: "OSError: the endpoint is away"}
    others = np.arange(9) != 4
    assert (found.counts[others] == expected[others]).all()
    assert (found.counts[4] == 0).all()
    assert found.samples[4] == 0
    assert found.looks[4] == -1


def test_a_classifier_that_fails_on_everything_ends_the_run_at_once():
    classifier = Sign()
    classifier.predict_encoded = lambda batch: 1 / 0
    match = "the classifier failed on each of the first 3 inputs: ZeroDivisionError: division by zero"
    with sampler(classifier, retries=Retries(2)) as drawing, pytest.raises(ModelError, match=match):
        drawing.sample(Stage.ESTIMATE, FixedSamples(6_000))
    with pytest.raises(ModelError, match="the classifier failed on every input"):
        count(classifier, ROWS[:1])


def test_what_the_store_holds_is_not_drawn_again(tmp_path):
    expected = count(Sign())
    path = tmp_path / "run.sqlite"
    half = Flaky(4.0, 10**9)
    with RunStore.open(path, identity={"a": 1}, resume=False) as store, sampler(half, store=store) as drawing:
        first = drawing.sample(Stage.ESTIMATE, FixedSamples(7_000))
    again = Sign()
    with RunStore.open(path, identity={"a": 1}, resume=True) as store, sampler(again, store=store) as drawing:
        found = drawing.sample(Stage.ESTIMATE, FixedSamples(7_000))
    assert (found.counts == expected).all()
    assert found.calls_from_store == first.calls == 8 * 7_000
    assert sum(again.calls) == 7_000
    assert found.calls == 9 * 7_000


@dataclasses.dataclass(frozen=True)
class Twice(ByLabel):
    """Another way to tally, with as many cells."""


def test_other_noise_another_seed_or_tally_finds_nothing_in_the_store(tmp_path):
    classifier = Sign()
    with RunStore.open(tmp_path / "run.sqlite", identity={}, resume=False) as store:
        for sigma, seed, tally in (
            (0.5, 3, ByLabel()),
            (0.25, 3, ByLabel()),
            (0.5, 4, ByLabel()),
            (0.5, 3, Twice()),
        ):
            work = Work(classifier, noise_for(classifier, numeric=GaussianNoise(sigma)), tally)
            with Sampler(work, classifier.encode(ROWS), seed=seed, store=store) as drawing:
                found = drawing.sample(Stage.ESTIMATE, FixedSamples(10))
            assert found.calls_from_store == 0


def test_clean_inputs_are_asked_without_noise():
    with sampler(Sign()) as drawing:
        found = drawing.sample(Stage.CLEAN, FixedSamples(1))
    assert (found.counts.argmax(axis=1) == (ROWS[:, 0] > 0)).all()


@pytest.mark.parametrize("attempts", [0, True, 1.5])
def test_attempts_are_a_positive_whole_number(attempts):
    with pytest.raises(ParameterError, match="attempts must be an integer >= 1"):
        Retries(attempts)
