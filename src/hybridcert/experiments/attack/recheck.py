"""Judging a counterexample again: on other copies, and against the certificate that it is said to refute."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.attacks import Judgement, changes_within, judge
from hybridcert.attacks.continuous import Features, ball
from hybridcert.errors import DataError
from hybridcert.experiments.attack.certified import CertifiedInput
from hybridcert.experiments.attack.counterexample import Counterexample
from hybridcert.experiments.attack.plan import Subject
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.streams import RowStreams
from hybridcert.threats import DiscreteSurface


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Rechecked:
    """A counterexample judged again.

    Attributes
    ----------
    input : str
    within : bool
        Whether the adversarial input lies within the certified budget, recomputed from the arrays.
    judgement : Judgement
        On copies that nobody has seen before.
    """

    input: str
    within: bool
    judgement: Judgement

    @property
    def confirmed(self) -> bool:
        """Whether the claim is false at an input within the certified budget."""
        return self.within and self.judgement.violation


def refuted(example: Counterexample, subject: Subject) -> CertifiedInput:
    """Return what a counterexample is said to refute: what is certified of its clean input and its budget.

    Raises
    ------
    DataError
        When claim or label are not those of the subject, or nothing that is certified of the clean input
        covers the budget.
    """
    claim = dataclasses.asdict(subject.claim) | {"kind": subject.claim.kind}
    labels = [str(label) for label in subject.classifier.classes_]
    if example.claim != claim or example.label not in labels:
        raise DataError(
            f"{example.path} is about another claim than that of the configuration: {example.claim}"
        )
    names, label = list(subject.joint.threats), labels.index(example.label)
    digests = RowStreams(0).keys(subject.inputs)
    for one in subject.certified:
        if one.label != label or digests[one.row].hex() != example.digest or set(example.d) != set(names):
            continue
        for point in one.points:
            d = dict(zip(names, point.d, strict=True))
            if example.epsilon <= point.radius and all(example.d[name] <= d[name] for name in names):
                return one
    raise DataError(
        f"{example.path}: the run certifies nothing about its clean input within d = "
        f"{', '.join(map(str, example.d.values())) or 0} and radius {example.epsilon!r}: name the run that "
        "was attacked with --run"
    )


def recheck(
    example: Counterexample, subject: Subject, *, samples: int | None = None, alpha: float = 0.01, seed: int
) -> Rechecked:
    """Judge a counterexample again, on other copies.

    Guarantee: if the certified claim is true, `Rechecked.confirmed` is True with probability at most
    ``alpha``, as long as ``seed`` is another than that of the campaign and was not chosen by its outcome.

    Parameters
    ----------
    example : Counterexample
    subject : Subject
        What was attacked.
    samples : int >= 1, optional
        Copies that judge; by default as many as before.
    alpha : float in (0, 1)
    seed : int >= 0

    Raises
    ------
    DataError
        When it is no counterexample to what the subject holds as certified, and for the seed of the campaign.
    ParameterError
        For so few samples that nothing could be a violation.
    """
    one = refuted(example, subject)
    if example.seed == seed:
        raise DataError(
            f"{example.path} was judged with seed {seed} before: take another seed, for other copies"
        )
    judgement = judge(
        subject.classifier,
        subject.joint.noise,
        example.adversarial,
        label=one.label,
        claim=subject.claim,
        samples=example.samples if samples is None else samples,
        alpha=alpha,
        seed=seed,
    )
    within = lies_within(subject, example.clean, example.adversarial, d=example.d, epsilon=example.epsilon)
    return Rechecked(one.name, within, judgement)


def lies_within(
    subject: Subject, clean: Batch, adversarial: Batch, *, d: Mapping[str, int], epsilon: float
) -> bool:
    """Return whether an adversarial input is proven to lie within a budget of a clean one.

    What the threat does not name has to be equal: other modalities, and positions that are not eligible.
    """
    joint, surfaces = subject.joint, subject.joint.noise.surfaces
    for name in clean:
        surface = surfaces.get(name)
        if name in joint.threats:
            assert isinstance(surface, DiscreteSurface)
            before, after = (joint.noise.exposed(row, name, 0)[0] for row in (clean, adversarial))
            if not changes_within(joint.threats[name], before, after, d[name]):
                return False
        free = list(surface.eligible) if surface is not None and _may_change(subject, name) else []
        sequence = isinstance(surface, DiscreteSurface) and surface.sequence
        if not (sequence and free) and not _equal_but(free, clean[name][0], adversarial[name][0]):
            return False
    features = Features.of(joint)
    here, there = (
        features.gathered({name: array[0] for name, array in row.items()}) for row in (clean, adversarial)
    )
    return ball(joint, here, epsilon).holds(there)


def _may_change(subject: Subject, name: str) -> bool:
    return name in subject.joint.threats or name in subject.joint.noise.continuous


def _equal_but(free: list[int], before: npt.NDArray[Any], after: npt.NDArray[Any]) -> bool:
    return before.shape == after.shape and np.array_equal(np.delete(before, free), np.delete(after, free))
