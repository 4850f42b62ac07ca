"""An interaction-only image-text filter: unsafe when the caption names the digit that is shown.

Two learned readers and a comparison. The digit reader is a network with one hidden layer on the pixels; the
caption reader is a linear model on word counts, with separate weights for caption and suffix slots. Either
may answer ``NONE``. The pair is "unsafe" when both read the same digit.

Row independence: a matrix product may be summed in an order that depends on the batch size, so the scores of
one row can differ between batches in their last bits. Here they cannot. Pixels are rounded to a grid and
weights to integers, so coarse that no partial sum leaves the range in which the floating-point type holds
every integer: each order of summation gives the same sum, on every machine. The scikit-learn models receive
the same rounded weights, so that both compute the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridcert.adapters.digits_grid import (
    FLOAT32_EXACT,
    FLOAT64_EXACT,
    PIXEL_HIGHEST,
    PIXEL_LOWEST,
    PIXEL_STEP,
    on_grid,
    pixel_codes,
)
from hybridcert.adapters.digits_margins import Agreement, Leads, common
from hybridcert.errors import DataError, HybridCertError
from hybridcert.sampling.scores import Sensitivity
from hybridcert.threats import ContinuousSurface, DiscreteSurface

NONE = -1
"""Stands for "no digit shown" and "no number named"."""

PIXELS = 64
HIDDEN_UNITS = 128
IMAGES_SHOWN = 1_000_000
"""Training images a digit reader sees, repetitions counted."""
MAX_EPOCHS = 50
CHUNK = 2048
"""Rows at a time: keeps intermediate arrays in cache, and has no influence on any answer."""


@dataclass(frozen=True, slots=True, eq=False)
class DigitReader:
    """A trained network with integer weights: images (m, PIXELS) to the digit shown, or ``NONE``.

    Its scores are whole numbers; times ``scale`` they are the logits of the scikit-learn model.
    """

    answers: NDArray[np.int64]
    weights_hidden: NDArray[np.float32]
    bias_hidden: NDArray[np.float32]
    weights_out: NDArray[np.float64]
    bias_out: NDArray[np.float64]
    scale: float

    @classmethod
    def from_model(cls, model: Any) -> DigitReader:
        """Round the weights of a fitted ``MLPClassifier``, also in the model itself."""
        largest = np.full(PIXELS, max(-PIXEL_LOWEST, PIXEL_HIGHEST) / PIXEL_STEP)
        (w_hidden, w_out), (b_hidden, b_out) = model.coefs_, model.intercepts_
        hidden, hidden_bias, step = on_grid(
            w_hidden, b_hidden, largest, input_step=PIXEL_STEP, limit=FLOAT32_EXACT
        )
        hidden_largest = largest @ np.abs(hidden) + np.abs(hidden_bias)
        hidden_step = PIXEL_STEP * step
        out, out_bias, out_step = on_grid(
            w_out, b_out, hidden_largest, input_step=hidden_step, limit=FLOAT64_EXACT
        )
        scale = hidden_step * out_step
        model.coefs_ = [hidden * step, out * out_step]
        model.intercepts_ = [hidden_bias * hidden_step, out_bias * scale]
        return cls(
            answers=model.classes_.astype(np.int64),
            weights_hidden=hidden.astype(np.float32),
            bias_hidden=hidden_bias.astype(np.float32),
            weights_out=out,
            bias_out=out_bias,
            scale=scale,
        )

    def scores(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return whole-number scores, one column for each of ``answers``."""
        hidden = self._hidden(image)
        np.maximum(hidden, 0, out=hidden)
        return hidden.astype(np.float64) @ self.weights_out + self.bias_out

    def gradient(self, image: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the derivative by pixel of a sum of logits with these factors, shape (m, PIXELS).

        Rounding to the grid is taken as the identity, clipping to its ends as what it is.
        """
        active = self._hidden(image) > 0
        codes = (signs @ self.weights_out.T * active) @ self.weights_hidden.T.astype(np.float64)
        inside = (image >= PIXEL_LOWEST) & (image <= PIXEL_HIGHEST)
        found: NDArray[np.float64] = np.where(inside, codes * (self.scale / PIXEL_STEP), 0.0)
        return found

    def _hidden(self, image: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return whole-number sums of the hidden units."""
        hidden: NDArray[np.float32] = pixel_codes(image) @ self.weights_hidden
        hidden += self.bias_hidden
        return hidden

    def read(self, image: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the digit shown in each image, or ``NONE``; shape (m,)."""
        shown: NDArray[np.int64] = self.answers[self.scores(image).argmax(axis=1)]
        return shown


@dataclass(frozen=True, slots=True, eq=False)
class CaptionReader:
    """A trained linear model with integer weights: texts (m, positions) to the number named, or ``NONE``.

    Its scores are whole numbers; times ``scale`` they are the logits of the scikit-learn model.
    """

    answers: NDArray[np.int64]
    caption_weights: NDArray[np.int64]
    suffix_weights: NDArray[np.int64]
    bias: NDArray[np.int64]
    scale: float
    caption_length: int

    @classmethod
    def from_model(cls, model: Any, *, caption_length: int, suffix_slots: int) -> CaptionReader:
        """Round the weights of a ``LogisticRegression`` on word counts, also in the model itself."""
        words = model.coef_.shape[1] // 2
        largest = np.repeat([caption_length, suffix_slots], words).astype(np.float64)
        weights, bias, step = on_grid(
            model.coef_.T, model.intercept_, largest, input_step=1.0, limit=FLOAT64_EXACT
        )
        model.coef_, model.intercept_ = weights.T * step, bias * step
        return cls(
            answers=model.classes_.astype(np.int64),
            caption_weights=weights[:words].astype(np.int64),
            suffix_weights=weights[words:].astype(np.int64),
            bias=bias.astype(np.int64),
            scale=step,
            caption_length=caption_length,
        )

    def scores(self, text: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return whole-number scores, one column for each of ``answers``."""
        total = np.tile(self.bias, (len(text), 1))
        for position, codes in enumerate(np.ascontiguousarray(text.T)):
            weights = self.caption_weights if position < self.caption_length else self.suffix_weights
            total += weights.take(codes, axis=0)
        return total

    def weight_of_words(self, signs: NDArray[np.float64], origin: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return what each word at each position adds to the mean of logits with these factors.

        Parameters
        ----------
        signs : (m, answers) float
        origin : (m, positions) int
            See `DifferentiableClassifier.sensitivity`.

        Returns
        -------
        weights : (positions, words) float
            NaN at positions that no row carries.
        """
        found = np.full((origin.shape[1], len(self.caption_weights)), np.nan)
        for position in range(len(found)):
            carried = (origin == position).any(axis=1)
            if carried.any():
                weights = self.caption_weights if position < self.caption_length else self.suffix_weights
                found[position] = weights @ (signs[carried].sum(axis=0) * self.scale / len(signs))
        return found

    def read(self, text: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number that each text names, or ``NONE``; shape (m,)."""
        named: NDArray[np.int64] = self.answers[self.scores(text).argmax(axis=1)]
        return named


class DigitsFilter:
    """Says "unsafe" when the caption names the digit that is shown; neither half suffices alone.

    Inputs are mappings of ``"text"`` (integer codes, (m, caption_length + suffix_slots), caption first) and
    ``"image"`` (grey levels in [0, 1], (m, PIXELS)). Noise and adversary reach the suffix slots and every
    pixel. The answer to a row depends on that row alone.

    Parameters
    ----------
    words : int
        Size of the vocabulary; codes are 0, ..., words - 1.
    caption_length, suffix_slots : int
        Positions of the caption, and slots behind it.
    seed : int
        Fixes the training.

    Examples
    --------
    >>> from hybridcert.datasets.digits_captions import VOCABULARY, load_digit_captions
    >>> train = load_digit_captions(seed=0).train
    >>> pairs = DigitsFilter(words=len(VOCABULARY), caption_length=12, suffix_slots=8, seed=0)
    >>> pairs = pairs.fit_encoded(pairs.encode(train.inputs), train.readings)
    """

    def __init__(self, *, words: int, caption_length: int, suffix_slots: int, seed: int) -> None:
        self.words = words
        self.caption_length = caption_length
        self.suffix_slots = suffix_slots
        self.seed = seed
        self.classes_ = np.array(["benign", "unsafe"])
        self.digit_reader: DigitReader | None = None
        self.caption_reader: CaptionReader | None = None

    def surfaces(self) -> dict[str, DiscreteSurface | ContinuousSurface]:
        """Tell what may be noised and attacked: the suffix slots of the text, and all pixels."""
        positions = self.caption_length + self.suffix_slots
        return {
            "text": DiscreteSurface(
                alphabet_sizes=(self.words,) * positions,
                eligible=tuple(range(self.caption_length, positions)),
                symbols="words in the slots behind the caption",
            ),
            "image": ContinuousSurface(
                features=PIXELS, eligible=tuple(range(PIXELS)), unit="pixel values in [0, 1]"
            ),
        }

    def encode(self, X: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
        """Check clean inputs and return them as int64 (m, positions) and float64 (m, PIXELS).

        Raises
        ------
        DataError
            If a modality is missing, or a shape, type or value is not as the class describes.
        """
        if not isinstance(X, Mapping) or set(X) != {"text", "image"}:
            got = sorted(map(str, X)) if isinstance(X, Mapping) else type(X).__name__
            raise DataError(f"input must be a mapping with the keys 'image' and 'text', got {got}")
        positions = self.caption_length + self.suffix_slots
        text = _checked(X["text"], name="text", width=positions, kinds="iu", highest=self.words - 1)
        image = _checked(X["image"], name="image", width=PIXELS, kinds="fiu", highest=1)
        if len(text) != len(image):
            raise DataError(f"text and image must have as many rows, got {len(text)} and {len(image)}")
        return {"text": text.astype(np.int64), "image": image.astype(np.float64)}

    def fit_encoded(self, batch: Mapping[str, NDArray[Any]], y: NDArray[np.void]) -> DigitsFilter:
        """Train both readers on encoded rows, noisy or clean. Augmentation is up to the caller.

        Parameters
        ----------
        batch : mapping of arrays
            Encoded rows; noise is welcome and makes the readers robust to it.
        y : structured array (m,)
            What each half says: the integer fields ``digit`` and ``named``, 0 to 9 or ``NONE``. The label
            alone would not tell the readers what to read.

        Raises
        ------
        DataError
            If ``y`` lacks a field or a row, or a field has fewer than three different values.
        """
        if y.dtype.names is None or not {"digit", "named"} <= set(y.dtype.names):
            raise DataError(f"y must have the fields 'digit' and 'named', got the type {y.dtype}")
        if len(y) != len(batch["text"]):
            raise DataError(f"y must have one record for each of {len(batch['text'])} rows, got {len(y)}")
        for field in ("digit", "named"):
            if (different := len(np.unique(y[field]))) < 3:
                raise DataError(f"y must hold at least 3 different values of {field!r}, got {different}")
        digit_model = train_digit_model(batch["image"], y["digit"], seed=self.seed)
        caption_model = train_caption_model(self.word_counts(batch["text"]), y["named"])
        self.digit_reader = DigitReader.from_model(digit_model)
        self.caption_reader = CaptionReader.from_model(
            caption_model, caption_length=self.caption_length, suffix_slots=self.suffix_slots
        )
        return self

    def predict_encoded(self, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
        """Return an index into ``classes_`` for each encoded row, noisy or clean; shape (m,)."""
        digit_reader, caption_reader = self._readers()
        text, image = batch["text"], batch["image"]
        unsafe = np.empty(len(text), dtype=np.int64)
        for start in range(0, len(text), CHUNK):
            rows = slice(start, start + CHUNK)
            shown = digit_reader.read(image[rows])
            named = caption_reader.read(text[rows])
            unsafe[rows] = (shown == named) & (named != NONE)
        return unsafe

    def margins(self, batch: Mapping[str, NDArray[Any]], label: int) -> NDArray[np.float64]:
        """Return how far each row is from losing a label, in logits, shape (m,).

        Never 0, and above 0 exactly where `predict_encoded` answers ``label``; see `digits_margins`.
        """
        parts = range(0, len(batch["text"]), CHUNK)
        rows = [{n: batch[n][start : start + CHUNK] for n in ("text", "image")} for start in parts]
        found = [self._agreement(part).margins for part in rows]
        return (1.0 if label == 1 else -1.0) * np.concatenate([np.empty(0), *found])

    def sensitivity(
        self, batch: Mapping[str, NDArray[Any]], label: int, origin: Mapping[str, NDArray[np.intp]]
    ) -> Sensitivity:
        """Return the derivatives of the mean margin; see `DifferentiableClassifier`."""
        digit_reader, caption_reader = self._readers()
        found = self._agreement(batch)
        sign = 1.0 if label == 1 else -1.0
        pixels = digit_reader.gradient(batch["image"], sign * found.digit_slopes).mean(axis=0)
        words = {}
        if "text" in origin:
            words["text"] = caption_reader.weight_of_words(sign * found.caption_slopes, origin["text"])
        return Sensitivity(sign * found.margins, {"image": pixels}, words)

    def _readers(self) -> tuple[DigitReader, CaptionReader]:
        if self.digit_reader is None or self.caption_reader is None:
            raise HybridCertError("the filter is not trained: call fit_encoded first")
        return self.digit_reader, self.caption_reader

    def _agreement(self, batch: Mapping[str, NDArray[Any]]) -> Agreement:
        """Return how close the readers are to reading the same digit."""
        digit, caption = self._readers()
        return Agreement.of(
            Leads.of(digit.scores(batch["image"]), digit.scale),
            Leads.of(caption.scores(batch["text"]), caption.scale),
            common(digit.answers, caption.answers, none=NONE),
        )

    def word_counts(self, text: NDArray[np.int64]) -> NDArray[np.float32]:
        """Count each word in the caption, then in the slots; shape (m, 2 * words)."""
        counts = np.zeros((len(text), 2 * self.words), dtype=np.float32)
        rows = np.arange(len(text))
        for position in range(text.shape[1]):
            counts[rows, text[:, position] + (position >= self.caption_length) * self.words] += 1
        return counts


def train_digit_model(image: NDArray[np.float64], digit: NDArray[np.int64], *, seed: int) -> Any:
    """Fit scikit-learn's ``MLPClassifier`` to pixels rounded and clipped as the reader does it."""
    from sklearn.neural_network import MLPClassifier  # here: workers that only predict need not load it

    pixels = pixel_codes(image) * np.float32(PIXEL_STEP)
    model = MLPClassifier(
        (HIDDEN_UNITS,),
        alpha=1e-3,
        batch_size=min(256, len(pixels)),
        learning_rate_init=2e-3,
        random_state=np.random.RandomState(seed),  # a stream: an integer would shuffle every epoch alike
    )
    for _ in range(min(MAX_EPOCHS, max(1, round(IMAGES_SHOWN / len(pixels))))):
        model.partial_fit(pixels, digit, classes=np.unique(digit))
    return model


def train_caption_model(counts: NDArray[np.float32], named: NDArray[np.int64]) -> Any:
    """Fit scikit-learn's ``LogisticRegression`` to word counts."""
    from sklearn.linear_model import LogisticRegression  # here: workers that only predict need not load it

    return LogisticRegression(max_iter=1000, tol=1e-3).fit(counts, named)


def _checked(values: ArrayLike, *, name: str, width: int, kinds: str, highest: int) -> NDArray[Any]:
    """Return the array if it is (m, width), of a type in ``kinds`` and within [0, highest]."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name} must have the shape (m, {width}), got rows of different lengths") from None
    if array.ndim != 2 or array.shape[1] != width:
        raise DataError(f"{name} must have the shape (m, {width}), got {array.shape}")
    if array.dtype.kind not in kinds:
        wanted = "numbers" if "f" in kinds else "integer codes"
        raise DataError(f"{name} must hold {wanted}, got {array.dtype}")
    broken = np.argwhere(~((array >= 0) & (array <= highest)))
    if len(broken):
        row, column = broken[0]
        raise DataError(
            f"{name} must lie in [0, {highest}], got {array[row, column]} in row {row}, column {column}"
        )
    return array
