"""The estimation that answers a question about certain inputs."""

from __future__ import annotations

from collections.abc import Callable

from hybridcert.estimation.estimation import Estimation
from hybridcert.estimation.fixed import FixedEstimation, PilotedEstimation
from hybridcert.estimation.question import Question
from hybridcert.estimation.sequential import (
    GroupSequentialEstimation,
    MixtureEstimation,
    SpendingEstimation,
)
from hybridcert.estimation.subject import Rows, Subject
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.outcome import Counts

_BY_METHOD: dict[str | None, Callable[[Subject], Estimation]] = {
    None: FixedEstimation,
    "exact": GroupSequentialEstimation,
    "spending": SpendingEstimation,
    "mixture": MixtureEstimation,
}


def estimate(question: Question, inputs: Batch, claimed: Rows, pilot: Counts | None) -> Estimation:
    """Plan the sampling of some inputs whose claimed labels are fixed.

    Parameters
    ----------
    claimed : int array, shape (rows,)
        Chosen without looking at the copies that are going to be drawn.
    pilot : int array, shape (rows, classes), or None
        Answers on copies that serve no bound; needed where the question says so.
    """
    cases, case = question.joint.exposures(inputs)
    subject = Subject(question, tuple(cases), case, claimed, pilot)
    return PilotedEstimation(subject) if question.needs_pilot else _BY_METHOD[question.method](subject)
