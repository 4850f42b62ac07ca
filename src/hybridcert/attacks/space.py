"""The inputs within a budget of one input, as a search moves among them and as classifiers read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.attacks.budget import AttackBudget
from hybridcert.attacks.changes import least_changes
from hybridcert.attacks.continuous import Features, ball
from hybridcert.attacks.distance import Ball, distance_upper
from hybridcert.attacks.edits import Edited, Edits
from hybridcert.attacks.objective import Row
from hybridcert.certificate.directed import Floats
from hybridcert.errors import ParameterError
from hybridcert.joint_threat import JointThreat
from hybridcert.kernels.deletion import PADDING
from hybridcert.sampling.classifier import Batch
from hybridcert.threats import DiscreteSurface


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """An input within the budget.

    Attributes
    ----------
    row : mapping of modality name to array
        Encoded; modalities in which two candidates agree may be the same array.
    edits : mapping of modality name to Edited
    point : (features,) float
        Continuous features in play.
    """

    row: Row
    edits: Mapping[str, Edited]
    point: Floats


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Space:
    """All inputs within a budget of a clean one.

    Attributes
    ----------
    joint : JointThreat
    clean : Candidate
    edits : mapping of threatened modality name to Edits
    features : Features
    ball : Ball
    """

    joint: JointThreat
    clean: Candidate
    edits: Mapping[str, Edits]
    features: Features
    ball: Ball

    @staticmethod
    def around(joint: JointThreat, inputs: Batch, row: int, budget: AttackBudget) -> Space:
        """Return the space around one row; symbols of open alphabets are those of all rows."""
        noise = joint.noise
        edits = {}
        for name, threat in joint.threats.items():
            surface = noise.surfaces[name]
            assert isinstance(surface, DiscreteSurface)
            symbols = np.unique(inputs[name][inputs[name] != PADDING]) if surface.open else None
            codes = noise.exposed(inputs, name, row)[0]
            edits[name] = Edits.of(
                threat, surface, codes, budget.d[name], kernel=noise.kernels[name], pool=symbols
            )
        features = Features.of(joint)
        clean = {name: array[row] for name, array in inputs.items()}
        point = features.gathered(clean)
        start = Candidate(clean, {name: e.start for name, e in edits.items()}, point)
        return Space(joint, start, edits, features, ball(joint, point, budget.epsilon))

    @property
    def moving(self) -> list[str]:
        """Names of the discrete modalities that may change."""
        return [name for name, edits in self.edits.items() if edits.d > 0]

    def with_edit(self, candidate: Candidate, name: str, edited: Edited) -> Candidate:
        """Return a candidate with other symbols in one modality."""
        surface, before = self.joint.noise.surfaces[name], self.clean.row[name]
        if isinstance(surface, DiscreteSurface) and surface.sequence:  # all of it is in play
            array = np.full(max(before.size, edited.codes.size), PADDING, dtype=before.dtype)
            array[: edited.codes.size] = edited.codes
        else:
            array = before.copy()
            array[list(surface.eligible)] = edited.codes
        return Candidate({**candidate.row, name: array}, {**candidate.edits, name: edited}, candidate.point)

    def with_point(self, candidate: Candidate, point: Floats) -> Candidate:
        """Return a candidate with other continuous features."""
        row = dict(candidate.row)
        for name, columns, part in self.features.parts(point):
            row[name] = np.array(self.clean.row[name], dtype=np.float64)
            row[name][columns] = part
        return Candidate(row, candidate.edits, point)

    def slopes_in_play(self, name: str, slopes: Floats) -> Floats:
        """Return the rows of a derivative by position that belong to the symbols in play."""
        surface = self.joint.noise.surfaces[name]
        fixed = isinstance(surface, DiscreteSurface) and not surface.sequence
        return slopes[list(surface.eligible)] if fixed else slopes

    def candidate(self, row: Row) -> Candidate:
        """Return a given input as a candidate.

        Raises
        ------
        ParameterError
            Where it lies outside the budget.
        """
        if set(row) != set(self.clean.row):
            raise ParameterError(
                f"start must have the modalities {sorted(self.clean.row)}, got {sorted(row)}"
            )
        point = self.features.gathered(row)
        if not self.ball.holds(point):
            raise ParameterError(
                f"start must lie within epsilon = {self.ball.radius!r}, got a distance of up to "
                f"{self.distance_upper(point)!r}"
            )
        found = self.with_point(self.clean, point)
        for name, edits in self.edits.items():
            found = self.with_edit(found, name, edits.recovered(self._exposed(row, name)))
        for name, array in found.row.items():
            if not _same(array, row[name]):
                raise ParameterError(f"start must not change modality {name!r} where the threat does not")
        return found

    def changes(self, row: Row) -> dict[str, int]:
        """Return the exact number of changes by threatened modality, from the arrays alone.

        Raises
        ------
        AssertionError
            Where they exceed the budget: a search went wrong.
        """
        counts = {}
        for name, edits in self.edits.items():
            count = least_changes(edits.threat, edits.clean, self._exposed(row, name), edits.d)
            if count is None:
                raise AssertionError(f"modality {name!r} has more than d = {edits.d} changes")
            counts[name] = count
        for name, array in row.items():
            if not np.array_equal(self._fixed(name, array), self._fixed(name, self.clean.row[name])):
                raise AssertionError(f"modality {name!r} changed where the threat does not")
        return counts

    def distance_upper(self, point: Floats) -> float:
        """Return an upper bound on the distance of continuous features from the clean ones."""
        return distance_upper(self.ball.clean, point, scales=self.ball.scales, norm=self.ball.norm)

    def _fixed(self, name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the part of a modality that no change may touch."""
        if name not in self.edits and name not in self.features.columns:
            return array
        eligible = self.joint.noise.surfaces[name].eligible
        return np.delete(array, [column for column in eligible if column < array.size])

    def _exposed(self, row: Row, name: str) -> npt.NDArray[np.int64]:
        return self.joint.noise.exposed({name: row[name][None]}, name, 0)[0]


def _same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """Return whether two arrays hold the same but for padding at their ends."""
    short, long = sorted((a, b), key=lambda array: array.size)
    return np.array_equal(short, long[: short.size]) and bool((long[short.size :] == PADDING).all())
