"""Random draws whose law is a given rational one, to within 2⁻¹²⁸ for each outcome.

A uniform word of 128 bits is compared with the cumulative probabilities. The first 64 bits nearly always
decide; only where they hit a threshold are 64 more drawn.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

_WORD = 1 << 64


def corrupted(
    probability: float | Fraction, copies: int, stream: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Draw ``copies`` independent events of the given probability in [0, 1]."""
    whole, fraction = _words(probability)
    if whole == _WORD:
        return np.ones(copies, dtype=np.bool_)
    bits = stream.integers(0, _WORD, size=copies, dtype=np.uint64)
    events = bits < np.uint64(whole)
    if fraction:
        ties = np.flatnonzero(bits == np.uint64(whole))
        events[ties] = stream.integers(0, _WORD, size=ties.size, dtype=np.uint64) < np.uint64(fraction)
    return events


@functools.lru_cache(maxsize=4096)
def _words(probability: float | Fraction) -> tuple[int, int]:
    """Return a probability in units of 2⁻¹²⁸, rounded down, as its high and low word."""
    return divmod(int(Fraction(probability) * _WORD**2), _WORD)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Categorical:
    """Outcomes 0, 1, … with given probabilities.

    Attributes
    ----------
    outcomes : int array
        Those of positive probability.
    whole, fraction : uint64 array
        High and low words of all cumulative probabilities but the last, in units of 2⁻¹²⁸.
    """

    outcomes: npt.NDArray[np.int64]
    whole: npt.NDArray[np.uint64]
    fraction: npt.NDArray[np.uint64]

    @staticmethod
    def of(probabilities: Sequence[Fraction]) -> Categorical:
        """Prepare draws from probabilities >= 0 that sum to 1."""
        outcomes = [z for z, p in enumerate(probabilities) if p > 0]
        cumulative = list(itertools.accumulate(probabilities[z] for z in outcomes))[:-1]
        words = [_words(c) for c in cumulative]
        whole, fraction = (np.array([w[part] for w in words], dtype=np.uint64) for part in (0, 1))
        return Categorical(np.array(outcomes, dtype=np.int64), whole, fraction)

    def draw(self, count: int, stream: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw ``count`` independent outcomes."""
        bits = stream.integers(0, _WORD, size=count, dtype=np.uint64)
        first = np.searchsorted(self.whole, bits, side="left")
        last = np.searchsorted(self.whole, bits, side="right")
        ties = np.flatnonzero(first < last)
        if ties.size:
            more = stream.integers(0, _WORD, size=ties.size, dtype=np.uint64)
            for tie, word in zip(ties.tolist(), more, strict=True):
                passed = self.fraction[first[tie] : last[tie]] <= word
                last[tie] = first[tie] + int(passed.sum())
        return self.outcomes[last]
