"""What a user may ask instead of a number of samples: a question that is settled, or a tolerance."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

from hybridcert.certificate.ranges import check_open
from hybridcert.errors import ParameterError


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The question whether a claim holds against ``d`` discrete changes and any shift of length ``epsilon``.

    Sampling of an input stops when its bound proves that, or when more copies are unlikely to.

    Attributes
    ----------
    d : int >= 0, or tuple of them
        The discrete budget; one entry per threatened modality where there are several.
    epsilon : float >= 0
        Length of the shift, in the units of the certified radius. 0: discrete changes only.

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """

    d: int | tuple[int, ...]
    epsilon: float

    def __post_init__(self) -> None:
        for part in self.budget:
            if isinstance(part, bool) or not (isinstance(part, numbers.Integral) and part >= 0):
                raise ParameterError(
                    f"d of a target must be an integer >= 0 (or one for each modality), got {self.d!r}"
                )
        number = isinstance(self.epsilon, numbers.Real) and not isinstance(self.epsilon, bool)
        if not (number and math.isfinite(self.epsilon) and self.epsilon >= 0.0):
            raise ParameterError(f"epsilon of a target must be a finite number >= 0, got {self.epsilon!r}")

    @property
    def budget(self) -> tuple[int, ...]:
        """``d`` as a tuple, one entry per threatened modality."""
        return self.d if isinstance(self.d, tuple) else (self.d,)

    def described(self) -> dict[str, Any]:
        """Return the question as plain values."""
        d = [int(part) for part in self.budget] if isinstance(self.d, tuple) else int(self.d)
        return {"target": {"d": d, "eps": float(self.epsilon)}}


@dataclasses.dataclass(frozen=True, slots=True)
class Tolerance:
    """Every radius close to what the most copies allowed would prove, with as few copies as that takes.

    The unit is the longest radius that the most copies can prove at all, the same for inputs of one kind:
    the one at d = 0 if every copy gives the claimed answer. With ``share`` = 0.05, radii may fall short by
    a twentieth of it.

    Attributes
    ----------
    share : float in (0, 1)

    Raises
    ------
    ParameterError
        For a share outside this range.
    """

    share: float

    def __post_init__(self) -> None:
        check_open("share of a tolerance", self.share)

    def described(self) -> dict[str, Any]:
        """Return the question as plain values."""
        return {"tolerance": float(self.share)}
