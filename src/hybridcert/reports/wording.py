"""What a run means, in sentences: the result, the guarantee, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridcert.certificate.directed import format_down, format_exact
from hybridcert.reports.run_data import Budget, RunData
from hybridcert.reports.tables import certified_count, headline, percent

_CHANGES = {
    "fields": "changed field",
    "substitution": "replaced symbol",
    "insertion": "inserted symbol",
    "deletion": "removed symbol",
    "indel": "inserted or removed symbol",
    "edit": "edit",
}

_DISTANCES = {
    "l2": "an ℓ₂ shift",
    "l1": "an ℓ₁ shift",
    "mahalanobis": "a shift, measured as √Σ(δ_j/σ_j)² in noise scales,",
}

_TELLING = 0.1  # the headline names the largest budget at which so large a share is certified


def result(run: RunData) -> str:
    """What was certified, in one or two sentences."""
    found = headline(run)
    certified = [b for b in run.budgets if certified_count(run, b, 0.0)]
    if not certified:
        return (
            f"None of the {found.inputs} inputs could be certified, not even without any change: "
            "the proven bounds on their scores do not suffice."
        )
    eps = next((e for e in run.eps if e > 0.0 and certified_count(run, certified[0], e)), 0.0)
    enough = [b for b in certified if certified_count(run, b, eps) >= _TELLING * found.inputs]
    budget = max(enough or certified[:1], key=sum)
    count = certified_count(run, budget, eps)
    answered = _kept(run)
    shift = _shift(run, eps)
    text = (
        f"{count} of {found.inputs} inputs ({percent(count, found.inputs)} %) {answered} under every joint "
        f"change of {changes(run, budget)} and {shift}."
    )
    lost = [b for b in run.budgets if b not in certified]
    return f"{text} {_why_none(run, lost[0])}" if lost else text


def distance(run: RunData) -> str:
    """What a radius measures: "an ℓ₂ shift", say."""
    return _DISTANCES.get(str(run.settings.get("norm", "l2")), "a continuous change")


def _shift(run: RunData, eps: float) -> str:
    if run.settings.get("norm") == "none":
        return "no continuous feature"
    if not eps:
        return "no continuous change"
    unit = f" ({run.settings.get('unit', '')})" if run.settings.get("norm", "l2") in ("l1", "l2") else ""
    return f"{distance(run)} of up to {format_exact(eps)}{unit}"


def _rank(run: RunData) -> int | None:
    """The k of a top-k claim; None for claims about a score."""
    claim = run.settings.get("claim") or {}
    return int(claim["k"]) if claim.get("kind") == "top-k" else None


def _kept(run: RunData) -> str:
    """What a certificate keeps: the answer (a majority from τ = ½ on), a place among k, a score above τ."""
    rank = _rank(run)
    if rank is not None and rank > 1:
        right = "are answered rightly and " if run.has_target else ""
        return f"{right}provably keep their label among the {rank} strongest"
    if rank == 1:
        return "are answered rightly and provably stay so" if run.has_target else "provably keep their answer"
    threshold = float(run.settings.get("threshold", 0.5))
    if threshold >= 0.5:
        return "are answered rightly and provably stay so" if run.has_target else "provably keep their answer"
    right = "are answered rightly and " if run.has_target else ""
    return f"{right}have a score of their label that provably stays above {format_exact(threshold)}"


def meaning(run: RunData) -> str:
    """How sure each statement is, in one sentence."""
    alpha = run.settings.get("alpha")
    samples = run.settings.get("samples")
    level = (
        f"probability at most {format_exact(alpha)}"
        if alpha is not None
        else "the stated probability at most"
    )
    copies = f"the {samples} noisy copies" if samples is not None else "the noisy copies"
    return (
        f"Each such statement is wrong with {level} over the draw of {copies}, input by input; "
        "it is about the smoothed classifier, whatever attack is used."
    )


def guarantees(run: RunData) -> list[str]:
    """What holds for a certified input."""
    rank, threshold = _rank(run), run.settings.get("threshold")
    if rank is None:
        level = "the threshold" if threshold is None else format_exact(threshold)
        kept = f"the smoothed score of the claimed label stays above {level}"
    elif rank == 1:
        kept = "the claimed label keeps the largest smoothed score"
    else:
        kept = f"the claimed label stays among the {rank} of largest smoothed score"
    if run.settings.get("norm") == "none":
        reach = f"certified at budget d. Whatever an attacker does within {_threats(run)}"
    else:
        reach = (
            f"certified at budget d with radius r. Whatever an attacker does within {_threats(run)} and, at "
            f"the same time, {distance(run)} of at most r"
        )
    return [
        f"Take an input that is {reach.rstrip(',')}, {kept}.",
        meaning(run),
        (
            "All budgets and all radii of one input hold together: they follow from one confidence bound. "
            "Different inputs are separate statements; no claim is made that all of them hold at once."
        ),
        (
            "Radii, bounds and percentages are rounded towards zero. An input that is not certified is not "
            "shown to be attackable: nothing is claimed about it."
        ),
    ]


def assumptions(run: RunData) -> list[str]:
    """What the guarantee rests on."""
    found = [
        (
            "The noise is drawn in floating point (float64) by a counter-based generator, and taken for the "
            "exact Gaussian and discrete laws."
        ),
        "The base classifier is a deterministic function of each noisy copy.",
        (
            "An attacker's symbols lie in the alphabets that were declared or learned before sampling; other "
            "values are rejected before smoothing."
        ),
        "Columns and modalities without noise do not change.",
    ]
    unit = run.settings.get("unit")
    if unit and run.settings.get("norm") != "none":
        found.append(f"A radius measures {distance(run).removesuffix(',')}, in this unit: {unit}.")
    return found


def changes(run: RunData, budget: Budget) -> str:
    """Spell a budget: "up to 2 changed fields (categorical)"."""
    threats: Mapping[str, Any] = run.settings.get("threat") or {}
    if not threats or len(threats) != len(budget):
        return "no discrete part" if sum(budget) == 0 else run.name_of(budget)
    parts = []
    for (modality, threat), d in zip(threats.items(), budget, strict=True):
        noun = _CHANGES.get(threat["kind"], "change")
        parts.append(
            f"up to {d} {noun}{'' if d == 1 else 's'} ({modality})" if d else f"no {noun} ({modality})"
        )
    return " and ".join(parts)


def _threats(run: RunData) -> str:
    threats: Mapping[str, Any] = run.settings.get("threat") or {}
    kinds = [f"d {_CHANGES.get(t['kind'], 'change')}s ({modality})" for modality, t in threats.items()]
    return " and ".join(kinds) or "no discrete change"


def _why_none(run: RunData, budget: Budget) -> str:
    """Say how far the best input falls short where nothing is certified."""
    best = run.at(budget).nlargest(1, "p_adv").iloc[0]
    if _rank(run) is not None:
        return f"Nothing is certified at {run.name_of(budget)}."
    text = (
        f"Nothing is certified at {run.name_of(budget)}: there the best proven score is "
        f"{format_down(float(best['p_adv']), 4)}, at or below the threshold {format_exact(best['threshold'])}"
    )
    if int(best["successes"]) == int(best["samples"]):
        agreed = f"although all {int(best['samples'])} copies agreed"
        return f"{text}, {agreed}: only other noise or more copies can help."
    return text + "."
