"""Derivatives of mean margins: tables, the digits filter and torch modules, against finite differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import hybridcert as hc
from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.digits_filter import DigitsFilter
from hybridcert.datasets.digits_captions import (
    CAPTION_LENGTH,
    SUFFIX_SLOTS,
    VOCABULARY,
    load_digit_captions,
)
from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import RowStreams, Stage
from hybridcert.threats import ContinuousSurface, DiscreteSurface

torch = pytest.importorskip("torch", reason="needs torch")

from hybridcert.adapters.torch_image import TorchClassifier  # noqa: E402

NUMERIC, CATEGORICAL = ["age", "hours"], ["job", "home"]


def copies_of(classifier, inputs, noise, *, row=0, count=64, block=0):
    """Noisy copies of one row, and what is left of it in each: positions that noise did not choose."""
    law = SmoothingNoise(noise, classifier.surfaces())
    key = RowStreams(5).keys(inputs)[row]
    drawn = law.draw(inputs, row, count, key, stage=Stage.EXPLORE, block=block)
    return {name: np.array(values) for name, values in drawn.items()}


def kept(batch, clean):
    """Return the position that each symbol was taken over from, −1 where it differs."""
    return np.where(batch == clean, np.arange(clean.size), -1)


def mean(classifier, batch, label):
    return float(classifier.margins(batch, label).mean())


def slopes(classifier, batch, label, name, step):
    """Return central differences of the mean margin by a shift of each feature of all copies."""
    found = np.empty(batch[name].shape[1])
    for feature in range(found.size):
        shift = np.zeros(found.size)
        shift[feature] = step
        up, down = ({**batch, name: batch[name] + sign * shift} for sign in (1, -1))
        found[feature] = (mean(classifier, up, label) - mean(classifier, down, label)) / (2 * step)
    return found


def swapped(batch, name, origin, position, symbol):
    """Return the copies of an input that holds another symbol at a position, with the same noise."""
    changed = batch[name].copy()
    changed[origin == position] = symbol
    return {**batch, name: changed}


# tables -----------------------------------------------------------------------------------------------


def on_table(estimator, classes) -> tuple[hc.DataFrameClassifier, pd.DataFrame]:
    draw = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "job": draw.choice(["clerk", "cook", "nurse", "smith"], 300),
            "age": draw.integers(18, 80, 300),
            "home": draw.choice(["own", "rent"], 300),
            "hours": draw.normal(40, 10, 300),
        }
    )
    score = (X["job"] == "cook") * 1.0 + (X["age"] - 18) / 30 + (X["home"] == "own") * 0.5
    y = np.minimum(score.astype(int), classes - 1)
    encode = make_column_transformer((OneHotEncoder(), CATEGORICAL), (StandardScaler(), NUMERIC))
    model = make_pipeline(encode, estimator).fit(X, y)
    return hc.DataFrameClassifier(model, X, numeric=NUMERIC, categorical=CATEGORICAL), X


@pytest.mark.parametrize("label", [0, 1])
def test_linear_pipelines_have_exact_derivatives(label):
    classifier, X = on_table(LogisticRegression(), 2)
    assert classifier.tells_sensitivity
    inputs = classifier.encode(X.iloc[:1])
    noise = {"categorical": hc.UniformReplacement(0.5), "numeric": hc.GaussianNoise(1.0)}
    batch = copies_of(classifier, inputs, noise)
    clean = inputs["categorical"][0]
    origin = kept(batch["categorical"], clean)
    found = classifier.sensitivity(batch, label, {"categorical": origin})
    np.testing.assert_array_equal(found.margins, classifier.margins(batch, label))
    np.testing.assert_allclose(
        found.continuous["numeric"], slopes(classifier, batch, label, "numeric", 0.5), atol=1e-9
    )
    weights = found.discrete["categorical"]
    assert weights.shape == (2, 4)
    np.testing.assert_array_equal(np.isnan(weights), [[False] * 4, [False, False, True, True]])
    for position, size in enumerate((4, 2)):
        for symbol in range(size):
            change = mean(classifier, swapped(batch, "categorical", origin, position, symbol), label)
            expected = weights[position, symbol] - weights[position, clean[position]]
            assert change - mean(classifier, batch, label) == pytest.approx(expected, abs=1e-9)


def test_three_classes_have_the_derivative_by_the_best_rival():
    classifier, X = on_table(LogisticRegression(), 3)
    inputs = classifier.encode(X.iloc[:1])
    batch = copies_of(classifier, inputs, {"numeric": hc.GaussianNoise(0.5)}, count=16)
    for label in range(3):
        found = classifier.sensitivity(batch, label, {})
        assert found.discrete == {}
        expected = slopes(classifier, batch, label, "numeric", 1e-7)
        np.testing.assert_allclose(found.continuous["numeric"], expected, atol=1e-5)


def test_fields_that_no_copy_carries_are_unknown():
    classifier, X = on_table(LogisticRegression(), 2)
    batch = copies_of(classifier, classifier.encode(X.iloc[:1]), {"numeric": hc.GaussianNoise(0.5)}, count=4)
    origin = np.array([[-1, 1]] * 4)
    weights = classifier.sensitivity(batch, 0, {"categorical": origin}).discrete["categorical"]
    assert np.isnan(weights[0]).all()
    assert not np.isnan(weights[1, :2]).any()


def test_other_estimators_give_no_derivatives():
    classifier, X = on_table(RandomForestClassifier(5, random_state=0), 2)
    assert classifier.tells_margins
    assert not classifier.tells_sensitivity
    with pytest.raises(
        ModelError, match=r"gives no derivatives, .* attack it by its margins or its answers$"
    ):
        classifier.sensitivity(classifier.encode(X.iloc[:2]), 0, {})


# the digits filter ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> tuple[DigitsFilter, dict[str, np.ndarray]]:
    """The filter of the demo, trained on few clean pairs, and unsafe pairs with words in their slots."""
    splits = load_digit_captions(seed=0)
    train = splits.train.rows(np.arange(3000))
    found = DigitsFilter(
        words=len(VOCABULARY), caption_length=CAPTION_LENGTH, suffix_slots=SUFFIX_SLOTS, seed=0
    )
    found.fit_encoded(found.encode(train.inputs), train.readings)
    held = splits.held_out
    inputs = found.encode(held.rows(np.flatnonzero(held.label == "unsafe")[:8]).inputs)
    draw = np.random.default_rng(0)
    inputs["text"][:, CAPTION_LENGTH:] = draw.integers(1, len(VOCABULARY), (8, SUFFIX_SLOTS))
    return found, inputs


DIGITS_NOISE = {"text": hc.UniformReplacement(0.25), "image": hc.GaussianNoise(0.25)}


def test_margins_of_the_trained_filter_are_those_of_its_answers(trained):
    classifier, inputs = trained
    for row in range(8):
        batch = copies_of(classifier, inputs, DIGITS_NOISE, row=row, count=500)
        answers = classifier.predict_encoded(batch)
        for label in (0, 1):
            np.testing.assert_array_equal(classifier.margins(batch, label) > 0.0, answers == label)


@pytest.mark.parametrize("label", [0, 1])
def test_pixels_of_the_filter_have_the_slopes_of_its_margins(trained, label):
    classifier, inputs = trained
    batch = copies_of(classifier, inputs, DIGITS_NOISE, count=400)
    found = classifier.sensitivity(batch, label, {})
    np.testing.assert_array_equal(found.margins, classifier.margins(batch, label))
    # steps of one grid step move every code by exactly one, so that rounding cancels
    expected = slopes(classifier, batch, label, "image", 1 / 64)
    assert np.corrcoef(found.continuous["image"], expected)[0, 1] > 0.99
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.continuous["image"], expected, atol=0.1 * scale)


def test_pixels_beyond_the_grid_have_no_slope(trained):
    classifier, inputs = trained
    batch = copies_of(classifier, inputs, DIGITS_NOISE, count=50)
    batch["image"][:, 20] = 3.5
    batch["image"][:, 28] = -2.5
    found = classifier.sensitivity(batch, 1, {}).continuous["image"]
    assert found[20] == 0.0
    assert found[28] == 0.0
    assert np.count_nonzero(found) > 50


def test_words_of_the_filter_are_ranked_as_their_swaps_are(trained):
    """Swaps of slots that carry: the first-order change against the true one."""
    classifier, inputs = trained
    clean = inputs["text"][1]
    batch = copies_of(classifier, inputs, DIGITS_NOISE, row=1, count=128)
    origin = kept(batch["text"], clean)
    weights = classifier.sensitivity(batch, 1, {"text": origin}).discrete["text"]
    assert weights.shape == (CAPTION_LENGTH + SUFFIX_SLOTS, len(VOCABULARY))
    base = mean(classifier, batch, 1)
    draw, expected, true = np.random.default_rng(0), [], []
    for _ in range(120):
        position = int(draw.integers(CAPTION_LENGTH, clean.size))
        symbol = int(draw.integers(len(VOCABULARY)))
        expected.append(weights[position, symbol] - weights[position, clean[position]])
        true.append(mean(classifier, swapped(batch, "text", origin, position, symbol), 1) - base)
    assert np.corrcoef(expected, true)[0, 1] > 0.5


# torch ------------------------------------------------------------------------------------------------

SLOTS = DiscreteSurface((7, 7, 3), (0, 1, 2))


class Mixed(torch.nn.Module):
    """Smooth in an image, numbers and codes; the codes go through two tables."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Embedding(9, 4), torch.nn.Embedding(9, 3)
        self.places = torch.nn.Embedding(3, 4)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(24 + 5 + 7, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)
        )

    def forward(self, image, numeric, tokens):
        image.sub_(0.5)  # in place, as some modules do
        words = self.first(tokens) + self.places(torch.arange(3))
        words.mul_(0.3)
        pooled = torch.cat([words.sum(1), self.second(tokens).sum(1)], dim=1)
        return self.head(torch.cat([image.flatten(1), numeric, pooled], dim=1))


def mixed(**options) -> TorchClassifier:
    return TorchClassifier(
        Mixed(),
        classes=["a", "b", "c"],
        image=Canvas(2, 4, 3),
        numeric=ContinuousSurface(5, tuple(range(5)), "units"),
        tokens=SLOTS,
        dtype="float64",
        **options,
    )


def mixed_copies(classifier, count=20):
    draw = np.random.default_rng(1)
    inputs = classifier.encode(
        {
            "image": draw.random((1, 2, 4, 3)),
            "numeric": draw.normal(size=(1, 5)),
            "tokens": np.array([[6, 2, 1]]),
        }
    )
    noise = {
        "image": hc.GaussianNoise(0.25),
        "numeric": hc.GaussianNoise(0.25),
        "tokens": hc.UniformReplacement(0.3),
    }
    batch = copies_of(classifier, inputs, noise, count=count)
    return inputs, batch, kept(batch["tokens"], inputs["tokens"][0])


@pytest.mark.parametrize("options", [{}, {"batch_size": 8, "pad_batches": True}], ids=["one batch", "padded"])
def test_torch_modules_have_the_slopes_of_their_margins(options):
    classifier = mixed(**options)
    _, batch, origin = mixed_copies(classifier)
    for label in range(3):
        found = classifier.sensitivity(batch, label, {"tokens": origin})
        np.testing.assert_allclose(found.margins, classifier.margins(batch, label), atol=1e-12)
        for name in ("image", "numeric"):
            expected = slopes(classifier, batch, label, name, 1e-6)
            np.testing.assert_allclose(found.continuous[name], expected, atol=1e-6)


def test_codes_have_the_slope_along_the_line_to_another_vector():
    """Moving a fraction of the way from one symbol's vectors to another's changes the mean as told."""
    classifier = mixed()
    inputs, batch, origin = mixed_copies(classifier)
    clean = inputs["tokens"][0]
    weights = classifier.sensitivity(batch, 1, {"tokens": origin}).discrete["tokens"]
    assert weights.shape == (3, 7)
    np.testing.assert_array_equal(np.isnan(weights).sum(axis=1), [0, 0, 4])
    module, step = classifier._loaded, 1e-6
    for position, symbol in ((0, 1), (1, 5), (2, 0)):
        # code 8 stands for the mixture; it is in no alphabet
        with torch.no_grad():
            for table in (module.first, module.second):
                table.weight[8] = table.weight[clean[position]] * (1 - step) + table.weight[symbol] * step
        moved = swapped(batch, "tokens", origin, position, 8)
        slope = (mean(classifier, moved, 1) - mean(classifier, batch, 1)) / step
        expected = weights[position, symbol] - weights[position, clean[position]]
        assert slope == pytest.approx(expected, abs=1e-4 * max(1.0, abs(slope)))
        assert abs(slope) > 1e-3


def test_codes_that_no_embedding_reads_as_they_are_have_no_derivative():
    class Shifted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(20, 3)

        def forward(self, tokens):
            return self.embed(tokens + 1).sum(1)

    classifier = TorchClassifier(Shifted(), classes=[0, 1, 2], tokens=SLOTS)
    batch = classifier.encode({"tokens": np.array([[6, 2, 1]])})
    found = classifier.sensitivity(batch, 0, {"tokens": np.array([[0, 1, 2]])})
    assert np.isnan(found.discrete["tokens"]).all()
    assert found.margins == pytest.approx(classifier.margins(batch, 0))


def test_a_front_is_differentiated_or_taken_as_the_identity():
    class Half:
        def __call__(self, images):
            return images * 0.5

    class Rounded:
        def __call__(self, images):
            with torch.inference_mode():
                return images.mul(64).round().div(64)

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 2))
    batch = {"image": np.random.default_rng(0).random((5, 8))}

    def gradient(front):
        classifier = TorchClassifier(module, classes=[0, 1], image=Canvas(2, 4, 1), front=front)
        found = classifier.sensitivity(batch, 1, {})
        np.testing.assert_allclose(found.margins, classifier.margins(batch, 1), rtol=1e-6)
        return found.continuous["image"]

    plain = gradient(None)
    np.testing.assert_allclose(gradient(Half()), 0.5 * plain, rtol=1e-6)
    np.testing.assert_allclose(gradient(Rounded()), plain, rtol=1e-6)


def test_a_denoiser_is_differentiated_although_it_answered_before(tmp_path):
    pytest.importorskip("diffusers", reason="needs the extra denoise")
    from hybridcert.denoising import DiffusionDenoiser
    from test_denoising import saved

    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    front = DiffusionDenoiser(str(saved(tmp_path)), sigma=0.5)
    classifier = TorchClassifier(module, classes=[0, 1], image=Canvas(8, 8, 1), front=front)
    batch = {"image": 0.5 + 0.5 * np.random.default_rng(0).normal(size=(6, 64))}
    classifier.predict_encoded(batch)
    found = classifier.sensitivity(batch, 1, {})
    np.testing.assert_allclose(found.margins, classifier.margins(batch, 1), atol=1e-5)
    slope = found.continuous["image"]
    step = 0.02 * slope / np.abs(slope).max()
    up, down = (mean(classifier, {"image": batch["image"] + sign * step}, 1) for sign in (1, -1))
    assert up - down == pytest.approx(2 * slope @ step, rel=0.1)


def test_modules_without_derivatives_are_refused():
    class Closed(torch.nn.Module):
        def forward(self, numeric):
            return numeric.detach()[:, :2]

    classifier = TorchClassifier(
        Closed(), classes=[0, 1], numeric=ContinuousSurface(3, tuple(range(3)), "units")
    )
    batch = {"numeric": np.ones((2, 3))}
    with pytest.raises(ModelError, match=r"^the module gives no derivatives: "):
        classifier.sensitivity(batch, 0, {})
    with pytest.raises(ParameterError, match=r"^origin must name 'tokens' or nothing, got 'text'$"):
        classifier.sensitivity(batch, 0, {"text": np.zeros((2, 3), dtype=np.intp)})
    with pytest.raises(
        ParameterError, match=r"^origin must have the shape \(1, 3\) of the copies, got \(1, 2\)$"
    ):
        mixed().sensitivity(
            {"image": np.zeros((1, 24)), "numeric": np.zeros((1, 5)), "tokens": np.array([[6, 2, 1]])},
            0,
            {"tokens": np.array([[0, 1]])},
        )
