"""What a stopping rule is: a schedule of looks for every input, and what it decides at each of them.

A rule spends copies; it never carries a guarantee. Bounds stay valid whatever stops the sampling, so rules
may decide on estimates. Only the verdict `CERTIFIED` repeats what a proven bound says.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]
Verdicts = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]
Holds = Callable[[int, Rows, Counts], npt.NDArray[np.bool_]]
"""Whether the bound at a look proves the claim; counts, shape (rows, classes), need not be drawn yet."""


class Verdict(enum.IntEnum):
    """What becomes of an input at a look."""

    GO_ON = 0
    CERTIFIED = 1
    """The claim in question is proven by the bound at this look."""
    GIVE_UP = 2
    """The claim in question is not proven, and more copies are not worth their cost, or there are none."""
    ENOUGH = 3
    """There is no claim in question: the copies asked for are drawn, or more would change little."""


class Outlook(NamedTuple):
    """What more copies promise, for inputs that go on.

    Attributes
    ----------
    urgency : float array, shape (rows,)
        How much good copies do, per copy. Only its order means something, and only within one rule.
    copies : int array, shape (rows,)
        How many copies to expect for that: at least those of the next look.
    """

    urgency: Floats
    copies: Counts


class StoppingRule(Protocol):
    """Decides when the copies of an input are enough.

    The looks of an input depend on the rule and the input alone, never on other inputs or on the copies that
    are counted. Every input is stopped at its last look: `verdicts` gives no `GO_ON` there.
    """

    def schedule(self, rows: Rows) -> Counts:
        """Return the copies drawn in all by each look, shape (rows, looks).

        Each row increases up to its last look and repeats that number in the columns that are left: looks
        that an input does not have.
        """
        ...

    def verdicts(self, look: int, rows: Rows, counts: Counts) -> Verdicts:
        """Return one `Verdict` for each of ``rows``, all of which have a look with this index.

        ``counts`` has shape (rows, classes); each row sums to the copies of its look.
        """
        ...

    def outlook(self, look: int, rows: Rows, counts: Counts) -> Outlook:
        """Return what more copies promise to inputs that go on: who draws when a budget is short.

        With ``look`` = −1 no copy is drawn yet, and ``counts`` are zeros.
        """
        ...
