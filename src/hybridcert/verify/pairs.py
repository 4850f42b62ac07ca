"""One noisy symbol under the clean and under the adversarial input: an exact pair of laws."""

from __future__ import annotations

import bisect
import operator
from collections.abc import Iterable
from dataclasses import dataclass

from flint import fmpq

from hybridcert.errors import DataError

_ratio = operator.itemgetter(0)


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
        parts = (number for ratio, p, _ in atoms for number in (ratio.p, ratio.q, p.p, p.q))
        return Pair(tuple(atoms), zero, tuple(sums), hash(tuple(int(number) for number in parts)))

    def missed(self, t: fmpq) -> fmpq:
        """H(t) = Σ_z max(t P(z) − Q(z), 0), for t >= 0."""
        below = bisect.bisect_left(self.atoms, t, key=_ratio)
        clean, adversarial = self.sums[below]
        return t * clean - adversarial


def dominates(strong: Pair, weak: Pair) -> bool:
    """Say whether every test is at least as good for the adversary under ``strong`` as under ``weak``.

    That is H_strong(t) >= H_weak(t) for all t >= 0. Between two neighbouring ratios of ``strong`` its H is a
    straight line and that of ``weak`` is convex, so the difference is smallest at those ratios or at t = 0,
    where both vanish; beyond the largest one the slope of ``strong`` is 1, which no H exceeds.
    """
    return all(strong.missed(ratio) >= weak.missed(ratio) for ratio, _, _ in strong.atoms)
