"""The check that counts prove the bounds on the clean scores."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Literal

from flint import arb, fmpq

from hybridcert.verify import limits
from hybridcert.verify.balls import above
from hybridcert.verify.binomial import lower_tail, upper_tail
from hybridcert.verify.certificate import Certificate


def check_estimate(certificate: Certificate) -> list[str]:
    """Return what does not hold of the estimate; empty if everything does."""
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
            reason = tail_at_most("lower", runner_up, estimate.samples, p_upper, share)
            if reason:
                what = f"P(Bin(samples, p_upper) <= {runner_up}) <= alpha / classes"
                reasons.append(f"estimate.p_upper: {what} {reason}")
    if estimate.p_lower != 0:
        reason = tail_at_most("upper", k, estimate.samples, estimate.p_lower, share)
        if reason:
            over = "alpha" if estimate.method == "clopper-pearson" else "alpha / classes"
            reasons.append(f"estimate.p_lower: P(Bin(samples, p_lower) >= {k}) <= {over} {reason}")
    if certificate.confidence is not None and certificate.confidence > 1 - estimate.alpha:
        reasons.append("scope.confidence: must be at most 1 - alpha")
    return reasons


@functools.lru_cache(maxsize=8192)
def tail_at_most(side: Literal["lower", "upper"], k: int, n: int, p: fmpq, alpha: fmpq) -> str | None:
    """Return None if P(Bin(n, p) <= k) or P(Bin(n, p) >= k) is at most ``alpha``, else how that fails."""
    tail: Callable[[int, int, fmpq, int], arb] = upper_tail if side == "upper" else lower_tail
    exceeds = above(lambda bits: tail(k, n, p, bits), alpha)
    if exceeds is None and n * (int(p.p).bit_length() + int(p.q).bit_length()) <= limits.EXACT_TAIL_BITS:
        exceeds = _exact_tail(side, k, n, p) > alpha
    if exceeds is None:
        return f"is undecided at {limits.PRECISIONS[-1]} bits"
    return "does not hold" if exceeds else None


def _exact_tail(side: str, k: int, n: int, p: fmpq) -> fmpq:
    """Sum the tail in exact rationals, to settle a tie."""
    counts = range(k, n + 1) if side == "upper" else range(k + 1)
    terms = (fmpq(math.comb(n, j)) * p**j * (1 - p) ** (n - j) for j in counts)
    return sum(terms, fmpq(0))
