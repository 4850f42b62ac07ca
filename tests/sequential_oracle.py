"""Crossing probabilities without rounding: rational arithmetic for small samples, balls for large ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from flint import arb, arb_poly

from balls import ball


def exact_crossing(p: float | Fraction, looks: Sequence[int], certify_at: Sequence[int]) -> Fraction:
    """P_p(successes reach certify_at at some look), by walking the tree of success counts."""
    success = Fraction(p)
    law, copies, crossed = {0: Fraction(1)}, 0, Fraction(0)
    for n, boundary in zip(looks, certify_at, strict=True):
        drawn, copies = n - copies, n
        step = [math.comb(drawn, i) * success**i * (1 - success) ** (drawn - i) for i in range(drawn + 1)]
        following: dict[int, Fraction] = {}
        for s, mass in law.items():
            for i, share in enumerate(step):
                if s + i >= boundary:
                    crossed += mass * share
                else:
                    following[s + i] = following.get(s + i, Fraction(0)) + mass * share
        law = following
    return crossed


def ball_crossing(p: float, looks: Sequence[int], certify_at: Sequence[int]) -> arb:
    """The same in balls, by generating functions cut at what no boundary reaches.

    Counts failures, of which few may cross; or successes, where the boundaries are lower.
    """
    allowed = [n - boundary for n, boundary in zip(looks, certify_at, strict=True)]
    if max(allowed) <= max(certify_at):
        return _reached(ball(p), 1 - ball(p), looks, allowed)
    return 1 - _kept(1 - ball(p), ball(p), looks, certify_at)


def _reached(zero: arb, one: arb, looks: Sequence[int], allowed: Sequence[int]) -> arb:
    """P(a sum of 0s and 1s is at most ``allowed`` at some look)."""
    most = max(allowed)
    law, copies, crossed = arb_poly([1]), 0, arb(0)
    for n, failures in zip(looks, allowed, strict=True):
        law, copies = cut(law * power(arb_poly([zero, one]), n - copies, most), most), n
        masses = law.coeffs()
        crossed += sum(masses[: failures + 1], arb(0))
        law = arb_poly([arb(0)] * (failures + 1) + masses[failures + 1 :])
    return crossed


def _kept(zero: arb, one: arb, looks: Sequence[int], below: Sequence[int]) -> arb:
    """P(a sum of 0s and 1s is less than ``below`` at every look)."""
    law, copies = arb_poly([1]), 0
    for n, boundary in zip(looks, below, strict=True):
        law, copies = law * power(arb_poly([zero, one]), n - copies, boundary - 1), n
        law = cut(law, boundary - 1)
    return sum(law.coeffs(), arb(0))


def power(base: arb_poly, exponent: int, most: int) -> arb_poly:
    """``base`` to a power, up to degree ``most``."""
    result, square = arb_poly([1]), base
    while exponent:
        if exponent & 1:
            result = cut(result * square, most)
        exponent >>= 1
        if exponent:
            square = cut(square * square, most)
    return result


def cut(poly: arb_poly, most: int) -> arb_poly:
    """The terms up to degree ``most``."""
    return arb_poly(poly.coeffs()[: most + 1])
