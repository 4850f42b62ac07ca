"""A confidence bound that holds at every number of copies at once.

Mixing the likelihood over a beta prior and dividing by the likelihood at the true probability p gives a
non-negative martingale that starts at 1; by Ville's inequality it ever reaches 1/α with probability at most α
(Ville 1939; Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon 2021). So the p at which it has reached 1/α can
be excluded after every copy, however it was decided when to look.
"""

from __future__ import annotations

import decimal
import functools
import math
import numbers
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.binomial import LOG_ERROR, MAX_SAMPLES, Coin, log_gamma
from hybridcert.certificate.directed import WIDE, Floats, step_down
from hybridcert.certificate.ranges import check_open
from hybridcert.errors import ParameterError

MAX_PRIOR = 1e6
"""Largest shape parameter of a prior; up to here the error bounds of the logarithms are proven."""
MIN_PRIOR = 1e-6
SMOOTHED_SCORE_PRIOR = (1.0, 0.1)
"""Shapes (a, b) of a prior for smoothed scores."""
_NEWTON_STEPS = 60
_LOG_ERROR = 4 * LOG_ERROR
"""Above the error of the logarithms of the mixture and of the likelihood together (below 2e-20)."""


def beta_mixture_lower(
    successes: npt.ArrayLike, samples: npt.ArrayLike, alpha: float, *, a: float, b: float
) -> Floats:
    """Return the lower confidence bound of a beta-mixture confidence sequence, rounded down.

    Guarantee: with probability at least 1 − ``alpha``, the bounds after 1, 2, 3, … copies are all at most the
    true probability, if the prior was fixed before the first copy. The bound is the largest p at most
    successes/samples with B(a + k, b + n − k)/B(a, b) >= p^k (1 − p)^(n−k) / α, where k of n succeeded; 0
    where there is none. It never exceeds the exact one and agrees with it to 1e-14 of min(p, 1 − p), or four
    units in the last place.

    Parameters
    ----------
    successes : int array, any shape, 0 <= successes <= samples
    samples : int array >= 1, of a shape that broadcasts with it
    alpha : float in (0, 1)
    a, b : float in [1e-6, 1e6]
        Shapes of the beta prior of the probability.

    Raises
    ------
    ParameterError
        For values outside these ranges.

    Examples
    --------
    >>> from hybridcert.certificate.anytime import SMOOTHED_SCORE_PRIOR, beta_mixture_lower
    >>> a, b = SMOOTHED_SCORE_PRIOR
    >>> float(beta_mixture_lower(990, 1000, 0.01, a=a, b=b)) > 0.97
    True
    """
    check_open("alpha", alpha)
    _check_shape("a", a)
    _check_shape("b", b)
    k, n = np.broadcast_arrays(_whole("successes", successes), _whole("samples", samples))
    wrong = (n < 1) | (n > MAX_SAMPLES)
    if wrong.any():
        raise ParameterError(f"samples must be in [1, {MAX_SAMPLES}], got {n[wrong].flat[0]}")
    wrong = (k < 0) | (k > n)
    if wrong.any():
        at = np.flatnonzero(wrong)[0]
        raise ParameterError(f"successes must be in [0, samples = {n.flat[at]}], got {k.flat[at]}")
    pairs, index = np.unique(np.stack([k.ravel(), n.ravel()], axis=1), axis=0, return_inverse=True)
    bounds = [_lower(int(s), int(c), float(alpha), float(a), float(b)) for s, c in pairs]
    return np.array(bounds, dtype=np.float64)[index.ravel()].reshape(k.shape)


def _check_shape(name: str, value: float) -> None:
    if not (isinstance(value, numbers.Real) and MIN_PRIOR <= value <= MAX_PRIOR):
        raise ParameterError(f"{name} must be in [{MIN_PRIOR}, {MAX_PRIOR}], got {value!r}")


def _whole(name: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        floats = np.asarray(array, dtype=np.float64)
        if not np.all(floats == np.floor(floats)):
            raise ParameterError(f"{name} must be integers, got {floats[floats != np.floor(floats)].flat[0]}")
    return array.astype(np.int64)


@functools.lru_cache(maxsize=1 << 16)
def _lower(k: int, n: int, alpha: float, a: float, b: float) -> float:
    """Return the largest float p found whose likelihood is proven to be at most α times the mixture's."""
    if k == 0:
        return 0.0
    with decimal.localcontext(WIDE):
        target = decimal.Decimal(alpha).ln() + _log_mixture(k, n - k, decimal.Decimal(a), decimal.Decimal(b))
        target -= _LOG_ERROR
        if k == n:
            return max(0.0, float(step_down(float((target / n).exp()))))
        p = _polished(k, n, _started(k, n, float(target)), target)
        gap = math.ulp(p)
        while p > 0.0 and (Fraction(p) * n > k or _log_likelihood(k, n, p) > target):
            p, gap = p - gap, 2.0 * gap
    return max(p, 0.0)


def _log_mixture(k: int, m: int, a: decimal.Decimal, b: decimal.Decimal) -> decimal.Decimal:
    """Return ln B(a + k, b + m) − ln B(a, b)."""
    return (
        log_gamma(a + k)
        + log_gamma(b + m)
        - log_gamma(a + b + k + m)
        - (_log_gamma(a) + _log_gamma(b) - _log_gamma(a + b))
    )


@functools.lru_cache(maxsize=64)
def _log_gamma(x: decimal.Decimal) -> decimal.Decimal:
    return log_gamma(x)


def _log_likelihood(k: int, n: int, p: float) -> decimal.Decimal:
    coin = Coin(p)
    return k * coin.log_success + (n - k) * coin.log_failure


def _started(k: int, n: int, target: float) -> float:
    """Return about the p below k/n with ln p^k (1 − p)^(n−k) = ``target``: Newton's steps in the log odds.

    The logarithm of the likelihood is concave in the log odds, so from the left of the root, where the first
    step lands at the latest, they approach it from there.
    """
    x = math.log(k) - math.log(n - k)
    x -= math.sqrt(max(0.0, 2.0 * (_log_odds_likelihood(k, n, x) - target)) * n / (k * (n - k))) or 1e-9
    for _ in range(_NEWTON_STEPS):
        p = 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else math.exp(max(x, -744.0))
        slope = k - n * p
        step = (target - _log_odds_likelihood(k, n, x)) / slope if slope > 0.0 else -1e-3
        x += step
        if abs(step) <= 1e-12 * max(1.0, abs(x)):
            break
    return min(math.exp(max(x, -744.0)) if x < -700.0 else 1.0 / (1.0 + math.exp(-x)), 1.0 - 2.0**-53)


def _log_odds_likelihood(k: int, n: int, x: float) -> float:
    """K x − n ln(1 + e^x)."""
    return k * x - n * (max(x, 0.0) + math.log1p(math.exp(-abs(x))))


def _polished(k: int, n: int, p: float, target: decimal.Decimal) -> float:
    """Newton's steps on the wide log likelihood, as long as they are small and still move."""
    for _ in range(8):
        slope = (k - n * p) / (p * (1.0 - p))
        step = float(target - _log_likelihood(k, n, p)) / slope if slope > 0.0 else math.inf
        if abs(step) > 0.1 * min(p, 1.0 - p) or p + step == p:
            break
        p += step
    return p
