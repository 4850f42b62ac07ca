"""What the fields of a configuration may hold: numbers with their ranges, and sections of known keys."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import pydantic
from pydantic import BeforeValidator

from hybridcert.certificate.confidence import MAX_SAMPLES


def _ranged(read: Callable[[Any], Any], accepts: Callable[[Any], bool], allowed: str) -> BeforeValidator:
    """Validate a number and name its range; YAML 1.1 reads 1e-3 as text, so text is read too."""

    def validate(raw: Any) -> Any:
        try:
            value = read(raw)
            accepted = not isinstance(raw, bool) and (value == raw or isinstance(raw, str)) and accepts(value)
        except (TypeError, ValueError, OverflowError):
            accepted = False
        if not accepted:
            raise ValueError(f"must be {allowed}, got {raw!r}")
        return value

    return BeforeValidator(validate)


Rate = Annotated[float, _ranged(float, lambda v: 0.0 < v <= 1.0, "in (0, 1]")]
Open = Annotated[float, _ranged(float, lambda v: 0.0 < v < 1.0, "in (0, 1)")]
Share = Annotated[float, _ranged(float, lambda v: 0.0 <= v <= 1.0, "in [0, 1]")]
Positive = Annotated[float, _ranged(float, lambda v: 0.0 < v < math.inf, "a finite number > 0")]
LogRatio = Annotated[float, _ranged(float, lambda v: -700.0 <= v <= 700.0, "in [-700, 700]")]
Distance = Annotated[float, _ranged(float, lambda v: 0.0 <= v < math.inf, "a finite number >= 0")]
Count = Annotated[int, _ranged(int, lambda v: v >= 1, "an integer >= 1")]
Samples = Annotated[int, _ranged(int, lambda v: 1 <= v <= MAX_SAMPLES, f"an integer in [1, {MAX_SAMPLES}]")]
Copies = Annotated[int, _ranged(int, lambda v: 1 <= v <= 1000, "an integer in [1, 1000]")]
Natural = Annotated[int, _ranged(int, lambda v: v >= 0, "an integer >= 0")]
Budget = Annotated[int, _ranged(int, lambda v: 0 <= v <= 1000, "an integer in [0, 1000]")]


class Section(pydantic.BaseModel):
    """A mapping of known keys; anything else is refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
