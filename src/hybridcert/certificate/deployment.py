"""What a threshold means when the filter runs (theory page, section 5).

A filter that draws N noisy copies and flags an input when at least one of them is unsafe misses an input
whose smoothed score is above τ with probability below (1 − τ)^N.
"""

from __future__ import annotations

import decimal
import math
from fractions import Fraction

from hybridcert.certificate.confidence import clopper_pearson_upper
from hybridcert.certificate.directed import WIDE, step_up
from hybridcert.certificate.ranges import check_open
from hybridcert.errors import ParameterError

_EXACT_POWERS = 1024
_SLIGHTLY_MORE = decimal.Decimal("1.000000000000000000000001")  # by more than the quotient errs


def threshold_for(*, copies: int, miss: float) -> float:
    """Return τ = 1 − miss^(1/copies), rounded up.

    Guarantee: a filter that draws ``copies`` copies of an input with score above τ flags it with probability
    at least 1 − ``miss``.

    Parameters
    ----------
    copies : int >= 1
    miss : float in (0, 1)

    Examples
    --------
    >>> import hybridcert as hc
    >>> f"{hc.threshold_for(copies=100_000, miss=0.01):.3e}"
    '4.605e-05'
    """
    _check_copies(copies)
    check_open("miss", miss)
    root = WIDE.divide(_ln(miss), decimal.Decimal(copies))
    return min(1.0, float(step_up(float(_one_minus_exp(root)))))


def miss_probability(*, copies: int, threshold: float) -> float:
    """Return (1 − threshold)^copies, rounded up: how often an input with score ``threshold`` is missed."""
    _check_copies(copies)
    check_open("threshold", threshold)
    power = WIDE.multiply(_log_one_minus(threshold), decimal.Decimal(copies))
    if power < -745:
        return math.ulp(0.0)
    return min(1.0, float(step_up(float(power.exp(WIDE)))))


def copies_for(*, threshold: float, miss: float) -> int:
    """Return the least number of copies with which a score above ``threshold`` is missed at most ``miss``."""
    check_open("threshold", threshold)
    check_open("miss", miss)
    ratio = WIDE.divide(_ln(miss), _log_one_minus(threshold))
    copies = math.ceil(WIDE.multiply(ratio, _SLIGHTLY_MORE))
    if 1 < copies <= _EXACT_POWERS and (1 - Fraction(threshold)) ** (copies - 1) <= Fraction(miss):
        return copies - 1  # an exact power, such as 0.5 and 0.25
    return copies


def cutoff_for(*, copies: int, threshold: float, miss: float) -> int:
    """Return the largest number of hits that a filter may ask for.

    Guarantee: a filter that draws ``copies`` copies of an input with score above ``threshold``, and flags it
    at this many hits or more, flags it with probability at least 1 − ``miss``. 0: so few copies promise that
    only if everything is flagged.

    Parameters
    ----------
    copies : int >= 1
    threshold, miss : float in (0, 1)
    """
    _check_copies(copies)
    check_open("threshold", threshold)
    check_open("miss", miss)
    # P(Bin(copies, threshold) <= k) <= miss exactly where the upper confidence bound at k is <= threshold
    proven, unproven = 0, copies + 1
    while unproven - proven > 1:
        hits = (proven + unproven) // 2
        if float(clopper_pearson_upper(hits - 1, copies, miss)) <= threshold:
            proven = hits
        else:
            unproven = hits
    return proven


def _ln(value: float) -> decimal.Decimal:
    return decimal.Decimal(value).ln(WIDE)


def _log_one_minus(value: float) -> decimal.Decimal:
    """ln(1 − value), without cancellation for a small value."""
    x = decimal.Decimal(value)
    if value > 1e-8:
        return WIDE.subtract(1, x).ln(WIDE)
    with decimal.localcontext(WIDE):
        return -sum((x**n / n for n in range(1, 6)), start=decimal.Decimal(0))


def _one_minus_exp(x: decimal.Decimal) -> decimal.Decimal:
    """1 − e^x for x < 0, without cancellation for small x."""
    if x < decimal.Decimal("-1e-8"):
        return WIDE.subtract(1, x.exp(WIDE))
    total, term = decimal.Decimal(0), decimal.Decimal(-1)
    for n in range(1, 8):
        term = WIDE.divide(WIDE.multiply(term, x), decimal.Decimal(n))
        total = WIDE.add(total, term)
    return total


def _check_copies(copies: int) -> None:
    if int(copies) != copies or copies < 1:
        raise ParameterError(f"copies must be an integer >= 1, got {copies!r}")
