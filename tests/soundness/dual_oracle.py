"""The dual bound in ball arithmetic for any change, evaluated from the format page without the package.

A *pair* is what one changed position, or one changed sequence, lets a test see: a tuple of outcomes, each
with its probability before and after the change, exact rationals. A *change* is a tuple of (pair, how many
independent copies).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from flint import arb, ctx, fmpq

from balls import ball, normal_cdf, precision

Pair = tuple[tuple[Fraction, Fraction], ...]
Change = tuple[tuple[Pair, int], ...]
Atom = tuple[arb, arb, arb]  # clean mass, adversarial mass, log ratio

UNCHANGED: Change = ()
LADDER = (128, 256, 512, 1024, 2048, 4096)
"""Bits, tried in turn until a comparison is decided."""


@functools.lru_cache(maxsize=4096)
def grouped(pair: Pair) -> tuple[tuple[tuple[Fraction, Fraction, Fraction], ...], Fraction]:
    """Return (ratio, clean, adversarial) for the ratios in (0, ∞), and the clean mass at ratio 0."""
    masses: dict[Fraction, list[Fraction]] = {}
    for p, q in pair:
        if p > 0:
            total = masses.setdefault(q / p, [Fraction(0), Fraction(0)])
            total[0] += p
            total[1] += q
    zero = masses.pop(Fraction(0), [Fraction(0)])[0]
    return tuple((ratio, p, q) for ratio, (p, q) in sorted(masses.items())), zero


def compositions(total: int, parts: int) -> Iterable[tuple[int, ...]]:
    """All ways to write ``total`` as an ordered sum of ``parts`` counts."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


def atom_count(change: Change) -> int:
    """Bound the atoms of a change: ratios r, 1 and 1/r merge along a line, all others are counted apart."""
    atoms = 1
    for pair, n in change:
        ratios = [ratio for ratio, _, _ in grouped(pair)[0]]
        in_line = len({max(ratio, 1 / ratio) for ratio in ratios} - {1}) <= 1
        atoms *= 2 * n + 1 if in_line else math.comb(n + len(ratios) - 1, n)
    return atoms


class Law:
    """All that a certificate depends on, for one change: masses with log ratios, at any precision."""

    def __init__(self, change: Change) -> None:
        self.change = change
        self._balls: dict[int, tuple[list[Atom], arb]] = {}

    def balls(self) -> tuple[list[Atom], arb]:
        """Return the atoms, and the clean mass at ratio 0, at the current precision."""
        if ctx.prec not in self._balls:
            self._balls[ctx.prec] = self._evaluated()
        return self._balls[ctx.prec]

    def rational_dual(self, u: float | None, p: Fraction) -> Fraction | None:
        """Return D(u; 0, p) = A + e^u B where it is rational: at u = 0, and where B = 0."""
        if u is None:
            return Fraction(0)
        masses, _ = self._masses(lambda f: fmpq(f.numerator, f.denominator))
        free, scaled = fmpq(0), fmpq(p.numerator, p.denominator) - 1
        with precision(LADDER[-1]):
            t = ball(u).exp()
            for clean, q in masses.values():
                if arb(q) > t * clean:
                    scaled += clean
                else:
                    free += q
        if u == 0.0:
            free, scaled = free + scaled, fmpq(0)
        return Fraction(int(free.p), int(free.q)) if scaled == 0 else None

    def _evaluated(self) -> tuple[list[Atom], arb]:
        masses, kept = self._masses(ball)
        logs: dict[Fraction, arb] = {}
        atoms = []
        for key, (p, q) in masses.items():
            log = arb(0)
            for generator, exponent in key:
                if generator not in logs:
                    logs[generator] = ball(generator).log()
                log += exponent * logs[generator]
            atoms.append((p, q, log))
        return atoms, 1 - kept

    def _masses(self, number):  # type: ignore[no-untyped-def]
        """Masses by ratio, which is a product of powers of ratios above 1; and the sum of the clean ones."""
        found = {(): (number(Fraction(1)), number(Fraction(1)))}
        kept = number(Fraction(1))
        for pair, n in self.change:
            atoms, zero = grouped(pair)
            kept = kept * number(1 - zero) ** n
            powers = [
                tuple([number(mass) ** k for k in range(n + 1)] for mass in masses) for _, *masses in atoms
            ]
            power: dict = {}
            for counts in compositions(n, len(atoms)) if atoms else ():
                key: dict[Fraction, int] = {}
                p = q = number(Fraction(ways(counts)))
                for i, ((ratio, _, _), times) in enumerate(zip(atoms, counts, strict=True)):
                    p, q = p * powers[i][0][times], q * powers[i][1][times]
                    if ratio != 1 and times:
                        generator = max(ratio, 1 / ratio)
                        key[generator] = key.get(generator, 0) + (times if ratio > 1 else -times)
                accumulate(power, key, p, q)
            product: dict = {}
            for (a, (p, q)), (b, (v, w)) in itertools.product(found.items(), power.items()):
                both = dict(a)
                for generator, exponent in b:
                    both[generator] = both.get(generator, 0) + exponent
                accumulate(product, both, p * v, q * w)
            found = product
        return found, kept

    def dual(self, noise: str, m: Fraction, u: float | None, p: Fraction) -> arb:
        """Return D(u; m, p) at the current precision; None stands for the trivial bound."""
        if u is None:
            return arb(0)
        atoms, zero = self.balls()
        log_t, score, shift = ball(u), ball(p), ball(m)  # u may be a ball itself
        t = log_t.exp()
        if m == 0:
            return sum((q.min(t * clean) for clean, q, _ in atoms), arb(0)) - t * (1 - score)
        accepted, attacked = zero, arb(0)
        for clean, q, log in atoms:
            g_p, g_q = SHIFTED[noise](log_t - log, shift)
            accepted, attacked = accepted + clean * g_p, attacked + q * g_q
        return attacked + t * (score - accepted)


def ways(counts: Sequence[int]) -> int:
    """Multinomial coefficient."""
    return math.factorial(sum(counts)) // math.prod(math.factorial(n) for n in counts)


def accumulate(masses: dict, key: dict[Fraction, int], p, q) -> None:  # type: ignore[no-untyped-def, type-arg]
    """Add masses at the ratio that ``key`` spells out."""
    at = tuple(sorted((g, e) for g, e in key.items() if e))
    before = masses.get(at)
    masses[at] = (p, q) if before is None else (before[0] + p, before[1] + q)


def gaussian(s: arb, m: arb) -> tuple[arb, arb]:
    """Clean and adversarial probability that log t exceeds the log ratio of two Gaussians by s or more."""
    return normal_cdf(s / m + m / 2), normal_cdf(s / m - m / 2)


def laplace(s: arb, m: arb) -> tuple[arb, arb]:
    """The same for Laplace noise: the hull of the pieces in which s may lie."""
    pieces = []
    if not s >= -m:
        pieces.append((arb(0), arb(0)))
    if not (s < -m or s >= m):
        pieces.append((1 - (-(s + m) / 2).exp() / 2, ((s - m) / 2).exp() / 2))
    if not s < m:
        pieces.append((arb(1), arb(1)))
    clean, adversarial = zip(*pieces, strict=True)
    return functools.reduce(arb.union, clean), functools.reduce(arb.union, adversarial)


SHIFTED = {"gaussian": gaussian, "laplace": laplace}

Witness = float | None
Term = tuple[Fraction, Sequence[Witness]]
"""A clean score, and witnesses any of which may prove the bound on what becomes of it."""


def _higher(one: arb, other: arb) -> arb:
    """Return the ball whose lower end is higher; as floats the ends of two may be equal."""
    return other if other.lower() > one.lower() else one


def proves(
    law: Law, noise: str, m: Fraction, terms: Sequence[Term], bound: Fraction | float, *, strict: bool = False
) -> bool:
    """Say whether the best dual bounds of all terms add up to ``bound`` or more (``strict``: more than that).

    Decided in balls at growing precision, and in rationals where nothing shifts: only there a bound can be
    met exactly.
    """
    needed = Fraction(bound)
    left = [(p, list(dict.fromkeys(witnesses))) for p, witnesses in terms]
    for bits in LADDER:
        with precision(bits):
            target = ball(needed)
            highest = arb(0)
            best = arb(0)
            for p, witnesses in left:
                found = [law.dual(noise, m, u, p) for u in witnesses]
                highest += functools.reduce(arb.max, found)
                best += functools.reduce(_higher, found)
            if best > target or (not strict and best >= target):
                return True
            if highest < target or (strict and highest <= target):
                return False
    if m == 0:
        exact = [
            max((v for u in w if (v := law.rational_dual(u, p)) is not None), default=None) for p, w in left
        ]
        if None not in exact:
            total = sum((value for value in exact if value is not None), Fraction(0))
            return total > needed if strict else total >= needed
    raise AssertionError(f"undecided at {LADDER[-1]} bits: {law.change}, {noise}, {m}, {terms}, {bound}")
