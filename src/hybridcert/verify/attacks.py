"""The changes that a cover has to dominate: all that no exchange of positions makes worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.kernels import PositionLaw
from hybridcert.verify.memory import Kept
from hybridcert.verify.meter import Meter
from hybridcert.verify.pairs import Pair, dominates
from hybridcert.verify.threats import DiscreteThreat

_COMPARISON_UNITS: Final = 20  # work to compare two options, besides that at their ratios

Multiset = tuple[tuple[Pair, int], ...]
"""How many positions take which pair of laws; each pair once."""


@dataclass(frozen=True, slots=True)
class _Element:
    """A pair of laws that a group of positions can take, and the elements of other groups that are worse."""

    group: int
    pair: Pair
    above: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Attack:
    """Elements, the worst first, and for every group how many positions can change."""

    elements: tuple[_Element, ...]
    room: tuple[int, ...]
    work: int


@dataclass(frozen=True, slots=True)
class Required:
    """The changes to cover, and the work it took to find them."""

    changes: tuple[Multiset, ...]
    work: int


_ATTACKS: Final[Kept[_Attack]] = Kept(limits.KEPT_ATOMS)


def required_changes(law: PositionLaw, threat: DiscreteThreat, d: int) -> Required:
    """Return changes of min(d, changeable positions) positions, such that one of them dominates any other.

    A change is left out if one of its options can be exchanged for a dominating one, of the same position or
    of a position that is still clean; of equivalent options the first one counts as dominating. Exchanges
    only go up in a strict order, so every change ends at one that is returned.

    Raises
    ------
    DataError
        If there are more changes, or more options to compare, than the limits allow.
    """
    return _REQUIRED.get(
        (law, threat, d),
        lambda: _required_changes(law, threat, d),
        lambda required: sum(len(change) for change in required.changes),
    )


_REQUIRED: Final[Kept[Required]] = Kept(limits.KEPT_ATOMS)


def _required_changes(law: PositionLaw, threat: DiscreteThreat, d: int) -> Required:
    attack = _ATTACKS.get(
        (law, threat), lambda: _attack(law, threat), lambda a: sum(len(e.above) for e in a.elements)
    )
    need = min(d, sum(attack.room))
    changes: list[Multiset] = []
    size = 0
    meter = Meter(limits.WORK)
    meter.spend(attack.work)
    for counts in _undominated(attack, need, meter):
        taken: dict[Pair, int] = {}
        for element, n in zip(attack.elements, counts, strict=True):
            if n:
                taken[element.pair] = taken.get(element.pair, 0) + n
        changes.append(tuple(taken.items()))
        size += len(taken)
        if len(changes) > limits.CHANGES or size > 10 * limits.CHANGES:
            raise DataError(f"more than {limits.CHANGES} changes to cover; an envelope covers them all")
    return Required(tuple(changes), meter.spent)


def _attack(law: PositionLaw, threat: DiscreteThreat) -> _Attack:
    """Merge positions that are alike, drop options that another one dominates, and put the worst first."""
    meter = Meter(limits.WORK)
    best: dict[tuple[Pair, ...], tuple[Pair, ...]] = {}
    groups: dict[tuple[int | None, tuple[Pair, ...]], int] = {}
    for c in law.classes:
        if c.options and c.positions:
            if c.options not in best:
                distinct = tuple(dict.fromkeys(c.options))
                meter.spend(_COMPARISON_UNITS * len(distinct) ** 2)
                best[c.options] = _maximal(distinct, meter)
            key = (c.bit, best[c.options])
            groups[key] = groups.get(key, 0) + c.positions
    room: list[int] = []
    elements: list[_Element] = []
    for (bit, options), positions in groups.items():
        if free := min(positions, threat.cap(bit)):
            elements += [_Element(len(room), pair) for pair in options]
            room.append(free)
    meter.spend(_COMPARISON_UNITS * len(elements) ** 2)
    pairs = [element.pair for element in elements]
    stronger = [[dominates(strong, weak, meter) for weak in pairs] for strong in pairs]
    above = [
        [
            j
            for j, worse in enumerate(elements)
            if worse.group != element.group and stronger[j][i] and (j < i or not stronger[i][j])
        ]
        for i, element in enumerate(elements)
    ]
    # ties go to the lower index; whatever is above an element is below fewer elements than it
    order = sorted(range(len(elements)), key=lambda i: (len(above[i]), i))
    place = {i: at for at, i in enumerate(order)}
    ordered = tuple(
        _Element(elements[i].group, elements[i].pair, frozenset(place[j] for j in above[i])) for i in order
    )
    return _Attack(ordered, tuple(room), meter.spent)


def _maximal(options: Sequence[Pair], meter: Meter) -> tuple[Pair, ...]:
    kept = []
    for i, pair in enumerate(options):
        others = ((j, other) for j, other in enumerate(options) if j != i and dominates(other, pair, meter))
        if not any(j < i or not dominates(pair, other, meter) for j, other in others):
            kept.append(pair)
    return tuple(kept)


def _undominated(attack: _Attack, need: int, meter: Meter) -> Iterator[list[int]]:
    """Yield counts by element that add up to ``need`` and that no exchange makes worse.

    Elements come worst first. An element is used only if the groups above it are full; so if one leaves its
    group with room to spare, what remains has to fit into later elements that it does not dominate.
    """
    elements, room = attack.elements, attack.room
    last = {element.group: at for at, element in enumerate(elements)}
    free = [_free(attack, at) for at in range(len(elements))]
    used, counts = [0] * len(room), [0] * len(elements)
    left = need
    choices: list[Iterator[int]] = []  # what is left to try at the elements up to the present one
    while True:
        at = len(choices)
        if left == 0:
            meter.spend(sum(10 + len(e.above) for e, n in zip(elements, counts, strict=True) if n))
            if _settled(attack, used, counts):
                yield counts
        elif at < len(elements):
            element = elements[at]
            meter.spend(10 + len(element.above))
            spare = room[element.group] - used[element.group]
            most = min(left, spare)
            above = (elements[i].group for i in element.above)
            if any(used[group] < room[group] and last[group] < at for group in above):
                most = 0
            least = max(0, min(left - free[at], spare)) if last[element.group] == at else 0
            choices.append(iter(range(most, least - 1, -1)))
        while choices:  # take the next choice, of the latest element that has one
            at = len(choices) - 1
            used[elements[at].group] -= counts[at]
            left += counts[at]
            counts[at] = next(choices[at], -1)
            if counts[at] >= 0:
                used[elements[at].group] += counts[at]
                left -= counts[at]
                break
            counts[at] = 0
            choices.pop()
        if not choices:
            return


def _free(attack: _Attack, at: int) -> int:
    """Return how many positions fit into later elements that this one does not dominate."""
    groups = {e.group for e in attack.elements[at + 1 :] if at not in e.above}
    return sum(attack.room[group] for group in groups)


def _settled(attack: _Attack, used: Sequence[int], counts: Sequence[int]) -> bool:
    """Say whether no used element can be exchanged for one above it."""
    return not any(
        n and any(used[(e := attack.elements[i]).group] < attack.room[e.group] for i in element.above)
        for element, n in zip(attack.elements, counts, strict=True)
    )
