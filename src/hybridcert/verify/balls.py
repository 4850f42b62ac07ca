"""Ball arithmetic: a working precision, and comparisons that are either proven or left open."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from flint import arb, ctx, fmpq

from hybridcert.verify.limits import PRECISIONS


@contextlib.contextmanager
def precision(bits: int) -> Iterator[None]:
    """Work with ``bits`` bits; the precision that was set before comes back afterwards."""
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def not_below(value: Callable[[int], arb], bound: fmpq) -> bool | None:
    """Decide ``value >= bound`` on a fixed ladder of precisions; None if the last one leaves it open."""
    for bits in PRECISIONS:
        ball = value(bits)
        with precision(bits):
            if ball >= bound:
                return True
            if ball < bound:
                return False
    return None


def above(value: Callable[[int], arb], bound: fmpq) -> bool | None:
    """Decide ``value > bound`` on a fixed ladder of precisions; None if the last one leaves it open."""
    for bits in PRECISIONS:
        ball = value(bits)
        with precision(bits):
            if ball > bound:
                return True
            if ball <= bound:
                return False
    return None
