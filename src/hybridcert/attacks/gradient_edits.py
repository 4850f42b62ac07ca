"""Changes that derivatives ask for: greedy coordinate gradient steps within the budget of a threat.

Source: paper, Algorithm 1, line 4; Zou et al. 2023 (GCG). A first-order estimate says how the mean margin
changes with each symbol at each position. It is exact for linear models only, so it proposes, and the
smoothed objective decides. Positions without an estimate, such as empty slots, are filled at random.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hybridcert.attacks.edits import Edited, Edits
from hybridcert.attacks.random_edits import filled, random_moves

Floats = npt.NDArray[np.float64]

_POOL = 8  # a pool of the best single moves has so many for each candidate


def gradient_moves(
    edits: Edits, state: Edited, slopes: Floats, stream: np.random.Generator, candidates: int
) -> Iterator[Edited]:
    """Yield candidates, the most promising first: steepest input, best single moves, mixtures, random moves.

    Parameters
    ----------
    slopes : (length, symbols) float
        First-order change of the mean margin with the weight of each symbol; NaN where unknown.
    """
    change = _changes_by_symbol(edits, state, slopes)
    yield from _steepest(edits, state, change)
    if edits.count(state) < edits.d:
        yield filled(edits, state, stream)
    moves = _best_moves(change, _POOL * candidates)
    for move in _spread(moves)[: max(1, candidates // 3)]:
        yield _fitted(edits, state.substituted(*move), change, {move[0]})
    for _ in range(max(1, candidates // 3)):
        if not moves:
            break
        yield _mixture(edits, state, change, moves, stream)
    yield from random_moves(edits, state, stream, candidates)


def _changes_by_symbol(edits: Edits, state: Edited, slopes: Floats) -> Floats:
    """Return the first-order change of each substitution, (length, symbols): +∞ if unknown or forbidden."""
    length = state.codes.size
    width = min(slopes.shape[1], int(edits.sizes[:length].max(initial=0)))
    here = slopes[:length, :width]
    inside = state.codes < width
    current = np.full(length, np.nan)
    current[inside] = here[inside, state.codes[inside]]
    change = here - current[:, None]
    free = state.source < 0
    for position in range(length):
        change[position, np.isnan(change[position])] = np.inf
        if not (edits.weights.substitution or free[position]):
            change[position] = np.inf
            continue
        symbols = edits.symbols(state, position)
        if symbols.size < width or symbols[-1] != symbols.size - 1:
            allowed = np.zeros(width, dtype=np.bool_)
            allowed[symbols[symbols < width]] = True
            change[position, ~allowed] = np.inf
    change[np.flatnonzero(inside), state.codes[inside]] = np.inf
    return np.asarray(change)


def _best_moves(change: Floats, most: int) -> list[tuple[int, int]]:
    """Return the positions and symbols of the largest first-order decreases, the largest first."""
    kept: list[tuple[float, int, int]] = []
    for position, row in enumerate(change):  # alphabets are large: one position at a time
        known = np.flatnonzero(row < 0.0)
        if known.size > most:
            known = known[np.argpartition(row[known], most)[:most]]
        kept += zip(row[known].tolist(), [position] * known.size, known.tolist(), strict=True)
    return [(position, symbol) for _, position, symbol in sorted(kept)[:most]]


def _steepest(edits: Edits, state: Edited, change: Floats) -> Iterator[Edited]:
    """Yield the input with the largest first-order decrease: all positions at once, as many as fit."""
    if change.size == 0:
        return
    best = change.argmin(axis=1)
    value = change[np.arange(len(best)), best]
    target = np.where(value < 0.0, best, state.codes)
    value = np.minimum(value, 0.0)
    moved = state
    for position in np.flatnonzero(edits.changed(state) & (state.source >= 0)).tolist():
        back = _cost(edits, state, change, position)
        if np.isfinite(back):  # start over from the clean symbol, and count from there
            value[position] -= back
            moved = edits.undone(moved, ("revert", position))
    for position in np.argsort(value, kind="stable").tolist():
        if not value[position] < 0.0:
            break
        further = moved.substituted(position, int(target[position]))
        if edits.count(further) <= edits.d:
            moved = further
    yield moved


def _spread(moves: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Order moves so that each position comes with its best before any comes with its second best."""
    rank: dict[int, int] = {}
    ranked = []
    for order, (position, symbol) in enumerate(moves):
        rank[position] = rank.get(position, 0) + 1
        ranked.append((rank[position], order, (position, symbol)))
    return [move for _, _, move in sorted(ranked)]


def _mixture(
    edits: Edits,
    state: Edited,
    change: Floats,
    moves: list[tuple[int, int]],
    stream: np.random.Generator,
) -> Edited:
    """Make one move drawn from the pool, half of the time several at different positions."""
    wanted = 1 if stream.random() < 0.5 else 1 + int(stream.integers(max(1, min(edits.d, 4))))
    fresh: set[int] = set()
    moved = state
    for i in stream.permutation(len(moves))[: 4 * wanted].tolist():
        position, symbol = moves[i]
        if position not in fresh and len(fresh) < wanted:
            fresh.add(position)
            moved = moved.substituted(position, symbol)
    return _fitted(edits, moved, change, fresh)


def _fitted(edits: Edits, moved: Edited, change: Floats, fresh: set[int]) -> Edited:
    """Take back other substitutions until the budget is kept, first those that seem to matter least."""
    while edits.count(moved) > edits.d:
        undos = [undo for undo in edits.undos(moved) if undo[0] == "revert" and undo[1] not in fresh]
        if not undos:
            break
        moved = edits.undone(moved, min(undos, key=lambda undo: _cost(edits, moved, change, undo[1])))
    return moved


def _cost(edits: Edits, moved: Edited, change: Floats, position: int) -> float:
    """Return the first-order change with the clean symbol at a position, +∞ where unknown."""
    clean = int(edits.clean[moved.source[position]])
    return float(change[position, clean]) if clean < change.shape[1] else np.inf
