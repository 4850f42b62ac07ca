"""One noisy symbol under the clean and under the adversarial input: an exact pair of laws."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flint import fmpq

from hybridcert.errors import DataError
from hybridcert.verify.meter import Meter, rational_units

_ratio = operator.itemgetter(0)
_LOOKS: Final = 5  # operations at a ratio of the stronger pair


@dataclass(frozen=True, slots=True)
class Pair:
    """What a test can see of two laws P and Q: masses grouped by likelihood ratio Q/P.

    ``atoms`` holds (ratio, clean mass, adversarial mass) for the ratios in (0, inf), ascending; ``zero`` is
    the clean mass that the adversary never produces. Adversarial mass off the clean support is left out.
    """

    atoms: tuple[tuple[fmpq, fmpq, fmpq], ...]
    zero: fmpq
    sums: tuple[tuple[fmpq, fmpq], ...]  # clean and adversarial masses of the lowest ratios, from 0 upwards
    key: int  # the hash, computed once: pairs are looked up far more often than made
    bits: int  # of the longest numerator or denominator in ``atoms`` and ``sums``

    def __hash__(self) -> int:
        return self.key

    @staticmethod
    def of(outcomes: Iterable[tuple[fmpq, fmpq]]) -> Pair:
        """Group outcomes (P, Q) by exact ratio and check that both laws sum to one."""
        shared: list[tuple[fmpq, fmpq, fmpq]] = []
        zero = clean_sum = adversarial_sum = fmpq(0)
        for clean, adversarial in outcomes:
            if clean < 0 or adversarial < 0:
                raise DataError("a law has a negative mass")
            clean_sum, adversarial_sum = clean_sum + clean, adversarial_sum + adversarial
            if adversarial == 0:
                zero = zero + clean
            elif clean != 0:
                shared.append((adversarial / clean, clean, adversarial))
        if clean_sum != 1 or adversarial_sum != 1:
            raise DataError("the masses of a law do not sum to one")
        shared.sort(key=_ratio)
        atoms: list[tuple[fmpq, fmpq, fmpq]] = []
        for ratio, p, q in shared:
            if atoms and atoms[-1][0] == ratio:
                atoms[-1] = (ratio, atoms[-1][1] + p, atoms[-1][2] + q)
            else:
                atoms.append((ratio, p, q))
        sums = [(zero, fmpq(0))]
        for _, p, q in atoms:
            sums.append((sums[-1][0] + p, sums[-1][1] + q))
        numbers = (*(ratio for ratio, _, _ in atoms), *(mass for masses in sums for mass in masses))
        parts = tuple(int(part) for number in numbers for part in (number.p, number.q))
        bits = max(part.bit_length() for part in parts)
        return Pair(tuple(atoms), zero, tuple(sums), hash(parts), bits)


def dominates(strong: Pair, weak: Pair, meter: Meter) -> bool:
    """Say whether every test is at least as good for the adversary under ``strong`` as under ``weak``.

    That is H_strong(t) >= H_weak(t) for all t >= 0, H(t) = Σ_z max(t P(z) − Q(z), 0). Between two
    neighbouring ratios of ``strong`` its H is a straight line and that of ``weak`` is convex, so the
    difference is smallest at those ratios or at t = 0, where both vanish; beyond the largest one the slope
    of ``strong`` is 1, which no H exceeds. The ratios that are looked at are counted on ``meter``.
    """
    atoms, at, looks = weak.atoms, 0, 0
    holds = True
    for (ratio, _, _), (clean, adversarial) in zip(strong.atoms, strong.sums, strict=False):
        while at < len(atoms) and atoms[at][0] < ratio:
            at += 1
        looks += 1
        weak_clean, weak_adversarial = weak.sums[at]
        if ratio * clean - adversarial < ratio * weak_clean - weak_adversarial:
            holds = False
            break
    meter.spend((_LOOKS * looks + at) * rational_units(max(strong.bits, weak.bits)))
    return holds
