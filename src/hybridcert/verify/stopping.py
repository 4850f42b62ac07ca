"""How many samples were drawn and why, in plain words."""

from __future__ import annotations

from hybridcert.verify.certificate import Estimate
from hybridcert.verify.decimals import shown_near
from hybridcert.verify.words import counted


def drawn(estimate: Estimate) -> str:
    """Return how many samples a confidence is about."""
    plan = estimate.plan
    if plan is None:
        return counted(estimate.samples, "noisy sample")
    most = f"at most {plan.looks[-1]}" if plan.looks else "any number of"
    return f"{most} noisy samples ({estimate.samples} were drawn)"


def stopping(estimate: Estimate) -> list[str]:
    """Return sentences on why the number of samples may have depended on their answers."""
    plan = estimate.plan
    if plan is None:
        return []
    if plan.prior is not None:
        a, b = map(shown_near, plan.prior)
        return [
            "Sampling could stop at any time, for any reason: the bound is valid after every number of",
            f"samples at once, by a mixture of likelihoods with prior Beta({a}, {b}).",
        ]
    looks = counted(len(plan.looks), "look")
    if plan.alphas:
        share = shown_near(plan.alphas[plan.look])
        return [
            f"Sampling could stop at {looks}, for any reason: each spends a share of the error probability,",
            f"this one {share}, and the shares add up to no more than all of it.",
        ]
    last = plan.looks[-1]
    lines = [f"Sampling stopped at the first of {looks} at which the successes reach a boundary, or earlier:"]
    if plan.crossed:
        lines.append(f"they reached it at look {plan.look + 1}, as the listed successes show.")
    else:
        missing = last - estimate.samples
        rest = f", the {counted(missing, 'sample')} not drawn as failures" if missing else ""
        lines.append(f"they reached none, so they count as an outcome of all {last} samples{rest}.")
    return [*lines, "The bound is valid whatever else ended the sampling."]


def proof(estimate: Estimate) -> str:
    """Return what the bound on the clean score rests on."""
    plan = estimate.plan
    if plan is None or plan.alphas:
        return "a binomial tail"
    if plan.prior is not None:
        return "a ratio of likelihoods"
    return "the probability of all paths of successes that are at least as extreme"


def planned(estimate: Estimate) -> list[str]:
    """Return what must not have depended on the answers, and so has to have been fixed before them."""
    plan = estimate.plan
    if plan is None:
        return [
            "Whoever sampled on until the counts sufficed proves nothing: their answers must not decide n."
        ]
    what = "the prior" if plan.prior is not None else "all looks, and what belongs to each,"
    return [f"A plan made or changed once samples were seen proves nothing: {what} must come first."]
