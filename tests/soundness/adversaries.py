"""What an adversary can do to one modality, written from the format page.

First the pairs of laws that a changed symbol, or a changed sequence, lets a test see; then who may make which
of these changes within a budget. Nothing of the package is used.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from dual_oracle import Change, Pair, atom_count

MOST_ATOMS = 700
MOST_ENUMERATED = 2000


# -- what a change of one symbol lets a test see -----------------------------------------------------------


def replacement(size: int, rate: Fraction) -> Pair:
    """The clean symbol, the adversary's, and the rest: kept with 1 − β, else any other one, all alike."""
    stay, move = 1 - rate, rate / (size - 1)
    return ((stay, move), (move, stay), ((size - 2) * move, (size - 2) * move))


def masking(beta: Fraction) -> Pair:
    """The mask, the clean symbol, the adversary's."""
    return ((beta, beta), (1 - beta, Fraction(0)), (Fraction(0), 1 - beta))


def flip(bit: int, p_plus: Fraction, p_minus: Fraction) -> Pair:
    """Outcomes 0 and 1 of a bit, and of its opposite."""
    rows = {0: (1 - p_plus, p_plus), 1: (p_minus, 1 - p_minus)}
    return tuple(zip(rows[bit], rows[1 - bit], strict=True))


def drawn_from(clean: Sequence[int], adversarial: Sequence[int]) -> Pair:
    """Uniform draws from two sets of words."""
    words = sorted({*clean, *adversarial})
    return tuple(
        (Fraction(w in clean, len(set(clean))), Fraction(w in adversarial, len(set(adversarial))))
        for w in words
    )


def rows_pair(clean: Sequence[Fraction], adversarial: Sequence[Fraction]) -> Pair:
    """Two rows of weights, each divided by its sum."""
    return tuple((p / sum(clean), q / sum(adversarial)) for p, q in zip(clean, adversarial, strict=True))


def shortened(beta: Fraction, insertions: int, deletions: int) -> Pair:
    """Random deletion: what is left in common if all that was removed, or put in, happens to be deleted."""
    clean, adversarial = beta**deletions, beta**insertions
    return ((clean, adversarial), (1 - clean, Fraction(0)), (Fraction(0), 1 - adversarial))


# -- one modality ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Positions:
    """An adversary who changes symbols in place.

    ``options`` lists, position by position, what it can turn into; ``caps`` bounds how many positions of a
    group may change.
    """

    options: tuple[tuple[Pair, ...], ...]
    caps: tuple[tuple[frozenset[int], int], ...] = ()

    def changes(self, d: int, stream: random.Random, *, most: int) -> list[Change]:
        """All changes within budget d, or ``most`` random ones where there are too many or too large ones."""
        if self.ways(d) <= MOST_ENUMERATED:
            found = self.enumerated(d)
            found = found if len(found) <= 3 * most else stream.sample(found, 3 * most)
        else:
            found = list(dict.fromkeys(self._random(d, stream) for _ in range(3 * most)))
        fitting = [change for change in found if atom_count(change) <= MOST_ATOMS]
        return fitting if len(fitting) <= most else stream.sample(fitting, most)

    def ways(self, d: int) -> float:
        """How many changes there are at most."""
        kinds = max((len(pairs) for pairs in self.options), default=0)
        return sum(math.comb(len(self.options), n) * float(kinds) ** n for n in range(d + 1))

    def enumerated(self, d: int) -> list[Change]:
        """All changes within budget d."""
        found: set[Change] = set()
        for n in range(d + 1):
            for places in itertools.combinations(range(len(self.options)), n):
                if self._allowed(places):
                    chosen = itertools.product(*(self.options[i] for i in places))
                    found |= {counted(pairs) for pairs in chosen}
        return sorted(found)

    def _random(self, d: int, stream: random.Random) -> Change:
        places = [i for i, pairs in enumerate(self.options) if pairs]
        stream.shuffle(places)
        chosen: list[int] = []
        wanted = d if stream.random() < 0.8 else stream.randint(0, d)
        for i in places:
            if len(chosen) < wanted and self._allowed([*chosen, i]):
                chosen.append(i)
        if stream.random() < 0.4:
            return counted([stream.choice(self.options[i]) for i in chosen])
        favourites = {pairs: stream.choice(pairs) for pairs in dict.fromkeys(self.options) if pairs}
        return counted([favourites[self.options[i]] for i in chosen])

    def _allowed(self, places: Sequence[int]) -> bool:
        return all(sum(i in group for i in places) <= cap for group, cap in self.caps)


@dataclasses.dataclass(frozen=True)
class Sequences:
    """An adversary who inserts and deletes symbols under random deletion; ``length`` None: of any length."""

    beta: Fraction
    kind: str
    length: int | None

    def changes(self, d: int, stream: random.Random, *, most: int) -> list[Change]:
        """All splits into insertions and deletions within budget d, or ``most`` of them."""
        splits = list(WITHIN[self.kind](d, d if self.length is None else self.length))
        chosen = splits if len(splits) <= most else stream.sample(splits, most)
        return [((shortened(self.beta, a, b), 1),) for a, b in chosen]


def counted(pairs: Sequence[Pair]) -> Change:
    """The change that gives one position each of these pairs."""
    return tuple(sorted(Counter(pairs).items()))


def up_to(d: int, length: int) -> Iterator[tuple[int, int]]:
    return itertools.product(range(d + 1), range(min(d, length) + 1))


WITHIN: dict[str, Callable[[int, int], Iterator[tuple[int, int]]]] = {
    "insertion": lambda d, length: ((a, 0) for a in range(d + 1)),
    "deletion": lambda d, length: ((0, b) for b in range(min(d, length) + 1)),
    "indel": lambda d, length: ((a, b) for a, b in up_to(d, length) if a + b <= d),
    "edit": up_to,
    "substitution": lambda d, length: ((a, a) for a in range(min(d, length) + 1)),
}
"""(insertions, deletions) that each threat on a sequence allows; no more deletions than symbols."""
