"""The certificate in ball arithmetic (Arb): every answer encloses the exact one, and nothing is searched for.

Written from the theory page, not from the package: F and W are summed as they stand there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction

from flint import arb, ctx, fmpq

from exact_laws import Law

BITS = 256


@contextlib.contextmanager
def precision(bits: int = BITS) -> Iterator[None]:
    """Work with this many bits."""
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def ball(value: Fraction | float | int) -> arb:
    """The narrowest ball around a number; floats are taken exactly."""
    if isinstance(value, Fraction):
        return arb(fmpq(value.numerator, value.denominator))
    return arb(value)


def normal_cdf(x: arb) -> arb:
    """Φ(x)."""
    return (-x / arb(2).sqrt()).erfc() / 2


class BallLaw:
    """A law (see `exact_laws`) with its masses and log ratios as balls."""

    def __init__(self, atoms: list[tuple[arb, arb, arb]], zero: arb) -> None:
        self.atoms, self.zero = atoms, zero

    @staticmethod
    def of(law: Law) -> BallLaw:
        atoms = [(ball(p), ball(q), ball(r).log()) for r, (p, q) in sorted(law.items()) if r > 0]
        zero = law.get(Fraction(0), (Fraction(0), Fraction(0)))[0]
        return BallLaw(atoms, ball(zero))

    def clean(self, m: arb, u: arb) -> arb:
        """F(u; m), for m > 0."""
        return self.zero + sum((p * normal_cdf((u - log) / m + m / 2) for p, _, log in self.atoms), arb(0))

    def adversarial(self, m: arb, u: arb) -> arb:
        """W(u; m), for m > 0."""
        return sum((q * normal_cdf((u - log) / m - m / 2) for _, q, log in self.atoms), arb(0))

    def dual(self, m: float, u: float, p: float) -> arb:
        """D(u; m) at clean score p; at m = 0 as Σ min(q, t p_k) − t (1 − p) over finite ratios."""
        t = ball(u).exp()
        if m == 0.0:
            overlap = sum((q.min(t * clean) for clean, q, _ in self.atoms), arb(0))
            return overlap - t * (1 - ball(p))
        return self.adversarial(ball(m), ball(u)) + t * (ball(p) - self.clean(ball(m), ball(u)))

    def value_between(self, m: float | arb, p: float, *, near: float) -> tuple[arb, arb]:
        """Bounds on the exact V(p; m): the dual at u from below, the test that accepts p from above.

        u solves F(u; m) = p by bisection on midpoints, from a bracket grown around ``near``; the bounds hold
        whatever u comes out.
        """
        shift, score = ball(m) if isinstance(m, float) else m, ball(p)
        if not score > self.zero:
            return arb(0), arb(0)
        lo, hi, step = ball(near), ball(near), arb(2) ** -40
        while self.clean(shift, lo) > score:
            lo, step = lo - step, 2 * step
        step = arb(2) ** -40
        while not self.clean(shift, hi) > score:
            hi, step = hi + step, 2 * step
        while (hi - lo) > (1 + abs(lo)) * arb(2) ** -100:
            middle = ((lo + hi) / 2).mid()
            if self.clean(shift, middle) > score:
                hi = middle
            else:
                lo = middle
        t = lo.exp()
        below = self.adversarial(shift, lo) + t * (score - self.clean(shift, lo))
        return below, self.adversarial(shift, hi)


class LaplaceLaw(BallLaw):
    """The same with Laplace noise: G_P and G_Q as the page on the certificate format states them."""

    @staticmethod
    def of(law: Law) -> LaplaceLaw:
        plain = BallLaw.of(law)
        return LaplaceLaw(plain.atoms, plain.zero)

    def clean(self, m: arb, u: arb) -> arb:
        """F(u; m), for m > 0; it jumps at ℓ_k − m and ℓ_k + m."""
        return self.zero + sum(
            (
                p * (1 - (-(u - log + m) / 2).exp() / 2 if u < log + m else 1)
                for p, _, log in self.reached(m, u)
            ),
            arb(0),
        )

    def adversarial(self, m: arb, u: arb) -> arb:
        """W(u; m), for m > 0."""
        return sum(
            (q * (((u - log - m) / 2).exp() / 2 if u < log + m else 1) for _, q, log in self.reached(m, u)),
            arb(0),
        )

    def reached(self, m: arb, u: arb) -> list[tuple[arb, arb, arb]]:
        """Atoms with u ≥ ℓ_k − m. Where balls cannot tell, D does not care: it is continuous."""
        return [atom for atom in self.atoms if not u < atom[2] - m]

    def value_between(self, m: float | arb, p: float, *, near: float) -> tuple[arb, arb]:
        """Bounds on the exact V(p; m): D at u from below, its tangent in t from above (D is concave)."""
        shift, score = ball(m) if isinstance(m, float) else m, ball(p)
        if not score > self.zero:
            return arb(0), arb(0)
        lo, hi, step = ball(near), ball(near), arb(2) ** -40
        while not self.clean(shift, lo) <= score:
            lo, step = lo - step, 2 * step
        step = arb(2) ** -40
        while not self.clean(shift, hi) > score:
            hi, step = hi + step, 2 * step
        while (hi - lo) > (1 + abs(lo)) * arb(2) ** -100:
            middle = ((lo + hi) / 2).mid()
            if self.clean(shift, middle) <= score:
                lo = middle
            else:
                hi = middle
        missing = score - self.clean(shift, lo)
        below = self.adversarial(shift, lo) + lo.exp() * missing
        return below, below + (hi.exp() - lo.exp()) * missing
