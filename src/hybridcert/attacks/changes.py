"""How many changes of a threat lie between two inputs: exactly, from their symbols alone.

Nothing here knows how a search got from one to the other. Distances of sequences are found by dynamic
programming over their beginnings (Wagner & Fischer 1974), restricted to the diagonals that a budget reaches.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ParameterError
from hybridcert.kernels.deletion import PADDING
from hybridcert.threats import (
    Additions,
    Deletion,
    DiscreteThreat,
    Edit,
    Fields,
    Flips,
    Indel,
    Insertion,
    Removals,
    Substitution,
)

Symbols = npt.NDArray[np.int64]
"""Symbols of one input at the positions in play, shape (positions,)."""

_FAR = 1 << 30


def changes_within(threat: DiscreteThreat, clean: Symbols, adversarial: Symbols, d: int) -> bool:
    """Return whether an adversary of that kind reaches ``adversarial`` with at most ``d`` changes."""
    return least_changes(threat, clean, adversarial, d) is not None


def least_changes(threat: DiscreteThreat, clean: Symbols, adversarial: Symbols, d: int) -> int | None:
    """Return the least number of changes of one kind that lead from one input to another.

    Parameters
    ----------
    threat : DiscreteThreat
        Which changes there are, and what each counts; its ``max_d`` plays no part.
    clean, adversarial : int array, shape (positions,)
        Padding at the end is no symbol.
    d : int >= 0

    Returns
    -------
    int in [0, d], or None where more than ``d`` changes, or changes of another kind, are needed
    """
    a, b = _unpadded(clean), _unpadded(adversarial)
    if isinstance(threat, Substitution | Fields):
        count = int((a != b).sum()) if a.size == b.size else _FAR
    elif isinstance(threat, Flips | Additions | Removals):
        count = _flips(threat, a, b)
    elif isinstance(threat, Insertion):
        count = b.size - a.size if _embedded(a, b) else _FAR
    elif isinstance(threat, Deletion):
        count = a.size - b.size if _embedded(b, a) else _FAR
    elif isinstance(threat, Edit | Indel):
        table = edit_table(a, b, d, substitution=1 if isinstance(threat, Edit) else 2)
        count = int(table[a.size, b.size])
    else:
        raise ParameterError(f"threat must be one that attacks know, got {threat!r}")
    return count if count <= d else None


def edit_table(a: Symbols, b: Symbols, d: int, *, substitution: int) -> npt.NDArray[np.int64]:
    """Return the distances of all beginnings, shape (len(a) + 1, len(b) + 1), exact where at most ``d``.

    Insertions and deletions count 1 each, substitutions 1 or 2. Entries above ``d`` only say that the
    distance is larger.
    """
    table = np.full((a.size + 1, b.size + 1), _FAR, dtype=np.int64)
    left, right = a.tolist(), b.tolist()
    before: list[int] = []
    for i in range(a.size + 1):
        row = [_FAR] * (b.size + 1)
        for j in range(max(0, i - d), min(b.size, i + d) + 1):
            if i == 0 or j == 0:
                row[j] = i + j
                continue
            step = 0 if left[i - 1] == right[j - 1] else substitution
            row[j] = min(before[j - 1] + step, before[j] + 1, row[j - 1] + 1)
        table[i] = row
        before = row
    return table


def alignment(threat: DiscreteThreat, clean: Symbols, adversarial: Symbols, d: int) -> Symbols:
    """Return which position of ``clean`` each symbol of ``adversarial`` stands for; −1 where inserted.

    The changes that the alignment names are as few as can be; the two must be within ``d``.
    """
    a, b = _unpadded(clean), _unpadded(adversarial)
    if isinstance(threat, Insertion):
        source, i = np.full(b.size, -1, dtype=np.int64), 0
        for j, symbol in enumerate(b.tolist()):
            if i < a.size and a[i] == symbol:
                source[j], i = i, i + 1
        return source
    if isinstance(threat, Deletion):
        kept = alignment(Insertion(d), b, a, d)
        return np.flatnonzero(kept >= 0).astype(np.int64)
    if not isinstance(threat, Edit | Indel):
        return np.arange(b.size, dtype=np.int64)
    substitution = 1 if isinstance(threat, Edit) else 2
    table = edit_table(a, b, d, substitution=substitution)
    source, i, j = np.full(b.size, -1, dtype=np.int64), a.size, b.size
    while i > 0 and j > 0:
        step = 0 if a[i - 1] == b[j - 1] else substitution
        if table[i, j] == table[i - 1, j - 1] + step:
            i, j = i - 1, j - 1
            source[j] = i
        elif table[i, j] == table[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return source


def _flips(threat: Flips | Additions | Removals, a: Symbols, b: Symbols) -> int:
    if a.size != b.size:
        return _FAR
    added, removed = int((b > a).sum()), int((b < a).sum())
    most_added, most_removed = _caps(threat)
    fits = (most_added is None or added <= most_added) and (most_removed is None or removed <= most_removed)
    return added + removed if fits else _FAR


def _caps(threat: Flips | Additions | Removals) -> tuple[int | None, int | None]:
    if isinstance(threat, Flips):
        return threat.max_additions, threat.max_removals
    return (None, 0) if isinstance(threat, Additions) else (0, None)


def _embedded(shorter: Symbols, longer: Symbols) -> bool:
    """Return whether symbols appear in another input in their order."""
    rest = iter(longer.tolist())
    return all(symbol in rest for symbol in shorter.tolist())


def _unpadded(codes: Symbols) -> Symbols:
    symbols = np.flatnonzero(codes != PADDING)
    return codes[: symbols[-1] + 1] if symbols.size else codes[:0]
