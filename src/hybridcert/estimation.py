"""From a question and an error probability to copies drawn and bounds on scores.

An estimation holds together what has to fit: the stopping rule that spends copies, the bound that stays valid
under it, and the plan that an issued certificate states (``docs/sequential.md``).
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.anytime import SMOOTHED_SCORE_PRIOR, beta_mixture_lower
from hybridcert.certificate.confidence import LabelBounds, clopper_pearson_lower, label_bounds
from hybridcert.certificate.directed import Bools, Floats, step_up
from hybridcert.certificate.group_sequential import (
    group_sequential_design,
    group_sequential_lower,
)
from hybridcert.certificate.need import score_needed
from hybridcert.documents.claims import Claim, ScoreAbove, TopK
from hybridcert.documents.evidence import SequentialPlan
from hybridcert.errors import ParameterError
from hybridcert.joint_threat import Exposures, JointThreat
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.engine import Counts, Sampling
from hybridcert.sampling.questions import Target, Tolerance
from hybridcert.sampling.stopping import (
    BudgetedTarget,
    EveryLook,
    FixedSamples,
    GroupSequentialRule,
    StoppingRule,
    Verdict,
    WithinTolerance,
    mixture_looks,
    spending_looks,
)

Stopping = Target | Tolerance | None
"""What the copies have to settle; None: nothing stops an input early."""

Bound = Literal["exact", "spending", "mixture"]
"""How the error probability stays below α although sampling may stop early."""

Rows = npt.NDArray[np.intp]


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What is asked about every input, checked before anything is drawn.

    Parameters
    ----------
    joint : JointThreat
    claim : ScoreAbove or TopK
    samples : int
        The most copies of an input.
    alpha : float
    stopping : Target, Tolerance or None
    bound : {"exact", "spending", "mixture"} or None
        None: "exact" for a target and a score, "spending" for other targets. Without a target a bound that
        holds at several looks lets a budget for all inputs stop some of them early.

    Raises
    ------
    ParameterError
        For a target outside the threat, or a bound that does not fit.
    """

    joint: JointThreat
    claim: Claim
    samples: int
    alpha: float
    stopping: Stopping = None
    bound: Bound | None = None

    def __post_init__(self) -> None:
        if self.stopping is not None and not isinstance(self.stopping, Target | Tolerance):
            raise ParameterError(f"stopping must be a Target, a Tolerance or None, got {self.stopping!r}")
        if self.bound is not None and self.bound not in get_args(Bound):
            raise ParameterError(f"bound must be exact, spending or mixture, got {self.bound!r}")
        exact = isinstance(self.stopping, Target) and isinstance(self.claim, ScoreAbove)
        if self.bound == "exact" and not exact:
            raise ParameterError(
                "bound 'exact' is for a Target and a threshold: choose spending or mixture, or leave it out"
            )
        if self.bound is not None and isinstance(self.stopping, Tolerance):
            raise ParameterError(
                f"bound must be left out with a Tolerance, got {self.bound!r}: a pilot fixes the copies"
            )
        if self.bound == "mixture" and not _one_sided(self.claim):
            raise ParameterError(
                "bound 'mixture' bounds one label from below: with several classes and top_k choose spending"
            )
        if isinstance(self.stopping, Target):
            self.budget_of(self.stopping)

    @property
    def method(self) -> Bound | None:
        """The bound that is used; None where the number of copies is fixed."""
        if self.bound is None and isinstance(self.stopping, Target):
            return "exact" if isinstance(self.claim, ScoreAbove) else "spending"
        return self.bound

    def budget_of(self, target: Target) -> tuple[int, ...]:
        """Return the target's d with one entry for each threatened modality."""
        threats = self.joint.threats
        d = target.d if isinstance(target.d, tuple) else (target.d,) * len(threats)
        known = self.joint.budgets
        if (not threats and target.d not in (0, ())) or (threats and d not in known):
            reported = ", ".join(str(b if len(b) > 1 else sum(b)) for b in known)
            raise ParameterError(f"target d must be one of {reported}, got {target.d!r}")
        if self.joint.budget.norm == "none" and target.epsilon > 0.0:
            raise ParameterError(
                f"target epsilon must be 0 where no continuous modality has noise, got {target.epsilon!r}"
            )
        return d if threats else ()

    def described(self) -> dict[str, Any]:
        """Return the question as plain values."""
        stopping = None if self.stopping is None else self.stopping.described()
        return {"stopping": stopping, "bound": self.method}

    @property
    def needs_pilot(self) -> bool:
        """Whether separate copies have to tell how many an input needs."""
        return isinstance(self.stopping, Tolerance)

    def for_inputs(self, inputs: Batch, claimed: Rows, pilot: Counts | None) -> Estimation:
        """Plan the sampling of some inputs whose claimed labels are fixed.

        ``pilot`` holds answers on copies that serve no bound, shape (rows, classes).
        """
        cases, case = self.joint.exposures(inputs)
        subject = Subject(self, tuple(cases), case, claimed, pilot)
        if self.needs_pilot:
            return PilotedEstimation(subject)
        if self.method is None:
            return FixedEstimation(subject)
        if self.method == "exact":
            return GroupSequentialEstimation(subject)
        return SpendingEstimation(subject) if self.method == "spending" else MixtureEstimation(subject)


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
        for exposures in self.cases:
            key = tuple(map(id, question.joint.parts(d, exposures)))  # equal attack sets are one object
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


_ALMOST = math.nextafter(1.0, 0.0)
"""In place of a score of 1 for a target that no score reaches: nothing can certify it."""


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
        return _by_look(found, self._at, self.subject.question.claim)

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
        method = _method(self.subject.question.claim)
        for samples in np.unique(found.samples[found.samples > 0]).tolist():
            part, alpha = np.flatnonzero(found.samples == samples), self.subject.question.alpha
            lower[part], upper[part], method = self.subject.fixed(
                found.counts[part], part, samples=samples, alpha=alpha
            )
        return LabelBounds(lower, upper, method)

    def plans(self, found: Sampling) -> list[SequentialPlan | None]:
        """See `Estimation.plans`."""
        return [None] * found.samples.size


class SpendingEstimation(Estimation):
    """Clopper–Pearson bounds at several looks, each with its share of α."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        question = subject.question
        self._looks = spending_looks(question.samples, question.alpha)
        self.rule = _rule(subject, self._looks.looks, self._at)

    def _at(self, look: int, rows: Rows, counts: Counts) -> LabelBounds:
        samples, alpha = self._looks.looks[look], self._looks.alphas[look]
        return self.subject.fixed(counts, rows, samples=samples, alpha=alpha)

    def bounds(self, found: Sampling) -> LabelBounds:
        """See `Estimation.bounds`."""
        return _by_look(found, self._at, self.subject.question.claim)

    def plans(self, found: Sampling) -> list[SequentialPlan | None]:
        """See `Estimation.plans`."""
        budget = self._looks
        made = [
            SequentialPlan(looks=budget.looks, look=i, alphas=budget.alphas) for i in range(len(budget.looks))
        ]
        return [made[look] if look >= 0 else None for look in found.looks.tolist()]


class MixtureEstimation(Estimation):
    """A beta mixture: a bound that holds after any number of copies (Ville 1939, Robbins 1970)."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        question = subject.question
        self._looks = mixture_looks(question.samples)
        self.rule = _rule(subject, self._looks, self._at)

    def _at(self, look: int, rows: Rows, counts: Counts) -> LabelBounds:
        a, b = SMOOTHED_SCORE_PRIOR
        own, alpha = self.subject.own(counts, rows), self.subject.question.alpha
        lower = beta_mixture_lower(own, self._looks[look], alpha, a=a, b=b)
        return LabelBounds(lower, np.minimum(step_up(1.0 - lower), 1.0), "beta-mixture")

    def bounds(self, found: Sampling) -> LabelBounds:
        """See `Estimation.bounds`."""
        return _by_look(found, self._at, self.subject.question.claim)

    def plans(self, found: Sampling) -> list[SequentialPlan | None]:
        """See `Estimation.plans`."""
        return [SequentialPlan(prior=SMOOTHED_SCORE_PRIOR)] * found.samples.size


class GroupSequentialEstimation(Estimation):
    """An exact group-sequential test of one target; its bound orders outcomes stage by stage.

    Copies that an input did not draw because its target is out of reach count as failures, which leaves
    nothing: such an input has the bound 0.
    """

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        question = subject.question
        assert isinstance(question.stopping, Target)
        needs, kind = np.unique(subject.needed(question.stopping), return_inverse=True)
        self._designs = tuple(
            group_sequential_design(min(float(p), _ALMOST), question.samples, question.alpha) for p in needs
        )
        self._design_of_row = kind.reshape(-1)[subject.case]
        self.rule = GroupSequentialRule(self._designs, self._design_of_row, subject.claimed, subject.pilot)

    def bounds(self, found: Sampling) -> LabelBounds:
        """See `Estimation.bounds`."""
        lower = np.zeros(found.samples.size)
        alpha = self.subject.question.alpha
        for row in np.flatnonzero(found.looks >= 0):
            design, look = self._designs[self._design_of_row[row]], int(found.looks[row])
            successes = int(found.counts[row, self.subject.claimed[row]])
            if successes >= design.certify_at[look] or look == len(design.looks) - 1:
                lower[row] = group_sequential_lower(
                    successes, look=look, looks=design.looks, certify_at=design.certify_at, alpha=alpha
                )
        return LabelBounds(lower, np.ones_like(lower), "group-sequential")

    def plans(self, found: Sampling) -> list[SequentialPlan | None]:
        """See `Estimation.plans`."""
        return [
            self._plan(found, row) if found.looks[row] >= 0 else None for row in range(found.samples.size)
        ]

    def _plan(self, found: Sampling, row: int) -> SequentialPlan:
        design, look = self._designs[self._design_of_row[row]], int(found.looks[row])
        path = tuple(found.path[row, : look + 1, self.subject.claimed[row]].tolist())
        crossed = path[-1] >= design.certify_at[look]
        return SequentialPlan(
            looks=design.looks,
            look=look if crossed else len(design.looks) - 1,
            certify_at=design.certify_at,
            successes_at=path,
        )


def _filled(pilot: Counts, claimed: Rows) -> Counts:
    """Give inputs that failed in the pilot unanimous answers: they draw nothing, whatever is planned."""
    filled = pilot.copy()
    (failed,) = np.nonzero(pilot.sum(axis=1) == 0)
    filled[failed, claimed[failed]] = pilot.sum(axis=1).max(initial=1)
    return filled


def _rule(
    subject: Subject, looks: tuple[int, ...], at: Callable[[int, Rows, Counts], LabelBounds]
) -> StoppingRule:
    """Return the rule of a question whose bound holds at each of ``looks``, whatever stops it."""
    stopping = subject.question.stopping
    if not isinstance(stopping, Target):
        return EveryLook(looks)
    holds = subject.proves(stopping)
    return BudgetedTarget(
        looks=looks,
        claimed=subject.claimed,
        holds=lambda look, rows, counts: holds(at(look, rows, counts), rows),
        pilot=subject.pilot,
    )


def _by_look(found: Sampling, at: Callable[[int, Rows, Counts], LabelBounds], claim: Claim) -> LabelBounds:
    """Return the bounds of every input at the look where it stopped."""
    rows = found.samples.size
    lower, upper = np.zeros(rows), np.ones(rows)
    method = _method(claim)
    for look in np.unique(found.looks[found.looks >= 0]).tolist():
        part = np.flatnonzero(found.looks == look)
        lower[part], upper[part], method = at(look, part, found.counts[part])
    return LabelBounds(lower, upper, method)


def _method(claim: Claim) -> str:
    """The method of Clopper–Pearson bounds for a claim."""
    return "clopper-pearson" if _one_sided(claim) else "clopper-pearson-bonferroni"


def _one_sided(claim: Claim) -> bool:
    """Whether a lower bound on the claimed label is all that a claim needs."""
    return isinstance(claim, ScoreAbove) or (claim.k == 1 and claim.classes == 2)
