"""Pairs of prompt and image as arrays: canvases, regions, alphabets of words."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("PIL", reason="needs the extra vlm or endpoint")

from PIL import Image

import hybridcert as hc
from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import (
    ImageTextInputs,
    SuffixSlots,
    WholePrompt,
    as_bytes,
    as_text,
)
from hybridcert.adapters.word_alphabet import WordAlphabet
from hybridcert.sampling.model_digest import model_digest
from hybridcert.sampling.noise import SmoothingNoise


def test_images_of_every_kind_come_out_alike(tmp_path):
    levels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    expected = levels.transpose(2, 0, 1).ravel() / 255
    path = tmp_path / "image.png"
    Image.fromarray(levels).save(path)
    canvas = Canvas(4, 4)
    for image in (path, str(path), Image.fromarray(levels), levels, levels / 255.0):
        assert np.array_equal(canvas.read(image, name="x"), expected)
    assert canvas.features == 48
    assert canvas.planes(expected[None]).shape == (1, 3, 4, 4)


def test_floats_that_fit_are_taken_as_they_are():
    values = np.random.default_rng(0).random((4, 5))
    assert np.array_equal(Canvas(4, 5, 1).read(values, name="x"), values.ravel())


def test_images_are_brought_to_the_canvas(shared):
    nlvr = next((shared / "data" / "nlvr" / "images").iterdir())
    read = Canvas(50, 200).read(nlvr, name="x")
    with Image.open(nlvr) as picture:
        assert picture.mode == "RGBA"
        flat = Image.new("RGBA", picture.size, "white")
        flat.alpha_composite(picture)
        expected = np.asarray(flat.convert("RGB").resize((200, 50), Image.Resampling.BICUBIC))
    assert np.array_equal(read, expected.transpose(2, 0, 1).ravel() / 255)


def test_colours_become_grey_and_transparency_white():
    picture = Image.new("RGBA", (2, 1))
    picture.putpixel((1, 0), (255, 0, 0, 255))
    assert Canvas(1, 2, 1).read(picture, name="x").tolist() == [1.0, 76 / 255]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_sixteen_bit_become_eight_without_saturating(mode, tmp_path):
    values = np.array([[0, 128, 129, 257], [1000, 32768, 65406, 65535]])
    kinds = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}
    picture = Image.frombytes(mode, (4, 2), values.astype(kinds[mode]).tobytes())
    expected = np.array([0, 0, 1, 1, 4, 128, 254, 255]) / 255  # 128 / 257 is just below one half
    assert np.array_equal(Canvas(2, 4, 1).read(picture, name="x"), expected)
    assert np.array_equal(Canvas(2, 4, 3).read(picture, name="x"), np.tile(expected, 3))
    Image.fromarray(values.astype("<u2")).save(tmp_path / "image.png", transparency=1000)
    expected[4] = 1.0  # transparent
    assert np.array_equal(Canvas(2, 4, 1).read(tmp_path / "image.png", name="x"), expected)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.new("F", (2, 2), 0.5), r"got floats \(mode F\) of unknown range: pass an array"),
        (Image.new("I", (2, 2), 65536), r"\(mode I\) must hold values in \[0, 65535\], got 65536: scale"),
        (Image.new("I", (2, 2), -1), r"must hold values in \[0, 65535\], got -1: scale"),
        (Image.new("LAB", (2, 2)), r"got mode LAB, which cannot be converted to L$"),
    ],
)
def test_pictures_without_a_scale_are_refused(picture, message):
    with pytest.raises(hc.DataError, match=f"^row 3: an image .*{message}") as error:
        Canvas(2, 2, 1).read(picture, name="row 3")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((0, 4), "height must be an integer >= 1, got 0"),
        ((4, 4, 2), r"channels must be 1 \(grey\) or 3 \(RGB\), got 2"),
    ],
)
def test_canvases_out_of_range_are_refused(options, message):
    with pytest.raises(hc.ParameterError, match=message):
        Canvas(*options)


def test_slots_are_filled_from_the_left_and_prompts_stay_as_they_are():
    inputs = ImageTextInputs(SuffixSlots(3), WordAlphabet(["a", "b"]), Canvas(1, 1, 1))
    X = {"text": ["Grüße, 你好!", ""], "image": [np.zeros((1, 1)), np.ones((1, 1))], "suffix": ["b a", ""]}
    arrays = inputs.encode(X)
    assert arrays["suffix"].tolist() == [[1, 0, 2], [2, 2, 2]]
    assert [as_text(row) for row in arrays["prompt"]] == X["text"]
    assert arrays["image"].tolist() == [[0.0], [1.0]]
    surface = inputs.surfaces()["suffix"]
    assert surface.alphabet_sizes == (3, 3, 3)
    assert surface.symbols == "words, split at white space, in the slots behind the prompt"
    without = inputs.encode({name: X[name] for name in ("text", "image")})
    assert without["suffix"].tolist() == [[2, 2, 2]] * 2


def test_whole_prompts_are_sequences_of_their_own_lengths():
    inputs = ImageTextInputs(WholePrompt(4), WordAlphabet(["a", "b"]), None)
    table = pd.DataFrame({"text": ["a b b", "", "b"]}, index=["x", "y", "z"])
    assert inputs.encode(table)["text"].tolist() == [[0, 1, 1], [-1, -1, -1], [1, -1, -1]]
    with pytest.raises(hc.DataError, match=r"^row 'y': text must have at most 4 symbols .*, got 5$"):
        inputs.encode(pd.DataFrame({"text": ["a", "a a a a a"]}, index=["x", "y"]))


def test_texts_survive_as_bytes():
    texts = ["", "plain", "é\n\t", "\ud800 alone"]
    assert [as_text(row) for row in as_bytes(texts)] == texts


def test_replacement_needs_a_declared_alphabet():
    open_words = ImageTextInputs(WholePrompt(4), WordAlphabet(), None)
    listed = ImageTextInputs(WholePrompt(4), WordAlphabet(["a", "b"]), None)
    for kernel in (hc.RandomDeletion(0.5), hc.UniformReplacement(0.5)):
        SmoothingNoise({"text": kernel}, listed.surfaces())
    SmoothingNoise({"text": hc.RandomDeletion(0.5)}, open_words.surfaces())
    with pytest.raises(hc.ParameterError, match="needs a declared alphabet"):
        SmoothingNoise({"text": hc.UniformReplacement(0.5)}, open_words.surfaces())
    with pytest.raises(hc.ParameterError, match="needs a classifier with a mask symbol"):
        SmoothingNoise({"text": hc.Absorbing(0.5)}, listed.surfaces())


def test_words_are_spelled_without_slots_that_are_empty():
    words = WordAlphabet(["a", "b"], mask="[M]")
    assert words.spell([0, words.blank, 1, words.size, -1]) == "a b [M]"
    with pytest.raises(hc.DataError, match="token 'c' is not in the vocabulary"):
        words.encode("a c")
    with pytest.raises(hc.ParameterError, match="mask needs a list of words"):
        WordAlphabet(mask="[M]")


@pytest.mark.parametrize("word", ["", " ", "two words", "tail\t", "\u3000"])
def test_words_that_no_text_holds_are_refused(word):
    with pytest.raises(hc.ParameterError, match="must not be empty or hold white space") as error:
        WordAlphabet(["a", word])
    assert repr(word) in str(error.value)


def test_what_was_read_before_makes_no_other_model():
    fresh, used = WordAlphabet(), WordAlphabet()
    used.encode("some words")
    assert model_digest(fresh) == model_digest(used)
    assert model_digest(WordAlphabet(["a"])) != model_digest(WordAlphabet(["b"]))


def test_a_moved_checkpoint_is_the_same_model(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra vlm")
    from hybridcert.adapters.vlm.classifier import VisionLanguageClassifier
    from hybridcert.checkpoints import tiny_guard

    moved = tmp_path / "moved"
    shutil.copytree(tiny_guard(), moved)
    options = {"region": SuffixSlots(2), "canvas": Canvas(8, 8, 1)}
    here, there = (VisionLanguageClassifier(folder, **options) for folder in (tiny_guard(), moved))
    assert model_digest(here) == model_digest(there)
    there.encode({"text": ["seven"], "image": [np.zeros((8, 8))]})
    there.load()
    assert model_digest(here) == model_digest(there)
    assert model_digest(here) != model_digest(VisionLanguageClassifier(moved, **options, decision="text"))


def test_columns_are_named_where_they_are_missing():
    inputs = ImageTextInputs(WholePrompt(4), WordAlphabet(), Canvas(1, 1, 1))
    with pytest.raises(hc.DataError, match=r"^pairs lack 'image': columns must be image, text$"):
        inputs.encode({"text": ["a"]})
    with pytest.raises(
        hc.DataError, match=r"^pairs must be a mapping or table with image and text, got list$"
    ):
        inputs.encode(["a"])
