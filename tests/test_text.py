"""Classifiers on strings: tokens, codes, noise, answers, certificates that real insertions never break."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import hybridcert as hc
from hybridcert.adapters import vocabulary
from hybridcert.adapters.text import TextClassifier
from hybridcert.errors import DataError, ModelError, ParameterError
from hybridcert.sampling import rounds
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import Stage
from text_data import CHATS, OFFERS, messages

BETA = 0.75
TEXTS = ["free prize cash", "see you later", "", "free", "you see a  prize\tlater", "free prize cash"]


class Asked(ClassifierMixin, BaseEstimator):
    """Says 1 where "free" stands, and remembers what it was asked."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def predict(self, X):
        self.texts = [*getattr(self, "texts", []), *X]
        return np.array([int("free" in text.split()) for text in X])


def trained(vectorizer=None, **options) -> TextClassifier:
    table = messages()
    model = make_pipeline(vectorizer or CountVectorizer(), LogisticRegression())
    return TextClassifier(model.fit(table["message"], table["kind"]), **options)


def smoothed(base: TextClassifier, beta: float = BETA) -> hc.SmoothedClassifier:
    return hc.SmoothedClassifier(base, noise={"text": hc.RandomDeletion(beta)})


def counts(texts: object, base: TextClassifier | None = None) -> np.ndarray:
    return smoothed(base or TextClassifier(Asked())).counts(texts, samples=700, seed=3)


def test_decoding_undoes_encoding_up_to_whitespace():
    words = TextClassifier(Asked())
    assert words.decode(words.encode(TEXTS)["text"]) == [" ".join(text.split()) for text in TEXTS]
    characters = TextClassifier(Asked(), tokens="characters")
    assert characters.decode(characters.encode(TEXTS)["text"]) == TEXTS


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_every_string_has_codes(texts: list[str]):
    for tokens in ("words", "characters"):
        base = TextClassifier(Asked(), tokens=tokens)
        codes = base.encode(texts)["text"]
        expected = texts if tokens == "characters" else [" ".join(text.split()) for text in texts]
        assert base.decode(codes) == expected


def test_codes_depend_on_the_text_alone():
    first, second = TextClassifier(Asked()), TextClassifier(Asked())
    second.encode(["cash you prize", "see"])
    alone = first.encode(["free prize"])["text"][0]
    among = second.encode(["a b c d e", "free prize"])["text"][1]
    assert alone.tolist() == among[:2].tolist()
    assert among[2:].tolist() == [-1, -1, -1]


def test_counts_depend_on_the_text_alone(monkeypatch: pytest.MonkeyPatch):
    expected = counts(TEXTS)
    order = [4, 0, 3, 2, 5, 1]
    assert np.array_equal(counts([TEXTS[i] for i in order]), expected[order])
    for row, text in enumerate(TEXTS):
        assert np.array_equal(counts([text])[0], expected[row])
    used = TextClassifier(Asked())
    used.encode(["prize later cash", "x"])
    assert np.array_equal(counts([*TEXTS, "long " * 50], used)[:-1], expected)
    monkeypatch.setattr(rounds, "TASK", 1)
    assert np.array_equal(counts(TEXTS), expected)


def test_training_depends_on_the_text_alone():
    table = messages(60)
    narrow = smoothed(TextClassifier(make_pipeline(CountVectorizer(), LogisticRegression())))
    narrow.fit(table["message"], table["kind"], noisy_copies=3, seed=1)
    wide = smoothed(TextClassifier(make_pipeline(CountVectorizer(), LogisticRegression())))
    wide.classifier.encode(["word " * 80])
    wide.fit(table["message"], table["kind"], noisy_copies=3, seed=1)
    weights = [run.classifier_.estimator_[-1].coef_ for run in (narrow, wide)]
    assert np.array_equal(*weights)


def test_equal_noisy_copies_are_asked_once():
    base = TextClassifier(Asked())
    result = smoothed(base, beta=0.9).counts(["free prize cash"], samples=2_000, seed=0)
    assert result.sum() == 2_000
    assert len(base.estimator.texts) == len(set(base.estimator.texts)) <= 8


@pytest.mark.parametrize(
    "vectorizer",
    [
        CountVectorizer(),
        TfidfVectorizer(ngram_range=(1, 2)),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3)),
        HashingVectorizer(n_features=2**10),
    ],
)
def test_any_vectoriser_gives_the_answers_of_the_pipeline(vectorizer):
    base = trained(vectorizer)
    texts = messages(50, seed=9)["message"].tolist()
    answers = base.classes_[base.predict_encoded(base.encode(texts))]
    assert answers.tolist() == base.estimator.predict(texts).tolist()


STORAGES = [
    tuple,
    np.array,
    lambda texts: np.array(texts, dtype=object),
    pd.Series,
    lambda texts: pd.Series(texts, dtype="string"),
    lambda texts: pd.DataFrame({"message": texts}),
]


@pytest.mark.parametrize("storage", STORAGES)
def test_any_storage_of_texts_gives_the_same_counts(storage):
    assert np.array_equal(counts(storage(TEXTS)), counts(TEXTS))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", None], "row 1: text must be a string, got a missing value"),
        (["a", float("nan")], "row 1: text must be a string, got a missing value"),
        (pd.Series(["a", pd.NA], index=["x", "y"]), "row 'y': text must be a string, got a missing value"),
        (pd.Series(["a", 7], index=[10, 20]), "row 20: text must be a string, got 7 (int)"),
        (np.array([1.5]), "row 0: text must be a string, got"),
        ("free prize", "expected a list, Series or array of texts or a table with one column, got str"),
        (7, "expected a list, Series or array of texts or a table with one column, got int"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), "a table of texts must have one column, got 2"),
        (np.array([["a"]]), "an array of texts must have one dimension, got shape (1, 1)"),
        (["a", "b c d e"], "row 1: text must have at most 3 words, got 4"),
    ],
)
def test_broken_texts_are_refused_in_one_line(texts, message):
    with pytest.raises(DataError) as caught:
        TextClassifier(Asked(), max_length=3).encode(texts)
    assert str(caught.value).startswith(message)


def test_empty_texts_are_texts():
    base = trained()
    assert base.encode(["", "  "])["text"].tolist() == [[-1], [-1]]
    run = smoothed(base).certify(
        ["", "free cash"], threat=hc.Edit(2), samples=200, alpha=0.01, threshold=0.2, seed=0, label="spam"
    )
    empty = base.estimator.predict([""])[0] == "spam"
    assert run.successes[0] == (200 if empty else 0)


def test_a_longer_empty_end_is_not_noise_but_a_longer_text_is():
    base = TextClassifier(Asked())
    noise = SmoothingNoise({"text": hc.RandomDeletion(BETA)}, base.surfaces())
    inputs = base.encode(["free prize", "a b c d e f"])
    codes, sizes = noise.exposed(inputs, "text", 0)
    assert codes.tolist() == inputs["text"][0, :2].tolist()
    assert len(sizes) == 2
    assert noise.exposed(inputs, "text", 1)[0].size == 6
    drawn = noise.draw(inputs, 0, 50, b"0" * 16, stage=Stage.ESTIMATE, block=0)["text"]
    assert drawn.shape == (50, 6)
    assert (drawn[:, 2:] == -1).all()


def test_inputs_outside_the_declared_sequence_are_refused():
    base = TextClassifier(Asked(), max_length=2)
    noise = SmoothingNoise({"text": hc.RandomDeletion(BETA)}, base.surfaces())
    with pytest.raises(DataError, match="must have at most 2 symbols, got 3"):
        noise.check_inputs({"text": np.zeros((1, 3), dtype=np.int64)})
    with pytest.raises(DataError, match=r"row 0, position 1: code must be in \[-1"):
        noise.check_inputs({"text": np.array([[0, -2]])})


def test_a_classifier_survives_pickling_with_the_tokens_it_has_seen():
    base = trained()
    inputs = base.encode(TEXTS)
    loaded = pickle.loads(pickle.dumps(base))
    assert np.array_equal(loaded.predict_encoded(inputs), base.predict_encoded(inputs))
    assert np.array_equal(counts(TEXTS, loaded), counts(TEXTS, base))


def test_tokens_that_share_a_code_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vocabulary, "_HASH_BITS", 1)
    with pytest.raises(DataError, match="have the same 1-bit code"):
        TextClassifier(Asked()).encode(["a b c"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": "letters"}, "tokens must be 'words' or 'characters', got 'letters'"),
        ({"max_length": 0}, "max_length must be an integer >= 1, got 0"),
        ({"mask": "[MASK]"}, "mask needs a vocabulary"),
        ({"vocabulary": []}, "vocabulary must list distinct tokens, at least one, got 0"),
        ({"vocabulary": ["a", "a"]}, "vocabulary must list distinct tokens, at least one, got 2 of which 1"),
        ({"vocabulary": ["a", ""]}, "vocabulary must list strings that are not empty, got ''"),
    ],
)
def test_broken_declarations_are_refused(options, message):
    with pytest.raises(ParameterError) as caught:
        TextClassifier(Asked(), **options).surfaces()
    assert str(caught.value).startswith(message)


def test_untrained_and_useless_estimators_say_so():
    with pytest.raises(ModelError, match="not trained"):
        TextClassifier(LogisticRegression()).predict_encoded({"text": np.array([[-1]])})
    base = TextClassifier(TfidfVectorizer())
    with pytest.raises(ModelError, match="TfidfVectorizer is not a classifier"):
        base.fit_encoded(base.encode(["a bc", "de"]), np.array([0, 1]))


def test_noise_that_replaces_words_needs_a_vocabulary():
    for kernel in (hc.UniformReplacement(0.5), hc.Absorbing(0.5)):
        with pytest.raises(ParameterError):
            SmoothingNoise({"text": kernel}, TextClassifier(Asked()).surfaces())
    slots = TextClassifier(Asked(), vocabulary=["free", "cash"], max_length=3)
    with pytest.raises(ParameterError, match="the deletion kernel needs a classifier on sequences"):
        SmoothingNoise({"text": hc.RandomDeletion(0.5)}, slots.surfaces())
    with pytest.raises(DataError, match="row 1: token 'dear' is not in the vocabulary"):
        slots.encode(["free", "dear cash"])


@pytest.mark.parametrize("kernel", [hc.UniformReplacement(0.25), hc.Absorbing(0.25)])
def test_slots_over_a_vocabulary_have_the_score_that_the_noise_gives(kernel):
    base = TextClassifier(Asked(), vocabulary=["free", "cash", "prize"], max_length=4, mask="[MASK]")
    assert base.decode(base.encode(["free cash"])["text"]) == ["free cash"]
    run = hc.SmoothedClassifier(base, noise={"text": kernel}).certify(
        ["free cash"], threat=hc.Substitution(1), samples=4_000, alpha=0.001, threshold=0.1, seed=5, label=1
    )
    turned = 0.0 if kernel.name == "absorbing" else 0.25 / 3  # three tokens and "no token": three others
    score = 1 - 0.25 * (1 - turned) ** 3
    assert abs(run.successes[0] / 4_000 - score) < 0.05  # seven standard deviations
    if kernel.name == "absorbing":
        assert "[MASK] cash" in base.estimator.texts


# -- against insertions that are really made ----------------------------------------------------------------


def exact_score(base: TextClassifier, words: Sequence[str], beta: float) -> Fraction:
    """P(spam) over all deletions of a short text, exactly."""
    rate = Fraction(beta)
    masks = list(itertools.product((False, True), repeat=len(words)))
    texts = [" ".join(itertools.compress(words, mask)) for mask in masks]
    spam = base.predict_encoded(base.encode(texts)) == 1
    kept = [sum(mask) for mask, says in zip(masks, spam, strict=True) if says]
    return sum(((1 - rate) ** k * rate ** (len(words) - k) for k in kept), start=Fraction(0))


def float_below(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, 0.0)


@pytest.mark.parametrize("beta", [0.5, 0.75])
def test_certificates_hold_against_every_insertion_into_short_texts(beta: float):
    """Good words anywhere: what is certified from the exact score, and by a run, is at most what remains."""
    base = trained()
    spam = [["free", "cash"], ["claim", "prize", "txt", "you"], ["winner", "see", "free"]]
    run = smoothed(base, beta).certify(
        [" ".join(words) for words in spam],
        threat=hc.Insertion(2),
        samples=3_000,
        alpha=0.001,
        threshold=0.05,
        seed=1,
        label="spam",
    )
    fresh = [*CHATS[:4], OFFERS[0], "unheard"]
    for row, words in enumerate(spam):
        score = exact_score(base, words, beta)
        assert Fraction(float(run.p_lower[row])) <= score
        value, broken = float_below(score), 0
        for d in (1, 2):
            [spectrum] = hc.RandomDeletion(beta).spectra(hc.Insertion(d), d)
            certified = float(hc.Tradeoff(spectrum, 0.0).lower(value).value)
            for inserted in itertools.product(fresh, repeat=d):
                for places in itertools.combinations_with_replacement(range(len(words) + 1), d):
                    attacked = list(words)
                    for place, word in sorted(zip(places, inserted, strict=True), reverse=True):
                        attacked.insert(place, word)
                    left = exact_score(base, attacked, beta)
                    assert Fraction(certified) <= left
                    assert Fraction(float(run.point(d).p_adv[row])) <= left
                    broken += left < score
        assert broken  # the attack is a real one
