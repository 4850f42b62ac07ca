"""Handwritten digits with captions: pairs that are unsafe only together.

The images are the real 8x8 digits that ship with scikit-learn, scaled to [0, 1]. The captions come from a
small grammar that may name a number. A pair is "unsafe" when its caption names the digit its image shows, and
"benign" otherwise: a toy of image-text content in which neither half is harmful alone. Captions that name a
number are drawn alike for unsafe and benign pairs.

A text is ``CAPTION_LENGTH`` caption positions, filled from the left, then ``SUFFIX_SLOTS`` slots that are
padding when clean. The slots are the region that noise and adversary may write to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from hybridcert.errors import DataError, ParameterError

PAD = "<pad>"
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CAPTION_LENGTH = 12
SUFFIX_SLOTS = 8
TEXT_LENGTH = CAPTION_LENGTH + SUFFIX_SLOTS
PIXELS = 64
NONE = -1
"""Stands for "no digit shown" and "no number named"."""

HELD_OUT_IMAGES = 500
BLANK_SHARE = 0.1

_TEMPLATES = (
    "{number}",
    "the digit {number}",
    "a {look} {number}",
    "this is the number {number}",
    "{number} written by hand on {surface}",
    "someone wrote the number {number} on {surface}",
    "the {surface} here shows a {look} {number}",
    "it says {number} and only {number}",
    "please read this {look} {number} in the image",
    "a picture of the {look} digit {number} in {colour} ink",
    "my child wrote {number} with a {look} pencil and {number} again",
    "you can see the {number} here it is a {look} {number}",
)
_LOOKS = ("small", "big", "clear", "faint", "thin", "round")
_SURFACES = ("paper", "card", "wood", "stone")
_COLOURS = ("grey", "blue", "red", "black")
_NO_NUMBER = ("something", "")
_FILLERS = sorted(
    {word for template in _TEMPLATES for word in template.split() if not word.startswith("{")}
    | {*_LOOKS, *_SURFACES, *_COLOURS, _NO_NUMBER[0]}
)

VOCABULARY = (PAD, *NUMBER_WORDS, *_FILLERS)
_CODES = {word: code for code, word in enumerate(VOCABULARY)}


@dataclass(frozen=True, slots=True, eq=False)
class DigitCaptions:
    """Image-text pairs and what each half says.

    Parameters
    ----------
    text : int64 array (m, TEXT_LENGTH)
        Codes into ``VOCABULARY``.
    image : float64 array (m, PIXELS)
        Grey levels in [0, 1].
    digit : int64 array (m,)
        The digit shown, or ``NONE`` for a plain grey image.
    named : int64 array (m,)
        The number that the caption names, or ``NONE``.
    """

    text: NDArray[np.int64]
    image: NDArray[np.float64]
    digit: NDArray[np.int64]
    named: NDArray[np.int64]

    def __post_init__(self) -> None:
        for array in (self.text, self.image, self.digit, self.named):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.text)

    @property
    def inputs(self) -> dict[str, NDArray[np.int64] | NDArray[np.float64]]:
        """The pairs as a classifier takes them: ``{"text": ..., "image": ...}``."""
        return {"text": self.text, "image": self.image}

    @property
    def label(self) -> NDArray[np.str_]:
        """``"unsafe"`` where the caption names the digit shown, else ``"benign"``; shape (m,)."""
        return np.where((self.digit == self.named) & (self.named != NONE), "unsafe", "benign")

    @property
    def kind(self) -> NDArray[np.str_]:
        """``"unsafe"``, or why benign: ``"other number"``, ``"no number"`` or ``"no digit"``; shape (m,)."""
        reasons = [self.digit == NONE, self.named == NONE]
        benign = np.select(reasons, ["no digit", "no number"], "other number")
        return np.where(self.label == "unsafe", self.label, benign)

    @property
    def readings(self) -> NDArray[np.void]:
        """What each half says, one record ``(digit, named)`` a pair: the target of training; shape (m,)."""
        records = np.empty(len(self), dtype=[("digit", np.int64), ("named", np.int64)])
        records["digit"], records["named"] = self.digit, self.named
        return records

    def rows(self, index: slice | Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> DigitCaptions:
        """Return the pairs at ``index``, in that order."""
        return DigitCaptions(self.text[index], self.image[index], self.digit[index], self.named[index])


@dataclass(frozen=True, slots=True)
class DigitCaptionSplits:
    """Pairs to train on and pairs to certify; no image is in both."""

    train: DigitCaptions
    held_out: DigitCaptions


def load_digit_captions(*, seed: int, captions_per_image: int = 4) -> DigitCaptionSplits:
    """Pair the digits of scikit-learn with captions.

    Half of the pairs are unsafe, a quarter names another number, a quarter names none. Of the training images
    about a share ``BLANK_SHARE`` is then replaced by plain grey, so that a reader learns to see no digit.
    The held-out pairs (one for each of ``HELD_OUT_IMAGES`` images) all show a digit, in random order, so that
    any leading slice is a fair sample.

    The images are split at random: the writers of held-out digits also wrote training digits.

    Parameters
    ----------
    seed : int
        Fixes the split and every caption.
    captions_per_image : int
        Captions for each training image, at least 1.

    Raises
    ------
    ParameterError
        If ``captions_per_image`` is less than 1.

    Examples
    --------
    >>> splits = load_digit_captions(seed=0)
    >>> len(splits.train), len(splits.held_out)
    (5188, 500)
    """
    if captions_per_image < 1:
        raise ParameterError(f"captions_per_image must be at least 1, got {captions_per_image}")
    rng = np.random.default_rng(seed)
    levels, digits = load_digits(return_X_y=True)
    train, held_out = train_test_split(
        np.arange(len(digits)),
        test_size=HELD_OUT_IMAGES,
        stratify=digits,
        random_state=int(rng.integers(2**31)),
    )
    image, digit = levels / 16.0, digits.astype(np.int64)
    shown = rng.permutation(np.repeat(train, captions_per_image))
    pairs = _with_captions(image[shown], digit[shown], rng)
    return DigitCaptionSplits(
        train=_with_blanks(pairs, rng), held_out=_with_captions(image[held_out], digit[held_out], rng)
    )


def tokenize(caption: str, suffix: str = "") -> NDArray[np.int64]:
    """Encode a caption and what stands in the suffix slots; shape (TEXT_LENGTH,).

    Raises
    ------
    DataError
        If a word is not in ``VOCABULARY`` or there are more words than positions.
    """
    codes = np.full(TEXT_LENGTH, _CODES[PAD], dtype=np.int64)
    for part, words, start, room in (
        ("caption", caption.split(), 0, CAPTION_LENGTH),
        ("suffix", suffix.split(), CAPTION_LENGTH, SUFFIX_SLOTS),
    ):
        if len(words) > room:
            raise DataError(f"{part} must have at most {room} words, got {len(words)}")
        for position, word in enumerate(words, start):
            if word not in _CODES:
                raise DataError(f"{part} holds {word!r}, which is not in the vocabulary")
            codes[position] = _CODES[word]
    return codes


def decode(tokens: Sequence[int] | NDArray[np.int64]) -> str:
    """Write out one text without its padding; what stands in the suffix slots follows a bar.

    Examples
    --------
    >>> decode(tokenize("the digit seven", suffix="red nine"))
    'the digit seven | red nine'
    """
    words = [VOCABULARY[int(code)] for code in tokens]
    caption = " ".join(word for word in words[:CAPTION_LENGTH] if word != PAD)
    suffix = " ".join(word for word in words[CAPTION_LENGTH:] if word != PAD)
    return f"{caption} | {suffix}" if suffix else caption


def _with_captions(
    image: NDArray[np.float64], digit: NDArray[np.int64], rng: np.random.Generator
) -> DigitCaptions:
    """Caption every image: half name the digit shown, a quarter another number, a quarter none."""
    quarter = rng.permutation(np.arange(len(digit)) % 4)
    other = (digit + rng.integers(1, 10, size=len(digit))) % 10
    named = np.select([quarter < 2, quarter == 2], [digit, other], NONE)
    text = np.stack([tokenize(_caption(int(number), rng)) for number in named])
    return DigitCaptions(text, image, digit, named)


def _with_blanks(pairs: DigitCaptions, rng: np.random.Generator) -> DigitCaptions:
    """Replace a share of the images by one grey level each."""
    blank = rng.random(len(pairs)) < BLANK_SHARE
    level = rng.random((len(pairs), 1))
    image = np.where(blank[:, None], level, pairs.image)
    return DigitCaptions(pairs.text, image, np.where(blank, NONE, pairs.digit), pairs.named)


def _caption(number: int, rng: np.random.Generator) -> str:
    """Draw a caption that names ``number``, or none."""
    word = NUMBER_WORDS[number] if number != NONE else str(rng.choice(_NO_NUMBER))
    return str(rng.choice(_TEMPLATES)).format(
        number=word,
        look=rng.choice(_LOOKS),
        surface=rng.choice(_SURFACES),
        colour=rng.choice(_COLOURS),
    )
