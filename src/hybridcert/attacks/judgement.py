"""Whether a claim is false at an adversarial input: a statement by fresh copies, with an error probability.

The copies are those of a stage of their own, keyed by the adversarial input, so that neither the search nor
the certificate has seen them. A violation is declared at the full number of copies only. Sampling stops
before once the label has been answered more often than any violation allows; that number is fixed before
sampling, which keeps the bound on the score valid although the stop depends on answers (``docs/attacks.md``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from hybridcert.attacks.checks import check_label, check_type
from hybridcert.certificate.binomial import MAX_SAMPLES
from hybridcert.certificate.confidence import clopper_pearson_lower, clopper_pearson_upper
from hybridcert.certificate.directed import step_down
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.documents.claims import Claim, ScoreAbove, TopK
from hybridcert.errors import DataError, ParameterError
from hybridcert.sampling.blocks import Work
from hybridcert.sampling.classifier import Batch, Classifier
from hybridcert.sampling.engine import Sampler
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.stopping import Outlook, Verdict
from hybridcert.sampling.stopping.rule import Counts, Rows, Verdicts
from hybridcert.sampling.streams import Stage

_FIRST_LOOK = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What fresh copies of an adversarial input say about a claim.

    Attributes
    ----------
    counts : tuple of int
        Answers by class.
    samples : int
        Copies drawn, at most the number asked for.
    alpha : float
        Error probability of each of the three statements below.
    score_upper : float
        Upper confidence bound on the smoothed score of the label, rounded up.
    effect_lower : float
        Lower confidence bound on the probability of any other answer, 1 − score, rounded down.
    violation : bool
        Whether the claim is false at this input, with confidence 1 − ``alpha``.
    stopped : bool
        Whether sampling ended early because no violation was possible any more.
    """

    counts: tuple[int, ...]
    samples: int
    alpha: float
    score_upper: float
    effect_lower: float
    violation: bool
    stopped: bool


def judge(
    classifier: Classifier,
    noise: SmoothingNoise,
    adversarial: Batch,
    *,
    label: int,
    claim: Claim,
    samples: int,
    alpha: float,
    seed: int,
    executor: Executor | None = None,
) -> Judgement:
    """Test a claim about the smoothed scores of one input on fresh copies of it.

    Guarantee: if the claim holds at ``adversarial``, ``violation`` is True with probability at most
    ``alpha``. With probability at least 1 − ``alpha`` the smoothed score of the label is at most
    ``score_upper``, whether sampling stopped early or not.

    Parameters
    ----------
    adversarial : Batch
        Encoded input, one row.
    label : int
        Index of the claimed class.
    claim : ScoreAbove or TopK
    samples : int >= 1
        Copies for a violation; at least `samples_needed` where the claim is a threshold.
    alpha : float in (0, 1)
    seed : int >= 0
    executor : Executor, optional

    Raises
    ------
    ParameterError
        For values outside these ranges, or so few samples that no answers at all would be a violation.
    DataError
        Unless there is exactly one row.
    ModelError
        If the classifier keeps failing.

    References
    ----------
    Clopper & Pearson 1934, for both bounds; Bonferroni over the classes for ``TopK``.
    """
    classes = len(classifier.classes_)
    _check(adversarial, classes, label, claim, samples, alpha)
    most = most_answers(claim, samples=samples, alpha=alpha, classes=classes)
    if most < 0:
        raise ParameterError(_too_few(claim, samples, alpha))
    rule = _UntilSafe(samples, label, most)
    with Sampler(Work(classifier, noise), adversarial, seed=seed, executor=executor) as sampler:
        found = sampler.sample(Stage.JUDGE, rule)
    counts = found.complete()[0]
    drawn = int(found.samples[0])
    score_upper = float(clopper_pearson_upper(int(counts[label]), drawn, alpha))
    return Judgement(
        counts=tuple(counts.tolist()),
        samples=drawn,
        alpha=float(alpha),
        score_upper=score_upper,
        effect_lower=_complement_lower(score_upper),
        violation=drawn == samples and _violated(claim, counts, label=label, samples=samples, alpha=alpha),
        stopped=drawn < samples,
    )


def samples_needed(threshold: float, alpha: float) -> int:
    """Return how many copies can show that a score is at most a threshold, when none answers with the label.

    The least n whose upper confidence bound at level ``alpha`` is then at most ``threshold``, about
    log(1/α)/τ. A judgement with fewer copies can never be a violation.

    Parameters
    ----------
    threshold : float in (0, 1)
    alpha : float in (0, 1)

    Raises
    ------
    ParameterError
        For values outside these ranges, or where more than 10¹⁰ copies would be needed.

    Examples
    --------
    >>> from hybridcert.attacks import samples_needed
    >>> samples_needed(4.6e-5, 0.01)
    100111
    """
    check_open("threshold", threshold)
    check_open("alpha", alpha)

    def shows(samples: int) -> bool:
        return float(clopper_pearson_upper(0, samples, alpha)) <= threshold

    guess = math.log(alpha) / math.log1p(-threshold)
    most = int(min(2.0 * guess + 3.0, MAX_SAMPLES))
    needed = _least(shows, int(min(guess / 2.0, MAX_SAMPLES)) or 1, most)
    if needed > most:
        raise ParameterError(
            f"threshold must be so large that at most {MAX_SAMPLES} copies are needed at alpha = {alpha!r}, "
            f"got {threshold!r}"
        )
    return needed


def most_answers(claim: Claim, *, samples: int, alpha: float, classes: int) -> int:
    """Return the largest count of the label among ``samples`` with which a violation is possible; -1: none.

    For ``TopK`` the answers that are left are dealt evenly to k rivals: no other way serves a violation
    better.
    """

    def possible(answers: int) -> bool:
        counts = np.zeros(classes, dtype=np.int64)
        if isinstance(claim, TopK):
            counts[1 : claim.k + 1] = (samples - answers) // claim.k
        counts[0] = answers
        return _violated(claim, counts, label=0, samples=samples, alpha=alpha)

    return _least(lambda answers: not possible(answers), 0, samples) - 1


@dataclasses.dataclass(frozen=True, slots=True)
class _UntilSafe:
    """Stops once the label was answered more than ``most`` times; looks at every quarter more copies."""

    samples: int
    label: int
    most: int

    def schedule(self, rows: Rows) -> Counts:
        """Return the copies by each look, shape (rows, looks)."""
        looks = [min(_FIRST_LOOK, self.samples)]
        while looks[-1] < self.samples:
            looks.append(min(looks[-1] + max(looks[-1] // 4, _FIRST_LOOK), self.samples))
        return np.tile(np.array(looks, dtype=np.int64), (len(rows), 1))

    def verdicts(self, look: int, rows: Rows, counts: Counts) -> Verdicts:
        """Return `Verdict.GIVE_UP` where no violation is possible, `Verdict.ENOUGH` at the last look."""
        last = look == self.schedule(rows).shape[1] - 1
        found = np.full(len(rows), Verdict.ENOUGH if last else Verdict.GO_ON, dtype=np.int8)
        found[counts[:, self.label] > self.most] = Verdict.GIVE_UP
        return found

    def outlook(self, look: int, rows: Rows, counts: Counts) -> Outlook:
        """Return the copies that are left; there is no budget to share."""
        return Outlook(np.ones(len(rows)), np.full(len(rows), self.samples, dtype=np.int64))


def _violated(claim: Claim, counts: Counts, *, label: int, samples: int, alpha: float) -> bool:
    """Return whether counts over all ``samples`` show, at level ``alpha``, that the claim is false."""
    if isinstance(claim, ScoreAbove):
        return bool(clopper_pearson_upper(int(counts[label]), samples, alpha) <= claim.threshold)
    if claim.classes == 2:  # one score tells both
        return bool(clopper_pearson_upper(int(counts[label]), samples, alpha) < 0.5)
    share = float(step_down(alpha / claim.classes))
    if share <= 0.0:
        return False
    label_upper = float(clopper_pearson_upper(int(counts[label]), samples, share))
    rivals = np.delete(counts, label)
    return bool(np.sum(clopper_pearson_lower(rivals, samples, share) > label_upper) >= claim.k)


def _complement_lower(score_upper: float) -> float:
    """Return 1 − score, rounded down where it is no float (it is one from ½ on)."""
    return 1.0 - score_upper if score_upper >= 0.5 else float(step_down(1.0 - score_upper))


def _least(holds: Callable[[int], bool], lo: int, hi: int) -> int:
    """Return the least integer in [lo, hi] for which a monotone condition holds; hi + 1 where none does."""
    end = hi + 1
    while lo < end:
        middle = (lo + end) // 2
        if holds(middle):
            end = middle
        else:
            lo = middle + 1
    return end


def _too_few(claim: Claim, samples: int, alpha: float) -> str:
    if isinstance(claim, ScoreAbove):
        needed = samples_needed(claim.threshold, alpha)
        return (
            f"samples must be at least {needed} for a violation of the threshold {claim.threshold!r} at "
            f"alpha = {alpha!r}, got {samples}"
        )
    return f"samples must be larger for a violation at alpha = {alpha!r}, got {samples}: double it"


def _check(adversarial: Batch, classes: int, label: int, claim: Claim, samples: int, alpha: float) -> None:
    check_count("samples", samples, most=MAX_SAMPLES)
    check_open("alpha", alpha)
    check_type("claim", claim, ScoreAbove, TopK)
    check_type("adversarial", adversarial, Mapping)
    rows = {len(array) for array in adversarial.values()}
    if rows != {1}:
        raise DataError(f"adversarial must have one row in each modality, got {sorted(rows)} rows")
    check_label(label, classes)
    if isinstance(claim, TopK) and claim.classes != classes:
        raise ParameterError(
            f"the claim must be about the {classes} classes of the classifier, got {claim.classes}"
        )
