"""Random and exhaustive changes: candidates for a search that has no derivatives to follow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hybridcert.attacks.edits import Edited, Edits

_TRIES = 20  # draws for each candidate asked for; small spaces have fewer distinct ones


def distinct(edits: Edits, state: Edited, found: Iterator[Edited], most: int) -> list[Edited]:
    """Return the first ``most`` inputs that are allowed, and differ from one another and from ``state``."""
    seen, kept = {state.codes.tobytes()}, []
    for edited in found:
        name = edited.codes.tobytes()
        if name in seen or not edits.allows(edited):
            continue
        seen.add(name)
        kept.append(edited)
        if len(kept) == most:
            break
    return kept


def filled(edits: Edits, state: Edited, stream: np.random.Generator) -> Edited:
    """Return an input with further random changes that use up the budget as far as that is possible."""
    most = edits.sizes.size if edits.weights.insertion else state.codes.size  # changes that there is room for
    for _ in range(_TRIES * max(1, min(edits.d, most))):
        if edits.count(state) >= edits.d:
            break
        further = random_change(edits, state, stream)
        if edits.allows(further) and edits.count(further) > edits.count(state):
            state = further
    return state


def random_moves(
    edits: Edits, state: Edited, stream: np.random.Generator, candidates: int
) -> Iterator[Edited]:
    """Yield random moves: take back what the budget asks for, then change something; some do so twice."""
    for _ in range(_TRIES * candidates):
        moved = state
        for _ in range(1 + int(stream.random() < 0.25)):
            moved = random_move(edits, moved, stream)
        yield moved


def random_move(edits: Edits, state: Edited, stream: np.random.Generator) -> Edited:
    """Change something; where that exceeds the budget, first take back other changes."""
    for _ in range(3):  # an indel of two symbols has to be taken back twice
        moved = random_change(edits, state, stream)
        if edits.count(moved) <= edits.d:
            return moved
        undos = edits.undos(state)
        if not undos:
            break
        state = edits.undone(state, undos[int(stream.integers(len(undos)))])
    return state


def random_change(edits: Edits, state: Edited, stream: np.random.Generator) -> Edited:
    """Make one random change of a kind that the threat has, at a random place; it may exceed the budget."""
    weights, length = edits.weights, state.codes.size
    kinds = ["substitution"] * bool(length and (weights.substitution or (state.source < 0).any()))
    kinds += ["insertion"] * bool(
        weights.insertion and length < edits.sizes.size and edits.alphabet(length).size
    )
    kinds += ["deletion"] * bool(length and (weights.deletion or (state.source < 0).any()))
    if not kinds:
        return state
    kind = kinds[int(stream.integers(len(kinds)))]
    if kind == "insertion":
        gap = int(stream.integers(length + 1))
        alphabet = edits.alphabet(gap)
        return state.inserted(gap, int(alphabet[stream.integers(alphabet.size)]))
    places = np.arange(length)
    if not (weights.substitution if kind == "substitution" else weights.deletion):
        places = np.flatnonzero(state.source < 0)
    elif kind == "substitution" and stream.random() < 0.5 and edits.changed(state).any():
        places = np.flatnonzero(edits.changed(state))  # positions in play are few and cost nothing
    position = int(places[stream.integers(places.size)])
    if kind == "deletion":
        return state.removed(position)
    symbols = edits.symbols(state, position)
    return state.substituted(position, int(symbols[stream.integers(symbols.size)]))


def single_moves(edits: Edits, state: Edited, most: int) -> list[Edited] | None:
    """Return every input one move away, or None where there are more than ``most``.

    A move is one substitution, insertion or deletion, or one after another change was taken back.
    """
    fresh = sum(edits.symbols(state, p).size for p in range(state.codes.size))
    if edits.weights.insertion and state.codes.size < edits.sizes.size:
        fresh += sum(edits.alphabet(gap).size for gap in range(state.codes.size + 1))
    if fresh > most:
        return None
    before = [state]
    if edits.count(state) + 1 > edits.d:
        before += [edits.undone(state, undo) for undo in edits.undos(state)]
    found = distinct(edits, state, (m for b in before for m in _changes(edits, b)), most + 1)
    return found if len(found) <= most else None


def _changes(edits: Edits, state: Edited) -> Iterator[Edited]:
    weights, length = edits.weights, state.codes.size
    for undo in edits.undos(state):
        yield edits.undone(state, undo)
    for position in range(length):
        if weights.substitution or state.source[position] < 0:
            for symbol in edits.symbols(state, position).tolist():
                yield state.substituted(position, symbol)
        if weights.deletion:
            yield state.removed(position)
    if weights.insertion and length < edits.sizes.size:
        for gap in range(length + 1):
            for symbol in edits.alphabet(gap).tolist():
                yield state.inserted(gap, symbol)
