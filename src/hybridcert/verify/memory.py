"""Results that are kept for the next document, within a bounded amount of memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """A table of results by key that is emptied when the weights in it exceed a limit.

    Certificates of one run share their laws and attack sets, which is what makes keeping results worth while;
    weights keep a stranger's documents from filling the memory.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._found: dict[Hashable, Value] = {}

    def get(self, key: Hashable, make: Callable[[], Value], weigh: Callable[[Value], int]) -> Value:
        """Return the result for ``key``, making it if it is not kept."""
        if key in self._found:
            return self._found[key]
        value = make()
        self._weight += 1 + weigh(value)
        if self._weight > self._limit:
            self._found.clear()
            self._weight = 1 + weigh(value)
        self._found[key] = value
        return value
