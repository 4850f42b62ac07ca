"""Words, split at white space, as symbols: any word, or those of a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hybridcert.adapters.vocabulary import OpenVocabulary, Vocabulary
from hybridcert.errors import ParameterError


class WordAlphabet:
    """Words as symbols; see `Alphabet`.

    Parameters
    ----------
    words : sequence of str, optional
        The words that may occur. Without it every word may, which only `RandomDeletion` can smooth.
    mask : str, optional
        What a masked word is spelled as (`Absorbing`); needs a list of words.

    Raises
    ------
    ParameterError
        For a mask without words, words that occur twice, and words that no text holds: empty ones, and those
        with white space in them.
    """

    symbols = "words, split at white space"

    def __init__(self, words: Sequence[str] | None = None, *, mask: str | None = None) -> None:
        if words is None and mask is not None:
            raise ParameterError(f"mask needs a list of words, got mask {mask!r} and no words")
        for word in () if words is None else words:
            if isinstance(word, str) and word.split() != [word]:
                raise ParameterError(
                    f"words must not be empty or hold white space, at which texts are split, got {word!r}: "
                    "list its parts"
                )
        self._words = OpenVocabulary() if words is None else Vocabulary(words, mask=mask)
        self.size = self._words.size
        self.blank = self._words.blank
        self.mask = mask is not None
        self.open = words is None

    def encode(self, text: str) -> list[int]:
        """Return the codes of the words of a text; raise DataError for one that is not listed."""
        return self._words.encode(text.split())

    def spell(self, codes: Iterable[int]) -> str:
        """Return the text of codes, words joined by single spaces; empty slots leave no trace."""
        held = (code for code in codes if code >= 0 and code != self.blank)
        return " ".join(word for word in self._words.spell(held) if word)
