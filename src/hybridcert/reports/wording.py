"""What a run means, in sentences: the result, the guarantee, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridcert.certificate.directed import format_down, format_exact
from hybridcert.reports import terms
from hybridcert.reports.run_data import Budget, RunData
from hybridcert.reports.stopping import may_stop
from hybridcert.reports.tables import answered, certified_count, headline, percent

_LAWS = {
    "l2": "Gaussian and discrete",
    "mahalanobis": "Gaussian and discrete",
    "l1": "Laplace and discrete",
    "none": "discrete",
}

_TELLING = 0.1  # the headline names the largest budget at which so large a share is certified


def result(run: RunData) -> str:
    """What was certified, in one or two sentences."""
    inputs = headline(run).inputs
    if not any(certified_count(run, b, 0.0) for b in run.budgets):
        return _nothing(run, inputs)
    budget, eps = telling_point(run)
    count = certified_count(run, budget, eps)
    text = f"{count} of {inputs} inputs ({percent(count, inputs)} %) {_kept(run)} {_under(run, budget, eps)}."
    lost = [b for b in run.budgets if not run.at(b)["certified"].any()]
    return f"{text} {_why_none(run, lost[0])}" if lost else text


def _nothing(run: RunData, inputs: int) -> str:
    """Say that nothing counts as certified: nothing is, or wrong labels alone are."""
    first = run.at(run.budgets[0])
    wrong = int(first["certified"].sum())
    if wrong:
        return (
            f"None of the {inputs} inputs is certified with its true label, not even without any change; "
            f"{wrong} are certified with a wrong one."
        )
    why = (
        "the proven bounds on their scores do not suffice"
        if answered(first).any()
        else "the classifier failed on all of them"
    )
    return f"None of the {inputs} inputs could be certified, not even without any change: {why}."


def telling_point(run: RunData) -> tuple[Budget, float]:
    """Return the (d, ε) of the headline: a small ε, and the largest d where a telling share is certified."""
    certified = [b for b in run.budgets if certified_count(run, b, 0.0)] or run.budgets[:1]
    eps = next((e for e in run.eps if e > 0.0 and certified_count(run, certified[0], e)), 0.0)
    enough = [b for b in certified if certified_count(run, b, eps) >= _TELLING * len(run.at(run.budgets[0]))]
    return max(enough or certified[:1], key=sum), eps


def _kept(run: RunData) -> str:
    """What a certificate keeps: the answer where the claim decides it, else what is said of the label."""
    if terms.is_decisive(run):
        return "are answered rightly and provably stay so" if run.has_target else "provably keep their answer"
    label = "a true label" if run.has_target else "a label"
    if run.rank is None:
        return f"have {label} whose score provably stays above {format_exact(run.threshold)}"
    return f"have {label} that provably stays among the {run.rank} strongest"


def _under(run: RunData, budget: Budget, eps: float) -> str:
    shift = terms.shift(run, f"up to {format_exact(eps)}") if eps else "no continuous change"
    if not _attacked(run):
        return f"under {shift}" if eps else "without any change"
    if run.norm == "none":
        return f"under every change of {changes(run, budget)}"
    return f"under every joint change of {changes(run, budget)} and {shift}"


def meaning(run: RunData) -> str:
    """How sure each statement is, in one sentence."""
    alpha = run.settings.get("alpha")
    samples = run.settings.get("samples")
    level = (
        f"probability at most {format_exact(alpha)}"
        if alpha is not None
        else "the stated probability at most"
    )
    copies = "the noisy copies"
    if samples is not None:
        number = f"its at most {samples}" if may_stop(run.settings) else f"the {samples}"
        copies = f"{number} noisy copies"
    return (
        f"Each such statement is wrong with {level} over the draw of {copies}, input by input; "
        "it is about the smoothed classifier, whatever attack is used."
    )


def guarantees(run: RunData) -> list[str]:
    """What holds for a certified input."""
    at, within, budgets, rounded = "at budget d", [], "All budgets", "Bounds"
    if _attacked(run):
        within.append(_threats(run))
    if run.norm != "none":
        within.append(terms.shift(run, "at most r"))
        at = f"{at} with radius r" if _attacked(run) else "with radius r"
        budgets, rounded = "All budgets and all radii", "Radii, bounds"
    reach = " and, at the same time, ".join(within) or "no change"
    return [
        (
            f"Take an input that is certified {at}. Whatever an attacker does within {reach}, the claimed "
            f"label {terms.stays(run)}."
        ),
        meaning(run),
        (
            f"{budgets} of one input hold together: they follow from one confidence bound. "
            "Different inputs are separate statements; no claim is made that all of them hold at once."
        ),
        (
            f"{rounded} and percentages are rounded towards zero. An input that is not certified is not "
            "shown to be attackable: nothing is claimed about it."
        ),
        *valid_though_stopped(run),
    ]


def valid_though_stopped(run: RunData) -> list[str]:
    """Say why the level holds although sampling could end early; nothing where it could not."""
    if not may_stop(run.settings) or run.settings.get("bound") is None:
        return []
    return [
        (
            "Sampling of an input could end before all copies were drawn, at looks and by rules that were "
            "fixed beforehand. The confidence bounds allow for that: the probability of an error stays below "
            "its level whatever ended the sampling."
        )
    ]


def assumptions(run: RunData) -> list[str]:
    """What the guarantee rests on."""
    found = [
        (
            "The noise is drawn in floating point (float64) by a counter-based generator, and taken for the "
            f"exact {_LAWS[run.norm]} laws."
        ),
        "The base classifier is a deterministic function of each noisy copy.",
        (
            "An attacker's symbols lie in the alphabets that were declared or learned before sampling; other "
            "values are rejected before smoothing."
        ),
        "Columns and modalities without noise do not change.",
    ]
    if run.norm != "none":
        found.append(terms.radii_are(run))
    return found


def changes(run: RunData, budget: Budget) -> str:
    """Spell a budget: "up to 2 changed fields (categorical)"."""
    threats: Mapping[str, Any] = run.settings.get("threat") or {}
    if not threats or len(threats) != len(budget):
        return "no discrete part" if sum(budget) == 0 else run.name_of(budget)
    parts = []
    for (modality, threat), d in zip(threats.items(), budget, strict=True):
        noun = terms.CHANGES.get(threat["kind"], "change")
        parts.append(
            f"up to {d} {noun}{'' if d == 1 else 's'} ({modality})" if d else f"no {noun} ({modality})"
        )
    return " and ".join(parts)


def _attacked(run: RunData) -> bool:
    """Whether any discrete change is certified; runs that do not tell their threat may have budgets."""
    return bool(run.settings.get("threat")) or len(run.budgets) > 1


def _threats(run: RunData) -> str:
    threats: Mapping[str, Any] = run.settings.get("threat") or {}
    kinds = [f"d {terms.CHANGES.get(t['kind'], 'change')}s ({modality})" for modality, t in threats.items()]
    return " and ".join(kinds) or "d discrete changes"


def _why_none(run: RunData, budget: Budget) -> str:
    """Say how far the best input falls short where nothing is certified."""
    best = run.at(budget).nlargest(1, "p_adv").iloc[0]
    text = f"Nothing is certified at {run.name_of(budget)}"
    if run.rank is None:
        text += (
            f": there the best proven score is {format_down(float(best['p_adv']), 4)}, at or below the "
            f"threshold {format_exact(run.threshold)}"
        )
    if 0 < int(best["successes"]) == int(best["samples"]):
        agreed = f"although all {int(best['samples'])} copies of an input agreed"
        helps = (
            "other noise or more copies"
            if run.rank is not None
            else "other noise, more copies or a lower threshold"
        )
        return f"{text}, {agreed}: what can help is {helps}."
    return text + "."
