"""The image-text filter of the demo, trained once on noisy copies of its training pairs."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from hybridcert.adapters.digits_filter import (
    NONE,
    PIXELS,
    CaptionReader,
    DigitReader,
    DigitsFilter,
    train_caption_model,
    train_digit_model,
)
from hybridcert.datasets.digits_captions import (
    CAPTION_LENGTH,
    NUMBER_WORDS,
    PAD,
    SUFFIX_SLOTS,
    TEXT_LENGTH,
    VOCABULARY,
    DigitCaptions,
    DigitCaptionSplits,
    decode,
    load_digit_captions,
    tokenize,
)
from hybridcert.errors import DataError, HybridCertError, ParameterError
from hybridcert.threats import ContinuousSurface, DiscreteSurface

Batch = dict[str, NDArray[Any]]
WORDS = len(VOCABULARY)
BETA, SIGMA, COPIES = 0.25, 0.25, 10


def new_filter() -> DigitsFilter:
    return DigitsFilter(words=WORDS, caption_length=CAPTION_LENGTH, suffix_slots=SUFFIX_SLOTS, seed=0)


def noisy(batch: Batch, *, copies: int, seed: int, sigma: float = SIGMA) -> Batch:
    """Each row ``copies`` times, with uniform replacement in the suffix slots and Gaussian pixel noise."""
    rng = np.random.default_rng(seed)
    text = np.repeat(batch["text"], copies, axis=0)
    image = np.repeat(batch["image"], copies, axis=0)
    slots = text[:, CAPTION_LENGTH:]
    other = (slots + rng.integers(1, WORDS, size=slots.shape)) % WORDS
    text[:, CAPTION_LENGTH:] = np.where(rng.random(slots.shape) < BETA, other, slots)
    return {"text": text, "image": image + sigma * rng.standard_normal(image.shape)}


@pytest.fixture(scope="module")
def splits() -> DigitCaptionSplits:
    return load_digit_captions(seed=0)


@pytest.fixture(scope="module")
def trained(splits: DigitCaptionSplits) -> DigitsFilter:
    pairs = new_filter()
    batch = noisy(pairs.encode(splits.train.inputs), copies=COPIES, seed=1)
    return pairs.fit_encoded(batch, np.repeat(splits.train.readings, COPIES))


@pytest.fixture(scope="module")
def held_out(splits: DigitCaptionSplits, trained: DigitsFilter) -> Batch:
    return trained.encode(splits.held_out.inputs)


def unsafe_rate(pairs: DigitsFilter, batch: Batch, *, copies: int = 20) -> NDArray[np.float64]:
    """Share of noisy copies called unsafe, one value an input."""
    answers = pairs.predict_encoded(noisy(batch, copies=copies, seed=2))
    return np.asarray(answers.reshape(-1, copies).mean(axis=1))


class TestData:
    def test_splits_share_no_image(self, splits: DigitCaptionSplits) -> None:
        seen = {row.tobytes() for row in splits.train.image}
        assert not any(row.tobytes() in seen for row in splits.held_out.image)
        assert len({row.tobytes() for row in splits.held_out.image}) == len(splits.held_out) == 500

    @pytest.mark.parametrize("split", ["train", "held_out"])
    def test_caption_says_what_the_record_says(self, splits: DigitCaptionSplits, split: str) -> None:
        pairs: DigitCaptions = getattr(splits, split)
        for text, digit, named, label in zip(pairs.text, pairs.digit, pairs.named, pairs.label, strict=True):
            said = {word for word in decode(text).split() if word in NUMBER_WORDS}
            assert said == ({NUMBER_WORDS[named]} if named != NONE else set())
            assert label == ("unsafe" if digit == named != NONE else "benign")
        assert (pairs.text[:, CAPTION_LENGTH:] == VOCABULARY.index(PAD)).all()
        assert pairs.image.min() == 0
        assert pairs.image.max() <= 1

    def test_kinds_have_the_promised_shares(self, splits: DigitCaptionSplits) -> None:
        kinds, counts = np.unique(splits.held_out.kind, return_counts=True)
        assert dict(zip(kinds, counts, strict=True)) == {"unsafe": 250, "other number": 125, "no number": 125}
        plain = splits.train.kind == "no digit"
        assert 0.05 < plain.mean() < 0.15
        assert (np.ptp(splits.train.image[plain], axis=1) == 0).all()
        assert (splits.train.digit[plain] == NONE).all()

    def test_number_stands_at_many_positions(self, splits: DigitCaptionSplits) -> None:
        is_number = np.isin(splits.train.text, [VOCABULARY.index(word) for word in NUMBER_WORDS])
        assert is_number.any(axis=0).sum() >= 6

    def test_seed_fixes_everything(self, splits: DigitCaptionSplits) -> None:
        again, other = load_digit_captions(seed=0), load_digit_captions(seed=1)
        np.testing.assert_array_equal(again.train.text, splits.train.text)
        np.testing.assert_array_equal(again.train.image, splits.train.image)
        assert not np.array_equal(other.held_out.image, splits.held_out.image)

    def test_arrays_are_read_only(self, splits: DigitCaptionSplits) -> None:
        with pytest.raises(ValueError, match="read-only"):
            splits.held_out.rows(slice(0, 3)).text[0, 0] = 1

    def test_tokens_decode_to_their_words(self) -> None:
        assert len(set(VOCABULARY)) == WORDS
        assert decode(tokenize("the digit seven")) == "the digit seven"
        assert decode(tokenize("the digit seven", suffix="red nine")) == "the digit seven | red nine"

    @pytest.mark.parametrize(
        ("caption", "suffix", "message"),
        [
            ("the digit sevn", "", "caption holds 'sevn', which is not in the vocabulary"),
            ("the " * 13, "", "caption must have at most 12 words, got 13"),
            ("", "nine " * 9, "suffix must have at most 8 words, got 9"),
        ],
    )
    def test_bad_captions(self, caption: str, suffix: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            tokenize(caption, suffix)

    def test_bad_number_of_captions(self) -> None:
        with pytest.raises(ParameterError, match="captions_per_image must be at least 1, got 0"):
            load_digit_captions(seed=0, captions_per_image=0)


class TestAccuracy:
    """Fixed seeds: these cannot fail by chance, only by a change of code or of a library."""

    def test_clean_and_noisy(
        self, splits: DigitCaptionSplits, trained: DigitsFilter, held_out: Batch
    ) -> None:
        unsafe = splits.held_out.label == "unsafe"
        assert (trained.predict_encoded(held_out) == unsafe).mean() > 0.98
        rate = unsafe_rate(trained, held_out)
        kind = splits.held_out.kind
        assert np.where(unsafe, rate, 1 - rate).mean() > 0.96
        assert rate[kind == "unsafe"].mean() > 0.93
        assert rate[kind == "other number"].mean() < 0.02
        assert rate[kind == "no number"].mean() < 0.002
        assert ((rate > 0.5) == unsafe).mean() > 0.98

    @pytest.mark.parametrize("image", ["grey", "black", "shuffled pixels"])
    def test_caption_alone_is_benign(
        self, splits: DigitCaptionSplits, trained: DigitsFilter, held_out: Batch, image: str
    ) -> None:
        unsafe = splits.held_out.label == "unsafe"
        without = {
            "grey": np.full((250, PIXELS), 0.5),
            "black": np.zeros((250, PIXELS)),
            "shuffled pixels": np.random.default_rng(3).permuted(held_out["image"][unsafe], axis=1),
        }[image]
        batch = {"text": held_out["text"][unsafe], "image": without}
        assert trained.predict_encoded(batch).mean() < 0.01
        assert unsafe_rate(trained, batch).mean() < 0.02

    def test_another_image_is_benign_but_for_chance(
        self, splits: DigitCaptionSplits, trained: DigitsFilter, held_out: Batch
    ) -> None:
        unsafe = splits.held_out.label == "unsafe"
        shuffle = np.random.default_rng(4).permutation(250)
        batch = {"text": held_out["text"][unsafe], "image": held_out["image"][unsafe][shuffle]}
        digit = splits.held_out.digit[unsafe]
        assert abs(trained.predict_encoded(batch).mean() - (digit == digit[shuffle]).mean()) < 0.02

    def test_image_alone_is_benign(
        self, splits: DigitCaptionSplits, trained: DigitsFilter, held_out: Batch
    ) -> None:
        unsafe = splits.held_out.label == "unsafe"
        text = held_out["text"][unsafe].copy()
        text[np.isin(text, [VOCABULARY.index(word) for word in NUMBER_WORDS])] = VOCABULARY.index(PAD)
        batch = {"text": text, "image": held_out["image"][unsafe]}
        assert not trained.predict_encoded(batch).any()
        assert unsafe_rate(trained, batch).mean() < 0.002

    @pytest.mark.parametrize("word", NUMBER_WORDS)
    def test_number_words_in_the_suffix_are_not_read(
        self, trained: DigitsFilter, held_out: Batch, word: str
    ) -> None:
        text = held_out["text"].copy()
        text[:, CAPTION_LENGTH:] = VOCABULARY.index(word)
        np.testing.assert_array_equal(
            trained.predict_encoded({**held_out, "text": text}), trained.predict_encoded(held_out)
        )


class TestRowIndependence:
    @pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 33, 1000, 2047])
    def test_batch_size_changes_no_bit(self, trained: DigitsFilter, held_out: Batch, size: int) -> None:
        batch = noisy(held_out, copies=5, seed=5)
        digit, caption = trained.digit_reader, trained.caption_reader
        assert digit is not None
        assert caption is not None
        whole = digit.scores(batch["image"]), caption.scores(batch["text"]), trained.predict_encoded(batch)
        for start in range(0, min(2500, 40 * size), size):
            rows = slice(start, start + size)
            part = {name: array[rows] for name, array in batch.items()}
            np.testing.assert_array_equal(digit.scores(part["image"]), whole[0][rows])
            np.testing.assert_array_equal(caption.scores(part["text"]), whole[1][rows])
            np.testing.assert_array_equal(trained.predict_encoded(part), whole[2][rows])

    def test_position_and_memory_layout_change_no_answer(
        self, trained: DigitsFilter, held_out: Batch
    ) -> None:
        batch = noisy(held_out, copies=5, seed=6)
        answers = trained.predict_encoded(batch)
        order = np.random.default_rng(7).permutation(2500)
        moved = {name: np.asfortranarray(array[order]) for name, array in batch.items()}
        np.testing.assert_array_equal(trained.predict_encoded(moved), answers[order])
        strided = {name: array[::2] for name, array in batch.items()}
        np.testing.assert_array_equal(trained.predict_encoded(strided), answers[::2])

    def test_scores_are_exact(self, trained: DigitsFilter, held_out: Batch) -> None:
        """The same network in integers of unlimited size; pixels far outside [0, 1] reach the worst case."""
        reader = trained.digit_reader
        assert reader is not None
        image = noisy(held_out, copies=1, seed=8, sigma=10.0)["image"][:40]
        pixels = np.array(
            [[int(v) for v in row] for row in np.rint(image * 64).clip(-128, 192)], dtype=object
        )
        hidden = pixels @ reader.weights_hidden.astype(int).astype(object) + reader.bias_hidden.astype(int)
        exact = np.maximum(hidden, 0) @ reader.weights_out.astype(int).astype(object)
        exact = exact + reader.bias_out.astype(int)
        np.testing.assert_array_equal(reader.scores(image), exact.astype(np.float64))

    def test_survives_pickling(self, trained: DigitsFilter, held_out: Batch) -> None:
        batch = noisy(held_out, copies=2, seed=9)
        copy = pickle.loads(pickle.dumps(trained))
        np.testing.assert_array_equal(copy.predict_encoded(batch), trained.predict_encoded(batch))


class TestAgreementWithScikitLearn:
    """Models trained on clean pairs, for speed; compared on noisy ones."""

    def test_digit_reader(self, splits: DigitCaptionSplits, held_out: Batch) -> None:
        train = splits.train.rows(slice(0, 1000))
        model = train_digit_model(train.image, train.digit, seed=0)
        image = noisy(held_out, copies=4, seed=10)["image"]
        pixels = np.rint(image * 64).clip(-128, 192) / 64
        before = model.predict_proba(pixels)
        reader = DigitReader.from_model(model)
        after = model.predict_proba(pixels)
        np.testing.assert_allclose(softmax(reader.scores(image) * reader.scale, axis=1), after, atol=1e-12)
        np.testing.assert_array_equal(reader.read(image), model.predict(pixels))
        np.testing.assert_allclose(after, before, atol=0.02)

    def test_caption_reader(self, splits: DigitCaptionSplits, held_out: Batch) -> None:
        counts = new_filter().word_counts(splits.train.text)
        model = train_caption_model(counts, splits.train.named)
        text = noisy(held_out, copies=4, seed=11)["text"]
        before = model.predict_proba(new_filter().word_counts(text))
        reader = CaptionReader.from_model(
            model, caption_length=CAPTION_LENGTH, suffix_slots=TEXT_LENGTH - CAPTION_LENGTH
        )
        after = model.predict_proba(new_filter().word_counts(text))
        np.testing.assert_allclose(softmax(reader.scores(text) * reader.scale, axis=1), after, atol=1e-12)
        np.testing.assert_array_equal(reader.read(text), model.predict(new_filter().word_counts(text)))
        np.testing.assert_allclose(after, before, atol=1e-4)


class TestSeam:
    def test_surfaces(self) -> None:
        assert new_filter().surfaces() == {
            "text": DiscreteSurface(
                alphabet_sizes=(WORDS,) * 20,
                eligible=tuple(range(12, 20)),
                symbols="words in the slots behind the caption",
            ),
            "image": ContinuousSurface(features=64, eligible=tuple(range(64)), unit="pixel values in [0, 1]"),
        }

    def test_training_is_reproducible(self, splits: DigitCaptionSplits) -> None:
        some = splits.train.rows(slice(0, 300))
        first, second = (new_filter().fit_encoded(dict(some.inputs), some.readings) for _ in range(2))
        assert first.digit_reader is not None
        assert second.digit_reader is not None
        np.testing.assert_array_equal(first.digit_reader.weights_out, second.digit_reader.weights_out)

    def test_encode_returns_the_declared_types(self, splits: DigitCaptionSplits) -> None:
        some = splits.held_out.rows(slice(0, 2))
        batch = new_filter().encode({"text": some.text.astype(np.uint8), "image": some.image.tolist()})
        assert batch["text"].dtype == np.int64
        assert batch["image"].dtype == np.float64
        np.testing.assert_array_equal(batch["image"], some.image)

    def test_no_rows_is_no_error(self, trained: DigitsFilter) -> None:
        empty = {"text": np.empty((0, TEXT_LENGTH), dtype=np.int64), "image": np.empty((0, PIXELS))}
        assert trained.predict_encoded(trained.encode(empty)).shape == (0,)

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("text", np.full((2, 20), WORDS), r"text must lie in \[0, 58\], got 59 in row 0, column 0"),
            ("text", np.full((2, 20), -1), r"text must lie in \[0, 58\], got -1 in row 0, column 0"),
            ("text", np.zeros((2, 20)), "text must hold integer codes, got float64"),
            ("text", np.zeros((2, 19), dtype=int), r"text must have the shape \(m, 20\), got \(2, 19\)"),
            ("text", [[1, 2], [3]], r"text must have the shape \(m, 20\), got rows of different lengths"),
            ("text", np.zeros((3, 20), dtype=int), "text and image must have as many rows, got 3 and 2"),
            ("image", np.full((2, 64), np.nan), r"image must lie in \[0, 1\], got nan in row 0, column 0"),
            ("image", np.full((2, 64), 1.5), r"image must lie in \[0, 1\], got 1.5 in row 0, column 0"),
            ("image", np.full((2, 64), "x"), "image must hold numbers, got <U1"),
            ("image", np.zeros((2, 8, 8)), r"image must have the shape \(m, 64\), got \(2, 8, 8\)"),
        ],
    )
    def test_bad_inputs(self, name: str, value: Any, message: str) -> None:
        good = {"text": np.zeros((2, TEXT_LENGTH), dtype=np.int64), "image": np.zeros((2, PIXELS))}
        with pytest.raises(DataError, match=message):
            new_filter().encode({**good, name: value})

    def test_missing_modality(self) -> None:
        with pytest.raises(DataError, match=r"keys 'image' and 'text', got \['image'\]"):
            new_filter().encode({"image": np.zeros((2, PIXELS))})

    def test_targets_must_say_what_each_half_says(self, splits: DigitCaptionSplits) -> None:
        some = splits.train.rows(slice(0, 50))
        batch: Batch = dict(some.inputs)
        with pytest.raises(DataError, match="y must have the fields 'digit' and 'named', got the type <U6"):
            new_filter().fit_encoded(batch, some.label)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="one record for each of 50 rows, got 49"):
            new_filter().fit_encoded(batch, some.readings[1:])
        alike = some.readings
        alike["digit"] = 3
        with pytest.raises(DataError, match="at least 3 different values of 'digit', got 1"):
            new_filter().fit_encoded(batch, alike)

    def test_untrained(self, splits: DigitCaptionSplits) -> None:
        with pytest.raises(HybridCertError, match="not trained: call fit_encoded first"):
            new_filter().predict_encoded(dict(splits.held_out.inputs))
