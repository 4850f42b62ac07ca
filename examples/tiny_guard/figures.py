"""How good a guard is on held-out pairs, clean and under noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from forward import image_tokens, logits
from guard import VERDICTS
from noise import alphabets
from numpy.typing import NDArray
from prompts import Prompts

from hybridcert.datasets.digits_captions import (
    CAPTION_LENGTH,
    NONE,
    NUMBER_WORDS,
    PAD,
    SUFFIX_SLOTS,
    VOCABULARY,
    DigitCaptions,
)

Array = NDArray[np.float64]
PAD_CODE = VOCABULARY.index(PAD)
NUMBER_CODES = np.array([VOCABULARY.index(word) for word in NUMBER_WORDS])
GREY = 0.5
"""Every pixel of "no image"."""


class Judge:
    """Judges noisy copies of pairs.

    Parameters
    ----------
    model, tokenizer
        The guard.
    copies : int
        Noisy copies of each pair.
    """

    def __init__(self, model: Any, tokenizer: Any, copies: int) -> None:
        self.model, self.copies = model, copies
        self.pad = alphabets(tokenizer).pad
        self.verdicts = tokenizer.convert_tokens_to_ids(list(VERDICTS))
        self.prompts = Prompts(tokenizer, image_tokens(model, torch.zeros(1, 64)).shape[1])
        self.rng = np.random.default_rng(0)

    def unsafe(self, codes: NDArray[np.int64], image: Array, deleted: float = 0.0) -> NDArray[np.bool_]:
        """Return whether "Unsafe" is likelier than "Safe", each word deleted at a rate; shape (m,)."""
        text, suffix = self.prompts.split(codes)
        text, suffix = (
            np.where(self.rng.random(ids.shape) < deleted, self.pad, ids) for ids in (text, suffix)
        )
        batch = self.prompts.batch(text, suffix)
        with torch.inference_mode():
            grey = torch.tensor(image, dtype=torch.float32)
            words = logits(self.model, batch, grey, batch.last[:, None])[:, 0, self.verdicts]
        return (words[:, 1] > words[:, 0]).numpy()

    def rate(
        self, data: DigitCaptions, *, sigma: float, replaced: float = 0.0, deleted: float = 0.0
    ) -> Array:
        """Return how often each pair is called unsafe under noise; shape (m,).

        Parameters
        ----------
        data : DigitCaptions
            The pairs.
        sigma : float
            Gaussian noise on pixels in [0, 1].
        replaced : float
            Rate at which a slot of the suffix takes another value of the vocabulary, padding included.
        deleted : float
            Rate at which a word of caption or suffix is deleted.
        """
        count = np.zeros(len(data))
        slots = np.arange(data.text.shape[1]) >= CAPTION_LENGTH
        for _ in range(self.copies):
            other = (data.text + self.rng.integers(1, len(VOCABULARY), data.text.shape)) % len(VOCABULARY)
            hit = slots & (self.rng.random(data.text.shape) < replaced)
            image = data.image + sigma * self.rng.standard_normal(data.image.shape)
            count += self.unsafe(np.where(hit, other, data.text), image, deleted)
        return count / self.copies


def report(model: Any, tokenizer: Any, data: DigitCaptions, *, copies: int) -> str:
    """Return a table of the share of answers "Unsafe", on the pairs of ``data`` that are unsafe and benign.

    Under noise it is the mean over pairs and ``copies`` copies of each.
    """
    judge = Judge(model, tokenizer, copies)
    bad = data.label == "unsafe"
    clean = judge.unsafe(data.text, data.image)
    rows = [
        f"accuracy on {len(data)} clean pairs: {np.mean(clean == bad):.4f}",
        f"{'share of answers Unsafe on':<60}{'unsafe':>8}{'benign':>8}",
    ]

    def row(name: str, rate: NDArray[Any], among: NDArray[np.bool_] | None = None) -> None:
        chosen = np.ones_like(bad) if among is None else among
        shares = [
            f"{rate[which].mean():8.4f}" if which.any() else " " * 8
            for which in (bad & chosen, ~bad & chosen)
        ]
        rows.append(f"{name:<60}{''.join(shares)}")

    row("clean pairs", clean)
    row("noise on pixels, sigma 0.25", judge.rate(data, sigma=0.25))
    row("noise on pixels, sigma 0.5", judge.rate(data, sigma=0.5))
    for replaced in (0.25, 0.75, 1.0):
        row(f"sigma 0.25, slots replaced at {replaced}", judge.rate(data, sigma=0.25, replaced=replaced))
    mentions = np.isin(data.text, NUMBER_CODES).sum(axis=1)
    for deleted in (0.5, 0.85):
        rate = judge.rate(data, sigma=0.25, deleted=deleted)
        row(f"sigma 0.25, words deleted at {deleted}", rate)
        for times in np.unique(mentions):
            most = 1 - deleted ** int(times)
            row(f"    number named {times} times (of at most {most:.4f})", rate, mentions == times)
    for name, pairs in alone(data):
        row(f"{name}, clean", judge.unsafe(pairs.text, pairs.image))
        row(f"{name}, sigma 0.25, slots replaced at 0.75", judge.rate(pairs, sigma=0.25, replaced=0.75))
    named = NUMBER_CODES[data.digit][:, None]
    spoken = data.text.copy()
    spoken[:, CAPTION_LENGTH:] = named
    row("all slots name the digit shown, clean", judge.unsafe(spoken, data.image))
    words = judge.rng.integers(1, len(VOCABULARY), (len(data), SUFFIX_SLOTS))
    words = np.where(words == named, PAD_CODE, words)
    row("8 words in front of the message", judge.unsafe(np.hstack([words, data.text]), data.image))
    return "\n".join(rows)


def alone(data: DigitCaptions) -> list[tuple[str, DigitCaptions]]:
    """Return the texts beside a grey image, and the images beside an empty text."""
    nothing = np.full(len(data), NONE)
    grey = np.full_like(data.image, GREY)
    return [
        ("text alone", DigitCaptions(data.text, grey, nothing, data.named)),
        ("image alone", DigitCaptions(np.full_like(data.text, PAD_CODE), data.image, data.digit, nothing)),
    ]
