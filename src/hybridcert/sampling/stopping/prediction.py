"""What copies to come may answer, judged by those that have: predictive probabilities.

Estimates in plain floats, for deciding where copies are worth their cost. A failure is a copy that does not
give the claimed answer. Its rate is believed to be spread almost evenly in its logarithm, as in designs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, betaincinv

from hybridcert.sampling.stopping.rule import Counts, Floats

_HALF_COUNT = 0.05
_NODES = 24

Integers = npt.NDArray[np.integer]


def likely_rates(failures: Integers, copies: Integers) -> Floats:
    """Return equally likely failure rates, shape (..., 24), after these failures among these copies."""
    level = (np.arange(_NODES) + 0.5) / _NODES
    f, n = np.asarray(failures)[..., None], np.asarray(copies)[..., None]
    return np.asarray(betaincinv(_HALF_COUNT + f, 1.0 + n - f, level))


def chances_at_most(allowed: Integers, more: Integers, rates: Floats) -> Floats:
    """Return the chance of at most ``allowed`` failures among ``more`` copies for each of the rates."""
    drawn, most = np.asarray(more)[..., None], np.asarray(allowed)[..., None]
    inside = np.clip(most, 0, drawn)
    return np.asarray(np.where(most < 0, 0.0, bdtr(inside.astype(np.float64), drawn, rates)))


def failures_within(chance: float, *, failures: Counts, copies: Counts, more: int) -> Counts:
    """Return the least number of failures among ``more`` copies not exceeded with this chance.

    Parameters
    ----------
    chance : float in (0, 1)
    failures, copies : int arrays, shape (n,)
        What has been seen.
    more : int >= 0
    """
    rates = likely_rates(failures, copies)
    low, high = np.full(len(failures), -1, dtype=np.int64), np.full(len(failures), more, dtype=np.int64)
    while (high - low > 1).any():
        middle = (low + high) // 2
        enough = chances_at_most(middle, np.full_like(middle, more), rates).mean(axis=-1) >= chance
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
