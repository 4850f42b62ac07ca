"""What a filter's run means, in sentences."""

from __future__ import annotations

from hybridcert.certificate.directed import format_exact
from hybridcert.reports import wording
from hybridcert.reports.filter import Filter, percent_up
from hybridcert.reports.run_data import RunData
from hybridcert.reports.tables import percent


def result(run: RunData, found: Filter) -> str:
    """False alarms, texts caught, and how many of them at the largest budget that keeps half of them."""
    own = next(p for p in found.points if p.threshold == float(run.settings["threshold"]))
    assert own.certified is not None
    text = (
        f"At τ = {format_exact(own.threshold or 0.0)} the filter flags {own.false_alarms} of {found.benign} "
        f"{found.benign_name} ({percent_up(own.false_alarms, found.benign)} %) and catches {own.caught} of "
        f"{found.inputs} {found.label} ({percent(own.caught, found.inputs)} %)"
    )
    pairs = zip(found.budgets, own.certified, strict=True)
    kept = [(d, count) for d, count in pairs if d and count and 2 * count >= own.caught]
    if not kept:
        return f"{text}; at no d > 0 is half of that certified."
    d, count = kept[-1]
    return (
        f"{text}; for {count} of {found.inputs} ({percent(count, found.inputs)} %) the score provably stays "
        f"above τ under every change of {wording.changes(run, (d,))}."
    )


def columns_mean(found: Filter) -> str:
    """How to read the table."""
    alpha = format_exact(found.alpha)
    return (
        f"{found.benign_name} flagged: of {found.benign} test inputs, by a filter that draws {found.samples} "
        "noisy copies and flags at so many hits that it misses a score above τ with probability at most "
        f"{alpha}; rounded up. At most: its upper confidence bound, at level 1 − {alpha}, for "
        f"{found.benign_name} like these. {found.label} caught: of {found.inputs}, the score is proven to "
        "exceed τ as they are. d = …: it is proven to stay above τ, in percent of all of them, rounded down. "
        "No noise: the base classifier alone, which certifies nothing. Flag everything: the trivial rival."
    )


def guarantees(run: RunData, found: Filter) -> list[str]:
    """What holds for a certified input."""
    kinds = ", ".join(threat["kind"] for threat in run.settings["threat"].values())
    return [
        (
            f"Take a {found.label} input that is certified at d and threshold τ. Whatever an attacker does "
            f"with at most d changes (threat: {kinds}), its smoothed score, the probability that a noisy "
            f"copy is labelled {found.label}, stays above τ."
        ),
        wording.meaning(run),
        (
            f"A filter that draws {found.samples} copies of what the attacker made, and flags from the hits "
            "of that threshold on (flagged_from_hits in tables/filter.csv), then misses it with probability "
            f"at most {format_exact(found.alpha)}."
        ),
        (
            "All budgets and all thresholds of one input hold together: they follow from one confidence "
            "bound. Different inputs are separate statements; no claim is made that all of them hold at once."
        ),
        (
            "What is certified is rounded down, false alarms are rounded up. An input that is not certified "
            "is not shown to be attackable: nothing is claimed about it."
        ),
        *wording.valid_though_stopped(run),
    ]


def assumptions(run: RunData, found: Filter) -> list[str]:
    """What the guarantee rests on."""
    listed = [
        (
            "Changes are counted in the symbols that noise deletes. An attacker who alters letters inside a "
            "word replaces that word."
        ),
        "The noise is drawn by a counter-based generator, and taken for the exact law.",
        "The base classifier is a deterministic function of each noisy copy.",
        (
            f"The bound on false alarms takes the test {found.benign_name} for a random sample of what the "
            "filter will see. Whoever chooses β or τ by these rates should count false alarms anew."
        ),
    ]
    if any(threat["kind"] == "insertion" for threat in run.settings["threat"].values()):
        listed.insert(1, "Insertions only: words that are removed or replaced are other threats.")
    return listed
