"""Decisions on what counts prove: in balls of growing precision, and in rationals where those leave a tie."""

from __future__ import annotations

import functools
import math
from typing import Literal

from flint import arb, fmpq

from hybridcert.verify import limits
from hybridcert.verify.balls import above, not_below, precision
from hybridcert.verify.binomial import lower_tail, tail_units, upper_tail
from hybridcert.verify.meter import Meter
from hybridcert.verify.sequential import (
    Stages,
    crossing,
    crossing_units,
    evidence_units,
    exact_crossing,
    exact_evidence,
    log_evidence,
)

Decision = tuple[str | None, int]
"""None, or how it fails to hold; and the work that it took, the same whether it was kept or done again."""

_UNDECIDED = f"is undecided at {limits.PRECISIONS[-1]} bits"


@functools.lru_cache(maxsize=8192)
def tail_at_most(side: Literal["lower", "upper"], k: int, n: int, p: fmpq, alpha: fmpq) -> Decision:
    """Decide whether P(Bin(n, p) <= k) or P(Bin(n, p) >= k) is at most ``alpha``.

    Raises
    ------
    DataError
        If that takes more than the limits allow.
    """
    meter = Meter(limits.WORK)

    def tail(bits: int) -> arb:
        if side == "upper":
            meter.spend(tail_units(k, n, p, bits))
            return upper_tail(k, n, p, bits)
        meter.spend(tail_units(n - k, n, 1 - p, bits))
        return lower_tail(k, n, p, bits)

    exceeds = above(tail, alpha)
    if exceeds is None and n * _size(p) <= limits.EXACT_TAIL_BITS:
        exceeds = _exact_tail(side, k, n, p) > alpha
    return _answer(None if exceeds is None else not exceeds), meter.spent


@functools.lru_cache(maxsize=8192)
def crossing_at_most(stages: Stages, p: fmpq, alpha: fmpq) -> Decision:
    """Decide whether a path of successes with probability ``p`` in (0, 1) crosses with at most ``alpha``.

    Raises
    ------
    DataError
        If that takes more than the limits allow.
    """
    meter = Meter(limits.WORK)

    def probability(bits: int) -> arb:
        meter.spend(crossing_units(stages, p, bits))
        return crossing(stages, p, bits)

    exceeds = above(probability, alpha)
    if exceeds is None and stages[-1][0] * _size(p) <= limits.EXACT_TAIL_BITS:
        exceeds = exact_crossing(stages, p) > alpha
    return _answer(None if exceeds is None else not exceeds), meter.spent


@functools.lru_cache(maxsize=8192)
def evidence_suffices(k: int, n: int, p: fmpq, prior: tuple[fmpq, fmpq], alpha: fmpq) -> Decision:
    """Decide whether p <= k/n and the beta mixture outweighs ``p`` in (0, 1) at least 1/``alpha`` times.

    Raises
    ------
    DataError
        If that takes more than the limits allow.
    """
    if p * n > k:
        return _answer(False), 0
    meter = Meter(limits.WORK)

    def spare(bits: int) -> arb:
        meter.spend(evidence_units(bits))
        found = log_evidence(k, n, p, prior, bits)
        with precision(bits):
            return found + arb(alpha).log()

    suffices = not_below(spare, fmpq(0))
    if suffices is None and n * (_size(p) + sum(map(_size, prior))) <= limits.EXACT_TAIL_BITS:
        suffices = exact_evidence(k, n, p, prior) * alpha >= 1
    return _answer(suffices), meter.spent


def _answer(holds: bool | None) -> str | None:
    if holds is None:
        return _UNDECIDED
    return None if holds else "does not hold"


def _size(value: fmpq) -> int:
    return int(value.p).bit_length() + int(value.q).bit_length()


def _exact_tail(side: str, k: int, n: int, p: fmpq) -> fmpq:
    """Sum the tail in exact rationals, to settle a tie."""
    counts = range(k, n + 1) if side == "upper" else range(k + 1)
    terms = (fmpq(math.comb(n, j)) * p**j * (1 - p) ** (n - j) for j in counts)
    return sum(terms, fmpq(0))
