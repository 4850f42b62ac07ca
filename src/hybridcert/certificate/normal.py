r"""The normal distribution function Φ with a proven error, in pure float64 arithmetic.

For z ≥ 0 the tail is written :math:`Φ(-z) = e^{-z²/2} P(t) / (1 + 2z)` with t = (z − 5)/(z + 5) and P a
polynomial of degree 23 (the change of variable of Shepherd & Laframboise 1981). The docs page
``numerics.md`` adds up its error, operation by operation; the tests check the approximation error of P on
all of [-1, 1] with ball arithmetic.

Guarantee. For every float64 x and every real ξ with |ξ − x| ≤ 4u|x| (u = 2⁻⁵³):
``cdf_lower(x) ≤ Φ(ξ) ≤ cdf_upper(x)``, up to an absolute 1e-300 where the tail underflows.
The slack in ξ lets callers round their arguments without another margin.
"""

from __future__ import annotations

import math
import threading

import numpy as np

from hybridcert.certificate.directed import UNIT_ROUNDOFF, Floats

UNDERFLOW = 1e-300
"""Absolute error that replaces the relative one where the tail leaves the range of normal floats."""

RELATIVE_ERROR = 2.0**-47
"""Bound (64 u) on the relative error of the prefactor P(t)/(1 + 2z), the exponential and the result."""

_SLOPE = 16 * UNIT_ROUNDOFF
"""Relative widening of z² that absorbs its rounding and the 4u slack in the argument."""

_POLYNOMIAL = (
    0.8461123547250693,
    -0.039647008404006104,
    -0.05400807503407678,
    0.10088858203458646,
    -0.10065743821674249,
    0.07248782697504487,
    -0.03933220135646695,
    0.015422845692258385,
    -0.003571695418310675,
    -0.00011869364792237798,
    0.0004250957235954309,
    -0.00010817647552731757,
    -2.6436433138360857e-05,
    1.938976515437013e-05,
    5.339401905384381e-07,
    -2.858373675797681e-06,
    1.793568383842644e-07,
    4.3198286106023726e-07,
    -4.228973882271319e-08,
    -6.790682766208344e-08,
    5.8428190572683666e-09,
    9.584765169702876e-09,
    -4.3860591195798053e-10,
    -8.252783905171468e-10,
)
_INVERSE_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_FARTHEST = 1e154  # squares of larger arguments overflow; both tails are exact long before
_ZERO_UNTIL, _ONE_FROM = -37.5, 8.5  # beyond, both tails are below the errors allowed: 1e-300 and 64u
_SPARSE = 0.7  # with a smaller share of arguments in between, only those are computed
_BLOCK = 16384  # elements: the buffers stay in the second-level cache


class _Scratch(threading.local):
    """Working memory, one for each thread: fresh memory would cost as much as what is computed in it."""

    def __init__(self) -> None:
        self.buffers = tuple(np.empty(_BLOCK) for _ in range(5))


_SCRATCH = _Scratch()


def cdf_lower(x: Floats, *, out: Floats | None = None) -> Floats:
    """Return a lower bound on Φ(ξ) for every ξ within 4u|x| of ``x``, elementwise, same shape.

    ``out`` may be a contiguous array of that shape, ``x`` itself included.
    """
    return _cdf(x, -0.5 * (1.0 + _SLOPE), 1.0 - RELATIVE_ERROR, out)


def cdf_upper(x: Floats, *, out: Floats | None = None) -> Floats:
    """Return an upper bound on Φ(ξ) for every ξ within 4u|x| of ``x``, elementwise; it may exceed 1."""
    return _cdf(x, -0.5 * (1.0 - _SLOPE), 1.0 + RELATIVE_ERROR, out)


def cdf(x: Floats) -> Floats:
    """Return Φ(x) as an estimate (no direction); searches use it, claims do not."""
    return _cdf(x, -0.5, 1.0, None)


def density(x: Floats) -> Floats:
    """Return the standard normal density as an estimate; it only ever steers a search."""
    return _INVERSE_SQRT_2PI * np.exp(-0.5 * np.square(np.minimum(np.abs(x), _FARTHEST)))


def _cdf(x: Floats, half: float, factor: float, out: Floats | None) -> Floats:
    values = np.ascontiguousarray(x, dtype=np.float64)
    result = np.empty_like(values) if out is None else out
    flat, target = values.reshape(-1), result.reshape(-1)
    *_, packed, found = _SCRATCH.buffers
    for start in range(0, flat.size, _BLOCK):
        block, there = flat[start : start + _BLOCK], target[start : start + _BLOCK]
        curved = np.flatnonzero(~((block <= _ZERO_UNTIL) | (block >= _ONE_FROM)))
        if curved.size < _SPARSE * block.size:
            part, values_of_part = packed[: curved.size], found[: curved.size]
            np.take(block, curved, out=part)
            _directed(part, half, factor, values_of_part)
            np.multiply(block > 0.0, factor, out=there)
            there[curved] = values_of_part
        else:
            _directed(block, half, factor, there)
    return result


def _directed(x: Floats, half: float, factor: float, out: Floats) -> None:
    """Write Φ(x), with ``half``·x² as the exponent and times ``factor``, into ``out``; up to a block."""
    positive, normal = x >= 0.0, x > _ZERO_UNTIL
    _tail(x, half, out)
    np.subtract(positive, out, out=out)  # 1 − tail, or −tail
    np.abs(out, out=out)
    np.multiply(out, normal, out=out)
    np.multiply(out, factor, out=out)


def _tail(x: Floats, half: float, out: Floats) -> None:
    """Write Φ(−|x|) into ``out``, which may be ``x``."""
    z, t, denominator = (buffer[: x.size] for buffer in _SCRATCH.buffers[:3])
    np.abs(x, out=z)
    np.minimum(z, -_ZERO_UNTIL, out=z)  # no subnormal numbers: they are slow
    np.add(z, 5.0, out=denominator)
    np.subtract(z, 5.0, out=t)
    np.divide(t, denominator, out=t)
    np.multiply(t, _POLYNOMIAL[-1], out=out)
    np.add(out, _POLYNOMIAL[-2], out=out)
    for coefficient in _POLYNOMIAL[-3::-1]:
        np.multiply(out, t, out=out)
        np.add(out, coefficient, out=out)
    np.multiply(z, 2.0, out=denominator)
    np.add(denominator, 1.0, out=denominator)
    np.divide(out, denominator, out=out)
    np.multiply(z, z, out=z)
    np.multiply(z, half, out=z)
    np.exp(z, out=z)
    np.multiply(out, z, out=out)
