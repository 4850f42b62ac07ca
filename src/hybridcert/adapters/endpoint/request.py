"""What is sent about a pair: a function of the description and of the pair alone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from hybridcert.adapters.endpoint.verdict import Decision
from hybridcert.errors import ParameterError

_FIXED = {"temperature": 0, "top_p": 1, "n": 1, "stream": False}
_TAKEN = {
    *_FIXED,
    *("model", "messages", "seed", "max_tokens", "max_completion_tokens"),
    *("logprobs", "top_logprobs", "stream_options"),
}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A chat completion at temperature 0 with top_p 1, n 1 and a fixed seed.

    Parameters
    ----------
    model : str
    decision : Decision
        Says how much to generate, and whether to list log-probabilities.
    seed : int
    extra : mapping
        More fields, as plain JSON values.

    Raises
    ------
    ParameterError
        For values of another kind, or extra fields that would replace one of the others.
    """

    model: str
    decision: Decision
    seed: int
    extra: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ParameterError(f"model must be the name that the server knows it by, got {self.model!r}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise ParameterError(f"seed must be an integer, got {self.seed!r}")
        try:
            copied = json.loads(json.dumps(dict(self.extra), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ParameterError(f"extra must hold plain JSON values, got {self.extra!r}") from error
        taken = sorted(_TAKEN.intersection(copied))
        if taken:
            raise ParameterError(
                f"extra must leave {taken[0]!r} alone: the classifier sets it, so that answers are repeatable"
            )
        object.__setattr__(self, "extra", copied)

    def body(self, messages: list[dict[str, Any]]) -> bytes:
        """Return the request with these messages, as JSON."""
        return json.dumps(self._fields() | {"messages": messages}).encode("ascii")

    def described(self) -> dict[str, Any]:
        """Return what every request says, and how its answer is read, as plain values."""
        spellings = self.decision.spellings
        return {
            "decision": self.decision.name,
            "spellings": {"safe": list(spellings.safe), "unsafe": list(spellings.unsafe)},
            "request": self._fields(),
        }

    def _fields(self) -> dict[str, Any]:
        fixed = {"model": self.model, **_FIXED, "seed": self.seed, **self.decision.fields()}
        return {**self.extra, **fixed}
