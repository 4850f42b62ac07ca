"""What the adversary may change: which budget, which modality, which positions.

Budgets count discrete changes; the continuous budget ε is not part of a threat, because a certificate
reports the largest ε it holds for.
"""

from __future__ import annotations

import abc
import dataclasses
import numbers
from typing import ClassVar

from hybridcert.errors import ParameterError


@dataclasses.dataclass(frozen=True, slots=True)
class DiscreteThreat(abc.ABC):
    """At most ``max_d`` discrete changes of one kind.

    Parameters
    ----------
    max_d : int >= 0
        The largest budget of interest; certificates cover every d from 0 to ``max_d``.
    """

    max_d: int
    name: ClassVar[str]

    def __post_init__(self) -> None:
        _check_count("d", self.max_d)

    def described(self) -> dict[str, object]:
        """Return the threat as an issued certificate states it, the modality aside."""
        return {"kind": self.name, "max_d": int(self.max_d)}


@dataclasses.dataclass(frozen=True, slots=True)
class Substitution(DiscreteThreat):
    """At most ``max_d`` eligible positions take other symbols; a suffix in padded slots is a special case."""

    name: ClassVar[str] = "substitution"


@dataclasses.dataclass(frozen=True, slots=True)
class Fields(DiscreteThreat):
    """At most ``max_d`` categorical fields take other values; the adversary chooses which."""

    name: ClassVar[str] = "fields"


@dataclasses.dataclass(frozen=True, slots=True)
class Insertion(DiscreteThreat):
    """At most ``max_d`` symbols are inserted anywhere."""

    name: ClassVar[str] = "insertion"


@dataclasses.dataclass(frozen=True, slots=True)
class Deletion(DiscreteThreat):
    """At most ``max_d`` symbols are removed."""

    name: ClassVar[str] = "deletion"


@dataclasses.dataclass(frozen=True, slots=True)
class Indel(DiscreteThreat):
    """At most ``max_d`` insertions and deletions together; a substitution counts as one of each."""

    name: ClassVar[str] = "indel"


@dataclasses.dataclass(frozen=True, slots=True)
class Edit(DiscreteThreat):
    """At most ``max_d`` insertions, deletions or substitutions anywhere (edit distance)."""

    name: ClassVar[str] = "edit"


@dataclasses.dataclass(frozen=True, slots=True)
class Flips(DiscreteThreat):
    """At most ``max_d`` bits flip.

    Parameters
    ----------
    max_d : int >= 0
    max_additions, max_removals : int >= 0, optional
        At most so many of them turn 0 into 1, and 1 into 0.
    """

    max_additions: int | None = dataclasses.field(default=None, kw_only=True)
    max_removals: int | None = dataclasses.field(default=None, kw_only=True)
    name: ClassVar[str] = "flips"

    def __post_init__(self) -> None:
        DiscreteThreat.__post_init__(self)
        for field in ("max_additions", "max_removals"):
            if getattr(self, field) is not None:
                _check_count(field, getattr(self, field))

    def described(self) -> dict[str, object]:
        """Return the threat as an issued certificate states it, the modality aside."""
        caps = {"max_additions": self.max_additions, "max_removals": self.max_removals}
        return DiscreteThreat.described(self) | {key: cap for key, cap in caps.items() if cap is not None}


@dataclasses.dataclass(frozen=True, slots=True)
class Additions(DiscreteThreat):
    """At most ``max_d`` bits flip from 0 to 1, none from 1 to 0."""

    name: ClassVar[str] = "additions"


@dataclasses.dataclass(frozen=True, slots=True)
class Removals(DiscreteThreat):
    """At most ``max_d`` bits flip from 1 to 0, none from 0 to 1."""

    name: ClassVar[str] = "removals"


THREATS: dict[str, type[DiscreteThreat]] = {
    kind.name: kind
    for kind in (Substitution, Insertion, Deletion, Indel, Edit, Fields, Flips, Additions, Removals)
}
"""Threats by their command-line names."""


@dataclasses.dataclass(frozen=True, slots=True)
class DiscreteSurface:
    """One discrete modality: what stands at each position, and which positions are in play.

    Parameters
    ----------
    alphabet_sizes : tuple of int
        Number of symbols at each position; codes run from 0 to size − 1.
    eligible : tuple of int
        Indices of the positions that receive noise and that the adversary may change. All others are
        immutable: no noise, no attack.
    mask : bool
        Whether the classifier understands a mask symbol, coded one past each alphabet (absorbing noise).
    sequence : bool
        Whether rows are sequences of their own lengths, with −1 for "no symbol" behind their ends. Noise and
        adversary then reach all symbols of a row, and random deletion may shorten it.
    open : bool
        Whether any symbol at all may stand there, more than noise could draw from: only random deletion fits.
    symbols : str
        What one symbol is, for people: "words, split at white space". Certificates say it.
    """

    alphabet_sizes: tuple[int, ...]
    eligible: tuple[int, ...]
    mask: bool = False
    sequence: bool = False
    open: bool = False
    symbols: str = ""

    def __post_init__(self) -> None:
        _check_eligible(self.eligible, len(self.alphabet_sizes))

    @property
    def eligible_sizes(self) -> tuple[int, ...]:
        """Alphabet sizes of the eligible positions."""
        return tuple(self.alphabet_sizes[i] for i in self.eligible)


@dataclasses.dataclass(frozen=True, slots=True)
class ContinuousSurface:
    """One continuous modality, flattened.

    Parameters
    ----------
    features : int
        Number of features.
    eligible : tuple of int
        Indices of the features that receive noise and that the adversary may change.
    unit : str
        What one unit of ℓ₂ distance means, e.g. "standard deviations of the training data".
    """

    features: int
    eligible: tuple[int, ...]
    unit: str

    def __post_init__(self) -> None:
        _check_eligible(self.eligible, self.features)


def _check_count(name: str, count: int) -> None:
    if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < 0:
        raise ParameterError(f"{name} must be an integer >= 0, got {count!r}")


def _check_eligible(eligible: tuple[int, ...], positions: int) -> None:
    if list(eligible) != sorted(set(eligible)) or (
        eligible and not 0 <= eligible[0] <= eligible[-1] < positions
    ):
        raise ParameterError(
            f"eligible must list increasing positions in [0, {positions - 1}], got {eligible}"
        )


Surface = DiscreteSurface | ContinuousSurface
