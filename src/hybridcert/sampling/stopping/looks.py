"""Looks for bounds that are valid at every one of them, whatever stops the sampling."""

from __future__ import annotations

import math

from hybridcert.certificate.alpha_budget import AlphaBudget, alpha_budget
from hybridcert.certificate.ranges import check_count


def spending_looks(samples: int, alpha: float) -> AlphaBudget:
    """Return looks from a hundredth of ``samples`` on, each half as many again as the one before.

    They share ``alpha`` in proportion to the copies that each adds: little for early looks, which come out
    clearly or not at all, most for the late ones, where bounds are close to what is asked.

    Parameters
    ----------
    samples : int >= 1
        Copies at the last look.
    alpha : float in (0, 1)

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """
    return alpha_budget(_geometric(samples, first=max(20, samples // 100), growth=1.5), alpha)


def mixture_looks(samples: int) -> tuple[int, ...]:
    """Return looks from 20 copies on, each about a seventh more than the one before.

    A mixture may be looked at as often as one likes: its bound holds at all times at once.

    Parameters
    ----------
    samples : int >= 1
        Copies at the last look.
    """
    return _geometric(samples, first=20, growth=1.15)


def _geometric(samples: int, *, first: int, growth: float) -> tuple[int, ...]:
    check_count("samples", samples)
    looks = [min(first, samples)]
    while looks[-1] < samples:
        following = max(looks[-1] + 1, round(looks[-1] * growth))
        looks.append(following if following * math.sqrt(growth) < samples else samples)
    return tuple(looks)
