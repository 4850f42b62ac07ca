"""When more copies are unlikely to help: predictive probability of ever crossing a boundary.

A heuristic in plain floats. Nothing that it returns can harm a guarantee: samples that stop early are treated
as if every copy not drawn had failed, which can only lower their bound.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, gammaln

from hybridcert.certificate.directed import Floats

_HALF_COUNT = 0.05
"""Shape of the beta prior at its open end: nearly uniform in the logarithm of the rarer answer's rate."""
_NO_CHANCE = 1e-9
_DEVIATIONS = 17.0


def hopeless_failures(
    looks: tuple[int, ...], allowed: tuple[int, ...], *, need: float, futility: float
) -> tuple[int, ...]:
    """Return, for each look, the least number of failures with which to give up.

    From there on the predictive probability of crossing at a later look is below ``futility`` or zero, under
    a beta prior that is nearly uniform in the logarithm of the failure rate (of the success rate, for needs
    below ½).

    Parameters
    ----------
    looks : tuple of int
        Copies drawn up to each look.
    allowed : tuple of int
        The most failures with which each is crossed, −1 for none; nondecreasing.
    need : float in (0, 1)
        The success probability that crossing shows; sets the scale and the side of the prior.
    futility : float in [0, 1)
    """
    prior = (_HALF_COUNT, 1.0) if need >= 0.5 else (1.0, _HALF_COUNT)
    give_up = [allowed[-1] + 1]
    later = np.zeros(0)  # probability to cross later from allowed[i] + 1, … failures; none from there on
    for i in range(len(looks) - 2, -1, -1):
        states = np.arange(allowed[i] + 1, min(allowed[i + 1] + later.size, looks[i]) + 1)
        value = np.concatenate([np.ones(allowed[i + 1] - allowed[i]), later])
        crossing = _predicted(looks[i], looks[i + 1], value, states, prior=prior, need=need)
        later = crossing[: _length_above(crossing, _NO_CHANCE)]
        give_up.insert(0, allowed[i] + 1 + _length_above(crossing, max(futility, _NO_CHANCE)))
    return tuple(give_up)


def _length_above(values: Floats, level: float) -> int:
    """Return how many of the first values reach the level."""
    below = np.flatnonzero(values < level)
    return int(below[0]) if below.size else values.size


def _predicted(
    n: int,
    following: int,
    value: Floats,
    states: npt.NDArray[np.int64],
    *,
    prior: tuple[float, float],
    need: float,
) -> Floats:
    """Return the probability to cross at the ``following`` look or later, for each number of failures now.

    ``value`` is that probability at the following look, from as many failures on as ``states``. Given f
    failures among n, the law of g more among dn is C(dn, g) M(n + dn, f + g) / M(n, f) with M(n, f) =
    B(a + f, b + n − f). Taking both M relative to q^f (1 − q)^(n−f) turns the sum into a correlation with the
    binomial masses at q = 1 − need. Masses far out do not matter.
    """
    if not states.size:
        return np.zeros(0)
    drawn, q = following - n, 1.0 - need
    half = _DEVIATIONS * (math.sqrt(drawn * q * (1.0 - q)) + 4.0)
    g = np.arange(max(0, math.floor(drawn * q - half)), min(drawn, math.ceil(drawn * q + half)) + 1)
    step = np.exp(
        gammaln(drawn + 1)
        - gammaln(g + 1)
        - gammaln(drawn - g + 1)
        + g * math.log1p(-need)
        + (drawn - g) * math.log(need)
    )
    reached = value[g[0] : g[-1] + states.size]
    failures = states[0] + g[0] + np.arange(reached.size)
    weighted = reached * np.exp(_tilt(following, failures, prior, need))
    total = np.zeros(states.size)
    found = (
        np.convolve(weighted[::-1], step)[: reached.size][::-1][: states.size] if reached.size else total[:0]
    )
    total[: found.size] = found
    return np.asarray(total * np.exp(-_tilt(n, states, prior, need)), dtype=np.float64)


def _tilt(n: int, f: npt.NDArray[np.int64], prior: tuple[float, float], need: float) -> Floats:
    """Ln M(n, f) − ln((1 − need)^f need^(n−f)), kept where its exponential is a float."""
    a, b = prior
    tilt = betaln(a + f, b + n - f) - f * math.log1p(-need) - (n - f) * math.log(need)
    return np.asarray(np.clip(tilt, -300.0, 300.0), dtype=np.float64)
