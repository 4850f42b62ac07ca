"""How the factors of a change are laid out: equal laws merged, every ratio an integer key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.changes import Deletions, Envelope, Factor, Power
from hybridcert.verify.meter import Meter
from hybridcert.verify.pairs import Pair
from hybridcert.verify.ratios import Exponents, coprime_basis, exponents


@dataclass(frozen=True, slots=True)
class Layout:
    """Factors, the coprime basis of their ratios, and the radix that packs exponents into one integer.

    Ratios are relative to the smallest one of their pair, so that a pair with one ratio needs no key.
    """

    powers: tuple[tuple[Pair, int], ...]
    deletions: tuple[Deletions, ...]
    envelopes: tuple[Envelope, ...]
    basis: tuple[int, ...]
    radix: int

    @staticmethod
    def of(factors: Sequence[Factor], meter: Meter) -> Layout:
        """Merge equal pairs and find exact keys for all ratios; the work is counted on ``meter``."""
        times: dict[Pair, int] = {}
        for factor in factors:
            if isinstance(factor, Power) and factor.times:
                times[factor.pair] = times.get(factor.pair, 0) + factor.times
        if len(times) > limits.LAWS_IN_CHANGE:
            raise DataError(
                f"a change takes at most {limits.LAWS_IN_CHANGE} different options, got {len(times)}"
            )
        envelopes = tuple(f for f in factors if isinstance(f, Envelope))
        relative = [ratio / pair.atoms[0][0] for pair in times for ratio, _, _ in pair.atoms[1:]]
        relative += [envelope.base for envelope in envelopes]
        numbers = {int(part) for ratio in relative for part in (ratio.p, ratio.q)}
        meter.spend(1000 + len(numbers) ** 2 * max((n.bit_length() for n in numbers), default=0) // 30)
        basis = coprime_basis(numbers)
        bound = 1
        for pair, n in times.items():
            found = [exponents(ratio / pair.atoms[0][0], basis) for ratio, _, _ in pair.atoms[1:]]
            bound += n * max((abs(e) for vector in found for e in vector), default=0)
        for envelope in envelopes:
            reach = max(abs(envelope.lowest), abs(envelope.highest))
            bound += envelope.times * reach * max(abs(e) for e in exponents(envelope.base, basis))
        deletions = tuple(f for f in factors if isinstance(f, Deletions))
        return Layout(tuple(times.items()), deletions, envelopes, basis, 2 * bound + 1)

    def pack(self, vector: Exponents) -> int:
        """Turn exponents into one integer; sums of vectors become sums of integers."""
        return sum(e * self.radix**i for i, e in enumerate(vector))

    def unpack(self, key: int) -> list[int]:
        """Undo `pack`: balanced digits."""
        vector = []
        for _ in self.basis:
            digit = (key + self.radix // 2) % self.radix - self.radix // 2
            vector.append(digit)
            key = (key - digit) // self.radix
        return vector

    def exact_bits(self) -> int:
        """Bound the bits of all exact masses of the product together."""
        atoms, width = 1, 1
        for pair, n in self.powers:
            numbers = [part for _, p, q in pair.atoms for part in (p.p, p.q, q.p, q.q)]
            width += n * sum(int(number).bit_length() for number in numbers)
            atoms *= min(math.comb(n + k, k), limits.ATOMS) if (k := len(pair.atoms)) < 1000 else limits.ATOMS
        for f in self.deletions:
            width += (f.insertions + f.deletions) * (int(f.beta.p).bit_length() + int(f.beta.q).bit_length())
        return atoms * width


def along_line(vectors: Sequence[Exponents]) -> tuple[Exponents, list[int]] | None:
    """Return a direction and whole multiples of it that give all vectors, or None if there is none."""
    longest = max(vectors, key=lambda vector: max((abs(e) for e in vector), default=0))
    content = math.gcd(*longest)
    if content == 0:
        return longest, [0] * len(vectors)
    direction = tuple(e // content for e in longest)
    pivot = next(i for i, e in enumerate(direction) if e)
    places = [vector[pivot] // direction[pivot] for vector in vectors]
    for vector, place in zip(vectors, places, strict=True):
        if vector != tuple(place * e for e in direction):
            return None
    return direction, places
