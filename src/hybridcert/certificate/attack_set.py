"""The worst ways to change d positions: what nothing else dominates, and otherwise an envelope.

Positions come in classes with options, each a pair of laws. A choice says how many positions of each class
take which option. Blackwell order carries over to products, so a choice is redundant if one of its options
can be exchanged for a dominating one, in the same position or in a spare one. Exchanges strictly go up in a
finite order (equal pairs: to the earlier one), so they end, and the choices without exchange cover all.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from hybridcert.certificate.candidate import AttackSet, Candidate
from hybridcert.certificate.channel import LARGEST_SLOPE, ChannelPair
from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.envelope import Envelope
from hybridcert.certificate.spectrum import LikelihoodSpectrum

MAX_CHOICES = 1_000
"""An envelope replaces longer enumerations."""
MAX_ATOMS = 100_000
"""An envelope replaces candidates whose spectra have more atoms, all together."""

_MAX_STATES = 10_000  # partial choices looked at before an envelope takes over
_ROUNDING = 1e-12  # of hockey-stick curves divided by the slope
_PROBES = 512  # ratios at which floats rule out that one pair dominates another

Choice = tuple[tuple[int, int, int], ...]
"""Triples (class, option, positions), sorted."""


@dataclasses.dataclass(frozen=True, slots=True)
class PositionClass:
    """Positions that are all alike.

    Parameters
    ----------
    options : tuple of ChannelPair
        What the adversary can turn one such position into; none: it cannot be changed.
    limit : int >= 0
        How many of the positions may be changed.
    """

    options: tuple[ChannelPair, ...]
    limit: int


@functools.lru_cache(maxsize=128)
def attack_set(classes: tuple[PositionClass, ...], d: int) -> AttackSet:
    """Return candidates that cover every change of at most ``d`` positions.

    Where fewer than ``d`` positions can be changed, all of them change: one more changed position is never
    better for the defender, because "not changed" is dominated by every option.
    """
    budget = min(d, sum(c.limit for c in classes if c.options))
    if budget == 0:
        return AttackSet((Candidate({"positions": []}, LikelihoodSpectrum.identity()),), "single")
    choices = worst_choices(classes, budget)
    spectra = _spectra(classes, choices) if choices is not None else None
    if choices is None or spectra is None:
        envelope = Envelope.of([pair for c in classes if c.limit for pair in c.options], budget)
        return AttackSet((Candidate({"envelope": envelope.described()}, envelope.spectrum()),), "envelope")
    candidates = tuple(
        Candidate({"positions": [list(part) for part in choice]}, spectrum)
        for choice, spectrum in zip(choices, spectra, strict=True)
    )
    if len(candidates) > 1:
        return AttackSet(candidates, "enumeration")
    return AttackSet(candidates, "single" if _only_one_change(classes, budget) else "dominance")


def worst_choices(classes: tuple[PositionClass, ...], d: int) -> list[Choice] | None:
    """Return the choices of exactly ``d`` positions that no exchange makes worse, or None if too many."""
    items = _items(classes)
    last = {item.position_class: index for index, item in enumerate(items)}
    found: list[Choice] = []
    stack: list[tuple[int, int, tuple[tuple[int, int], ...]]] = [(0, d, ())]
    states = 0
    while stack:
        states += 1
        if states > _MAX_STATES or len(found) > MAX_CHOICES:
            return None
        start, room, chosen = stack.pop()
        spare = {c: classes[c].limit for c in last}
        for index, n in chosen:
            spare[items[index].position_class] -= n
        unused = sum(1 << c for c, count in spare.items() if count)
        if room == 0:
            if not any(items[index].better & unused for index, _ in chosen):
                found.append(tuple(sorted((items[i].position_class, items[i].option, n) for i, n in chosen)))
            continue
        closed = sum(1 << c for c, index in last.items() if index < start)  # nothing more to choose there
        within = sum(count for c, count in spare.items() if last[c] >= start)
        for index in range(start, len(items)):
            item = items[index]
            if within < room:
                break
            if not item.better & unused & closed:
                limit = spare[item.position_class]
                fewest = 1
                if limit > 1 and last[item.position_class] == index:  # what is left there rules out more
                    fewest = room - sum(spare[c] for c in _free_classes(items, index) if last[c] > index)
                for n in range(max(1, min(fewest, limit)), min(room, limit) + 1):
                    if n >= fewest or n == limit:
                        stack.append((index + 1, room - n, (*chosen, (index, n))))
            if last[item.position_class] == index:
                closed |= 1 << item.position_class
                within -= spare[item.position_class]
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    """An option worth taking; ``better`` is the bit set of other classes with one that beats it."""

    position_class: int
    option: int
    better: int


@functools.lru_cache(maxsize=256)
def _items(classes: tuple[PositionClass, ...]) -> tuple[_Item, ...]:
    """Return the options that no other one of their class beats, each behind those that beat it."""
    places: dict[ChannelPair, list[tuple[int, int]]] = {}
    for c, members in enumerate(classes):
        for o, pair in enumerate(members.options if members.limit else ()):
            places.setdefault(pair, []).append((c, o))
    pairs = list(places)
    above = dominators(pairs)
    ordered: list[tuple[int, int, int, int]] = []
    for pair, stronger in zip(pairs, above, strict=True):
        beaten_by = {c for k in stronger for c, _ in places[pairs[k]]}
        for c, o in places[pair]:  # equal pairs: the earlier one beats the later
            if c not in beaten_by:
                ordered.append((len(stronger), c, o, sum(1 << other for other in beaten_by)))
            beaten_by.add(c)
    return tuple(_Item(c, o, better) for _, c, o, better in sorted(ordered))


def _free_classes(items: tuple[_Item, ...], index: int) -> set[int]:
    """Return the classes with later options that none of the class of this item beats."""
    beaten = 1 << items[index].position_class
    return {item.position_class for item in items[index + 1 :] if not item.better & beaten}


def dominators(pairs: Sequence[ChannelPair]) -> list[set[int]]:
    """Return for each of the distinct pairs the indices of those that dominate it.

    Floats rule out most; what they leave is decided in rationals, unless it follows from what is known.
    """
    possible, weight = _not_ruled_out(pairs)
    above: list[set[int]] = [set() for _ in pairs]
    for j in np.argsort(-weight, kind="stable").tolist():  # strongest first
        for i in sorted(np.flatnonzero(possible[:, j]).tolist(), key=lambda k: float(weight[k])):
            if i != j and i not in above[j] and pairs[i].dominates(pairs[j]):
                above[j] |= {i} | above[i]
    return above


def _not_ruled_out(pairs: Sequence[ChannelPair]) -> tuple[Bools, Floats]:
    """Return where H of the first is at least H of the second up to rounding, at some ratios of all pairs."""
    ratios = {float(t) for pair in pairs for t in pair.ratios if 1 / LARGEST_SLOPE < t < LARGEST_SLOPE}
    probes = np.array(sorted(ratios)[:: 1 + len(ratios) // _PROBES])
    curves = np.array([pair.estimates(probes) for pair in pairs])
    possible = np.array([(curve >= curves - _ROUNDING).all(axis=1) for curve in curves])
    return possible, curves.sum(axis=1)


def _only_one_change(classes: tuple[PositionClass, ...], budget: int) -> bool:
    options = [len(c.options) for c in classes if c.limit and c.options]
    return max(options) == 1 and (len(options) == 1 or budget == sum(c.limit for c in classes if c.options))


def _spectra(
    classes: tuple[PositionClass, ...], choices: Sequence[Choice]
) -> list[LikelihoodSpectrum] | None:
    """Return the spectra of the choices, or None where they have too many atoms."""
    powers: dict[tuple[int, int, int], LikelihoodSpectrum] = {}
    atoms, found = 0, []
    for choice in choices:
        spectrum = LikelihoodSpectrum.identity()
        for part in choice:
            if part not in powers:
                c, o, n = part
                powers[part] = classes[c].options[o].spectrum(n)
            if len(spectrum) * len(powers[part]) > MAX_ATOMS:
                return None
            spectrum = spectrum.compose(powers[part])
        atoms += len(spectrum)
        if atoms > MAX_ATOMS:
            return None
        found.append(spectrum)
    return found
