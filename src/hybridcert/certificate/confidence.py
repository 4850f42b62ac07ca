"""Exact one-sided confidence bounds for a binomial probability (Clopper & Pearson 1934).

The lower bound is the p at which P(Bin(n, p) ≥ k) = α, i.e. the α-quantile of Beta(k, n−k+1). Library
quantile functions err on either side of it, so the value they propose is only a start: it is polished, and
lowered until the tail probability, evaluated with an upper error bound, is at most α.
"""

from __future__ import annotations

import decimal
import functools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from hybridcert.certificate.binomial import LOG_ERROR, log_choose
from hybridcert.certificate.binomial import MAX_SAMPLES as MAX_SAMPLES
from hybridcert.certificate.directed import UNIT_ROUNDOFF, WIDE, Floats, step_down, step_up
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.errors import ParameterError


def clopper_pearson_lower(successes: npt.ArrayLike, samples: int, alpha: float) -> Floats:
    """Return the exact lower confidence bound on the success probability, rounded down.

    Guarantee: with probability at least 1 − ``alpha`` over the samples, the bound is at most the true
    probability. It never exceeds the exact Clopper–Pearson bound and agrees with it to about 1e-14.

    Parameters
    ----------
    successes : int array, any shape, 0 <= successes <= samples
    samples : int >= 1
        Independent draws, the same number for every entry.
    alpha : float in (0, 1)

    Raises
    ------
    ParameterError
        For values outside these ranges.

    Examples
    --------
    >>> import hybridcert as hc
    >>> float(hc.clopper_pearson_lower(10_000, 10_000, 0.01))
    0.9995395890030878
    """
    k = _checked_counts(successes, samples, alpha)
    distinct, index = np.unique(k, return_inverse=True)
    bounds = np.array([_lower(int(s), int(samples), float(alpha)) for s in distinct])
    return bounds[index].reshape(k.shape)


def clopper_pearson_upper(successes: npt.ArrayLike, samples: int, alpha: float) -> Floats:
    """Return the exact upper confidence bound on the success probability, rounded up (see the lower one)."""
    failures = int(samples) - _checked_counts(successes, samples, alpha)
    lower = clopper_pearson_lower(failures, samples, alpha)
    return np.where(lower > 0.0, np.minimum(step_up(1.0 - lower), 1.0), 1.0)


class LabelBounds(NamedTuple):
    """Confidence bounds for one claimed label and its rivals.

    Attributes
    ----------
    p_lower, p_upper : float array, shape (m,)
        Lower bound on the score of the claimed label; upper bound on the ``k``-th largest score of the
        others.
    method : {"clopper-pearson", "clopper-pearson-bonferroni"}
        How the error probability is shared, as an issued certificate names it.
    """

    p_lower: Floats
    p_upper: Floats
    method: str


def label_bounds(
    counts: npt.NDArray[np.integer],
    *,
    claimed: npt.NDArray[np.integer],
    k: int,
    alpha: float,
    samples: int,
    method: str | None = None,
) -> LabelBounds:
    """Bound the score of a claimed label from below and the ``k``-th largest of the others from above.

    Guarantee: for each input, with probability at least 1 − ``alpha`` over the samples, both bounds hold.

    * ``clopper-pearson`` (``k`` = 1): all of ``alpha`` goes to the claimed label; the others together score
      at most 1 − p_lower.
    * ``clopper-pearson-bonferroni``: ``alpha``/classes to each label. The bound of the ``k``-th largest count
      is at least the bound of every other label but ``k`` − 1, so it bounds the ``k``-th largest score.

    Parameters
    ----------
    counts : int array, shape (m, classes)
        Answers per label, ``samples`` in each row: an answer that is none of the labels ("unreadable") is a
        label of its own, or a rival could hide among the missing ones.
    claimed : int array, shape (m,)
        Index of the claimed label, chosen without looking at ``counts``.
    k : int in [1, classes - 1]
    alpha : float in (0, 1)
    samples : int >= 1
        Independent draws for each input.
    method : optional
        One of the two; by default the first for two classes and ``k`` = 1, else the second.

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """
    answers, chosen = np.asarray(counts), np.asarray(claimed)
    classes = answers.shape[1]
    check_count("k", k, most=classes - 1)
    check_open("alpha", alpha)
    totals = answers.sum(axis=1)
    if (totals != samples).any():
        raise ParameterError(
            f"counts must add up to samples = {samples}, got {totals[totals != samples][0]}: count answers "
            "that are none of the labels as a label of their own"
        )
    rows = np.arange(len(answers))
    if method is None:
        method = "clopper-pearson" if classes == 2 and k == 1 else "clopper-pearson-bonferroni"
    if method == "clopper-pearson":
        if k != 1:
            raise ParameterError(f"method clopper-pearson bounds one rival only: k must be 1, got {k}")
        lower = clopper_pearson_lower(answers[rows, chosen], samples, alpha)
        rest = np.where(lower >= 0.5, 1.0 - lower, np.minimum(step_up(1.0 - lower), 1.0))  # exact from ½ on
        return LabelBounds(lower, rest, method)
    if method != "clopper-pearson-bonferroni":
        raise ParameterError(f"method must be clopper-pearson or clopper-pearson-bonferroni, got {method!r}")
    share = float(step_down(alpha / classes))
    if share <= 0.0:  # nothing is left to share: no bound but the trivial ones
        return LabelBounds(np.zeros(len(answers)), np.ones(len(answers)), method)
    others = np.where(np.arange(classes) == chosen[:, None], -1, answers)
    rival = np.sort(others, axis=1)[:, classes - k]
    return LabelBounds(
        clopper_pearson_lower(answers[rows, chosen], samples, share),
        clopper_pearson_upper(rival, samples, share),
        method,
    )


def _checked_counts(successes: npt.ArrayLike, samples: int, alpha: float) -> npt.NDArray[np.int64]:
    check_count("samples", samples, most=MAX_SAMPLES)
    check_open("alpha", alpha)
    counts = np.asarray(successes)
    if counts.dtype.kind not in "iu":
        whole = np.asarray(counts, dtype=np.float64)
        if not np.all(whole == np.floor(whole)):
            raise ParameterError(f"successes must be integers, got {whole[whole != np.floor(whole)].flat[0]}")
    k = counts.astype(np.int64)
    wrong = (k < 0) | (k > samples)
    if wrong.any():
        raise ParameterError(f"successes must be in [0, samples = {samples}], got {k[wrong].flat[0]}")
    return k


@functools.lru_cache(maxsize=1 << 16)
def _lower(k: int, n: int, alpha: float) -> float:
    if k == 0:
        return 0.0
    level = decimal.Decimal(alpha)
    if k == n:
        return float(step_down(float(WIDE.divide(level.ln(WIDE), decimal.Decimal(n)).exp(WIDE))))
    p = _polished(k, n, level, float(betaincinv(k, n - k + 1, alpha)))
    if math.isnan(p):
        return _bisected(k, n, level, 0.0, 1.0)
    failed, gap = 1.0, math.ulp(p)
    while p > 0.0 and _tail_upper(k, n, p)[0] > level:
        failed, p, gap = p, p - gap, 4.0 * gap
    return p if failed == 1.0 else _bisected(k, n, level, max(p, 0.0), failed)


def _polished(k: int, n: int, level: decimal.Decimal, p: float) -> float:
    """One small Newton step on the tail, dT/dp = k · pmf(k) / p; NaN where there is nothing to start from."""
    if not 0.0 < p < 1.0:
        return math.nan
    tail, mass = _tail_upper(k, n, p)
    if not tail.is_finite():
        return math.nan
    step = float(WIDE.divide(WIDE.subtract(tail, level), WIDE.multiply(k, mass))) * p
    return p - step if abs(step) < 1e-6 * min(p, 1.0 - p) else p


def _bisected(k: int, n: int, level: decimal.Decimal, lo: float, hi: float) -> float:
    """Return a proven p between ``lo``, which is proven (or 0), and ``hi``, which is not."""
    while hi - lo > 4.0 * math.ulp(hi):
        mid = math.sqrt(max(lo, math.ulp(0.0))) * math.sqrt(hi) if lo < 0.5 * hi else lo + 0.5 * (hi - lo)
        if not lo < mid < hi:
            break
        if _tail_upper(k, n, mid)[0] > level:
            hi = mid
        else:
            lo = mid
    return lo


def _tail_upper(k: int, n: int, p: float) -> tuple[decimal.Decimal, decimal.Decimal]:
    """Return upper bounds on P(Bin(n, p) ≥ k) and P(Bin(n, p) = k), for 0 < k < n and 0 < p < 1.

    The tail is the mass at k times 1 + Σ ∏ r_i with r_i = (n−k−i)/(k+1+i) · p/(1−p); each factor brings
    three roundings, and the sum is correctly rounded.
    """
    exact = decimal.Decimal(p)
    with decimal.localcontext(WIDE):
        complement = 1 - exact
        mass = (log_choose(n, k) + k * exact.ln() + (n - k) * complement.ln() + LOG_ERROR).exp()
        odds = float(step_up(float(exact / complement)))
    length = 64 + int(8 * math.sqrt(n))
    while True:
        i = np.arange(min(n - k, length), dtype=np.float64)
        with np.errstate(over="ignore", under="ignore"):
            products = np.cumprod((n - k - i) / (k + 1 + i) * odds)
        if not np.isfinite(products).all():
            return decimal.Decimal("Infinity"), mass
        total = 1.0 + math.fsum(products * (1.0 + 4.0 * UNIT_ROUNDOFF * (i + 1.0)))
        if i.size == n - k:
            rest = 0.0
            break
        following = (n - k - i.size) / (k + 1 + i.size) * odds
        if following < 0.999 and products[-1] * 1000.0 <= 1e-17 * total:
            rest = float(products[-1]) * 1000.0  # geometric: at most last · r/(1−r)
            break
        length *= 2
    bound = (total + rest) * (1.0 + 8.0 * UNIT_ROUNDOFF)
    return WIDE.multiply(mass, decimal.Decimal(bound)), mass
