"""The token ids of one prompt: what is fixed in it, and what noise put into its slots or its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.adapters.image_text import IMAGE, PROMPT, SUFFIX, TEXT, Region, SuffixSlots, as_text
from hybridcert.adapters.vlm.loaded import Loaded
from hybridcert.adapters.vlm.token_alphabet import TokenAlphabet, tokenized
from hybridcert.errors import DataError, ParameterError
from hybridcert.sampling.classifier import Batch


class PromptRows:
    """Puts policy, image placeholders, prompt and suffix together.

    Parameters
    ----------
    loaded : Loaded
    region : SuffixSlots or WholePrompt
    alphabet : TokenAlphabet
    """

    def __init__(self, loaded: Loaded, region: Region, alphabet: TokenAlphabet) -> None:
        self._loaded = loaded
        self._region = region
        self.alphabet = alphabet
        self.modality = SUFFIX if isinstance(region, SuffixSlots) else TEXT

    def fixed(self, batch: Batch, row: int) -> list[int]:
        """Return the tokens of the prompt of a row; none where the prompt is what has noise."""
        return self.of_text(as_text(batch[PROMPT][row]), row) if self.modality == SUFFIX else []

    def whole(self, fixed: list[int], symbols: npt.NDArray[np.int64]) -> list[int]:
        """Return the tokens of a prompt with these symbols in play."""
        values = self._values(fixed)
        values[self.modality] = self.alphabet.tokens(symbols).tolist()
        return self._loaded.layout.filled(values)

    def before_suffix(self, fixed: list[int]) -> list[int]:
        """Return the tokens before the slots."""
        return self._loaded.layout.filled(self._values(fixed), stop=self._loaded.layout.place(SUFFIX))

    def start(self, fixed: list[int]) -> int:
        """Return how many of the tokens behind the head come before those in play."""
        stop = self._loaded.layout.place(self.modality)
        return len(self.behind_head(self._loaded.layout.filled(self._values(fixed), stop=stop)))

    def behind_suffix(self, fixed: list[int]) -> npt.NDArray[np.int64]:
        """Return the tokens behind the slots."""
        start = self._loaded.layout.place(SUFFIX) + 1
        return np.array(self._loaded.layout.filled(self._values(fixed), start=start), dtype=np.int64)

    def check_window(self, arrays: Batch, names: Sequence[Any]) -> None:
        """Raise where a prompt does not fit into the model's window, or holds a control token.

        Raises
        ------
        ParameterError
            Where policy, image and the longest prompt do not fit together.
        DataError
            Naming the row.
        """
        fixed = self._loaded.layout.length + self._loaded.image_tokens
        window = self._loaded.window
        slots = self._region.slots if isinstance(self._region, SuffixSlots) else None
        whole = 0 if isinstance(self._region, SuffixSlots) else self._region.max_length
        if window is not None and fixed + whole > window:
            raise ParameterError(
                f"max_length must be at most {max(0, window - fixed)}: policy and image take {fixed} tokens "
                f"of the model's window of {window}, got {whole}"
            )
        if slots is None:
            return
        for row, name in enumerate(names):
            most = len(self.of_text(as_text(arrays[PROMPT][row]), name)) + slots
            if window is not None and fixed + most > window:
                raise DataError(
                    f"row {name!r}: prompt and slots of {most} tokens, with policy and image {fixed + most}, "
                    f"do not fit into the model's window of {window}"
                )

    def behind_head(self, ids: Sequence[int]) -> Sequence[int]:
        """Return what has to be computed: without the beginning, where keys and values of that are kept."""
        return ids[len(self._loaded.layout.pieces[0]) :] if self._loaded.head else ids

    def of_text(self, text: str, name: Any) -> list[int]:
        """Return the tokens of a prompt; raise DataError, naming the row, for one that controls the model."""
        try:
            ids = tokenized(self._loaded.tokenizer, text)
        except DataError as error:
            raise DataError(f"row {name!r}: {error}") from error
        unknown = self._loaded.tokenizer.unk_token_id
        if ids and unknown is not None and all(token == unknown for token in ids):
            raise DataError(f"row {name!r}: the tokenizer knows no word of the prompt {text[:40]!r}")
        for token in ids:
            if token in self._loaded.forbidden:
                shown = self._loaded.tokenizer.convert_ids_to_tokens(token)
                raise DataError(f"row {name!r}: prompts must not hold control tokens, got {shown!r}")
        return ids

    def _values(self, fixed: list[int]) -> dict[str, list[int]]:
        return {IMAGE: [self._loaded.image_token] * self._loaded.image_tokens, TEXT: fixed}
