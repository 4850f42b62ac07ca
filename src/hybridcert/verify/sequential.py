"""Sampling that may stop: the probability of what is at least as extreme, and mixtures of likelihoods.

A path of failures is followed from look to look. What no longer can cross a boundary, and what has a
negligible probability, is left out; the latter is added to the ball that is returned.
"""

from __future__ import annotations

import functools
import math
from typing import Final

from flint import arb, arb_poly, fmpq, fmpq_poly

from hybridcert.verify.balls import precision
from hybridcert.verify.binomial import binomial_window, window_terms

Stages = tuple[tuple[int, int], ...]
"""Looks (n, a), n increasing, 0 <= a <= n: a path crosses with at most a failures in its first n copies."""

_LOOK_UNITS: Final = 300
_TERM_UNITS: Final = 10  # for a term of a window, at 128 bits
_PRODUCT_UNITS: Final = 0.8
_GAMMA_UNITS: Final = 600
_VALUE_BITS: Final = 64


def stages_of(looks: tuple[int, ...], certify_at: tuple[int, ...], look: int, successes: int) -> Stages:
    """Return the boundaries of outcomes at least as extreme as ``successes`` at ``look``.

    Parameters
    ----------
    looks, certify_at
        Copies at each look, and the successes from which on a path crosses there: n + 1 for never.
    look
        Index of the look at which the outcome counts; looks before it that nothing crosses are left out.
    """
    before = zip(looks[:look], certify_at, strict=False)
    crossed = tuple((n, n - certify) for n, certify in before if certify <= n)
    return (*crossed, (looks[look], looks[look] - successes))


@functools.lru_cache(maxsize=8192)
def crossing(stages: Stages, p: fmpq, bits: int) -> arb:
    """Return a ball that holds the probability that a path of successes crosses at one of the stages.

    Parameters
    ----------
    p
        Success probability of each copy, in (0, 1), exact.
    bits
        Working precision; the absolute error is about the number of outcomes times 2^-bits.
    """
    with precision(bits):
        most = max(a for _, a in stages)
        tiny = arb(2) ** -bits
        alive, first, drawn = [arb(1)], 0, 0  # probabilities of first, first + 1, … failures
        crossed, rest = arb(0), arb(0)
        for n, a in stages:
            low, masses, left_out = binomial_window(n - drawn, 1 - p, bits)
            first, drawn, rest = first + low, n, rest + left_out
            alive = (arb_poly(alive) * arb_poly(masses)).coeffs()[: max(0, most + 1 - first)]
            over = max(0, a + 1 - first)
            crossed += sum(alive[:over], arb(0))
            alive, first = alive[over:], max(first, a + 1)
            while alive and alive[-1] < tiny:
                rest += alive.pop()
            light = next((i for i, mass in enumerate(alive) if not mass < tiny), len(alive))
            rest += sum(alive[:light], arb(0))
            alive, first = alive[light:], first + light
            if not alive:
                break
        return crossed + rest.union(arb(0))


def crossing_units(stages: Stages, p: fmpq, bits: int) -> int:
    """Return about how much work `crossing` takes, from the widths of the laws that it multiplies."""
    most = max(a for _, a in stages)
    units, drawn, width = 0.0, 0, 1.0
    for n, _ in stages:
        terms = window_terms(n - drawn, p, bits)
        longer = max(terms, width)
        product = _PRODUCT_UNITS * longer * math.log2(2 + longer)
        units += _LOOK_UNITS + (1 + bits / 512) * (_TERM_UNITS * terms + product)
        width = min(most + 1.0, width + terms, window_terms(n, p, bits))
        drawn = n
    return int(units)


def exact_crossing(stages: Stages, p: fmpq) -> fmpq:
    """Return the probability that `crossing` encloses, as a rational."""
    length = max(a for _, a in stages) + 1
    alive, crossed, drawn = fmpq_poly([1]), fmpq(0), 0
    for n, a in stages:
        step = fmpq_poly([p, 1 - p]).pow_trunc(n - drawn, length)
        masses = alive.mul_low(step, length).coeffs()
        crossed += sum(masses[: a + 1], fmpq(0))
        alive, drawn = fmpq_poly([0] * (a + 1) + masses[a + 1 :]), n
    return crossed


def log_evidence(k: int, n: int, p: fmpq, prior: tuple[fmpq, fmpq], bits: int) -> arb:
    """Return a ball that holds the log of ∫ x^k (1−x)^(n−k) Beta(x; prior) dx / (p^k (1−p)^(n−k)).

    Parameters
    ----------
    k, n
        Counts with 0 <= k <= n.
    p
        Success probability in (0, 1), exact.
    prior
        Parameters a, b > 0 of the beta law.
    """
    with precision(bits + _VALUE_BITS + n.bit_length()):
        a, b = prior
        mixed = _log_beta(a + k, b + (n - k)) - _log_beta(a, b)
        return mixed - k * arb(p).log() - (n - k) * arb(1 - p).log()


def evidence_units(bits: int) -> int:
    """Return about how much work `log_evidence` takes."""
    return _GAMMA_UNITS * (1 + bits // 128) ** 2


def exact_evidence(k: int, n: int, p: fmpq, prior: tuple[fmpq, fmpq]) -> fmpq:
    """Return what `log_evidence` encloses the log of, as a rational: B(a+k, b+n−k)/B(a, b) is one."""
    a, b = prior
    mixed = fmpq(1)
    for j in range(k):
        mixed *= (a + j) / (a + b + j) / p
    for j in range(n - k):
        mixed *= (b + j) / (a + b + k + j) / (1 - p)
    return mixed


def _log_beta(a: fmpq, b: fmpq) -> arb:
    return arb(a).lgamma() + arb(b).lgamma() - arb(a + b).lgamma()
