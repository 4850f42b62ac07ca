"""What bounds a pilot lets expect: now, after some copies, and later, had the sampling gone on to the most.

Estimates in plain floats. They choose how many copies are drawn and carry no guarantee.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from scipy.special import betaincinv, xlog1py, xlogy
from scipy.stats import binom

from hybridcert.sampling.stopping.rule import Counts, Floats

_RATES = 48
_SHORT, _LONG = 18, 14  # numbers of copies to choose from: below half of the most, and above
_DRAWS = 15
_BELOW_ONE = 1.0 - 2.0**-53


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Lower confidence bounds to come, for a grid of failure rates and of copies.

    Attributes
    ----------
    copies : int array, shape (c,)
        Numbers of copies to choose from, increasing; the last is ``most``.
    belief : float array, shape (pilot + 1, rates)
        Posterior of the failure rate after each number of successes in the pilot; each row sums to about 1.
    bounds : float array, shape (rates, c, draws)
        Bounds after each number of copies, equally likely draws.
    bounds_later : float array, shape (rates, c, draws, draws)
        For each of ``bounds``, bounds after ``most`` copies, these among them.
    highest : float
        The bound of ``most`` unanimous copies.
    """

    copies: Counts
    belief: Floats
    bounds: Floats
    bounds_later: Floats
    highest: float


@functools.lru_cache(maxsize=16)
def forecast(pilot: int, most: int, alpha: float) -> Forecast:
    """Return the bounds to come after a pilot of this size (`Forecast`).

    The failure rate is believed to be spread evenly in its logarithm, from a tenth of 1/``most`` on. For
    draws stand quantiles at the middle of equal shares of their distribution.
    """
    edges = np.linspace(np.log(0.1 / max(most, 10)), 0.0, _RATES + 1)
    rate = np.exp(0.5 * (edges[1:] + edges[:-1]))
    half = np.geomspace(max(1.0, most / 250), max(1.0, most / 2), _SHORT, endpoint=False)
    copies = np.unique(np.ceil(np.append(half, np.linspace(most / 2, most, _LONG))).astype(np.int64))
    failures = np.arange(pilot, -1, -1)[:, None]
    log_belief = xlogy(failures, rate) + xlog1py(pilot - failures, -rate)
    belief = np.exp(log_belief - log_belief.max(axis=1, keepdims=True))
    level = (np.arange(_DRAWS) + 0.5) / _DRAWS
    failed = binom.ppf(level, copies[:, None], rate[:, None, None])
    more = binom.ppf(level, (most - copies)[:, None], rate[:, None, None])
    total = failed[..., :, None] + more[..., None, :]
    return Forecast(
        copies=copies,
        belief=belief / belief.sum(axis=1, keepdims=True),
        bounds=_bounds(failed, np.broadcast_to(copies[:, None], failed.shape), alpha),
        bounds_later=_bounds(total, np.full(total.shape, most), alpha),
        highest=float(_bounds(np.zeros(1), np.array([most]), alpha)[0]),
    )


def _bounds(failures: Floats, samples: Counts, alpha: float) -> Floats:
    """Estimate the Clopper–Pearson lower bound for each entry, equal ones once."""
    pairs, index = np.unique(
        np.stack([failures.ravel(), samples.ravel()]).astype(np.int64), axis=1, return_inverse=True
    )
    successes = pairs[1] - pairs[0]
    bounds = np.zeros(successes.size)
    some = successes > 0
    bounds[some] = np.minimum(betaincinv(successes[some], pairs[0][some] + 1, alpha), _BELOW_ONE)
    return bounds[index].reshape(failures.shape)
