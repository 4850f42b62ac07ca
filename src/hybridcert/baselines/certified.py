"""What is said about every baseline, in the same words: what it claims, what it needs, what it costs."""

from __future__ import annotations

import dataclasses
import enum
import math
import numbers
from collections.abc import Callable
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.directed import Bools
from hybridcert.errors import ParameterError

Counts = npt.NDArray[np.int64]


class Need(enum.StrEnum):
    """What has to be true, or known to the deployed system, for the claims of a baseline to hold."""

    DISCRETE_UNCHANGED = "the discrete part stays as it is"
    CONTINUOUS_UNCHANGED = "the continuous part stays as it is"
    BOUNDARY = "the system knows where the untrusted region begins"
    DETERMINISTIC_CLASS = "the class is a function of the noisy symbols alone: nothing else has noise"
    ORDER_KEPT = "elements that are not changed keep their order, or their fixed positions"
    ERASABLE = "what the adversary wrote can be erased: text is added, none is changed or removed"


@dataclasses.dataclass(frozen=True, slots=True)
class Baseline:
    """A rival of the joint certificate.

    Attributes
    ----------
    name, source : str
    sound : bool
        Whether its claims hold, with probability at least 1 − α over the samples of each input.
    certifies : str
        Which discrete changes d and which shifts ε.
    needs : tuple of Need
    calls : str
        Model calls per decision of the deployed filter, where it draws N noisy copies.
    """

    name: str
    source: str
    sound: bool
    certifies: str
    needs: tuple[Need, ...]
    calls: str


class Claims(Protocol):
    """What a baseline found about m inputs."""

    baseline: ClassVar[Baseline]

    def claims(self, *, d: int, eps: float) -> Bools:
        """Whether d discrete changes and a shift of ``eps`` are claimed, shape (m,)."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class LargestBudget:
    """The largest number of changes that is certified for each input.

    Attributes
    ----------
    certified : bool array, shape (m,)
        Whether the claim holds at the clean input at all.
    d : int array, shape (m,)
        Every budget up to here is certified; 0 where nothing is (see ``certified``).
    """

    certified: Bools
    d: Counts

    def covers(self, d: int) -> Bools:
        """Whether a budget of ``d`` changes is certified, shape (m,)."""
        return self.certified & (self.d >= d)


def largest_budget(holds: Callable[[int], Bools], most: int) -> LargestBudget:
    """Return the largest budget up to ``most`` such that it and every smaller one holds.

    Parameters
    ----------
    holds : callable(d) -> bool array, shape (m,)
        Whether budget d is certified, for each input.
    most : int >= 0
    """
    alive = np.asarray(holds(0), dtype=np.bool_)
    certified, d = alive.copy(), np.zeros(alive.shape, dtype=np.int64)
    for budget in range(1, most + 1):
        if not alive.any():
            break
        alive = alive & holds(budget)
        d[alive] = budget
    return LargestBudget(certified, d)


def check_budgets(d: int, eps: float) -> None:
    """Raise ParameterError unless ``d`` is an integer >= 0 and ``eps`` a number >= 0."""
    check_changes("d", d)
    if not (isinstance(eps, numbers.Real) and eps >= 0.0 and math.isfinite(eps)):
        raise ParameterError(f"eps must be a finite number >= 0, got {eps!r}")


def check_changes(name: str, count: int) -> None:
    """Raise ParameterError unless ``count`` is an integer >= 0."""
    if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < 0:
        raise ParameterError(f"{name} must be an integer >= 0, got {count!r}")
