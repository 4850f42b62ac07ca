"""Every noisy word that an input can become, grouped by its probability under both laws.

A deterministic classifier of noisy words accepts a set of them. To bound what such a set can score, words
have to be counted one by one: also positions that nobody changed have noise, and split every outcome of the
changed ones into many. Their number is exact, and so are the masses.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from hybridcert.errors import ParameterError
from hybridcert.kernels.absorbing import Absorbing
from hybridcert.kernels.replacement import check_alphabet
from hybridcert.kernels.uniform import UniformReplacement

MAX_GROUPS = 20_000
"""More groups of words than this are refused."""

Outcomes = tuple[tuple[Fraction, Fraction, int], ...]
"""Outcomes of one position: (clean probability, adversarial probability, how many symbols have these)."""


@dataclasses.dataclass(frozen=True, slots=True)
class OutcomeSpace:
    """All noisy words of positive clean probability.

    Attributes
    ----------
    clean, adversarial : tuple of Fraction
        Probabilities of one word of each group; ``clean`` is positive.
    count : tuple of int >= 1
        Words in each group.

    Raises
    ------
    ParameterError
        Unless clean masses sum to 1 and adversarial ones to at most 1.
    """

    clean: tuple[Fraction, ...]
    adversarial: tuple[Fraction, ...]
    count: tuple[int, ...]

    def __post_init__(self) -> None:
        clean = sum((p * n for p, n in zip(self.clean, self.count, strict=True)), Fraction(0))
        attacked = sum((q * n for q, n in zip(self.adversarial, self.count, strict=True)), Fraction(0))
        if clean != 1 or attacked > 1 or min(self.clean) <= 0 or min(self.adversarial) < 0:
            raise ParameterError(
                "masses must be >= 0 and sum to 1 (adversarial ones to at most 1), got sums of "
                f"{clean} and {attacked}"
            )

    @staticmethod
    def of(positions: Iterable[Outcomes]) -> OutcomeSpace:
        """Combine the outcomes of independent positions, all that have noise, changed or not.

        Raises
        ------
        ParameterError
            For more than `MAX_GROUPS` groups, and masses that are no pair of laws.
        """
        groups: Counter[tuple[Fraction, Fraction]] = Counter({(Fraction(1), Fraction(1)): 1})
        for outcomes in positions:
            further: Counter[tuple[Fraction, Fraction]] = Counter()
            for ((p, q), n), (clean, adversarial, m) in itertools.product(groups.items(), outcomes):
                if clean > 0 and m > 0:
                    further[p * clean, q * adversarial] += n * m
            groups = further
            if len(groups) > MAX_GROUPS:
                raise ParameterError(
                    f"the words fall into more than {MAX_GROUPS} groups: use the fractional knapsack, which "
                    "is as good where there are so many"
                )
        ordered = sorted(groups, key=lambda masses: (masses[1] / masses[0], masses[0]))
        return OutcomeSpace(
            tuple(p for p, _ in ordered),
            tuple(q for _, q in ordered),
            tuple(groups[masses] for masses in ordered),
        )

    @staticmethod
    def changed(
        kernel: UniformReplacement | Absorbing, sizes: Sequence[int], changed: Sequence[int]
    ) -> OutcomeSpace:
        """Return the words when the adversary changed some of the positions that have noise.

        Parameters
        ----------
        kernel : UniformReplacement or Absorbing
        sizes : sequence of int >= 2
            Alphabet size of every position that has noise.
        changed : sequence of int
            Which of them the adversary changed.

        Raises
        ------
        ParameterError
            For another kernel, positions that do not exist, and alphabets below 2.
        """
        check_kernel(kernel)
        if len(set(changed)) != len(changed) or not all(0 <= i < len(sizes) for i in changed):
            raise ParameterError(
                f"changed must list positions in [0, {len(sizes) - 1}], got {tuple(changed)}"
            )
        rate, moved = Fraction(kernel.beta), set(changed)
        position = _masked if isinstance(kernel, Absorbing) else _replaced
        return OutcomeSpace.of(position(rate, size, i in moved) for i, size in enumerate(sizes))


def check_kernel(kernel: object) -> None:
    """Raise ParameterError for noise whose words are not listed here."""
    if not isinstance(kernel, UniformReplacement | Absorbing):
        raise ParameterError(
            f"kernel must be UniformReplacement or Absorbing, got {kernel!r}: use the fractional knapsack"
        )


def choices(sizes: Sequence[int], d: int) -> Iterator[tuple[int, ...]]:
    """Yield positions to change, ``d`` of them, once for every combination of alphabet sizes."""
    positions: dict[int, list[int]] = {}
    for position, size in enumerate(sizes):
        positions.setdefault(size, []).append(position)
    return _choices(list(positions.values()), d)


def _choices(groups: Sequence[Sequence[int]], d: int) -> Iterator[tuple[int, ...]]:
    if d == 0:
        yield ()
    elif d <= sum(map(len, groups)):
        first, *rest = groups
        for count in range(min(d, len(first)), -1, -1):
            yield from ((*first[:count], *others) for others in _choices(rest, d - count))


def _replaced(rate: Fraction, size: int, moved: bool) -> Outcomes:
    check_alphabet(size)
    stay, move = 1 - rate, rate / (size - 1)
    if moved:
        return ((stay, move, 1), (move, stay, 1), (move, move, size - 2))
    return ((stay, stay, 1), (move, move, size - 1))


def _masked(rate: Fraction, size: int, moved: bool) -> Outcomes:
    check_alphabet(size)
    return ((rate, rate, 1), (1 - rate, Fraction(0) if moved else 1 - rate, 1))
