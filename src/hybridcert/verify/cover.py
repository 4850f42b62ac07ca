"""Whether the listed changes cover the attack set: one of them dominates any change by position."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.attacks import Multiset, required_changes
from hybridcert.verify.changes import Change, EnvelopeChange, PositionChange, SequenceChange
from hybridcert.verify.flow import largest_flow
from hybridcert.verify.kernels import DeletionLaw, PositionLaw
from hybridcert.verify.laws import Threatened
from hybridcert.verify.memory import Kept
from hybridcert.verify.meter import Meter
from hybridcert.verify.pairs import Pair, dominates
from hybridcert.verify.threats import DiscreteThreat, changed_positions

_STEP_UNITS: Final = 10  # work for a look at one listed change, or at a pair of options


def uncovered(
    modalities: tuple[Threatened, ...],
    d: tuple[int, ...],
    listed: tuple[tuple[Change, ...], ...],
    meter: Meter,
) -> str | None:
    """Return a description of a change that no listed one dominates, or None if the listed changes cover all.

    ``d`` holds one budget and every entry of ``listed`` one change per threatened modality; the work is
    counted on ``meter``.
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
        meter.spend(_STEP_UNITS + len(listed))
        left = everyone
        for answer in combination:
            left &= answer.who
        if not left:
            missing = " and ".join(answer.describe() for answer in combination)
            return missing or "the unchanged input", meter.spent
    return None, meter.spent


@dataclass(frozen=True, slots=True)
class _Answer:
    """A required change of one modality, and as bits which listed changes dominate it."""

    describe: Callable[[], str]
    who: int


def _answers(modality: Threatened, d: int, listed: Sequence[Change], meter: Meter) -> list[_Answer]:
    law, threat = modality.law, modality.threat
    if isinstance(law, DeletionLaw):
        largest = _sequence_changes(law, threat, d)
        meter.spend(_STEP_UNITS * len(largest) * len(listed))
        return [
            _Answer(
                functools.partial("{} insertions and {} deletions in {!r}".format, a, b, law.modality),
                _bits(
                    isinstance(c, SequenceChange) and a <= c.insertions and b <= c.deletions for c in listed
                ),
            )
            for a, b in largest
        ]
    positions = changed_positions(law, threat, d)
    envelopes = _bits(isinstance(c, EnvelopeChange) and c.envelope.times >= positions for c in listed)
    if envelopes == (1 << len(listed)) - 1:  # nothing else to look at, however many changes there are
        text = functools.partial("{} changed positions in {!r}".format, positions, law.modality)
        return [_Answer(text, envelopes)]
    required = required_changes(law, threat, d)
    meter.spend(required.work)
    distinct = {c: _multiset(law, c) for c in listed if isinstance(c, PositionChange)}
    meter.spend(_STEP_UNITS * len(required.changes) * len(listed))
    answers = []
    for change in required.changes:
        fits = {c: dominates_by_position(taken, change, meter) for c, taken in distinct.items()}
        who = envelopes | _bits(isinstance(c, PositionChange) and fits[c] for c in listed)
        answers.append(_Answer(functools.partial(_described, law, change), who))
    return answers


def _bits(flags: Iterable[bool]) -> int:
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


def dominates_by_position(strong: Multiset, weak: Multiset, meter: Meter) -> bool:
    """Say whether every position of ``weak`` has a position of its own in ``strong`` that dominates it."""
    meter.spend(_STEP_UNITS * (len(strong) + len(weak)))
    need = sum(n for _, n in weak)
    if need > sum(n for _, n in strong):
        return False
    capacity = dict(strong)
    if all(n <= capacity.get(pair, 0) for pair, n in weak):
        return True
    meter.spend(_STEP_UNITS * len(strong) * len(weak))
    edges = [[j for j, (pair, _) in enumerate(strong) if dominates(pair, other, meter)] for other, _ in weak]
    return all(edges) and largest_flow([n for _, n in weak], [n for _, n in strong], edges, meter) == need
