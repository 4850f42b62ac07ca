"""A listed change, and the factors of its pair of laws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flint import fmpq

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.kernels import DeletionLaw, DiscreteLaw, PositionLaw
from hybridcert.verify.pairs import Pair
from hybridcert.verify.reals import count, items, real_in, section, shown
from hybridcert.verify.threats import DiscreteThreat, changeable


@dataclass(frozen=True, slots=True)
class Power:
    """``times`` independent positions with the same pair of laws."""

    pair: Pair
    times: int


@dataclass(frozen=True, slots=True)
class Deletions:
    """Clean mass beta^deletions at adversarial mass beta^insertions; the rest is only clean."""

    beta: fmpq
    insertions: int
    deletions: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """``times`` copies of the super-position under the lines at slopes base^lowest … base^highest."""

    pairs: tuple[Pair, ...]
    base: fmpq
    lowest: int
    highest: int
    times: int


Factor = Power | Deletions | Envelope


@dataclass(frozen=True, slots=True)
class PositionChange:
    """How many positions take which (class, option), in ascending order, each once."""

    taken: tuple[tuple[int, int, int], ...]

    def factors(self, law: DiscreteLaw) -> tuple[Factor, ...]:
        """Return one power for each kind of position."""
        assert isinstance(law, PositionLaw)
        return tuple(Power(law.classes[c].options[o], n) for c, o, n in self.taken)


@dataclass(frozen=True, slots=True)
class SequenceChange:
    """Numbers of inserted and of deleted symbols."""

    insertions: int
    deletions: int

    def factors(self, law: DiscreteLaw) -> tuple[Factor, ...]:
        """Return the single pair of laws."""
        assert isinstance(law, DeletionLaw)
        return (Deletions(law.beta, self.insertions, self.deletions),)


@dataclass(frozen=True, slots=True)
class EnvelopeChange:
    """A super-position that stands for every option of every class that the threat may change."""

    envelope: Envelope

    def factors(self, law: DiscreteLaw) -> tuple[Factor, ...]:
        """Return the super-positions."""
        return (self.envelope,)


Change = PositionChange | SequenceChange | EnvelopeChange


def read_change(value: object, law: DiscreteLaw, threat: DiscreteThreat, where: str) -> Change:
    """Read one entry of a witness's ``change``, for the modality with this law and threat."""
    if isinstance(law, DeletionLaw):
        found = section(value, where, required=("insertions", "deletions"))
        insertions = count(found["insertions"], f"{where}.insertions", most=limits.BUDGET)
        deletions = count(found["deletions"], f"{where}.deletions", most=limits.BUDGET)
        return SequenceChange(insertions, deletions)
    if isinstance(value, Mapping) and "envelope" in value:
        section(value, where, required=("envelope",))
        return _envelope(value["envelope"], law, threat, f"{where}.envelope")
    found = section(value, where, required=("positions",))
    return _positions(found["positions"], law, f"{where}.positions")


def _positions(value: object, law: PositionLaw, where: str) -> PositionChange:
    taken: dict[tuple[int, int], int] = {}
    used: dict[int, int] = {}
    for index, entry in enumerate(items(value, where, most=limits.OPTIONS)):
        at = f"{where}[{index}]"
        found = items(entry, at, most=3)
        if len(found) != 3:
            raise DataError(f"{at}: expected [class, option, count], got {len(found)} entries")
        c, o, n = (count(part, f"{at}[{i}]", most=limits.BUDGET) for i, part in enumerate(found))
        if c >= len(law.classes) or o >= len(law.classes[c].options):
            raise DataError(f"{at}: the law has no class {c} with an option {o}")
        used[c] = used.get(c, 0) + n
        if used[c] > law.classes[c].positions:
            raise DataError(f"{at}: class {c} has {law.classes[c].positions} positions, got {used[c]}")
        if n:
            taken[c, o] = taken.get((c, o), 0) + n
    return PositionChange(tuple((c, o, n) for (c, o), n in sorted(taken.items())))


def _envelope(value: object, law: PositionLaw, threat: DiscreteThreat, where: str) -> EnvelopeChange:
    found = section(value, where, required=("base", "exponents", "d"))
    base = real_in(found["base"], f"{where}.base", "1", "inf", brackets="()")
    ends = items(found["exponents"], f"{where}.exponents", most=2)
    most = limits.ENVELOPE_LINES
    if len(ends) != 2:
        raise DataError(f"{where}.exponents: expected [lo, hi], got {len(ends)} entries")
    low, high = (count(e, f"{where}.exponents[{i}]", least=-most, most=most) for i, e in enumerate(ends))
    if low > high:
        raise DataError(f"{where}.exponents: expected lo <= hi, got {shown(low)} and {shown(high)}")
    room = changeable(law, threat)
    pairs = {pair: None for c, n in zip(law.classes, room, strict=True) if n for pair in c.options}
    times = count(found["d"], f"{where}.d", most=limits.BUDGET)
    return EnvelopeChange(Envelope(tuple(pairs), base, low, high, times))
