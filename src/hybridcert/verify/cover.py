"""Whether the listed changes cover the attack set: one of them dominates any change by position."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence
from typing import Final

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.attacks import Multiset, required_changes
from hybridcert.verify.changes import Change, EnvelopeChange, PositionChange, SequenceChange
from hybridcert.verify.kernels import DeletionLaw, PositionLaw
from hybridcert.verify.laws import Threatened
from hybridcert.verify.memory import Kept
from hybridcert.verify.pairs import Pair, dominates
from hybridcert.verify.threats import DiscreteThreat, changed_positions

_Node = tuple[str, int]  # ("s", i): a kind of position that needs one above it; ("t", j): one that is listed


def uncovered(
    modalities: tuple[Threatened, ...],
    d: tuple[int, ...],
    listed: tuple[tuple[Change, ...], ...],
    meter: Meter,
) -> str | None:
    """Return a description of a change that no listed one dominates, or None if the listed changes cover all.

    ``d`` holds one budget and every entry of ``listed`` one change per threatened modality.
    """
    missing, work = _UNCOVERED.get(
        (modalities, d, listed), lambda: _uncovered(modalities, d, listed), lambda _: len(listed)
    )
    meter.spend(work)
    return missing


_UNCOVERED: Final[Kept[tuple[str | None, int]]] = Kept(limits.KEPT_ATOMS)


def _uncovered(
    modalities: tuple[Threatened, ...], d: tuple[int, ...], listed: tuple[tuple[Change, ...], ...]
) -> tuple[str | None, int]:
    meter = Meter(limits.WORK)
    per_modality = [
        _answers(modality, budget, [changes[i] for changes in listed], meter)
        for i, (modality, budget) in enumerate(zip(modalities, d, strict=True))
    ]
    if math.prod(len(answers) for answers in per_modality) > limits.CHANGES:
        raise DataError(f"more than {limits.CHANGES} combinations of changes to cover")
    everyone = (1 << len(listed)) - 1
    for combination in itertools.product(*per_modality):
        meter.spend(10 + len(listed) // 8)
        left = everyone
        for _, who in combination:
            left &= who
        if not left:
            missing = " and ".join(described(i) for i, (described, _) in zip(...))
            return missing, meter.spent
    return None, meter.spent


def _answers(modality: Threatened, d: int, listed: Sequence[Change]) -> list[tuple[str, int]]:
    """Return for every required change its description, and as bits which listed changes dominate it."""
    law, threat = modality.law, modality.threat
    if isinstance(law, DeletionLaw):
        return [
            (
                f"{a} insertions and {b} deletions in {law.modality!r}",
                _bits(
                    [isinstance(c, SequenceChange) and a <= c.insertions and b <= c.deletions for c in listed]
                ),
            )
            for a, b in _sequence_changes(law, threat, d)
        ]
    positions = changed_positions(law, threat, d)
    envelopes = _bits([isinstance(c, EnvelopeChange) and c.envelope.times >= positions for c in listed])
    if envelopes == (1 << len(listed)) - 1:  # nothing else to look at, however many changes there are
        return [(f"{positions} changed positions in {law.modality!r}", envelopes)]
    distinct = {c: _multiset(law, c) for c in listed if isinstance(c, PositionChange)}
    required = required_changes(law, threat, d)
    if len(required) * len(distinct) > limits.MATCHINGS:
        raise DataError(f"more than {limits.MATCHINGS} comparisons of changes")
    answers = []
    for change in required:
        fits = {c: _dominates_by_position(taken, change) for c, taken in distinct.items()}
        who = envelopes | _bits([isinstance(c, PositionChange) and fits[c] for c in listed])
        answers.append((_described(law, change), who))
    return answers


def _bits(flags: Sequence[bool]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)


def _sequence_changes(law: DeletionLaw, threat: DiscreteThreat, d: int) -> list[tuple[int, int]]:
    """Return the largest (insertions, deletions) within the budget."""
    most = d if law.length is None else min(d, law.length)
    if threat.kind == "indel":
        if most >= limits.CHANGES:
            raise DataError(f"more than {limits.CHANGES} changes to cover")
        return [(d - b, b) for b in range(most + 1)]
    ends = {"insertion": (d, 0), "deletion": (0, most), "edit": (d, most), "substitution": (most, most)}
    return [ends[threat.kind]]


def _multiset(law: PositionLaw, change: PositionChange) -> Multiset:
    taken: dict[Pair, int] = {}
    for c, o, n in change.taken:
        pair = law.classes[c].options[o]
        taken[pair] = taken.get(pair, 0) + n
    return tuple(taken.items())


def _described(law: PositionLaw, change: Multiset) -> str:
    """Name a required change by the first class and option with each of its pairs of laws."""
    parts = []
    for pair, n in change:
        c, o = next(
            (c, o)
            for c, positions in enumerate(law.classes)
            if positions.positions
            for o, option in enumerate(positions.options)
            if option == pair
        )
        parts.append(f"[{c}, {o}, {n}]")
    return f"the change [{', '.join(parts)}] in {law.modality!r}"


def _dominates_by_position(strong: Multiset, weak: Multiset) -> bool:
    """Say whether every position of ``weak`` has a position of its own in ``strong`` that dominates it."""
    need = sum(n for _, n in weak)
    if need > sum(n for _, n in strong):
        return False
    capacity = dict(strong)
    if all(n <= capacity.get(pair, 0) for pair, n in weak):
        return True
    edges = [[j for j, (pair, _) in enumerate(strong) if dominates(pair, other)] for other, _ in weak]
    if not all(edges):
        return False
    return _largest_flow([n for _, n in weak], [n for _, n in strong], edges) == need


def _largest_flow(supply: list[int], capacity: list[int], edges: list[list[int]]) -> int:
    """Return how many units fit, by shortest augmenting paths between ``supply`` and ``capacity``."""
    flow: dict[tuple[int, int], int] = {}
    total = 0
    while True:
        came: dict[_Node, _Node | None] = {("s", i): None for i, n in enumerate(supply) if n}
        queue = deque(came)
        end = None
        while queue and end is None:
            side, i = node = queue.popleft()
            if side == "s":
                reached = [("t", j) for j in edges[i]]
            elif capacity[i]:
                end = node
                break
            else:
                reached = [("s", k) for k in range(len(supply)) if flow.get((k, i))]
            for other in reached:
                if other not in came:
                    came[other] = node
                    queue.append(other)
        if end is None:
            return total
        path = [end]
        while (before := came[path[-1]]) is not None:
            path.append(before)
        path.reverse()
        steps = list(itertools.pairwise(path))
        amount = min(supply[path[0][1]], capacity[end[1]])
        for (side, i), (_, j) in steps:
            if side == "t":
                amount = min(amount, flow[j, i])
        for (side, i), (_, j) in steps:
            if side == "s":
                flow[i, j] = flow.get((i, j), 0) + amount
            else:
                flow[j, i] -= amount
        supply[path[0][1]] -= amount
        capacity[end[1]] -= amount
        total += amount
