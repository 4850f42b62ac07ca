"""Several endings of one text in one pass: tokens that endings share stand there once.

A copy's endings (the suffix as drawn up to slot 0, 1, …, each followed by the fixed tail) are packed into
one row: first the nodes of the tree of their suffixes, then the tails, last tokens at the end. Each token
sees the text before, the tokens on its own way from the root, and nothing else; its position is its depth. So
the model computes for every ending what it would compute for that ending alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.intp]

_GROUPS = 4
"""Groups of copies with about as many endings each, into which a batch is cut."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PackedEndings:
    """Endings of some copies, one row for each copy.

    Attributes
    ----------
    ids : (copies, columns) int
        Tokens; unused columns hold the first token of the tail.
    depth : (copies, columns) int
        Tokens between the text before and this one.
    sees : (copies, columns, columns) bool
        Which columns each column sees; itself always.
    endings : int
        The last so many columns are the ends of the endings, in order.
    row, column : (variants,) int
        Where the end of each ending stands: its row, and its column among the last ones.
    """

    ids: Ints
    depth: Ints
    sees: npt.NDArray[np.bool_]
    endings: int
    row: Indices
    column: Indices


def groups(endings: Indices) -> list[Indices]:
    """Cut copies with these numbers of endings into groups with about as many each; every group ascending."""
    order = np.argsort(endings, kind="stable")
    return [np.sort(part) for part in np.array_split(order, min(_GROUPS, len(order))) if part.size]


def compacted(tokens: Ints) -> tuple[Ints, Indices]:
    """Move tokens to the left over places without one (−1), shape kept; return also how many there are."""
    empty = tokens < 0
    order = np.argsort(empty, axis=1, kind="stable")
    return np.take_along_axis(tokens, order, axis=1), (~empty).sum(axis=1)


def packed(tokens: Ints, owner: Indices, tail: Ints) -> PackedEndings:
    """Pack endings.

    Parameters
    ----------
    tokens : (variants, slots) int
        Suffixes, −1 where a slot gives no token.
    owner : (variants,) int, ascending from 0 without a gap
        The copy that each belongs to.
    tail : (length,) int, at least one
        What follows every suffix.
    """
    tokens, length = compacted(tokens)
    variants, slots = tokens.shape
    copies = int(owner[-1]) + 1
    first = np.searchsorted(owner, np.arange(copies))
    rank = np.arange(variants) - first[owner]
    shared = _shared(tokens, length, rank)
    fresh = length - shared
    start = np.cumsum(fresh) - fresh
    start -= start[first][owner]
    nodes = int((start + fresh).max(initial=0))
    endings, inner = int(rank.max()) + 1, len(tail) - 1
    at = np.arange(slots)
    path = start[:, None] + at - shared[:, None]
    for r in range(1, endings):
        here = np.flatnonzero(rank == r)
        path[here] = np.where(at < shared[here, None], path[here - 1], path[here])
    columns = nodes + endings * (inner + 1)
    tails = nodes + rank[:, None] * inner + np.arange(inner + 1)
    tails[:, inner] = nodes + endings * inner + rank

    ids = np.full((copies, columns), tail[0], dtype=np.int64)
    depth = np.zeros((copies, columns), dtype=np.int64)
    sees = np.zeros((copies, columns, columns), dtype=np.bool_)
    sees[:, np.arange(columns), np.arange(columns)] = True
    on = at < length[:, None]
    v, j = np.nonzero(on & (at >= shared[:, None]))
    ids[owner[v], path[v, j]] = tokens[v, j]
    depth[owner[v], path[v, j]] = j
    ids[owner[:, None], tails] = tail
    depth[owner[:, None], tails] = length[:, None] + np.arange(inner + 1)
    new = on & (at >= shared[:, None])
    v, j, i = np.nonzero(new[:, :, None] & (at[None, None, :] < at[None, :, None]))
    sees[owner[v], path[v, j], path[v, i]] = True
    v, i = np.nonzero(on)
    sees[owner[v][:, None], tails[v], path[v, i][:, None]] = True
    for t in range(1, inner + 1):
        sees[owner[:, None], tails[:, t, None], tails[:, :t]] = True
    return PackedEndings(ids, depth, sees, endings, owner, rank)


def _shared(tokens: Ints, length: Indices, rank: Indices) -> Indices:
    """Return how many leading tokens each ending shares with the one before it of the same copy."""
    before = np.roll(tokens, 1, axis=0)
    alike = (tokens == before) & (tokens >= 0)
    common = np.logical_and.accumulate(alike, axis=1).sum(axis=1)
    common = np.minimum(common, np.minimum(length, np.roll(length, 1)))
    return np.where(rank == 0, 0, common)


def additive(sees: Any, prefix: int, dtype: Any) -> Any:
    """Return an attention mask to add, shape (copies, 1, columns, prefix + columns), as a tensor.

    Parameters
    ----------
    sees : (copies, columns, columns) bool tensor
    prefix : int
        Tokens before, which everything sees.
    dtype : floating-point type of the model
    """
    import torch

    copies, columns, _ = sees.shape
    mask = torch.zeros((copies, 1, columns, prefix + columns), dtype=dtype, device=sees.device)
    mask[:, 0, :, prefix:].masked_fill_(~sees, torch.finfo(dtype).min)
    return mask
