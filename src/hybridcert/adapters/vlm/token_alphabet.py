"""A tokenizer's tokens as symbols of an alphabet."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import DataError, ParameterError


class TokenAlphabet:
    """The tokens that noise draws and the adversary writes: all of a tokenizer's, or some; see `Alphabet`.

    Special tokens (image placeholders, turn markers, padding) are never among them: a model accepts them
    silently in the middle of a text, and takes one that stands for an image for an image. A text that holds
    such a token, or one that is not listed, is refused when it is read. The last code is the empty slot,
    which gives no token (paper A.4).

    Parameters
    ----------
    tokenizer : tokenizer of transformers
    tokens : sequence of str or int, optional
        Tokens, as the tokenizer writes them, or their ids. Default: all but the special ones.
    mask : str, optional
        The token that a masked symbol turns into (`Absorbing`), one that the tokenizer knows.

    Raises
    ------
    ParameterError
        For unknown, special or repeated tokens.
    """

    symbols = "tokens"
    open = False

    def __init__(
        self, tokenizer: Any, *, tokens: Sequence[str | int] | None = None, mask: str | None = None
    ) -> None:
        special = forbidden_ids(tokenizer)
        if tokens is None:
            listed = [i for i in sorted(set(tokenizer.get_vocab().values())) if i not in special]
        else:
            listed = [_token_id(tokenizer, token) for token in tokens]
        for position, token in enumerate(listed):
            if token in special:
                shown = listed[position] if tokens is None else tokens[position]
                raise ParameterError(f"tokens must not list special tokens, got {shown!r}")
        if not listed or len(set(listed)) < len(listed):
            raise ParameterError(
                f"tokens must list distinct tokens, at least one, got {len(listed)} of which "
                f"{len(set(listed))} are distinct"
            )
        if mask is not None and tokenizer.get_vocab().get(mask) in special - _maskable(tokenizer):
            raise ParameterError(f"mask must be no special token but the tokenizer's own mask, got {mask!r}")
        self._tokenizer = tokenizer
        self._masked = None if mask is None else _token_id(tokenizer, mask)
        self.ids = np.array(listed, dtype=np.int64)
        self.blank = len(listed)
        self.size = len(listed) + 1
        self.mask = mask is not None

    @functools.cached_property
    def _codes(self) -> dict[int, int]:
        return {int(token): code for code, token in enumerate(self.ids)}

    def encode(self, text: str) -> list[int]:
        """Return the codes of a text's tokens; raise DataError for one outside the alphabet."""
        codes = []
        for token in tokenized(self._tokenizer, text):
            code = self._codes.get(token)
            if code is None:
                shown = self._tokenizer.convert_ids_to_tokens(token)
                raise DataError(f"token {shown!r} (id {token}) is none of the {self.blank} in the alphabet")
            codes.append(code)
        return codes

    def tokens(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the token ids of one row of codes; empty slots and padding give none."""
        found: npt.NDArray[np.int64] = self.token_table()[codes[self.held(codes)]]
        return found

    def held(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which codes give a token: all but empty slots and padding."""
        held: npt.NDArray[np.bool_] = (codes >= 0) & (codes != self.blank)
        return held

    def described(self) -> dict[str, object]:
        """Return how many tokens there are, and a digest of them and of the mask."""
        digest = hashlib.sha256(repr((self.ids.tolist(), self._masked)).encode()).hexdigest()
        return {"tokens": self.blank, "sha256": digest}

    def token_table(self) -> npt.NDArray[np.int64]:
        """Return the token id of every code, −1 for the empty slot; the mask comes last."""
        return self._table

    @functools.cached_property
    def _table(self) -> npt.NDArray[np.int64]:
        return np.concatenate([self.ids, [-1, -1 if self._masked is None else self._masked]])

    def spell(self, codes: Iterable[int]) -> str:
        """Return the text of codes, as the tokenizer decodes it."""
        ids = self.tokens(np.array(list(codes), dtype=np.int64))
        return str(self._tokenizer.decode(ids.tolist()))

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: without the table that `encode` makes."""
        return {name: value for name, value in vars(self).items() if name not in ("_codes", "_table")}


def tokenized(tokenizer: Any, text: str) -> list[int]:
    """Return the ids of a piece of text, without anything around it; raise DataError for broken Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"a text must be valid Unicode, got {text[error.start]!r} alone at position {error.start}"
        ) from error
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else []


def forbidden_ids(tokenizer: Any) -> set[int]:
    """Return the ids of special and added tokens, the unknown token among them."""
    return set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)


def _maskable(tokenizer: Any) -> set[int]:
    return set() if tokenizer.mask_token_id is None else {tokenizer.mask_token_id}


def _token_id(tokenizer: Any, token: str | int) -> int:
    vocabulary = tokenizer.get_vocab()
    if isinstance(token, str):
        if token not in vocabulary:
            raise ParameterError(f"the tokenizer knows no token {token!r}: list tokens as it writes them")
        return int(vocabulary[token])
    if isinstance(token, bool) or not 0 <= token < len(tokenizer):
        raise ParameterError(f"token ids must be in [0, {len(tokenizer) - 1}], got {token!r}")
    return int(token)
