"""Which budgets an input is attacked within: certified ones, and multiples of the largest of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hybridcert.experiments.attack.certified import CertifiedInput, CertifiedPoint
from hybridcert.experiments.attack.section import BudgetSection
from hybridcert.joint_threat import JointThreat
from hybridcert.sampling.classifier import Batch
from hybridcert.threats import Additions, Deletion, DiscreteSurface, Insertion, Removals, Substitution


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """What an attack may use.

    Attributes
    ----------
    name : str
        As the table calls it; the same for all inputs.
    inside : bool
        Whether it is part of a certified budget: no attack within it may succeed.
    d : tuple of int
        One entry for each threatened modality.
    epsilon : float >= 0
    """

    name: str
    inside: bool
    d: tuple[int, ...]
    epsilon: float

    def holds(self, other: Budget) -> bool:
        """Whether every attack within ``other`` is one within this budget too."""
        return other.epsilon <= self.epsilon and all(o <= d for o, d in zip(other.d, self.d, strict=True))


def budgets_of(
    certified: CertifiedInput,
    sections: Sequence[BudgetSection],
    *,
    joint: JointThreat,
    inputs: Batch,
) -> list[Budget]:
    """Return the budgets that mean something for an input: certified ones first, then from small to large.

    Left out are budgets without any change; multiples of a radius 0; more changes than are certified where
    the input has no room for any; and those relative to (0, r(0)) where it is not certified, or is (d*, r*).
    Where there is room for some of the changes, they go as far as there is.
    """
    largest, zero = certified.largest, certified.without_changes
    room = room_of(joint, inputs, certified.row)
    found: list[Budget] = []
    for section in sorted(sections, key=lambda one: (not one.inside, one.more_d, one.times_r)):
        point = largest if section.of == "largest" else zero
        if point is None or (section.of == "zero" and point == largest):
            continue
        budget = _relative(point, section, room)
        if budget is not None:
            found.append(budget)
    return found


def _relative(point: CertifiedPoint, section: BudgetSection, room: Sequence[int]) -> Budget | None:
    d = tuple(
        max(certified, min(certified + section.more_d, most))
        for certified, most in zip(point.d, room, strict=True)
    )
    epsilon = (
        point.radius * section.times_r
    )  # rounding keeps the order: at most the radius for factors up to 1
    if (section.times_r != 1.0 and point.radius == 0.0) or (section.more_d and d == point.d):
        return None
    return Budget(section.name, section.inside, d, epsilon) if any(d) or epsilon > 0.0 else None


def room_of(joint: JointThreat, inputs: Batch, row: int) -> tuple[int, ...]:
    """Return how many changes there is room for in each threatened modality of an input."""
    return tuple(_room(joint, inputs, name, row) for name in joint.threats)


def _room(joint: JointThreat, inputs: Batch, name: str, row: int) -> int:
    surface, threat = joint.noise.surfaces[name], joint.threats[name]
    assert isinstance(surface, DiscreteSurface)
    codes, _ = joint.noise.exposed(inputs, name, row)
    length, spare = len(codes), len(surface.alphabet_sizes) - len(codes)
    if not surface.sequence:
        if isinstance(threat, Additions | Removals):
            return int((codes == (0 if isinstance(threat, Additions) else 1)).sum())
        return length
    if isinstance(threat, Substitution | Deletion):
        return length
    return spare if isinstance(threat, Insertion) else length + spare
