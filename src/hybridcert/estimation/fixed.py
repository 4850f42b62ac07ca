"""Numbers of copies that are fixed before the first of them is drawn: one for all, or one for each input."""

from __future__ import annotations

import numpy as np

from hybridcert.certificate.confidence import LabelBounds
from hybridcert.certificate.directed import Bools
from hybridcert.documents.claims import ScoreAbove
from hybridcert.documents.evidence import SequentialPlan
from hybridcert.estimation.estimation import Estimation, by_look, fixed_method
from hybridcert.estimation.subject import Rows, Subject
from hybridcert.sampling.outcome import Counts, Sampling
from hybridcert.sampling.questions import Tolerance
from hybridcert.sampling.stopping import FixedSamples, WithinTolerance


class FixedEstimation(Estimation):
    """The same number of copies for every input, and Clopper–Pearson bounds (1934)."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.rule = FixedSamples(subject.question.samples, self._unattacked)

    def _unattacked(self, look: int, rows: Rows, counts: Counts) -> Bools:
        """Whether the claim is proven where nothing is changed: at d = 0 and ε = 0."""
        bounds, claim = self._at(look, rows, counts), self.subject.question.claim
        rival = claim.threshold if isinstance(claim, ScoreAbove) else bounds.p_upper
        return np.asarray(bounds.p_lower > rival)

    def bounds(self, found: Sampling) -> LabelBounds:
        """See `Estimation.bounds`."""
        return by_look(found, self._at, self.subject.question.claim)

    def _at(self, look: int, rows: Rows, counts: Counts) -> LabelBounds:
        question = self.subject.question
        return self.subject.fixed(counts, rows, samples=question.samples, alpha=question.alpha)

    def plans(self, found: Sampling) -> list[SequentialPlan | None]:
        """See `Estimation.plans`."""
        return [None] * found.samples.size


class PilotedEstimation(Estimation):
    """A number of copies for each input that its pilot chose, and Clopper–Pearson bounds."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        question = subject.question
        assert subject.pilot is not None
        assert isinstance(question.stopping, Tolerance)
        self.rule = WithinTolerance.from_pilot(
            _filled(subject.pilot, subject.claimed),
            claimed=subject.claimed,
            most=question.samples,
            alpha=question.alpha,
            share=question.stopping.share,
            case=subject.case,
            radii=subject.frontier,
        )

    def bounds(self, found: Sampling) -> LabelBounds:
        """See `Estimation.bounds`."""
        lower, upper = np.zeros(found.samples.size), np.ones(found.samples.size)
        method = fixed_method(self.subject.question.claim)
        for samples in np.unique(found.samples[found.samples > 0]).tolist():
            part, alpha = np.flatnonzero(found.samples == samples), self.subject.question.alpha
            lower[part], upper[part], method = self.subject.fixed(
                found.counts[part], part, samples=samples, alpha=alpha
            )
        return LabelBounds(lower, upper, method)

    def plans(self, found: Sampling) -> list[SequentialPlan | None]:
        """See `Estimation.plans`."""
        return [None] * found.samples.size


def _filled(pilot: Counts, claimed: Rows) -> Counts:
    """Give inputs that failed in the pilot unanimous answers: they draw nothing, whatever is planned."""
    filled = pilot.copy()
    (failed,) = np.nonzero(pilot.sum(axis=1) == 0)
    filled[failed, claimed[failed]] = pilot.sum(axis=1).max(initial=1)
    return filled
