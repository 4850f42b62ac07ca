"""Largest flow between two small sides: how many positions find a partner of their own."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import Final

from hybridcert.verify.meter import Meter

_Node = tuple[bool, int]  # (True, i): supply i; (False, j): capacity j
_STEP_UNITS: Final = 5


def largest_flow(
    supply: Sequence[int], capacity: Sequence[int], edges: Sequence[Sequence[int]], meter: Meter
) -> int:
    """Return how many units fit, ``edges[i]`` being where units of ``supply[i]`` may go.

    Shortest augmenting paths (Edmonds and Karp 1972); the work is counted on ``meter``.
    """
    supply, capacity = list(supply), list(capacity)
    flow: dict[tuple[int, int], int] = {}
    total = 0
    while path := _path(supply, capacity, edges, flow, meter):
        steps = list(itertools.pairwise(path))
        backward = [(j, i) for (forth, i), (_, j) in steps if not forth]
        start, end = path[0][1], path[-1][1]
        amount = min(supply[start], capacity[end], *(flow[edge] for edge in backward))
        for (forth, i), (_, j) in steps:
            edge = (i, j) if forth else (j, i)
            flow[edge] = flow.get(edge, 0) + (amount if forth else -amount)
        supply[start] -= amount
        capacity[end] -= amount
        total += amount
    return total


def _path(
    supply: Sequence[int],
    capacity: Sequence[int],
    edges: Sequence[Sequence[int]],
    flow: dict[tuple[int, int], int],
    meter: Meter,
) -> list[_Node]:
    """Return a shortest path along which more can flow, from supply to capacity; empty if there is none."""
    came: dict[_Node, _Node | None] = {(True, i): None for i, n in enumerate(supply) if n}
    queue = deque(came)
    while queue:
        node = queue.popleft()
        forth, i = node
        if not forth and capacity[i]:
            path = [node]
            while (before := came[path[-1]]) is not None:
                path.append(before)
            return path[::-1]
        reached = (
            [(False, j) for j in edges[i]]
            if forth
            else [(True, k) for k in range(len(supply)) if flow.get((k, i))]
        )
        meter.spend(_STEP_UNITS * (1 + len(reached)) + (0 if forth else len(supply)))
        for other in reached:
            if other not in came:
                came[other] = node
                queue.append(other)
    return []
