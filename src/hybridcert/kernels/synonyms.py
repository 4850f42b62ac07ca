"""Synonym replacement: each word becomes a uniform draw from its noise set, and the adversary uses synonyms.

Source: Ye, Gong & Liu 2020 (SAFER). A word with a noise set of K words, replaced by one with a set of K′
words, n of them shared, is told apart with probability (K−n)/K, and else seen at ratio K/K′. So a change of
d words leaves one atom.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from hybridcert.certificate.channel import ChannelPair
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Codes, Positions
from hybridcert.kernels.positions import PositionKernel
from hybridcert.threats import DiscreteSurface


@dataclasses.dataclass(frozen=True, slots=True, init=False)
class SynonymReplacement(PositionKernel):
    """Replace each word by a uniform draw from its noise set; words without synonyms stay as they are.

    Parameters
    ----------
    table : mapping of int to iterable of int
        For each word the words that the adversary may put in its place.
    noise_sets : mapping of int to iterable of int, optional
        For each word the words that noise draws from, the word itself among them. By default its synonyms
        and itself; a word that is not listed is never replaced by noise.

    Raises
    ------
    ParameterError
        For a noise set that misses its own word.
    """

    synonyms: Mapping[int, tuple[int, ...]] = dataclasses.field(compare=False, repr=False)
    noise_sets: Mapping[int, tuple[int, ...]] = dataclasses.field(compare=False, repr=False)
    digest: str
    _classes: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = dataclasses.field(
        compare=False, repr=False
    )
    name: ClassVar[str] = "synonyms"

    def __init__(
        self,
        table: Mapping[int, Iterable[int]],
        *,
        noise_sets: Mapping[int, Iterable[int]] | None = None,
    ) -> None:
        synonyms = {
            int(word): tuple(sorted({int(w) for w in others} - {int(word)})) for word, others in table.items()
        }
        if noise_sets is None:
            sets = {word: tuple(sorted((word, *others))) for word, others in synonyms.items()}
        else:
            sets = {int(word): tuple(sorted({int(w) for w in drawn})) for word, drawn in noise_sets.items()}
        for word, drawn in sets.items():
            if word not in drawn:
                raise ParameterError(f"the noise set of a word must contain the word, got {word}: {drawn}")
        content = json.dumps([sorted(synonyms.items()), sorted(sets.items())]).encode()
        object.__setattr__(self, "synonyms", synonyms)
        object.__setattr__(self, "noise_sets", sets)
        object.__setattr__(self, "digest", hashlib.blake2b(content, digest_size=16).hexdigest())
        object.__setattr__(self, "_classes", {})

    def exposure(self, codes: Codes, alphabet_sizes: Sequence[int]) -> Positions:
        """Return the exposure of one input: how large the noise sets are, and what synonyms share."""
        del alphabet_sizes
        return tuple(sorted(Counter(map(self._class, codes.tolist())).items()))

    def options(self, position_class: Any) -> tuple[ChannelPair, ...]:
        """Return one option per kind of substitute."""
        size, substitutes = position_class
        return tuple(_pair(size, other, shared) for other, shared in substitutes)

    def parameters(self) -> dict[str, object]:
        """Return what identifies the table as plain values by name."""
        return {"words": len(self.noise_sets), "digest": self.digest}

    def law_parameters(self) -> dict[str, object]:
        """Return the parameters as an issued certificate states them: the sets stand with the positions."""
        return {}

    def described_class(self, position_class: Any) -> object:
        """Return a class as an issued certificate states it: [K, [[K′, n], …]]."""
        size, substitutes = position_class
        return [size, [list(pair) for pair in substitutes]]

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Raise ParameterError unless all words lie in the alphabet of every eligible position."""
        PositionKernel.check_surface(self, surface)
        words = {w for sets in (self.synonyms, self.noise_sets) for key in sets for w in (key, *sets[key])}
        least = min(surface.eligible_sizes, default=0)
        outside = [w for w in words if not 0 <= w < least]
        if outside and surface.eligible:
            raise ParameterError(
                f"words of the synonym table must be in [0, {least - 1}], got {min(outside)}"
            )

    def sample(self, codes: Codes, alphabet_sizes: Sequence[int], stream: np.random.Generator) -> Codes:
        """Return noisy copies of ``codes``, shape (copies, positions), drawn from ``stream``."""
        del alphabet_sizes
        noisy = codes.ravel().copy()
        for word in np.unique(codes).tolist():
            drawn = np.array(self._noise_set(word), dtype=np.int64)
            if drawn.size > 1:
                places = np.flatnonzero(codes.ravel() == word)
                noisy[places] = drawn[stream.integers(0, drawn.size, size=places.size)]
        return noisy.reshape(codes.shape)

    def _noise_set(self, word: int) -> tuple[int, ...]:
        return self.noise_sets.get(word, (word,))

    def _class(self, word: int) -> tuple[int, tuple[tuple[int, int], ...]]:
        if word not in self._classes:
            own = set(self._noise_set(word))
            others = [self._noise_set(substitute) for substitute in self.synonyms.get(word, ())]
            kinds = {(len(other), len(own.intersection(other))) for other in others}
            self._classes[word] = (len(own), tuple(sorted(kinds)))
        return self._classes[word]


@functools.lru_cache(maxsize=4096)
def _pair(size: int, other: int, shared: int) -> ChannelPair:
    return ChannelPair.of(
        [
            (Fraction(shared, size), Fraction(shared, other)),
            (Fraction(size - shared, size), Fraction(0)),
            (Fraction(0), Fraction(other - shared, other)),
        ]
    )
