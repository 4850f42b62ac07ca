"""The check that counts prove the bounds on the clean scores."""

from __future__ import annotations

import functools
import math
from typing import Literal

from flint import arb, fmpq

from hybridcert.verify import limits
from hybridcert.verify.balls import above
from hybridcert.verify.binomial import lower_tail, tail_units, upper_tail
from hybridcert.verify.certificate import Certificate
from hybridcert.verify.meter import Meter


def check_estimate(certificate: Certificate, meter: Meter) -> list[str]:
    """Return what does not hold of the estimate; empty if everything does. The work goes on ``meter``.

    Raises
    ------
    DataError
        If that takes more than the limits allow.
    """
    estimate, reasons = certificate.estimate, []
    if estimate.alpha is None:
        return []  # method "given": an assertion of whoever issued the document
    share = estimate.alpha
    if estimate.method == "clopper-pearson":
        k = estimate.successes
        bound_upper = 1 - estimate.p_lower
        if estimate.p_upper is not None and estimate.p_upper < bound_upper:
            reasons.append("estimate.p_upper: must be at least 1 - p_lower")
    else:
        share = share / certificate.claim.classes
        k = estimate.counts[estimate.label_index]
        others = [c for i, c in enumerate(estimate.counts) if i != estimate.label_index]
        runner_up = sorted(others, reverse=True)[certificate.claim.k - 1]
        p_upper = estimate.p_upper
        if p_upper is not None and p_upper != 1:
            reason, work = _decided("lower", runner_up, estimate.samples, p_upper, share)
            meter.spend(work)
            if reason:
                what = f"P(Bin(samples, p_upper) <= {runner_up}) <= alpha / classes"
                reasons.append(f"estimate.p_upper: {what} {reason}")
    if estimate.p_lower != 0:
        reason, work = _decided("upper", k, estimate.samples, estimate.p_lower, share)
        meter.spend(work)
        if reason:
            over = "alpha" if estimate.method == "clopper-pearson" else "alpha / classes"
            reasons.append(f"estimate.p_lower: P(Bin(samples, p_lower) >= {k}) <= {over} {reason}")
    if certificate.confidence is not None and certificate.confidence > 1 - estimate.alpha:
        reasons.append("scope.confidence: must be at most 1 - alpha")
    return reasons


def tail_at_most(side: Literal["lower", "upper"], k: int, n: int, p: fmpq, alpha: fmpq) -> str | None:
    """Return None if P(Bin(n, p) <= k) or P(Bin(n, p) >= k) is at most ``alpha``, else how that fails."""
    return _decided(side, k, n, p, alpha)[0]


@functools.lru_cache(maxsize=8192)
def _decided(side: str, k: int, n: int, p: fmpq, alpha: fmpq) -> tuple[str | None, int]:
    """Return the answer of `tail_at_most`, and the work it took."""
    meter = Meter(limits.WORK)

    def tail(bits: int) -> arb:
        if side == "upper":
            meter.spend(tail_units(k, n, p, bits))
            return upper_tail(k, n, p, bits)
        meter.spend(tail_units(n - k, n, 1 - p, bits))
        return lower_tail(k, n, p, bits)

    exceeds = above(tail, alpha)
    if exceeds is None and n * (int(p.p).bit_length() + int(p.q).bit_length()) <= limits.EXACT_TAIL_BITS:
        exceeds = _exact_tail(side, k, n, p) > alpha
    if exceeds is None:
        return f"is undecided at {limits.PRECISIONS[-1]} bits", meter.spent
    return ("does not hold" if exceeds else None), meter.spent


def _exact_tail(side: str, k: int, n: int, p: fmpq) -> fmpq:
    """Sum the tail in exact rationals, to settle a tie."""
    counts = range(k, n + 1) if side == "upper" else range(k + 1)
    terms = (fmpq(math.comb(n, j)) * p**j * (1 - p) ** (n - j) for j in counts)
    return sum(terms, fmpq(0))
