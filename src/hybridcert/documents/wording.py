"""What a certificate says in words: over what its confidence holds, and what it takes for granted."""

from __future__ import annotations

from hybridcert.documents.evidence import Estimate, SequentialPlan, Setting
from hybridcert.documents.exact import confidence_text

_BY_KERNEL = {
    "uniform": "Alphabet: at each changed position the adversary's symbol lies in the declared alphabet; "
    "anything else is mapped or rejected before the noise.",
    "absorbing": "The mask symbol cannot occur in an input before the noise.",
    "deletion": "The classifier sees what is left of the sequence, closed up, and no trace of the rest.",
    "flips": "Every eligible position holds 0 or 1, in the adversary's input too.",
    "synonyms": "The adversary replaces words by listed synonyms only, and the noise sets are those of the "
    "tables that the run used.",
    "matrix": "The adversary makes listed substitutions only.",
}
_BY_KERNEL["fields"] = _BY_KERNEL["randomized-response"] = _BY_KERNEL["uniform"]


def statement(estimate: Estimate) -> str:
    """Say what the confidence means."""
    if estimate.alpha is None:
        return (
            "The bound on the clean score is an assertion of whoever issued this document; the frontier "
            "follows from it with certainty."
        )
    return (
        f"With probability at least {confidence_text(estimate.alpha)} over {_samples(estimate)}, "
        "all points of this frontier hold together: they are functions of the same bounds on clean "
        f"scores. {_stopping(estimate)}The statement is about this input alone; over several inputs the "
        "error probabilities add up."
    )


def _samples(estimate: Estimate) -> str:
    plan = estimate.plan
    if plan is None:
        return f"the {estimate.samples} noise samples"
    most = f"at most {plan.looks[-1]}" if plan.looks else "any number of"
    return f"{most} noise samples, of which {estimate.samples} were drawn"


def _stopping(estimate: Estimate) -> str:
    """Say why the bounds hold although the number of copies was not fixed."""
    plan = estimate.plan
    if plan is None:
        return ""
    if plan.prior is not None:
        return "The bound is valid after every number of samples at once, whatever ended the sampling. "
    if plan.alphas:
        return (
            f"The bounds of all {len(plan.looks)} looks are valid at once, whatever ended the sampling at "
            "this one. "
        )
    counted = (
        f"The successes reached the boundary at look {plan.look + 1} of {len(plan.looks)}. "
        if plan.successes_at and plan.successes_at[-1] >= plan.certify_at[len(plan.successes_at) - 1]
        else f"The successes reached no boundary: {_not_drawn(estimate)}. "
    )
    return f"{counted}The bound follows from the looks and boundaries that decided when to stop. "


def _not_drawn(estimate: Estimate) -> str:
    assert estimate.plan is not None
    assert estimate.samples is not None
    missing = estimate.plan.looks[-1] - estimate.samples
    counts = f"the outcome counts at the last look, of {estimate.plan.looks[-1]} samples"
    return f"{counts}, and the {missing} that were not drawn are failures" if missing else counts


def assumptions(setting: Setting, estimate: Estimate) -> list[str]:
    """List what the guarantee rests on and no document can prove."""
    discrete, continuous = setting.law["discrete"], setting.law["continuous"]
    found = []
    if estimate.alpha is not None:
        found.append(
            "The counts come from independent draws of the noise described under law, made for this input "
            "after the label, the noise and the threshold were fixed, and the error probability as well."
        )
        found += _of_plan(estimate.plan)
    found.append("The base classifier answers each noisy copy on its own, by a fixed rule.")
    for entry in discrete:
        name = entry["modality"]
        if entry["kernel"] != "deletion":
            found.append(
                f"Region: the defender knows which positions of modality {name!r} are eligible; all other "
                "positions stay unchanged."
            )
        found.append(f"Modality {name!r}: {_BY_KERNEL[entry['kernel']]}")
    attacked = {entry["modality"] for entry in setting.threat["discrete"]}
    still = [entry["modality"] for entry in discrete if entry["modality"] not in attacked]
    if still:
        found.append(f"Modalities without a threat stay unchanged: {', '.join(map(repr, still))}.")
    found.append(
        "Whatever carries no noise stays unchanged: modalities that are not listed under law, and positions "
        "and features beyond the eligible ones."
    )
    for entry in continuous:
        found.append(
            f"Modality {entry['modality']!r}: distances are measured where the noise is added, in "
            f"{entry['unit']}; the noise is drawn in 64-bit floating point and taken as real-valued."
        )
    found.append("The deployed system runs the same classifier, preprocessing and numerical stack.")
    return found


def _of_plan(plan: SequentialPlan | None) -> list[str]:
    """List what the bound takes for granted about how the number of samples came about."""
    if plan is None:
        without = "it was fixed beforehand, or determined without them"
        return [f"The number of samples did not depend on their answers: {without}."]
    if plan.prior is not None:
        fixed = "The prior of the mixture was"
    elif plan.alphas:
        fixed = "All looks that were planned are listed; they and their shares of the error probability were"
    else:
        fixed = (
            "All looks that were planned are listed, with the successes at each that was reached; the looks "
            "and their boundaries were"
        )
    return [
        f"{fixed} fixed before the first of these samples was drawn.",
        "Samples count in an order that was fixed as well, and none is left out.",
    ]
