"""Questions to the sampling: what stops an input, and what its certificate rests on then."""

import numpy as np
import pytest
from scipy.special import ndtri

import hybridcert as hc
from classifiers import Sign
from hybridcert.errors import ModelError, ParameterError, RunMismatchError

SIGMA = 0.5
SCORES = np.array([0.2, 0.6, 0.9, 0.97, 0.99, 0.999, 1 - 1e-9])


def rows(*scores):
    """Inputs whose smoothed score for "yes" is known; the second number tells them apart."""
    return np.stack([SIGMA * ndtri(scores), np.arange(float(len(scores)))], axis=1)


def certify(X=None, classifier=None, **options):
    smoothed = hc.SmoothedClassifier(classifier or Sign(), noise={"numeric": hc.GaussianNoise(SIGMA)})
    chosen = {"threat": None, "samples": 5_000, "alpha": 0.01, "threshold": 0.5, "seed": 7, "label": "yes"}
    if "top_k" in options:
        chosen["threshold"] = None
    return smoothed.certify(rows(*SCORES) if X is None else X, **(chosen | options))


TARGET = hc.Target(0, SIGMA)  # needs a score of Φ(1) = 0.841
BOUNDS = [None, "exact", "spending", "mixture"]


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_target_is_settled_with_fewer_copies_and_certified_where_it_says_so(bound):
    run = certify(stopping=TARGET, bound=bound)
    said = np.array(run.stopped) == "target certified"
    assert (said == run.certified(0, SIGMA)).all()
    assert said.tolist() == [False, False, True, True, True, True, True]
    assert set(np.array(run.stopped)[~said]) == {"target out of reach"}
    assert (run.samples < 5_000).all()
    assert run.cost["model_calls"] == run.samples.sum() + len(SCORES)
    assert run.cost["model_calls_saved"] == 5_000 * len(SCORES) - run.samples.sum()
    assert (run.frame()["samples"] == run.samples).all()


@pytest.mark.parametrize("bound", BOUNDS)
def test_certificates_of_stopped_inputs_verify_and_say_what_they_rest_on(bound):
    run = certify(stopping=TARGET, bound=bound)
    method = {"spending": "clopper-pearson", "mixture": "beta-mixture"}.get(bound, "group-sequential")
    for row, document in enumerate(run.certificates()):
        assert hc.verify_document(document).ok
        assert document["estimate"]["method"] == method
        assert document["estimate"]["samples"] == run.samples[row]
        certified = document["frontier"][0]["certified"]
        assert certified or row < 2
        radius = float.fromhex(document["frontier"][0]["radius"]) if certified else -1.0
        assert (radius >= SIGMA) == run.certified(0, SIGMA)[row]


def test_a_tolerance_draws_what_a_pilot_calls_for():
    run = certify(stopping=hc.Tolerance(0.05))
    full = certify()
    assert (run.samples <= 5_000).all()
    assert run.samples.sum() < 0.8 * full.samples.sum()
    reach = certify(rows(1 - 1e-16)).points[0].radii.radius[0]
    assert (full.points[0].radii.radius - run.points[0].radii.radius <= 0.1 * reach).all()
    assert set(run.stopped) == {"within tolerance"}
    assert all(hc.verify_document(d).ok for d in run.certificates())
    assert run.settings["selection_samples"] == 100


def test_the_pilot_of_a_tolerance_also_chooses_the_label():
    run = certify(stopping=hc.Tolerance(0.2), label=None)
    assert run.predictions.tolist() == ["no", *["yes"] * 6]


@pytest.mark.parametrize("bound", ["spending", "mixture"])
def test_a_budget_stops_inputs_that_are_not_worth_it(bound):
    run = certify(bound=bound, budget=10_000)
    assert run.samples.sum() <= 10_000
    assert "budget spent" in run.stopped
    assert all(hc.verify_document(d).ok for d in run.certificates())
    target = certify(stopping=TARGET, budget=600)
    assert target.samples.sum() <= 600
    assert np.array(target.stopped).tolist().count("target certified") >= 2


def test_an_input_without_copies_is_not_certified_and_has_no_certificate():
    run = certify(budget=12_000)
    assert run.samples.tolist() == [5_000, 5_000, 0, 0, 0, 0, 0]
    assert (run.p_lower[2:] == 0).all()
    assert not run.points[0].radii.certified[2:].any()
    assert len(list(run.certificates())) == 2


def test_top_k_claims_stop_at_a_target_too():
    run = certify(stopping=TARGET, top_k=1)
    assert (np.array(run.stopped) == "target certified").tolist() == [False, False, *[True] * 5]
    assert (run.certified(0, SIGMA) == (np.array(run.stopped) == "target certified")).all()
    assert all(hc.verify_document(d).ok for d in run.certificates())


def test_a_target_beyond_reach_is_given_up_at_once():
    run = certify(stopping=hc.Target(0, 50.0))
    assert (run.samples < 100).all()
    assert set(run.stopped) == {"target out of reach"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stopping": 0.05}, "stopping must be a Target, a Tolerance or None, got 0.05"),
        ({"stopping": hc.Target(1, 0.1)}, "target d must be one of 0, got 1"),
        ({"bound": "best"}, "bound must be exact, spending or mixture, got 'best'"),
        ({"bound": "exact"}, "bound 'exact' is for a Target and a threshold"),
        ({"stopping": hc.Tolerance(0.1), "bound": "spending"}, "bound must be left out with a Tolerance"),
        ({"budget": 0}, "budget must be an integer >= 1, got 0"),
    ],
)
def test_questions_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        certify(**options)


def same(run, other):
    assert (run.counts == other.counts).all()
    assert list(run.certificates()) == list(other.certificates())


@pytest.mark.parametrize("options", [{}, {"stopping": TARGET}, {"stopping": hc.Tolerance(0.1)}])
def test_processes_count_what_one_process_counts(options):
    same(certify(**options, executor=hc.Processes(workers=2)), certify(**options))


class Breaking(Sign):
    """Works for a while, then the machine is switched off."""

    def __init__(self, calls):
        super().__init__()
        self.left = calls

    def predict_encoded(self, batch):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().predict_encoded(batch)

    def __reduce__(self):
        return Sign, ()


@pytest.mark.parametrize("options", [{}, {"stopping": TARGET}, {"stopping": hc.Tolerance(0.1)}])
def test_an_interrupted_run_continues_where_it_was(tmp_path, options):
    path = tmp_path / "run.sqlite"
    for calls in (0, 1, 1, 1):
        with pytest.raises(KeyboardInterrupt):
            certify(classifier=Breaking(calls), store=path, resume=True, **options)
    before = certify(classifier=Breaking(10**9), **options)
    run = certify(classifier=Breaking(10**9), store=path, resume=True, **options)
    same(run, before)
    assert 0 < run.cost["model_calls_from_store"] < run.cost["model_calls"] == before.cost["model_calls"]
    again = certify(classifier=Breaking(0), store=path, resume=True, **options)
    same(again, before)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"alpha": 0.02}, "alpha"),
        ({"seed": 8}, "seed"),
        ({"X": rows(0.5)}, "data"),
        ({"stopping": TARGET}, "stopping"),
        ({"classifier": Sign(answer=1)}, "model"),
    ],
)
def test_a_store_of_another_run_is_refused_by_name(tmp_path, change, named):
    path = tmp_path / "run.sqlite"
    certify(store=path)
    with pytest.raises(RunMismatchError, match=named):
        certify(store=path, resume=True, **change)


class Poisoned(Sign):
    def predict_encoded(self, batch):
        if (batch["numeric"][:, 1] == 2.0).any():
            raise ValueError("cannot read this one")
        return super().predict_encoded(batch)


@pytest.mark.parametrize(
    "options", [{}, {"stopping": TARGET}, {"stopping": hc.Tolerance(0.1)}, {"label": None}]
)
def test_an_input_that_fails_is_reported_and_nothing_is_certified_about_it(options):
    run = certify(classifier=Poisoned(), **options)
    assert dict(run.failures) == {2: "ValueError: cannot read this one"}
    assert run.stopped[2] == "failed"
    assert run.samples[2] == run.counts[2].sum() == run.p_lower[2] == 0
    assert not run.points[0].radii.certified[2]
    assert len(list(run.certificates())) == len(SCORES) - 1
    assert run.describe()["failures"] == {"2": "ValueError: cannot read this one"}


def test_predictions_and_counts_do_not_pass_over_a_failure():
    smoothed = hc.SmoothedClassifier(Poisoned(), noise={"numeric": hc.GaussianNoise(SIGMA)})
    with pytest.raises(ModelError, match="the classifier failed on input 2: ValueError: cannot read"):
        smoothed.counts(rows(*SCORES), samples=10, seed=0)


def test_one_attempt_blames_the_input_that_fails_and_no_other():
    run = certify(classifier=Poisoned(), retries=hc.Retries(attempts=1))
    assert dict(run.failures) == {2: "ValueError: cannot read this one"}
    assert (run.samples[[0, 1, 3, 4, 5, 6]] == 5_000).all()


def test_a_model_that_cannot_be_told_from_another_needs_a_store_of_its_own(tmp_path):
    class Local(Sign):
        pass

    with pytest.raises(ParameterError, match="needs a classifier that can be pickled"):
        certify(classifier=Local(), store=tmp_path / "run.sqlite")
    with hc.RunStore.open(tmp_path / "run.sqlite", identity={"model": "mine"}, resume=False) as store:
        first = certify(classifier=Local(), store=store)
        again = certify(classifier=Local(), store=store)
    assert (first.counts == again.counts).all()
    assert again.cost["model_calls_from_store"] == again.cost["model_calls"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("executor", "processes", "executor must be Serial.*, got 'proc"),
        (
            "executor",
            hc.Processes,
            "executor must be Serial.*, got <class",
        ),
        ("retries", 3, r"retries must be Retries\(attempts\), got 3"),
        ("store", 5, "store must be a path, an open RunStore or None, got 5"),
    ],
)
def test_things_of_the_wrong_kind_are_refused(option, value, message):
    with pytest.raises(ParameterError, match=message):
        certify(**{option: value})


def test_copies_that_a_tolerance_does_not_need_are_saved_and_those_withheld_by_a_budget_are_not():
    run = certify(stopping=hc.Tolerance(0.05))
    assert run.cost["model_calls_saved"] == 5_000 * len(SCORES) - run.samples.sum()
    assert certify(bound="spending", budget=10_000).cost["model_calls_saved"] < 5_000
