"""From words to prompts of token ids, in batches of different lengths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from guard import IMAGE, POLICY
from numpy.typing import NDArray

from hybridcert.datasets.digits_captions import PAD, SUFFIX_SLOTS, VOCABULARY

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts, padded on the right.

    Parameters
    ----------
    ids, mask : int64 tensors (m, longest)
        Token ids, and 1 on tokens and 0 on padding.
    last : int64 tensor (m,)
        Where the last token of each prompt stands: the verdict is what is predicted there.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    last: torch.Tensor


class Prompts:
    """Puts prompts together: piece, image, piece, text, piece, suffix, piece.

    The policy goes through the chat template as the content of one user message. The string is cut at the
    placeholders, and every piece is tokenised by itself. Positions that hold padding give no token.

    Parameters
    ----------
    tokenizer
        The guard's tokenizer, with its chat template.
    image_tokens : int
        How many tokens the network makes of one image.
    """

    def __init__(self, tokenizer: Any, image_tokens: int) -> None:
        message = [{"role": "user", "content": POLICY}]
        prompt = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        pieces = re.split(r"\{image\}|\{text\}|\{suffix\}", prompt)
        ids = [tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in pieces]
        image = [tokenizer.convert_tokens_to_ids(IMAGE)] * image_tokens
        self.before_text = np.array([*ids[0], *image, *ids[1]])
        self.before_suffix, self.behind = np.array(ids[2]), np.array(ids[3])
        self.last_image_token = len(ids[0]) + image_tokens - 1
        self._pad = tokenizer.convert_tokens_to_ids(PAD)
        self._end = tokenizer.eos_token_id
        self._of_code = np.array(tokenizer.convert_tokens_to_ids(list(VOCABULARY)))

    def split(self, codes: Ids) -> tuple[Ids, Ids]:
        """Return token ids of texts and of the slots behind them, for codes into ``VOCABULARY``."""
        ids = self._of_code[codes]
        return ids[:, :-SUFFIX_SLOTS], ids[:, -SUFFIX_SLOTS:]

    def batch(self, text: Ids, suffix: Ids, verdict: Ids | None = None) -> Batch:
        """Put prompts together; with ``verdict`` (m,), the answer and the end follow them."""
        rows = len(text)
        answer = [] if verdict is None else [verdict[:, None], np.full((rows, 1), self._end)]
        parts = [self.before_text, text, self.before_suffix, suffix, self.behind]
        shaped = [part if part.ndim == 2 else np.broadcast_to(part, (rows, len(part))) for part in parts]
        ids = np.concatenate([*shaped, *answer], axis=1)
        order = np.argsort(ids == self._pad, axis=1, kind="stable")
        ids = np.take_along_axis(ids, order, axis=1)
        length = (ids != self._pad).sum(axis=1)
        ids = ids[:, : length.max()]
        return Batch(
            torch.from_numpy(ids),
            torch.from_numpy((ids != self._pad).astype(np.int64)),
            torch.from_numpy(length - 1 - len(answer)),
        )
