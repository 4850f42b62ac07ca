"""Likelihood spectra of many independent changes of one kind: powers of a pair of laws, rounded outwards.

Equal ratios merge on exact exponents. Up to three ratios in geometric progression, which is what most kernels
have, go by a recurrence in wide decimals; powers of one base by convolution; all else by repeated squaring.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.directed import UNIT_ROUNDOFF, WIDE, Floats, enclose, step_down, step_up
from hybridcert.certificate.spectrum import LikelihoodSpectrum

_NEGLIGIBLE = decimal.Decimal("1e-300")
_LARGEST_EXPONENT = 1024  # ratios that lie further apart are not looked at as powers of one another
_LEAST = 5e-324  # smallest positive float64: the absolute error of a product that underflows


def power_spectrum(
    ratios: Sequence[Fraction],
    masses: Sequence[Fraction],
    times: int,
    *,
    zero: float,
    base: Fraction | None = None,
) -> LikelihoodSpectrum:
    """Return the spectrum of ``times`` >= 1 independent pairs with these clean masses at these ratios.

    Parameters
    ----------
    ratios : increasing fractions > 0
    masses : fractions > 0
    zero : float
        Upper bound on the clean mass of all pairs together that the adversarial law never produces.
    base : Fraction, optional
        A number that every ratio is an integer power of, where one is known.
    """
    p, q = list(masses), [ratio * mass for ratio, mass in zip(ratios, masses, strict=True)]
    bases, exponents = _lattice(ratios, base)
    if len(ratios) <= 2 or (len(ratios) == 3 and ratios[1] ** 2 == ratios[0] * ratios[2]):
        return _progression(bases, exponents, p, q, times, zero)
    if len(bases) == 1 and int(np.ptp(exponents)) <= 64 * len(ratios):
        return _dense(bases[0], exponents[:, 0], p, q, times, zero)
    clean, one = _bounds(p), told_apart_upper(1 - sum(p, Fraction(0)), 1)
    single = LikelihoodSpectrum.build(
        bases, exponents, clean=clean, adversarial_lower=_bounds(q)[0], ratio_zero_upper=one
    )
    return _by_squaring(single, times)


def told_apart_upper(move: Fraction, d: int) -> float:
    """Bound 1 − (1 − move)^d from above: as a difference of 80 digits, or by d·move where that cancels."""
    if move == 0:
        return 0.0
    with decimal.localcontext(WIDE, prec=80):
        shared = (1 - decimal.Decimal(move.numerator) / move.denominator) ** d
        difference = 1 - shared + decimal.Decimal(d + 10).scaleb(-78)
    return float(enclose([min(difference, _decimal(d * move))])[1][0])


def logarithm(value: Fraction) -> float:
    """Return an estimate of log(value) for a rational > 0 of any size."""
    if Fraction(1, 2) < value < 2:
        return math.log1p(float(value - 1))
    return math.log(value.numerator) - math.log(value.denominator)


def _lattice(
    ratios: Sequence[Fraction], base: Fraction | None
) -> tuple[tuple[Fraction, ...], npt.NDArray[np.int64]]:
    """Write each ratio as a product of integer powers of bases > 1: of a single one if that is possible."""
    above = [max(ratio, 1 / ratio) for ratio in ratios]
    if max(above) == 1:
        return (), np.zeros((len(ratios), 0), dtype=np.int64)
    generator = base or min(ratio for ratio in above if ratio > 1)
    powers = [_exponent(ratio, generator) for ratio in above]
    if all(generator**power == ratio for ratio, power in zip(above, powers, strict=True)):
        bases: tuple[Fraction, ...] = (generator,)
    else:
        bases, powers = tuple(sorted({ratio for ratio in above if ratio > 1})), [1] * len(above)
    exponents = np.zeros((len(ratios), len(bases)), dtype=np.int64)
    for i, (ratio, power) in enumerate(zip(ratios, powers, strict=True)):
        if ratio != 1:
            column = 0 if len(bases) == 1 else bases.index(above[i])
            exponents[i, column] = power if ratio > 1 else -power
    return bases, exponents


def _exponent(ratio: Fraction, base: Fraction) -> int:
    """Return the integer nearest to log(ratio) / log(base), 0 where it would be a large one."""
    width = logarithm(base)
    steps = logarithm(ratio) / width if width > 0 else math.inf
    return round(steps) if steps <= _LARGEST_EXPONENT else 0


def _progression(
    bases: tuple[Fraction, ...],
    exponents: npt.NDArray[np.int64],
    p: list[Fraction],
    q: list[Fraction],
    times: int,
    zero: float,
) -> LikelihoodSpectrum:
    """Powers of up to three ratios in geometric progression: the law of a sum of steps 0, 1, 2."""
    clean = _power([_decimal(mass) for mass in p], times)
    mirrored = p == q[::-1]
    adversarial = clean[::-1] if mirrored else _power([_decimal(mass) for mass in q], times)
    keep = [i for i, pair in enumerate(zip(clean, adversarial, strict=True)) if max(pair) > _NEGLIGIBLE]
    if not keep:
        return LikelihoodSpectrum.disjoint()
    if len(keep) < len(clean):
        zero = float(step_up(zero + len(clean) * 1e-300))
    first = exponents[0]
    step = exponents[1] - first if len(p) > 1 else 0 * first
    return LikelihoodSpectrum.build(
        bases,
        times * first + np.array(keep, dtype=np.int64)[:, None] * step,
        clean=enclose([clean[i] for i in keep]),
        adversarial_lower=enclose([adversarial[i] for i in keep])[0],
        ratio_zero_upper=zero,
    )


def _power(masses: list[decimal.Decimal], d: int) -> list[decimal.Decimal]:
    """Return the coefficients of (masses[0] + masses[1] x + masses[2] x²)^d."""
    if len(masses) == 1:
        return [WIDE.power(masses[0], d)]
    if len(masses) == 2:
        return _trinomial_half(masses[0], masses[1], decimal.Decimal(0), d)
    a, b, c = masses
    return _trinomial_half(a, b, c, d) + _trinomial_half(c, b, a, d)[-2::-1]


def _trinomial_half(
    a: decimal.Decimal, b: decimal.Decimal, c: decimal.Decimal, d: int
) -> list[decimal.Decimal]:
    """Return the coefficients of x⁰ … x^d of (a + b x + c x²)^d.

    From P Q' = d P' Q for Q = P^d: a (k+1) Q[k+1] = b (d−k) Q[k] + c (2d−k+1) Q[k−1]. Every term is
    non-negative for k ≤ d, so the relative error stays below (6 d + 10)·1e-33.
    """
    with decimal.localcontext(WIDE):
        ratio_b, ratio_c = b / a, c / a
        coefficients = [a**d]
        before = decimal.Decimal(0)
        for k in range(d):
            current = coefficients[-1]
            coefficients.append((ratio_b * (d - k) * current + ratio_c * (2 * d - k + 1) * before) / (k + 1))
            before = current
    return coefficients


def _dense(
    base: Fraction,
    exponents: npt.NDArray[np.int64],
    p: list[Fraction],
    q: list[Fraction],
    times: int,
    zero: float,
) -> LikelihoodSpectrum:
    """Powers of ratios that are integer powers of one base: convolutions, rounded outwards."""
    low = int(exponents.min())
    span = int(exponents.max()) - low + 1
    single = np.zeros((3, span))
    (single[0, exponents - low], single[1, exponents - low]) = _bounds(p)
    single[2, exponents - low] = _bounds(q)[0]
    power = single
    for bit in bin(times)[3:]:
        power = _convolved(power, power)
        if bit == "1":
            power = _convolved(power, single)
    return LikelihoodSpectrum.build(
        (base,),
        np.arange(power.shape[1], dtype=np.int64)[:, None] + times * low,
        clean=(power[0], power[1]),
        adversarial_lower=power[2],
        ratio_zero_upper=zero,
    )


def _convolved(first: Floats, second: Floats) -> Floats:
    """Convolve rows of non-negative lower (0 and 2) and upper (1) bounds, keeping them bounds."""
    terms = min(first.shape[1], second.shape[1])
    slack, least = (terms + 4) * 2 * UNIT_ROUNDOFF, 2 * terms * _LEAST
    rows = np.array([np.convolve(a, b) for a, b in zip(first, second, strict=True)])
    rows[[0, 2]] = np.maximum(step_down(rows[[0, 2]] * (1 - slack) - least), 0.0)
    rows[1] = step_up(rows[1] * (1 + slack) + least)
    return rows


def _by_squaring(single: LikelihoodSpectrum, times: int) -> LikelihoodSpectrum:
    power = single
    for bit in bin(times)[3:]:
        power = power.compose(power)
        if bit == "1":
            power = power.compose(single)
    return power


def _bounds(values: Sequence[Fraction]) -> tuple[Floats, Floats]:
    nearest = np.array([float(value) for value in values])
    return np.maximum(step_down(nearest), 0.0), step_up(nearest)


def _decimal(value: Fraction) -> decimal.Decimal:
    return WIDE.divide(decimal.Decimal(value.numerator), decimal.Decimal(value.denominator))
