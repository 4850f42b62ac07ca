"""What became of one attack on one input: where it got, and what fresh copies say about that."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from hybridcert.attacks import Attack, Judgement
from hybridcert.documents.claims import Claim, ScoreAbove
from hybridcert.experiments.attack.budgets import Budget
from hybridcert.experiments.attack.certified import CertifiedInput

NO_ATTACK = "no attack"
"""The name of the budget within which nothing changes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attack.

    Attributes
    ----------
    input : str
    label : int
        Index of the class that was attacked.
    budget : str
    inside : bool
        Whether the budget is part of a certified one.
    smoothed : bool
        Whether the smoothed classifier was attacked, or the base classifier without noise.
    d, epsilon : tuple of int, float
        The budget.
    changes : mapping of modality name to int
    distance_upper : float
        What was used of it.
    objective : tuple of float
        How the search went; see `Attack`.
    method : str
    calls : int
        Copies that the classifier was asked about, those that judged included.
    counts : tuple of int
        Answers by class over fresh copies of the adversarial input; of one without noise where the base
        classifier was attacked.
    judgement : Judgement or None
        The statistical statement; None where nothing was claimed.
    """

    input: str
    label: int
    budget: str
    inside: bool
    smoothed: bool
    d: tuple[int, ...]
    epsilon: float
    changes: Mapping[str, int]
    distance_upper: float
    objective: tuple[float, ...]
    method: str
    calls: int
    counts: tuple[int, ...]
    judgement: Judgement | None

    @property
    def key(self) -> tuple[str, str, bool]:
        """What tells the outcomes of a campaign apart."""
        return self.input, self.budget, self.smoothed

    @property
    def other_share(self) -> float:
        """Estimated probability that the answer is another than the label."""
        return 1.0 - self.counts[self.label] / sum(self.counts)

    @property
    def violation(self) -> bool:
        """Whether a certified claim is false, at the confidence of the judgement."""
        return self.inside and self.judgement is not None and self.judgement.violation

    def crosses(self, claim: Claim) -> bool:
        """Whether the claim fails by estimate; no statement of confidence."""
        own = self.counts[self.label]
        if isinstance(claim, ScoreAbove):
            return own <= claim.threshold * sum(self.counts)
        return sum(count > own for count in self.counts) >= claim.k

    def line(self) -> str:
        """Return the outcome as one line of JSON; bounds are hexadecimal floats."""
        record = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("epsilon", "distance_upper"):
            record[name] = float(record[name]).hex()
        record["changes"] = dict(self.changes)
        if self.judgement is not None:
            record["judgement"] = judgement_record(self.judgement)
        return json.dumps(record, allow_nan=False)

    @staticmethod
    def of_line(line: str) -> Outcome:
        """Read what `line` wrote; raise ValueError, KeyError or TypeError for anything else."""
        record = json.loads(line)
        for name in ("epsilon", "distance_upper"):
            record[name] = float.fromhex(record[name])
        for name in ("d", "objective", "counts"):
            record[name] = tuple(record[name])
        if record["judgement"] is not None:
            record["judgement"] = read_judgement(record["judgement"])
        return Outcome(**record)


def outcome_of(
    certified: CertifiedInput,
    budget: Budget | None,
    attack: Attack | None,
    *,
    smoothed: bool,
    counts: tuple[int, ...],
    judgement: Judgement | None = None,
) -> Outcome:
    """Return the outcome of an attack; without budget and attack, of none."""
    judged = 0 if judgement is None else judgement.samples
    return Outcome(
        input=certified.name,
        label=certified.label,
        budget=NO_ATTACK if budget is None else budget.name,
        inside=budget is None or budget.inside,
        smoothed=smoothed,
        d=() if budget is None else budget.d,
        epsilon=0.0 if budget is None else budget.epsilon,
        changes={} if attack is None else dict(attack.changes),
        distance_upper=0.0 if attack is None else attack.distance_upper,
        objective=() if attack is None else tuple(map(float, attack.objective)),
        method="none" if attack is None else attack.method,
        calls=(0 if attack is None else attack.calls) + sum(counts) + judged,
        counts=counts,
        judgement=judgement,
    )


def judgement_record(judgement: Judgement) -> dict[str, Any]:
    """Return a judgement as plain values; bounds are hexadecimal floats."""
    record = dataclasses.asdict(judgement)
    for name in ("alpha", "score_upper", "effect_lower"):
        record[name] = float(record[name]).hex()
    return record


def read_judgement(record: Mapping[str, Any]) -> Judgement:
    """Read what `judgement_record` returned."""
    numbers = {name: float.fromhex(record[name]) for name in ("alpha", "score_upper", "effect_lower")}
    return Judgement(**{**record, "counts": tuple(record["counts"]), **numbers})
