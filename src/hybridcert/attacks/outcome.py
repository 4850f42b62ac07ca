"""What a search found: an input within its budget, and how it got there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Attack:
    """An adversarial input, proven to lie within the budget of its search.

    What the search thought of it is an estimate on copies that chose it; `judge` says what fresh ones show.

    Attributes
    ----------
    adversarial : dict of modality name to array
        The encoded input, one row for each modality; sequences may be wider than the clean ones.
    changes : mapping of modality name to int
        Exact number of discrete changes by threatened modality, at most the budget.
    distance_upper : float
        Upper bound on the continuous distance, rounded up, at most the budget.
    objective : tuple of float
        After each round, restart by restart: share of the round's copies of the best candidate that answered
        with the label; without smoothing 0 or 1.
    calls : int
        Copies that the classifier was asked about.
    method : {"gradient", "score", "decision"}
    """

    adversarial: dict[str, npt.NDArray[Any]]
    changes: Mapping[str, int]
    distance_upper: float
    objective: tuple[float, ...]
    calls: int
    method: str
