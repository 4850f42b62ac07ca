"""What a run claims and what its radii measure: the words that pages, figures and tables share."""

from __future__ import annotations

from collections.abc import Iterable

from hybridcert.certificate.directed import format_exact
from hybridcert.reports.run_data import RunData

CHANGES = {
    "fields": "changed field",
    "substitution": "replaced symbol",
    "insertion": "inserted symbol",
    "deletion": "removed symbol",
    "indel": "inserted or removed symbol",
    "edit": "edit",
}
"""What one discrete change is, by kind of threat."""


def is_decisive(run: RunData) -> bool:
    """Whether a certified label is the smoothed classifier's answer: top-1, or a score above τ >= ½."""
    return run.threshold >= 0.5 if run.rank is None else run.rank == 1


def stays(run: RunData) -> str:
    """Say what a certificate keeps of the claimed label, as the end of "the claimed label …"."""
    if run.rank is None:
        return f"has a smoothed score that stays above {format_exact(run.threshold)}"
    if run.rank == 1:
        return "keeps the largest smoothed score of all labels"
    return f"stays among the {run.rank} labels of largest smoothed score"


def heading(run: RunData) -> str:
    """Title of the table of counts: accuracy only where certified means right."""
    if not run.has_target:
        return "Certified"
    return "Certified accuracy" if is_decisive(run) else "Certified true labels"


def counted(run: RunData) -> str:
    """Name what the table counts."""
    if not run.has_target:
        return "certified"
    return "right and certified" if is_decisive(run) else _about_true_label(run, "provably")


def share_label(run: RunData) -> str:
    """Name the axis of shares."""
    if run.has_target and is_decisive(run):
        return "certified accuracy (% of inputs)"
    return f"{counted(run)}\n(% of inputs)" if run.has_target else "certified (% of inputs)"


def unattacked(run: RunData) -> str:
    """Name the count of `Headline.right`."""
    return "right when smoothed" if is_decisive(run) else _about_true_label(run, "proven")


def abstention(run: RunData) -> str:
    """When the smoothed classifier abstains."""
    lacking = "its label is not proven to have the largest score"
    if run.rank is None:
        lacking = f"the score of its label is not proven to exceed {format_exact(run.threshold)}"
    elif run.rank > 1:
        lacking = f"its label is not proven to be among the {run.rank} strongest"
    return f"The smoothed classifier abstains where {lacking} even without any change."


def rival(run: RunData, labels: Iterable[str]) -> str:
    """Name the trivial rival, which names the same labels whatever the input."""
    kind = "answer" if run.rank is None or run.rank == 1 else "name"
    where = "d" if run.norm == "none" else "d and ε"
    return f"always {kind} {' and '.join(map(repr, labels))}, right at every {where}"


def distance_label(run: RunData) -> str:
    """Name the axis of ε; for runs without continuous noise that of the discrete budget."""
    match run.norm:
        case "l2" | "l1":
            return f"ε: {'ℓ₂' if run.norm == 'l2' else 'ℓ₁'} change, in {run.unit}"
        case "mahalanobis":
            return "ε: change √Σ(δ_j/σ_j)², in noise scales"
        case _:
            return budget_label(run)


def budget_label(run: RunData) -> str:
    """Name the axis of discrete budgets."""
    threats = run.settings.get("threat") or {}
    counted = [f"{CHANGES.get(t['kind'], 'change')}s ({modality})" for modality, t in threats.items()]
    return f"d: {counted[0]}" if len(counted) == 1 else "d"


def shift(run: RunData, size: str) -> str:
    """Spell a continuous change: "an ℓ₂ shift of up to 0.5 (metres)" for the size "up to 0.5"."""
    if run.norm == "mahalanobis":
        return f"a shift √Σ(δ_j/σ_j)² of {size} noise scales"
    return f"an {'ℓ₁' if run.norm == 'l1' else 'ℓ₂'} shift of {size} ({run.unit})"


def radii_are(run: RunData) -> str:
    """Say what the radii measure, in one sentence; "" without continuous noise."""
    match run.norm:
        case "l2" | "l1":
            return f"Radii are {'ℓ₂' if run.norm == 'l2' else 'ℓ₁'} distances in this unit: {run.unit}."
        case "mahalanobis":
            return (
                "Radii are distances √Σ(δ_j/σ_j)² in noise scales: δ_j is the change of feature j, σ_j the "
                "noise on it."
            )
        case _:
            return ""


def shared(labels: Iterable[str], otherwise: str) -> str:
    """Return what several runs have in common, or something that suits them all."""
    found = set(labels)
    return found.pop() if len(found) == 1 else otherwise


def _about_true_label(run: RunData, proven: str) -> str:
    if run.rank is None:
        return f"score of the true label {proven} above {format_exact(run.threshold)}"
    return f"true label {proven} among the {run.rank} strongest"
