"""What `radii.py` compares with: the paper's grouped formulas solved by bisection, and 60-digit radii."""

from __future__ import annotations

import math
from fractions import Fraction

import flint
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

BITS = 300


class GroupedBisection:
    """The paper's A.13 for the uniform kernel with the sound rule: certified iff V > τ, V nonincreasing.

    Groups (i, j): the noisy text differs from x in i and from x' in j of the d positions, i + j >= d. The
    masses are arrays; certificates come one at a time, by 60 bisections for r and 80 for log t within each.
    """

    def __init__(self, d: int, *, vocabulary: int, beta: float, sigma: float, threshold: float) -> None:
        self.sigma, self.threshold = sigma, threshold
        alpha, stay = beta / (vocabulary - 1), 1.0 - beta
        pairs = [(i, j) for i in range(d + 1) for j in range(d + 1) if i + j >= d]
        sizes = [
            math.comb(d, i) * math.comb(i, i + j - d) * (vocabulary - 2) ** (i + j - d) for i, j in pairs
        ]
        i, j = np.array(pairs).T
        mass = np.array([float(size) for size in sizes]) * alpha**i * stay ** (d - i)
        self.clean = mass / mass.sum()
        self.log_ratio = (j - i) * math.log(alpha / stay)
        adversarial = self.clean * np.exp(self.log_ratio)
        self.adversarial = adversarial / adversarial.sum()

    def value(self, p: float, r: float) -> float:
        """V(r)."""
        m = r / self.sigma
        reach = 40.0 * m + 0.5 * m * m
        lo, hi = self.log_ratio.min() - reach, self.log_ratio.max() + reach
        for _ in range(80):
            log_t = 0.5 * (lo + hi)
            if self.clean @ ndtr((log_t - self.log_ratio) / m + 0.5 * m) < p:
                lo = log_t
            else:
                hi = log_t
        return float(self.adversarial @ ndtr((0.5 * (lo + hi) - self.log_ratio) / m - 0.5 * m))

    def radii(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """The largest r with V(r) > τ, for one p after the other."""
        found = np.empty(p.size)
        for k, score in enumerate(p.tolist()):
            lo, hi = 0.0, 20.0 * self.sigma
            for _ in range(60):
                r = 0.5 * (lo + hi)
                if self.value(score, r) > self.threshold:
                    lo = r
                else:
                    hi = r
            found[k] = 0.5 * (lo + hi)
        return found


class ExactRadius:
    """sup{m : V(m) > τ} for d positions of the uniform kernel, in 300-bit arithmetic."""

    def __init__(self, d: int, *, vocabulary: int, beta: float, threshold: float) -> None:
        flint.ctx.prec = BITS
        rate = Fraction(beta)
        step = (1 - rate, rate * Fraction(vocabulary - 2, vocabulary - 1), rate / (vocabulary - 1))
        masses = [Fraction(1)]
        for _ in range(d):
            padded = [Fraction(0), Fraction(0), *masses, Fraction(0), Fraction(0)]
            masses = [sum(step[k] * padded[n + 2 - k] for k in range(3)) for n in range(len(masses) + 2)]
        self.clean = [_ball(mass) for mass in masses]
        self.adversarial = self.clean[::-1]
        self.log_ratio = [_ball(step[0] / step[2]).log() * (n - d) for n in range(2 * d + 1)]
        self.threshold = flint.arb(threshold)

    def __call__(self, p: float, m: float, u: float) -> flint.arb:
        """Newton's method for F(u; m) = p and W(u; m) = τ from a float64 witness (m, u)."""
        flint.ctx.prec = BITS
        score, m, u = flint.arb(p), flint.arb(m), flint.arb(u)
        for _ in range(8):
            t = u.exp()
            a = [(u - log) / m + m / 2 for log in self.log_ratio]
            density = [c * (-x * x / 2).exp() / (2 * flint.arb.pi()).sqrt() for c, x in _pairs(self.clean, a)]
            slope = sum(density, flint.arb(0))
            drift = sum((g * x for g, x in _pairs(density, a)), flint.arb(0)) / slope
            surplus = score - sum((c * _normal(x) for c, x in _pairs(self.clean, a)), flint.arb(0))
            missing = self.threshold - sum(
                (q * _normal(x - m) for q, x in _pairs(self.adversarial, a)), flint.arb(0)
            )
            change = (surplus - missing / t) / slope
            m, u = (m + change).mid(), (u + drift * change + missing * m / (t * slope)).mid()
        return m


def relative(value: float, exact: flint.arb) -> float:
    """Return value / exact − 1."""
    return float((flint.arb(value) / exact - 1).mid())


def _pairs(left: list[flint.arb], right: list[flint.arb]) -> list[tuple[flint.arb, flint.arb]]:
    return list(zip(left, right, strict=True))


def _ball(value: Fraction) -> flint.arb:
    return flint.arb(flint.fmpq(value.numerator, value.denominator))


def _normal(x: flint.arb) -> flint.arb:
    return (-x / flint.arb(2).sqrt()).erfc() / 2
