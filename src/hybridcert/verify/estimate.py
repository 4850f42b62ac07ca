"""The check that counts prove the bounds on the clean scores."""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from hybridcert.verify.certificate import Certificate, Estimate
from hybridcert.verify.decisions import Decision, crossing_at_most, evidence_suffices, tail_at_most
from hybridcert.verify.meter import Meter, rational_units
from hybridcert.verify.sequential import stages_of


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
    plan, share, over = estimate.plan, estimate.alpha, "alpha"
    if plan is not None and plan.alphas:
        share, over = plan.alphas[plan.look], f"looks[{plan.look}][1]"
        if _total(plan.alphas, meter) > estimate.alpha:
            reasons.append("estimate.looks: the error probabilities must sum to at most alpha")
    k = estimate.successes
    if estimate.method == "clopper-pearson-bonferroni":
        share, over = share / certificate.claim.classes, f"{over} / classes"
        k = estimate.counts[estimate.label_index]
        reasons += _check_rival(certificate, share, over, meter)
    elif estimate.p_upper is not None and estimate.p_upper < 1 - estimate.p_lower:
        reasons.append("estimate.p_upper: must be at least 1 - p_lower")
    if estimate.p_lower != 0:
        what, (reason, work) = _proof(estimate, k, share, over)
        meter.spend(work)
        if reason:
            reasons.append(f"estimate.p_lower: {what} {reason}")
    if certificate.confidence is not None and certificate.confidence > 1 - estimate.alpha:
        reasons.append("scope.confidence: must be at most 1 - alpha")
    return reasons


def _total(shares: Sequence[fmpq], meter: Meter) -> fmpq:
    total = fmpq(0)
    for share in shares:
        total += share
        meter.spend(rational_units(int(total.q).bit_length()))
    return total


def _check_rival(certificate: Certificate, share: fmpq, over: str, meter: Meter) -> list[str]:
    """Check the bound on the k-th largest score of the labels that are not claimed."""
    estimate = certificate.estimate
    if estimate.p_upper is None or estimate.p_upper == 1:
        return []
    others = [c for i, c in enumerate(estimate.counts) if i != estimate.label_index]
    runner_up = sorted(others, reverse=True)[certificate.claim.k - 1]
    reason, work = tail_at_most("lower", runner_up, estimate.samples, estimate.p_upper, share)
    meter.spend(work)
    what = f"P(Bin(samples, p_upper) <= {runner_up}) <= {over}"
    return [f"estimate.p_upper: {what} {reason}"] if reason else []


def _proof(estimate: Estimate, k: int, share: fmpq, over: str) -> tuple[str, Decision]:
    """Return what has to hold of ``p_lower`` in (0, 1) with ``k`` successes, and whether it does."""
    plan, n, p = estimate.plan, estimate.samples, estimate.p_lower
    if plan is not None and plan.certify_at:
        what = f"P_p_lower(certified before looks[{plan.look}], or at least {k} successes there) <= alpha"
        return what, crossing_at_most(stages_of(plan.looks, plan.certify_at, plan.look, k), p, share)
    if plan is not None and plan.prior is not None:
        what = "B(a + successes, b + failures) / B(a, b) >= p_lower^successes (1 - p_lower)^failures / alpha"
        return what, evidence_suffices(k, n, p, plan.prior, share)
    return f"P(Bin(samples, p_lower) >= {k}) <= {over}", tail_at_most("upper", k, n, p, share)
