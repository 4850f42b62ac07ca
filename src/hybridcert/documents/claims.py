"""What a certificate claims about the smoothed scores of an input."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from hybridcert.certificate.ranges import check_open
from hybridcert.errors import ParameterError


@dataclasses.dataclass(frozen=True, slots=True)
class ScoreAbove:
    """The smoothed score of the claimed label stays above ``threshold`` in (0, 1)."""

    threshold: float
    kind: ClassVar[str] = "score"

    def __post_init__(self) -> None:
        check_open("threshold", self.threshold)


@dataclasses.dataclass(frozen=True, slots=True)
class TopK:
    """The claimed label stays among the ``k`` labels of largest smoothed score; ``k`` = 1: the answer stays.

    Parameters
    ----------
    k : int >= 1, below the number of classes
    classes : int >= 2
    """

    k: int
    classes: int
    kind: ClassVar[str] = "top-k"

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or not 1 <= self.k < self.classes:
            raise ParameterError(
                f"top_k must be an integer in [1, {self.classes - 1}], one less than the number of classes, "
                f"got {self.k!r}"
            )


Claim = ScoreAbove | TopK


def claim_of(threshold: float | None, top_k: int | None, classes: int) -> Claim:
    """Return the claim that one of two arguments asks for; raise ParameterError unless it is one of them."""
    if (threshold is None) == (top_k is None):
        raise ParameterError(
            "certify needs threshold in (0, 1) or top_k in [1, classes), one of the two: "
            f"got threshold={threshold!r}, top_k={top_k!r}"
        )
    return TopK(top_k, classes) if threshold is None and top_k is not None else ScoreAbove(threshold or 0.0)
