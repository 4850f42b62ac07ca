"""Exact truth in rational arithmetic, written from the definitions and sharing no code with the package.

A *row* is the law of the noisy input given the input, as a dict from outcome to probability. A *law* is
what a certificate sees of two rows: a dict from likelihood ratio Q/P (0 included) to the pair of masses
(clean, adversarial); adversarial mass on outcomes that the clean row never produces is left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hybridcert import LikelihoodSpectrum

Row = dict[Hashable, Fraction]
Law = dict[Fraction, tuple[Fraction, Fraction]]
Word = tuple[int, ...]

IDENTITY: Law = {Fraction(1): (Fraction(1), Fraction(1))}


def product_row(rows: Sequence[Row]) -> Row:
    """Law of independent outcomes, as tuples."""
    joint: Row = {}
    for choice in itertools.product(*(row.items() for row in rows)):
        outcome = tuple(key for key, _ in choice)
        joint[outcome] = joint.get(outcome, Fraction(0)) + math.prod(
            (p for _, p in choice), start=Fraction(1)
        )
    return joint


def uniform_row(word: Word, beta: float, sizes: Sequence[int]) -> Row:
    """Keep each symbol with probability 1 − β, else take one of the others, all alike."""
    rate = Fraction(beta)
    return product_row(
        [
            {z: (1 - rate if z == x else rate / (size - 1)) for z in range(size)}
            for x, size in zip(word, sizes, strict=True)
        ]
    )


def absorbing_row(word: Word, beta: float) -> Row:
    """Keep each symbol with probability 1 − β, else show a mask."""
    rate = Fraction(beta)
    return product_row([{x: 1 - rate, "mask": rate} for x in word])


def deletion_row(word: Word, beta: float) -> Row:
    """Remove each symbol with probability β and close up what is left."""
    rate, row = Fraction(beta), Row()
    for kept in itertools.product((False, True), repeat=len(word)):
        outcome = tuple(x for x, keep in zip(word, kept, strict=True) if keep)
        weight = math.prod((1 - rate if keep else rate for keep in kept), start=Fraction(1))
        row[outcome] = row.get(outcome, Fraction(0)) + weight
    return row


def fields_row(word: Word, betas: Sequence[float], sizes: Sequence[int]) -> Row:
    """Keep symbol j with probability 1 − β_j, else take one of the others, all alike."""
    single = zip(word, betas, sizes, strict=True)
    rows = [uniform_row((x,), beta, [size]) for x, beta, size in single]
    return product_row([{z: p for (z,), p in row.items()} for row in rows])  # type: ignore[misc]


def response_row(word: Word, ratio: float, sizes: Sequence[int]) -> Row:
    """Every symbol has weight 1, the true one weight ρ."""
    rho = Fraction(ratio)
    return product_row(
        [
            {z: (rho if z == x else 1) / (rho + size - 1) for z in range(size)}
            for x, size in zip(word, sizes, strict=True)
        ]
    )


def flips_row(word: Word, p_plus: float, p_minus: float) -> Row:
    """Turn 0 into 1 with probability p₊ and 1 into 0 with probability p₋."""
    up, down = Fraction(p_plus), Fraction(p_minus)
    return product_row([{0: down, 1: 1 - down} if bit else {0: 1 - up, 1: up} for bit in word])


def sets_row(word: Word, noise_sets: Mapping[int, Sequence[int]]) -> Row:
    """Draw from the noise set of each word; a word without one stays."""
    drawn = [noise_sets.get(x, [x]) for x in word]
    return product_row([{z: Fraction(1, len(outcomes)) for z in outcomes} for outcomes in drawn])


def matrix_row(word: Word, rows: Sequence[Sequence[Fraction]]) -> Row:
    """Draw from the matrix row of each symbol, divided by its sum."""
    return product_row([{z: p / sum(rows[x]) for z, p in enumerate(rows[x])} for x in word])


def law_of(clean: Mapping[Hashable, Fraction], adversarial: Mapping[Hashable, Fraction]) -> Law:
    """Group outcomes by likelihood ratio."""
    law: Law = {}
    for outcome, p in clean.items():
        if p > 0:
            q = adversarial.get(outcome, Fraction(0))
            before = law.get(q / p, (Fraction(0), Fraction(0)))
            law[q / p] = (before[0] + p, before[1] + q)
    return law


def compose(first: Law, second: Law) -> Law:
    """Law of two independent modalities."""
    law: Law = {}
    for (r, (p, q)), (s, (v, w)) in itertools.product(first.items(), second.items()):
        before = law.get(r * s, (Fraction(0), Fraction(0)))
        law[r * s] = (before[0] + p * v, before[1] + q * w)
    return law


def power(law: Law, times: int) -> Law:
    """Law of ``times`` independent copies."""
    result = IDENTITY
    for _ in range(times):
        result = compose(result, law)
    return result


def uniform_law(beta: float, sizes: Sequence[int]) -> Law:
    """Law when exactly the positions of these alphabet sizes differ."""
    law = IDENTITY
    for size in sizes:
        rate = Fraction(beta)
        stay, same, move = 1 - rate, rate * Fraction(size - 2, size - 1), rate / (size - 1)
        position: Law = {}
        for p, q in ((stay, move), (same, same), (move, stay)):
            if p > 0:
                before = position.get(q / p, (Fraction(0), Fraction(0)))
                position[q / p] = (before[0] + p, before[1] + q)
        law = compose(law, position)
    return law


def shared_law(clean_shared: Fraction, adversarial_shared: Fraction) -> Law:
    """Law of two rows that agree, up to a factor, on one event and are disjoint elsewhere."""
    law = {adversarial_shared / clean_shared: (clean_shared, adversarial_shared)}
    if clean_shared < 1:
        law[Fraction(0)] = (1 - clean_shared, Fraction(0))
    return law


def knapsack(law: Law, p: Fraction) -> Fraction:
    """Exact worst-case score without a shift: fill clean mass p, cheapest ratio first."""
    value, room = Fraction(0), p
    for ratio in sorted(law):
        taken = min(room, law[ratio][0])
        value, room = value + taken * ratio, room - taken
    return value


def float_below(value: Fraction) -> float:
    """The largest float64 that is at most ``value`` ≥ 0."""
    nearest = value.numerator / value.denominator
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


def float_above(value: Fraction) -> float:
    """The least float64 that is at least ``value`` ≥ 0."""
    nearest = value.numerator / value.denominator
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def spectrum_of(law: Law) -> LikelihoodSpectrum:
    """Hand the package an arbitrary law: one base per ratio, tightest float64 enclosures of the masses."""
    ratios = [r for r in sorted(law) if r > 0]
    clean, adversarial = [law[r][0] for r in ratios], [law[r][1] for r in ratios]
    exponents: NDArray[np.int64] = np.eye(len(ratios), dtype=np.int64)
    return LikelihoodSpectrum.build(
        tuple(ratios),
        exponents,
        clean=(np.array([float_below(p) for p in clean]), np.array([float_above(p) for p in clean])),
        adversarial_lower=np.array([float_below(q) for q in adversarial]),
        ratio_zero_upper=float_above(law.get(Fraction(0), (Fraction(0), Fraction(0)))[0]),
    )


def words(alphabet: int, lengths: Sequence[int]) -> Iterator[Word]:
    """All words over 0 … alphabet − 1 of the given lengths."""
    for length in lengths:
        yield from itertools.product(range(alphabet), repeat=length)
