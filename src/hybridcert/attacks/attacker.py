"""The attack on one input: what a classifier offers to it, the search, and a check that budgets are kept."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from hybridcert.attacks.budget import AttackBudget, AttackSettings, Method
from hybridcert.attacks.checks import check_label, check_type
from hybridcert.attacks.objective import Subject
from hybridcert.attacks.outcome import Attack
from hybridcert.attacks.search import Search
from hybridcert.attacks.space import Space
from hybridcert.errors import DataError, ModelError, ParameterError
from hybridcert.joint_threat import JointThreat
from hybridcert.sampling.classifier import Batch, Classifier
from hybridcert.sampling.noise import SmoothingNoise


class Attacker:
    """Searches for inputs within a budget at which a label's score is low.

    Nothing that it finds is a statement: `judge` makes one, on copies that the search has not seen.

    Parameters
    ----------
    classifier : Classifier
        With `ScoringClassifier` and `DifferentiableClassifier` for better searches; answers alone do.
    joint : JointThreat
        What may change, and the noise.
    settings : AttackSettings
    smoothed : bool
        True: lower the smoothed score of the label. False: make the classifier itself, asked once and
        without noise, answer otherwise; noise then only finds directions where there are no derivatives.

    Raises
    ------
    ModelError
        For a method that needs more than the classifier offers.
    ParameterError
        For a threat that is not matched with its noise (`JointThreat.of`), and settings of another type.

    References
    ----------
    Paper A.5, Algorithm 1; Salman et al. 2019 (attacks on smoothed classifiers); Zou et al. 2023 (GCG).
    """

    def __init__(
        self, classifier: Classifier, joint: JointThreat, settings: AttackSettings, *, smoothed: bool = True
    ) -> None:
        check_type("joint", joint, JointThreat)
        check_type("settings", settings, AttackSettings)
        self._classifier, self._joint, self._settings = classifier, joint, settings
        self._smoothed = smoothed
        self._method = _method(classifier, settings.method)

    @property
    def method(self) -> Method:
        """What the search uses: "gradient", "score" or "decision"."""
        return self._method

    def search(
        self,
        inputs: Batch,
        row: int,
        *,
        label: int,
        budget: AttackBudget,
        seed: int,
        start: Attack | None = None,
    ) -> Attack:
        """Search around one input.

        Guarantee: the adversarial input lies within the budget as real numbers and exact counts.

        Parameters
        ----------
        inputs : Batch
            Encoded. Where an alphabet is open, the attacker writes symbols that occur in any of these rows.
        row : int
        label : int
            Index of the class whose score the attacker lowers.
        budget : AttackBudget
        seed : int >= 0
        start : Attack, optional
            What a search within a smaller budget found; this one goes on from there.

        Raises
        ------
        ParameterError, DataError
            For values outside their ranges, inputs that are not encoded, or a start outside the budget.
        ModelError
            For margins or answers that break the classifier's contract.
        """
        check_label(label, len(self._classifier.classes_))
        rows = _checked_rows(inputs, self._joint.noise)
        if isinstance(row, bool) or not (isinstance(row, numbers.Integral) and 0 <= row < rows):
            raise ParameterError(f"row must be in [0, {rows - 1}], got {row!r}")
        check_type("budget", budget, AttackBudget)
        if start is not None:
            check_type("start", start, Attack)
        budget.check(self._joint)
        self._joint.noise.check_inputs(inputs)
        space = Space.around(self._joint, inputs, row, budget)
        subject = Subject(self._classifier, self._joint.noise, label, self._method, self._smoothed)
        search = Search(subject, space, self._settings, seed=seed)
        first = space.clean if start is None else space.candidate(_row(start))
        found = search.run(first)
        adversarial: dict[str, Any] = {name: array[None].copy() for name, array in found.row.items()}
        attack = Attack(
            adversarial=adversarial,
            changes=space.changes(found.row),
            distance_upper=space.distance_upper(space.features.gathered(found.row)),
            objective=tuple(search.trace),
            calls=search.calls,
            method=self._method,
        )
        if not attack.distance_upper <= budget.epsilon:
            raise AssertionError(f"the distance {attack.distance_upper!r} exceeds epsilon {budget.epsilon!r}")
        return attack


def _checked_rows(inputs: Batch, noise: SmoothingNoise) -> int:
    """Return the number of encoded rows; raise DataError unless they have every modality with noise."""
    if not isinstance(inputs, Mapping) or not all(isinstance(a, np.ndarray) for a in inputs.values()):
        raise DataError(f"inputs must be encoded, by classifier.encode(X), got {type(inputs).__name__}")
    missing = sorted(set(noise.kernels) - set(inputs))
    if missing:
        known = ", ".join(sorted(inputs)) or "none"
        raise DataError(f"inputs must have modality {missing[0]!r}, which has noise, got {known}")
    rows = {len(array) for array in inputs.values()}
    if len(rows) != 1:
        raise DataError(f"inputs must have equally many rows in each modality, got {sorted(rows)}")
    for name in noise.continuous:
        if not np.isfinite(inputs[name]).all():
            raise DataError(f"modality {name!r} of the inputs must be finite, got NaN or infinite values")
    return rows.pop()


def _row(attack: Attack) -> dict[str, Any]:
    return {name: np.asarray(array)[0] for name, array in attack.adversarial.items()}


def _method(classifier: Classifier, asked: Method) -> Method:
    """Return the best method that a classifier offers; raise ModelError where it lacks the one asked for."""
    scores = hasattr(classifier, "margins") and getattr(classifier, "tells_margins", True)
    slopes = scores and hasattr(classifier, "sensitivity") and getattr(classifier, "tells_sensitivity", True)
    offered = {"gradient": slopes, "score": scores, "decision": True}
    if asked == "auto":
        return "gradient" if slopes else "score" if scores else "decision"
    if not offered[asked]:
        lacks = "derivatives" if asked == "gradient" else "margins"
        raise ModelError(
            f"method {asked!r} needs {lacks}, which {type(classifier).__name__} does not offer: use 'auto'"
        )
    return asked
