"""The discrete changes that a threat allows: one modality of one input, its changes, and what they count.

Each symbol remembers which position of the clean input it stands for, so that a change can be taken back and
is counted once. `changes` checks the count without that memory.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from hybridcert.attacks.changes import Symbols, alignment, changes_within
from hybridcert.errors import ParameterError
from hybridcert.kernels.matrix import MatrixKernel
from hybridcert.kernels.synonyms import SynonymReplacement
from hybridcert.sampling.noise import Kernel
from hybridcert.threats import (
    Additions,
    Deletion,
    DiscreteSurface,
    DiscreteThreat,
    Edit,
    Flips,
    Indel,
    Insertion,
    Removals,
)

Undo = tuple[Literal["revert", "drop", "restore"], int]
"""Take back a substitution or insertion at a position of the edited input, or a deletion of a clean one."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Edited:
    """Symbols of one input after changes.

    Attributes
    ----------
    codes : (length,) int
    source : (length,) int
        Position of the clean input that each symbol stands for, increasing; −1 where it was inserted.
    """

    codes: Symbols
    source: Symbols

    def substituted(self, position: int, symbol: int) -> Edited:
        """Return the same with another symbol at one position."""
        codes = self.codes.copy()
        codes[position] = symbol
        return Edited(codes, self.source)

    def inserted(self, gap: int, symbol: int) -> Edited:
        """Return the same with a symbol before position ``gap``."""
        return Edited(np.insert(self.codes, gap, symbol), np.insert(self.source, gap, -1))

    def removed(self, position: int) -> Edited:
        """Return the same without the symbol at a position."""
        return Edited(np.delete(self.codes, position), np.delete(self.source, position))


class Weights(NamedTuple):
    """What a change counts; 0 where the threat has no such change."""

    insertion: int
    deletion: int
    substitution: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Edits:
    """All inputs that an adversary reaches in one modality with at most ``d`` changes.

    Attributes
    ----------
    threat : DiscreteThreat
    clean : (positions,) int
        Symbols at the positions in play.
    sizes : (most,) int
        Alphabet size of each position that an input may have.
    d : int >= 0
    kernel : the noise; some list the substitutes that their certificates cover
    pool : (symbols,) int, or None
        Symbols to choose from where the alphabet is open.
    """

    threat: DiscreteThreat
    clean: Symbols
    sizes: Symbols
    d: int
    kernel: Kernel
    pool: Symbols | None

    @staticmethod
    def of(
        threat: DiscreteThreat,
        surface: DiscreteSurface,
        clean: Symbols,
        d: int,
        *,
        kernel: Kernel,
        pool: Symbols | None,
    ) -> Edits:
        """Return the changes of symbols at the positions in play.

        Raises
        ------
        ParameterError
            For a threat that changes the length of an input on fixed positions.
        """
        if not surface.sequence and isinstance(threat, Insertion | Deletion | Indel | Edit):
            raise ParameterError(
                f"threat on fixed positions must keep their number, got {threat.name}: use substitution"
            )
        sizes = surface.alphabet_sizes if surface.sequence else surface.eligible_sizes
        return Edits(threat, clean, np.array(sizes, dtype=np.int64), d, kernel, pool)

    @property
    def weights(self) -> Weights:
        """What each kind of change counts."""
        if isinstance(self.threat, Insertion):
            return Weights(1, 0, 0)
        if isinstance(self.threat, Deletion):
            return Weights(0, 1, 0)
        if isinstance(self.threat, Indel):
            return Weights(1, 1, 2)
        return Weights(1, 1, 1) if isinstance(self.threat, Edit) else Weights(0, 0, 1)

    @property
    def start(self) -> Edited:
        """The clean input."""
        return Edited(self.clean, np.arange(self.clean.size, dtype=np.int64))

    def recovered(self, codes: Symbols) -> Edited:
        """Return symbols within the budget together with what they stand for.

        Raises
        ------
        ParameterError
            For symbols that lie outside the budget.
        """
        if not changes_within(self.threat, self.clean, codes, self.d):
            raise ParameterError(f"start must lie within d = {self.d} changes of the kind {self.threat.name}")
        found = Edited(codes, alignment(self.threat, self.clean, codes, self.d))
        if not self.allows(found):
            raise ParameterError("start must hold symbols that the threat allows, got another one")
        return found

    def count(self, edited: Edited) -> int:
        """Return what the changes count, at least the distance of the two inputs."""
        kept = edited.source >= 0
        weights, changed = self.weights, self.changed(edited)
        return (
            weights.insertion * int((~kept).sum())
            + weights.deletion * (self.clean.size - int(kept.sum()))
            + weights.substitution * int((changed & kept).sum())
        )

    def changed(self, edited: Edited) -> npt.NDArray[np.bool_]:
        """Return which symbols are not those of the clean input, shape (length,)."""
        kept = edited.source >= 0
        changed = ~kept
        changed[kept] = edited.codes[kept] != self.clean[edited.source[kept]]
        return changed

    def allows(self, edited: Edited) -> bool:
        """Return whether the changes are within the threat, its budget and the alphabets."""
        codes = edited.codes
        if codes.size > self.sizes.size or (codes < 0).any() or (codes >= self.sizes[: codes.size]).any():
            return False
        if self.count(edited) > self.d or not self._flips_fit(codes):
            return False
        positions = np.flatnonzero(self.changed(edited) & (edited.source >= 0)).tolist()
        return all(codes[p] in self.symbols(edited, p) for p in positions) if self._restricted else True

    def symbols(self, edited: Edited, position: int) -> Symbols:
        """Return what may stand at a position in place of the symbol there, the clean one included."""
        source = int(edited.source[position])
        if source >= 0:
            clean = int(self.clean[source])
            substitutes = _substitutes(self.kernel, clean)
            if substitutes is not None:
                return np.array(sorted({clean, *substitutes}), dtype=np.int64)
        return self.alphabet(position)

    def alphabet(self, position: int) -> Symbols:
        """Return the symbols that an adversary may write at a position."""
        return _all_symbols(int(self.sizes[position])) if self.pool is None else self.pool

    def undos(self, edited: Edited) -> list[Undo]:
        """Return the ways to take one change back."""
        found: list[Undo] = [
            ("drop" if edited.source[position] < 0 else "revert", position)
            for position in np.flatnonzero(self.changed(edited)).tolist()
        ]
        missing = np.setdiff1d(np.arange(self.clean.size), edited.source)
        return found + [("restore", source) for source in missing.tolist()]

    def undone(self, edited: Edited, undo: Undo) -> Edited:
        """Take one change back."""
        kind, where = undo
        if kind == "revert":
            return edited.substituted(where, int(self.clean[edited.source[where]]))
        if kind == "drop":
            return edited.removed(where)
        gap = self.gap(edited, where)
        return Edited(np.insert(edited.codes, gap, self.clean[where]), np.insert(edited.source, gap, where))

    @staticmethod
    def gap(edited: Edited, source: int) -> int:
        """Return where a deleted symbol of the clean input stood."""
        later = np.flatnonzero(edited.source > source)
        return int(later[0]) if later.size else edited.source.size

    @property
    def _restricted(self) -> bool:
        return isinstance(self.kernel, MatrixKernel | SynonymReplacement)

    def _flips_fit(self, codes: Symbols) -> bool:
        if not isinstance(self.threat, Flips | Additions | Removals):
            return True
        return changes_within(self.threat, self.clean, codes, self.d)


@functools.lru_cache(maxsize=16)
def _all_symbols(size: int) -> Symbols:
    symbols = np.arange(size, dtype=np.int64)
    symbols.flags.writeable = False
    return symbols


def _substitutes(kernel: Kernel, symbol: int) -> tuple[int, ...] | None:
    """Return the substitutes of a symbol that the kernel's certificates cover; None: every other symbol."""
    if isinstance(kernel, SynonymReplacement):
        return kernel.synonyms.get(symbol, ())
    if isinstance(kernel, MatrixKernel) and not isinstance(kernel.substitutions, str):
        return tuple(other for given, other in kernel.substitutions if given == symbol)
    return None
