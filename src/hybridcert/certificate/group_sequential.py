"""Tests that look at a growing sample several times, with exact crossing probabilities.

A design certifies that a success probability reaches ``p_needed``. Its boundaries are chosen so that a
probability of exactly ``p_needed`` crosses one of them with probability at most α, computed on the whole tree
of outcomes (Armitage 1957; α spending of Lan & DeMets 1983). What a sample shows beyond that is read off by
stage-wise ordering (Jennison & Turnbull 2000, chapter 8; page on sequential tests).
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass

from hybridcert.certificate.alpha_budget import check_look, check_looks
from hybridcert.certificate.binomial import Coin
from hybridcert.certificate.confidence import clopper_pearson_lower
from hybridcert.certificate.crossing import FailureWalk, crossing_upper, effective_stages
from hybridcert.certificate.futility import hopeless_failures
from hybridcert.certificate.inversion import largest_proven
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.errors import ParameterError

MAX_COPIES = 10**7
"""The largest design."""
_RESERVE = 2.0**-18
"""Share of α that a design leaves unspent: more than an inversion loses to rounding (section 7)."""
_FUTILITY_LOOKS = 8
_FIRST_COPIES = 20


@dataclass(frozen=True, slots=True)
class GroupSequentialDesign:
    """Boundaries fixed before the first copy is drawn.

    Attributes
    ----------
    looks : tuple of int
        Copies drawn up to each look, strictly increasing.
    certify_at : tuple of int
        The least number of successes that certifies at each look; ``looks[i] + 1`` for none.
    stop_below : tuple of int
        Give up with fewer successes than this; 0 for never. Advice only: whoever goes on keeps the guarantee.
    p_needed : float in (0, 1)
        What is certified: the success probability is at least this.
    alpha : float in (0, 1)
        A success probability of at most ``p_needed`` is certified with at most this probability.
    """

    looks: tuple[int, ...]
    certify_at: tuple[int, ...]
    stop_below: tuple[int, ...]
    p_needed: float
    alpha: float


def group_sequential_design(
    p_needed: float,
    most: int,
    alpha: float,
    *,
    first: int | None = None,
    growth: float = 1.15,
    futility: float = 0.01,
) -> GroupSequentialDesign:
    """Return a design that spends ``alpha`` in proportion to the copies drawn.

    Guarantee: with a success probability of at most ``p_needed``, some boundary is crossed with probability
    at most ``alpha``. Wherever one is crossed, `group_sequential_lower` is at least ``p_needed``.

    Parameters
    ----------
    p_needed : float in (0, 1)
    most : int in [1, 10_000_000]
        Copies at the last look.
    alpha : float in (0, 1)
    first : int in [1, most], optional
        Copies at the first look that may certify; by default the least that can, but not below 20. Up to
        eight looks before it serve to give up.
    growth : float in [1.01, 100]
        Ratio of the copies at one look to those at the look before.
    futility : float in [0, 1)
        Give up when the predictive probability to certify later is below this; 0: only when nothing can.

    Raises
    ------
    ParameterError
        For values outside these ranges.

    Examples
    --------
    >>> from hybridcert.certificate.group_sequential import group_sequential_design
    >>> design = group_sequential_design(0.9, 1000, 0.01)
    >>> design.looks[-1], design.certify_at[-1]
    (1000, 923)
    """
    check_open("p_needed", p_needed)
    check_count("most", most, most=MAX_COPIES)
    check_open("alpha", alpha)
    if first is not None:
        check_count("first", first, most=most)
    if not (isinstance(growth, numbers.Real) and 1.01 <= growth <= 100.0):
        raise ParameterError(f"growth must be in [1.01, 100], got {growth!r}")
    if not (isinstance(futility, numbers.Real) and 0.0 <= futility < 1.0):
        raise ParameterError(f"futility must be in [0, 1), got {futility!r}")
    start = None if first is None else int(first)
    return _design(float(p_needed), int(most), float(alpha), start, float(growth), float(futility))


def group_sequential_lower(
    successes: int, *, look: int, looks: Sequence[int], certify_at: Sequence[int], alpha: float
) -> float:
    """Return the lower confidence bound of a sample that stopped at ``look``, rounded down.

    The bound is the largest p with P_p(some look before was crossed, or this many successes here) <= α. It
    never exceeds the exact one and agrees with it to 1e-10 of min(p, 1 − p).

    Guarantee: with probability at least 1 − ``alpha``, the bound is at most the true probability, if the
    looks and boundaries were fixed before the first copy, and ``look`` is where the first boundary was
    crossed, or the last look where none was. A sample that stopped without crossing, for whatever reason,
    counts at the last look, with every copy that was not drawn as a failure.

    Parameters
    ----------
    successes : int in [0, looks[look]]
    look : int in [0, len(looks))
    looks : sequence of int
        Copies drawn up to each look, strictly increasing.
    certify_at : sequence of int
        The boundaries, in [0, looks[i] + 1]; those from ``look`` on do not matter.
    alpha : float in (0, 1)

    Raises
    ------
    ParameterError
        For values outside these ranges.

    References
    ----------
    Jennison & Turnbull, Group Sequential Methods with Applications to Clinical Trials (2000), sections 8.4
    and 12.1 (stage-wise ordering, binary responses).
    """
    copies = check_looks(looks)
    check_look(look, copies)
    check_open("alpha", alpha)
    if len(certify_at) != len(copies):
        raise ParameterError(
            f"certify_at must have one entry for each of {len(copies)} looks, got {len(certify_at)}"
        )
    for n, boundary in zip(copies, certify_at, strict=True):
        _check_whole("each of certify_at", boundary, most=n + 1)
    _check_whole("successes", successes, most=copies[look])
    boundaries = (*certify_at[:look], successes)
    if 0 in boundaries:
        return 0.0
    allowed = [n - int(least) for n, least in zip(copies[: look + 1], boundaries, strict=True)]
    return _inverted(effective_stages(copies[: look + 1], allowed), float(alpha))


def _check_whole(name: str, value: int, *, most: int) -> None:
    if isinstance(value, bool) or not (isinstance(value, numbers.Integral) and 0 <= value <= most):
        raise ParameterError(f"{name} must be an integer in [0, {most}], got {value!r}")


@functools.lru_cache(maxsize=4096)
def _design(
    p_needed: float, most: int, alpha: float, first: int | None, growth: float, futility: float
) -> GroupSequentialDesign:
    looks = _looks(p_needed, most, alpha, first, growth)
    allowed = _boundaries(p_needed, looks, alpha, start=first or 1)
    if allowed[-1] < 0:
        hopeless = (0,) * len(looks)
    else:
        hopeless = hopeless_failures(looks, allowed, need=p_needed, futility=futility)
    return GroupSequentialDesign(
        looks=looks,
        certify_at=tuple(n - f for n, f in zip(looks, allowed, strict=True)),
        stop_below=tuple(max(0, n - f + 1) for n, f in zip(looks, hopeless, strict=True)),
        p_needed=p_needed,
        alpha=alpha,
    )


def _looks(p_needed: float, most: int, alpha: float, first: int | None, growth: float) -> tuple[int, ...]:
    """Copies in geometric progression, the last step not much shorter than the others."""
    start = first if first is not None else max(_FIRST_COPIES, _least_copies(p_needed, most, alpha))
    looks = [min(start, most)]
    while looks[-1] < most:
        following = max(looks[-1] + 1, round(looks[-1] * growth))
        looks.append(following if following * math.sqrt(growth) < most else most)
    ratio = (0.8 * looks[0] / _FIRST_COPIES) ** (1.0 / (_FUTILITY_LOOKS - 1))
    before = [round(_FIRST_COPIES * ratio**i) for i in range(_FUTILITY_LOOKS)] if ratio > 1.0 else []
    return (*sorted(set(before)), *looks)


def _least_copies(p_needed: float, most: int, alpha: float) -> int:
    """About the least n with p_needed^n <= alpha · n / most; ``most`` where there is none."""
    low, high = 0, most
    while high - low > 1:
        n = (low + high) // 2
        if n * math.log(p_needed) <= math.log(alpha) + math.log(n / most):
            high = n
        else:
            low = n
    return high


def _boundaries(p_needed: float, looks: tuple[int, ...], alpha: float, *, start: int) -> tuple[int, ...]:
    """Return the most failures that certify at each look: −1, or as many as the α spent so far allows."""
    walk, most = FailureWalk(Coin(p_needed), alpha), looks[-1]
    limit = _most_allowed(p_needed, most, alpha)
    allowed, highest = [], -1
    for n in looks:
        if limit < 0 or n < start:
            allowed.append(-1)
            continue
        walk.advance(n, limit=limit)
        spent = alpha * (n / most) * (1.0 - _RESERVE)
        highest = max(highest, walk.most_failures(spent))
        walk.cross(highest)
        allowed.append(highest)
    return tuple(allowed)


def _most_allowed(p_needed: float, most: int, alpha: float) -> int:
    """Return the most failures with which ``most`` copies, looked at once, reach the need; −1 for none."""
    low, high = -1, most
    while high - low > 1:
        failures = (low + high) // 2
        if float(clopper_pearson_lower(most - failures, most, alpha)) >= p_needed:
            low = failures
        else:
            high = failures
    return low


@functools.lru_cache(maxsize=1 << 16)
def _inverted(stages: tuple[tuple[int, int], ...], alpha: float) -> float:
    """Return a p that crosses the stages with probability at most ``alpha``, next to one that may not."""
    if not stages:
        return 0.0
    start = min(float(clopper_pearson_lower(n - f, n, alpha)) for n, f in stages)
    if len(stages) == 1 or start == 0.0:
        return start
    return largest_proven(
        lambda p: crossing_upper(p, stages, level=alpha), alpha, start=start, copies=stages[-1][0]
    )
