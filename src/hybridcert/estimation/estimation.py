"""What has to fit together: a stopping rule, a bound that is valid under it, and the plan that is stated."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence

import numpy as np

from hybridcert.certificate.confidence import LabelBounds
from hybridcert.documents.claims import Claim
from hybridcert.documents.evidence import SequentialPlan
from hybridcert.estimation.question import one_sided
from hybridcert.estimation.subject import Rows, Subject
from hybridcert.joint_threat import Exposures
from hybridcert.sampling.outcome import Counts, Sampling
from hybridcert.sampling.questions import Target, Tolerance
from hybridcert.sampling.stopping import StoppingRule, Verdict

BoundAt = Callable[[int, Rows, Counts], LabelBounds]
"""Bounds of some rows from their counts at a look."""


class Estimation(abc.ABC):
    """A stopping rule with the bound that is valid under it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    rule: StoppingRule

    @property
    def cases(self) -> Sequence[Exposures]:
        """Inputs whose noise and attacks look alike form a case."""
        return self.subject.cases

    @property
    def case(self) -> Rows:
        """The case of each input."""
        return self.subject.case

    @abc.abstractmethod
    def bounds(self, found: Sampling) -> LabelBounds:
        """Return bounds for every input; trivial ones where an input has no copies."""

    @abc.abstractmethod
    def plans(self, found: Sampling) -> list[SequentialPlan | None]:
        """Return what an issued certificate states about the looks, for every input."""

    def reasons(self, found: Sampling) -> list[str]:
        """Return in words why each input draws no more copies."""
        said = {Verdict.GO_ON: "budget spent", Verdict.GIVE_UP: "target out of reach"}
        if isinstance(self.subject.question.stopping, Target):
            said |= {Verdict.CERTIFIED: "target certified"}
        else:
            tolerant = isinstance(self.subject.question.stopping, Tolerance)
            done = "within tolerance" if tolerant else "all copies drawn"
            said |= {Verdict.CERTIFIED: done, Verdict.ENOUGH: done}
        return [
            "failed" if row in found.failures else said[Verdict(verdict)]
            for row, verdict in enumerate(found.verdicts.tolist())
        ]


def by_look(found: Sampling, at: BoundAt, claim: Claim) -> LabelBounds:
    """Return the bounds of every input at the look where it stopped."""
    rows = found.samples.size
    lower, upper = np.zeros(rows), np.ones(rows)
    method = fixed_method(claim)
    for look in np.unique(found.looks[found.looks >= 0]).tolist():
        part = np.flatnonzero(found.looks == look)
        lower[part], upper[part], method = at(look, part, found.counts[part])
    return LabelBounds(lower, upper, method)


def fixed_method(claim: Claim) -> str:
    """Return the method of Clopper–Pearson bounds for a claim."""
    return "clopper-pearson" if one_sided(claim) else "clopper-pearson-bonferroni"
