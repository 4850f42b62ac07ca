"""A question about certain inputs: what bounds on their scores would prove."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.confidence import LabelBounds, clopper_pearson_lower, label_bounds
from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.need import score_needed
from hybridcert.documents.claims import ScoreAbove, TopK
from hybridcert.estimation.question import Question
from hybridcert.joint_threat import Exposures
from hybridcert.sampling.outcome import Counts
from hybridcert.sampling.questions import Target

Rows = npt.NDArray[np.intp]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A question about certain inputs: their cases, the label claimed for each, and their pilots if any."""

    question: Question
    cases: tuple[Exposures, ...]
    case: Rows
    claimed: Rows
    pilot: Counts | None

    def fixed(self, counts: Counts, rows: Rows, *, samples: int, alpha: float) -> LabelBounds:
        """Return Clopper–Pearson bounds for some rows, ``samples`` copies each."""
        claim = self.question.claim
        if isinstance(claim, TopK):
            return label_bounds(counts, claimed=self.claimed[rows], k=claim.k, alpha=alpha, samples=samples)
        lower = clopper_pearson_lower(self.own(counts, rows), samples, alpha)
        return LabelBounds(lower, np.ones_like(lower), "clopper-pearson")

    def own(self, counts: Counts, rows: Rows) -> Counts:
        """Return the answers for the claimed label."""
        return np.asarray(counts[np.arange(rows.size), self.claimed[rows]])

    def proves(self, target: Target) -> Callable[[LabelBounds, Rows], Bools]:
        """Return what tells for some rows whether their bounds prove the target."""
        joint, claim, d = self.question.joint, self.question.claim, self.question.budget_of(target)
        if isinstance(claim, ScoreAbove):
            needed = self.needed(target)[self.case]
            return lambda bounds, rows: np.asarray(bounds.p_lower >= needed[rows])

        def reached(bounds: LabelBounds, rows: Rows) -> Bools:
            radii = joint.point(d, claim, bounds, self.cases, self.case[rows]).radii
            return np.asarray(radii.certified & (radii.radius >= target.epsilon))

        return reached

    def frontier(self, p: Floats, case: int) -> Floats:
        """Return the radius at every budget for some scores, shape (scores, budgets); 0 where there is none.

        Without continuous noise 1 stands for certified, 0 for not. With a top-k claim the labels that count
        against it are thought to be equally strong.
        """
        joint, claim = self.question.joint, self.question.claim
        rivals = claim.k if isinstance(claim, TopK) else 1
        bounds, cases = LabelBounds(p, (1.0 - p) / rivals, "given"), np.full(p.size, case)
        points = [joint.point(d, claim, bounds, self.cases, cases) for d in joint.budgets]
        if joint.budget.norm == "none":
            return np.stack([point.radii.certified.astype(np.float64) for point in points], axis=1)
        return np.stack([point.radii.radius for point in points], axis=1)

    def needed(self, target: Target) -> Floats:
        """Return the clean score that each case needs for the target, shape (cases,)."""
        question, d = self.question, self.question.budget_of(target)
        assert isinstance(question.claim, ScoreAbove)
        known: dict[tuple[int, ...], float] = {}
        found = []
        parts = [question.joint.parts(d, exposures) for exposures in self.cases]
        for exposures, part in zip(self.cases, parts, strict=True):
            key = tuple(map(id, part))  # equal attack sets are one object
            if key not in known:
                known[key] = score_needed(
                    spectrum=[c.spectrum for c in question.joint.attack(d, exposures).candidates],
                    sigma=question.joint.budget.scale,
                    epsilon=target.epsilon,
                    threshold=question.claim.threshold,
                    noise=question.joint.budget.noise,
                )
            found.append(known[key])
        return np.array(found)
