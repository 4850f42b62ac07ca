"""Tokens and their codes: content decides, so that codes and noise do not depend on what else was read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from hybridcert.errors import DataError, ParameterError
from hybridcert.kernels.deletion import PADDING

_HASH_BITS = 62  # with room for one more code in int64


class OpenVocabulary:
    """Every token is allowed; its code is a hash. Tokens that were encoded are kept, to spell them again.

    Attributes
    ----------
    size : int
        Codes run from 0 to size − 1.
    blank : int
        Code of "no token".
    """

    size = 2**_HASH_BITS
    blank = PADDING
    not_in_digest = ("_codes", "_tokens")

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._tokens: dict[int, str] = {}

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Return the codes of tokens; raise DataError where two tokens share one."""
        return [self._codes[token] if token in self._codes else self._learn(token) for token in tokens]

    def spell(self, codes: Iterable[int]) -> list[str]:
        """Return the tokens of codes that `encode` gave out."""
        return [self._tokens[code] for code in codes]

    def _learn(self, token: str) -> int:
        digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        code = int.from_bytes(digest, "little") >> (64 - _HASH_BITS)
        other = self._tokens.setdefault(code, token)
        if other != token:
            raise DataError(f"tokens {token!r} and {other!r} have the same {_HASH_BITS}-bit code")
        self._codes[token] = code
        return code


class Vocabulary:
    """A declared alphabet: listed tokens, then "no token", then (for absorbing noise) the mask.

    Parameters
    ----------
    tokens : sequence of str
        Distinct and not empty.
    mask : str or None
        What a masked slot is spelled as.

    Attributes
    ----------
    size : int
        Codes run from 0 to size − 1; the mask is ``size``.
    blank : int
        Code of "no token".
    """

    def __init__(self, tokens: Sequence[str], *, mask: str | None) -> None:
        listed = list(tokens)
        for token in listed:
            if not isinstance(token, str) or not token:
                raise ParameterError(f"vocabulary must list strings that are not empty, got {token!r}")
        self._codes = {token: code for code, token in enumerate(listed)}
        if not listed or len(self._codes) < len(listed):
            raise ParameterError(
                f"vocabulary must list distinct tokens, at least one, got {len(listed)} of which "
                f"{len(self._codes)} are distinct"
            )
        self.blank = len(listed)
        self.size = len(listed) + 1
        self._spelled = [*listed, "", mask]

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Return the codes of tokens; raise DataError for one that is not listed."""
        for token in tokens:
            if token not in self._codes:
                raise DataError(f"token {token!r} is not in the vocabulary")
        return [self._codes[token] for token in tokens]

    def spell(self, codes: Iterable[int]) -> list[str]:
        """Return the tokens of codes."""
        return [self._spelled[code] or "" for code in codes]
