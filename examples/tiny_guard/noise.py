"""The noise that the guard learns to live with: on words, on suffix slots and on pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from guard import MASK, WORDS
from numpy.typing import NDArray
from prompts import Ids

from hybridcert.datasets.digits_captions import NUMBER_WORDS, PAD, VOCABULARY

INSERTED = 8
"""At most so many words are inserted into a caption."""
MOST_DELETED = 0.85
SIGMA, MOST_SIGMA = 0.25, 0.5


@dataclass(frozen=True, slots=True)
class Alphabets:
    """The token ids that noise draws from.

    Parameters
    ----------
    numbers : int64 array (10,)
        The number words, by digit.
    captions : int64 array
        ``VOCABULARY``: padding and the words of captions.
    words : int64 array
        All words that the guard knows: those of captions, of its policy, and its verdicts.
    pad, mask : int
        The two tokens with a meaning of their own.
    """

    numbers: Ids
    captions: Ids
    words: Ids
    pad: int
    mask: int


def alphabets(tokenizer: Any) -> Alphabets:
    """Look the words up in a tokenizer."""

    def ids(words: tuple[str, ...]) -> Ids:
        return np.array(tokenizer.convert_tokens_to_ids(list(words)))

    pad, mask = ids((PAD, MASK))
    return Alphabets(ids(NUMBER_WORDS), ids(VOCABULARY), ids(WORDS), int(pad), int(mask))


def noisy_texts(text: Ids, suffix: Ids, known: Alphabets, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Draw one disturbed copy of every text; each kind of noise strikes some texts and passes others by.

    Parameters
    ----------
    text, suffix : int64 arrays (m, CAPTION_LENGTH) and (m, SUFFIX_SLOTS)
        Token ids, with padding.

    Returns
    -------
    tuple of int64 arrays (m, CAPTION_LENGTH + INSERTED) and (m, SUFFIX_SLOTS)
        Padding stands anywhere in them: it gives no token.
    """
    rows = len(text)
    text = np.where(rng.random((rows, 1)) < 0.04, known.pad, text)
    text = _inserted(text, known, rng)
    suffix = _replaced(suffix, known, rng)
    text, suffix = _masked(text, suffix, known, rng)
    rate = _struck(rows, 0.4, rng) * rng.uniform(0, MOST_DELETED, (rows, 1))
    text = np.where(rng.random(text.shape) < rate, known.pad, text)
    return text, np.where(rng.random(suffix.shape) < rate, known.pad, suffix)


def unsafe(text: Ids, digit: Ids, known: Alphabets) -> NDArray[np.bool_]:
    """Apply the rule: the text (not the slots) still names the digit shown; shape (m,)."""
    named = np.where(digit >= 0, known.numbers[digit], -1)
    return (text == named[:, None]).any(axis=1)


def noisy_pixels(grey: torch.Tensor, source: torch.Generator) -> torch.Tensor:
    """Add Gaussian noise: none, at ``SIGMA``, or at any level up to ``MOST_SIGMA``; shape (m, 64)."""
    kind = torch.rand(len(grey), 1, generator=source)
    level = MOST_SIGMA * torch.rand(len(grey), 1, generator=source)
    sigma = torch.where(kind < 0.15, 0.0, torch.where(kind < 0.6, SIGMA, level))
    return grey + sigma * torch.randn(grey.shape, generator=source)


def jittered(grey: torch.Tensor, source: torch.Generator, spread: float = 0.1) -> torch.Tensor:
    """Move, turn and stretch 8x8 images a little; shape (m, 64)."""
    rows = len(grey)
    frame = torch.eye(2, 3) + spread * torch.randn(rows, 2, 3, generator=source) * torch.tensor(
        [0.5, 0.5, 1.0]
    )
    grid = torch.nn.functional.affine_grid(frame, [rows, 1, 8, 8], align_corners=False)
    moved = torch.nn.functional.grid_sample(grey.reshape(rows, 1, 8, 8), grid, align_corners=False)
    return moved.reshape(rows, 64)


def _struck(rows: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    return rng.random((rows, 1)) < share


def _drawn(shape: tuple[int, int], known: Alphabets, rng: np.random.Generator) -> Ids:
    """Draw words of captions for most texts, any words for some, and numbers for the rest."""
    kind = rng.random((shape[0], 1))
    drawn = np.where(kind < 0.7, rng.choice(known.captions, shape), rng.choice(known.words, shape))
    return np.where(kind > 0.9, rng.choice(known.numbers, shape), drawn)


def _inserted(text: Ids, known: Alphabets, rng: np.random.Generator) -> Ids:
    """Put up to ``INSERTED`` random words anywhere among the words of some texts."""
    rows, length = text.shape
    words = (text != known.pad).sum(axis=1, keepdims=True)
    count = _struck(rows, 0.25, rng) * rng.integers(1, INSERTED + 1, (rows, 1))
    added = _drawn((rows, INSERTED), known, rng)
    added = np.where(np.arange(INSERTED) < count, added, known.pad)
    place = np.concatenate(
        [np.broadcast_to(np.arange(length), (rows, length)), rng.uniform(-1, words, (rows, INSERTED))], axis=1
    )
    return np.take_along_axis(np.concatenate([text, added], axis=1), np.argsort(place, axis=1), axis=1)


def _replaced(suffix: Ids, known: Alphabets, rng: np.random.Generator) -> Ids:
    """Replace slots at rates between 0 and 1."""
    rows = len(suffix)
    rate = rng.choice([0.0, 0.25, 0.75, 1.0, -1.0], (rows, 1), p=[0.2, 0.15, 0.35, 0.1, 0.2])
    rate = np.where(rate < 0, rng.random((rows, 1)), rate)
    return np.where(rng.random(suffix.shape) < rate, _drawn(suffix.shape, known, rng), suffix)


def _masked(text: Ids, suffix: Ids, known: Alphabets, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Mask words and slots of some texts; an empty slot can be masked, an empty place in a caption cannot."""
    rows = len(text)
    rate = _struck(rows, 0.12, rng) * rng.random((rows, 1))
    in_text = (rng.random(text.shape) < rate) & _struck(rows, 0.5, rng) & (text != known.pad)
    return np.where(in_text, known.mask, text), np.where(rng.random(suffix.shape) < rate, known.mask, suffix)
