"""Margins of tables, texts, the digits filter and torch modules: they agree with the answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC

import hybridcert as hc
from hybridcert.adapters.digits_filter import CaptionReader, DigitReader, DigitsFilter
from hybridcert.adapters.digits_margins import Leads
from hybridcert.adapters.text import TextClassifier
from hybridcert.adapters.vlm.label_tokens import LabelTokens
from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.scores import DifferentiableClassifier, ScoringClassifier
from hybridcert.sampling.streams import RowStreams, Stage
from hybridcert.threats import ContinuousSurface
from text_data import messages

NUMERIC, CATEGORICAL = ["age", "hours"], ["job", "home"]
TABLE_NOISE = {"categorical": hc.UniformReplacement(0.5), "numeric": hc.GaussianNoise(1.0)}


def table(n=300, seed=0):
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "job": draw.choice(["clerk", "cook", "nurse", "smith"], n),
            "age": draw.integers(18, 80, n),
            "home": draw.choice(["own", "rent"], n),
            "hours": draw.normal(40, 10, n),
        }
    )


def target(X, classes):
    score = (X["job"] == "cook") * 1.0 + (X["age"] - 18) / 30 + (X["home"] == "own") * 0.5
    return np.array(["high", "low", "middle"])[:classes][np.minimum(score.astype(int), classes - 1)]


def on_table(estimator, classes=2, **options) -> hc.DataFrameClassifier:
    X = table()
    encode = make_column_transformer((OneHotEncoder(), CATEGORICAL), (StandardScaler(), NUMERIC))
    model = make_pipeline(encode, estimator).fit(X, target(X, classes))
    return hc.DataFrameClassifier(model, X, numeric=NUMERIC, categorical=CATEGORICAL, **options)


def noisy(classifier, X, noise, *, copies=40, seed=0):
    """Noisy copies of every row, below each other."""
    inputs = classifier.encode(X)
    law = SmoothingNoise(noise, classifier.surfaces())
    keys = RowStreams(seed).keys(inputs)
    blocks = [
        law.draw(inputs, row, copies, key, stage=Stage.EXPLORE, block=0) for row, key in enumerate(keys)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def assert_margins_are_those_of_the_answers(classifier, batch, *, ties=False):
    """For every class: above 0 where it is the answer, at most 0 elsewhere; both kinds of row occur."""
    answers = classifier.predict_encoded(batch)
    assert len(np.unique(answers)) == len(classifier.classes_)
    for label in range(len(classifier.classes_)):
        margins = classifier.margins(batch, label)
        assert margins.shape == answers.shape
        assert margins.dtype == np.float64
        assert np.isfinite(margins).all()
        clear = margins != 0.0 if ties else np.ones(len(margins), dtype=bool)
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(margins[clear] > 0.0, answers[clear] == label)
        assert len(np.unique(margins)) > 20


ESTIMATORS = {
    "linear, encoded": (LogisticRegression(), 2, {}),
    "linear with three classes, encoded": (LogisticRegression(), 3, {}),
    "linear, as it is": (LinearSVC(), 2, {"encoded": "never"}),
    "forest": (RandomForestClassifier(25, random_state=0), 2, {}),
    "forest with three classes": (RandomForestClassifier(25, random_state=0), 3, {}),
    "boosted trees": (HistGradientBoostingClassifier(max_iter=20), 3, {}),
    "kernel machine": (SVC(), 3, {}),
    "kernel machine that scores pairs of classes": (
        SVC(decision_function_shape="ovo", kernel="linear", C=50.0),
        3,
        {},
    ),
    "threshold of its own": (FixedThresholdClassifier(LogisticRegression(), threshold=0.7), 2, {}),
}


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "pairs" not in name])
def test_margins_of_tables_agree_with_the_answers(name):
    estimator, classes, options = ESTIMATORS[name]
    classifier = on_table(estimator, classes, **options)
    assert classifier.tells_margins
    assert classifier.path == ("encoded" if "encoded" in name else "generic")
    assert_margins_are_those_of_the_answers(classifier, noisy(classifier, table(12, seed=1), TABLE_NOISE))


@pytest.mark.parametrize("classes", [2, 3])
def test_both_paths_of_linear_pipelines_have_the_same_margins(classes):
    fast, slow = (on_table(LogisticRegression(), classes, encoded=way) for way in ("auto", "never"))
    batch = noisy(fast, table(6, seed=2), TABLE_NOISE)
    for label in range(classes):
        np.testing.assert_allclose(fast.margins(batch, label), slow.margins(batch, label), atol=1e-9)


def test_estimators_without_scores_tell_no_margins():
    class Mute(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.repeat(self.classes_[:1], len(X))

    pairwise, classes, _ = ESTIMATORS["kernel machine that scores pairs of classes"]
    for classifier in (on_table(Mute()), on_table(pairwise, classes)):
        assert not classifier.tells_margins
        with pytest.raises(ModelError, match=r"tells no scores .* attack it by its answers$"):
            classifier.margins(noisy(classifier, table(2), TABLE_NOISE, copies=3), 0)
    untrained = make_pipeline(StandardScaler(), LogisticRegression())
    classifier = hc.DataFrameClassifier(untrained, table())
    assert not classifier.tells_margins
    assert not classifier.tells_sensitivity


def test_scores_of_another_shape_and_nan_are_refused():
    class Odd(ClassifierMixin, BaseEstimator):
        classes_ = np.array([0, 1])

        def fit(self, X, y):
            return self

        def predict(self, X):
            return np.zeros(len(X), dtype=int)

        def predict_proba(self, X):
            return np.full((len(X), self.columns), np.nan)

    X = table()
    estimator = Odd()
    classifier = hc.DataFrameClassifier(estimator, X)
    batch = classifier.encode(X)
    estimator.columns = 3
    with pytest.raises(ModelError, match=r"must give scores of shape \(300, 2\), got \(300, 3\)$"):
        classifier.margins(batch, 0)
    estimator.columns = 2
    with pytest.raises(ModelError, match="gave NaN"):
        classifier.margins(batch, 0)


@pytest.mark.parametrize(
    "final", [LogisticRegression(), MultinomialNB()], ids=lambda model: type(model).__name__
)
def test_margins_of_texts_agree_with_the_answers(final):
    data = messages()
    model = make_pipeline(CountVectorizer(), final).fit(data["message"], data["kind"])
    classifier = TextClassifier(model)
    assert classifier.tells_margins
    assert not hasattr(classifier, "sensitivity")
    batch = noisy(classifier, data["message"].tolist()[:12], {"text": hc.RandomDeletion(0.3)})
    assert_margins_are_those_of_the_answers(classifier, batch)
    assert not TextClassifier(LogisticRegression()).tells_margins


# the digits filter ------------------------------------------------------------------------------------


def readers(*, step: int, seed: int = 0) -> DigitsFilter:
    """A filter with random readers, whose whole-number scores tie often where ``step`` is large."""
    draw = np.random.default_rng(seed)
    answers = np.array([-1, 0, 1, 2])

    def weights(*shape):
        return np.rint(draw.normal(size=shape) * 100 / step) * step

    found = DigitsFilter(words=6, caption_length=2, suffix_slots=3, seed=0)
    found.digit_reader = DigitReader(
        answers=answers,
        weights_hidden=weights(64, 8).astype(np.float32),
        bias_hidden=weights(8).astype(np.float32),
        weights_out=np.rint(draw.normal(size=(8, 4))),
        bias_out=np.zeros(4),
        scale=2.0**-18,
    )
    found.caption_reader = CaptionReader(
        answers=answers,
        caption_weights=np.rint(weights(6, 4) / 100).astype(np.int64),
        suffix_weights=np.rint(weights(6, 4) / 100).astype(np.int64),
        bias=np.zeros(4, dtype=np.int64),
        scale=2.0**-4,
        caption_length=2,
    )
    return found


@pytest.mark.parametrize("step", [1, 100])
def test_margins_of_the_filter_are_above_zero_exactly_where_it_answers_so(step):
    classifier, draw = readers(step=step), np.random.default_rng(1)
    batch = {"text": draw.integers(0, 6, (3000, 5)), "image": draw.normal(0.5, 1.0, (3000, 64))}
    assert_margins_are_those_of_the_answers(classifier, batch)
    scores = np.sort(classifier.caption_reader.scores(batch["text"]), axis=1)
    tied = scores[:, -1] == scores[:, -2]
    assert tied.mean() > 0.05  # ties did occur, and were told as the first of them
    unsafe = classifier.margins(batch, 1)
    np.testing.assert_array_equal(unsafe, -classifier.margins(batch, 0))
    assert (unsafe != 0.0).all()


def test_leads_tell_the_first_of_tied_scores():
    found = Leads.of(np.array([[3, 5, 5], [7, 7, 7], [0, -2, 4]]), 2.0)
    np.testing.assert_array_equal(found.leads, [[-4.0, 1.0, -1.0], [1.0, -1.0, -1.0], [-8.0, -12.0, 8.0]])
    assert found.first.tolist() == [1, 0, 2]


def test_readers_without_a_common_digit_are_never_close_to_unsafe():
    classifier = readers(step=1)
    classifier.caption_reader = CaptionReader(
        **{
            name: getattr(classifier.caption_reader, name)
            for name in ("caption_weights", "suffix_weights", "bias", "scale", "caption_length")
        },
        answers=np.array([-1, 7, 8, 9]),
    )
    batch = {"text": np.zeros((4, 5), dtype=np.int64), "image": np.full((4, 64), 0.5)}
    assert classifier.predict_encoded(batch).tolist() == [0, 0, 0, 0]
    assert (classifier.margins(batch, 1) < -1e300).all()
    assert (classifier.sensitivity(batch, 1, {}).continuous["image"] == 0.0).all()


# torch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize("pad", [False, True])
def test_margins_of_torch_modules_agree_with_the_answers(outputs, pad):
    torch = pytest.importorskip("torch", reason="needs torch")
    from hybridcert.adapters.torch_image import TorchClassifier

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, outputs))
    classifier = TorchClassifier(
        module,
        classes=["a", "b", "c"][: max(2, outputs)],
        numeric=ContinuousSurface(5, tuple(range(5)), "units"),
        batch_size=64,
        pad_batches=pad,
    )
    batch = {"numeric": np.random.default_rng(0).normal(size=(500, 5)) * 3}
    assert_margins_are_those_of_the_answers(classifier, batch)


def test_infinite_scores_have_finite_margins():
    torch = pytest.importorskip("torch", reason="needs torch")
    from hybridcert.adapters.torch_sensitivity import lead

    scores = torch.tensor([[np.inf, 0.0], [-np.inf, np.inf], [np.inf, np.inf]], dtype=torch.float64)
    margins = lead(scores, 0)
    assert torch.isfinite(margins).all()
    assert (margins[0] > 0, margins[1] < 0, margins[2] == 0) == (True, True, True)


# verdicts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("least", [0.0, 0.2, 0.5, 0.9])
def test_margins_of_verdicts_agree_with_the_verdicts(least):
    torch = pytest.importorskip("torch", reason="needs torch")
    labels = LabelTokens((1, 4), (2,), least)
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(2000, 6)) * 3)
    verdicts = labels.verdicts(logits).numpy()
    assert set(verdicts) == ({0, 1, 2} if least else {0, 1})
    for label in (0, 1):
        margins = labels.margins(logits, label).numpy()
        np.testing.assert_array_equal(margins > 0.0, verdicts == label)


def test_margins_of_confident_verdicts_do_not_saturate():
    torch = pytest.importorskip("torch", reason="needs torch")
    logits = torch.tensor([[20.0, 0.0, -30.0], [20.0, 10.0, -30.0]])
    margins = LabelTokens((0,), (1,), 0.5).margins(logits, 0)
    assert margins.tolist() == pytest.approx([20.0, 10.0], abs=1e-4)


def test_broken_logits_are_as_far_as_can_be_from_either_label():
    torch = pytest.importorskip("torch", reason="needs torch")
    labels = LabelTokens((0,), (1,), 0.5)
    logits = torch.tensor([[np.nan, 0.0, 0.0], [-np.inf, -np.inf, 0.0], [0.0, -np.inf, -np.inf]])
    assert labels.verdicts(logits).tolist() == [2, 2, 0]
    for label in (0, 1):
        margins = labels.margins(logits, label)
        assert torch.isfinite(margins).all()
        assert ((margins > 0.0) == (labels.verdicts(logits) == label)).all()
    with pytest.raises(
        ParameterError, match=r"^label must be 0 \(safe\) or 1 \(unsafe\) to have margins, got 2$"
    ):
        labels.margins(logits, 2)


def test_the_shipped_classifiers_are_recognised_by_the_protocols():
    assert isinstance(on_table(LogisticRegression()), DifferentiableClassifier)
    assert isinstance(readers(step=1), DifferentiableClassifier)
    texts = TextClassifier(LogisticRegression())
    assert isinstance(texts, ScoringClassifier)
    assert not isinstance(texts, DifferentiableClassifier)
