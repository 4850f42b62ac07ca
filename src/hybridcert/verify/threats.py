"""What the adversary may do to one discrete modality, and the positions that this leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.kernels import DeletionLaw, DiscreteLaw, PositionLaw
from hybridcert.verify.reals import count, section, shown, text

_FLIPS: Final[tuple[str, ...]] = ("flips", "additions", "removals")
_POSITIONS: Final[tuple[str, ...]] = ("substitution", "fields")
_SEQUENCE: Final[tuple[str, ...]] = ("insertion", "deletion", "indel", "edit", "substitution")


@dataclass(frozen=True, slots=True)
class DiscreteThreat:
    """A threatened modality, the kind of change, and its budgets."""

    modality: str
    kind: str
    max_d: int
    max_additions: int | None = None
    max_removals: int | None = None

    def cap(self, bit: int | None) -> int:
        """Return how many positions of this clean bit may change, whatever the budget."""
        allowed = {"additions": 0, "removals": 1}.get(self.kind, bit)
        if bit != allowed:
            return 0
        cap = self.max_additions if bit == 0 else self.max_removals if bit == 1 else None
        return limits.SYMBOLS if cap is None else cap


def discrete_threat(value: object, where: str) -> DiscreteThreat:
    """Read one entry of ``threat.discrete``."""
    found = section(
        value,
        where,
        required=("modality", "kind", "max_d"),
        optional=("max_additions", "max_removals"),
    )
    kind = text(found["kind"], f"{where}.kind")
    caps: dict[str, int | None] = {"max_additions": None, "max_removals": None}
    for key in caps:
        if found.get(key) is not None:
            if kind != "flips":
                raise DataError(f"{where}.{key}: applies to the kind 'flips' only, got {shown(kind)}")
            caps[key] = count(found[key], f"{where}.{key}", most=limits.SYMBOLS)
    max_d = count(found["max_d"], f"{where}.max_d", most=limits.BUDGET)
    return DiscreteThreat(text(found["modality"], f"{where}.modality"), kind, max_d, **caps)


def check_fits(threat: DiscreteThreat, law: DiscreteLaw, where: str) -> None:
    """Refuse a kind of change that the kernel of the modality does not stand for."""
    kernel = "deletion" if isinstance(law, DeletionLaw) else law.kernel
    known = {"deletion": _SEQUENCE, "flips": _FLIPS}.get(kernel, _POSITIONS)
    if threat.kind not in known:
        raise DataError(f"{where}.kind: kernel {kernel!r} takes {', '.join(known)}, got {shown(threat.kind)}")


def changeable(law: PositionLaw, threat: DiscreteThreat) -> tuple[int, ...]:
    """Return for each class how many of its positions the adversary can change at most."""
    return tuple(min(c.positions, threat.cap(c.bit)) if c.options else 0 for c in law.classes)


def changed_positions(law: PositionLaw, threat: DiscreteThreat, d: int) -> int:
    """Return min(d, number of positions that can be changed)."""
    open_positions = 0
    for bit in {c.bit for c in law.classes}:
        room = sum(c.positions for c in law.classes if c.bit == bit and c.options)
        open_positions += min(room, threat.cap(bit))
    return min(d, open_positions)
