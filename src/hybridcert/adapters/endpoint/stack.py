"""What is known about the software behind an endpoint: a certificate holds for that stack and no other."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from typing import Any

from hybridcert.errors import ModelError

_LISTED = ("id", "root", "parent", "owned_by", "max_model_len")
"""Fields of the list of models that stay the same when a server starts again."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServingStack:
    """What a server says about itself; None for what it does not say.

    Parameters
    ----------
    model : str
        The model as the responses name it: hosted services answer with a dated version.
    system_fingerprint : str, optional
        Configuration of the backend, as the responses name it.
    server : str, optional
        The ``server`` header.
    version : str, optional
        From ``/version`` (vLLM) or ``/server_info`` (SGLang), beside ``/v1``.
    listed : tuple of (field, value)
        What ``/models`` says about the model: its path, owner and longest input.
    """

    model: str | None
    system_fingerprint: str | None = None
    server: str | None = None
    version: str | None = None
    listed: tuple[tuple[str, str | int], ...] = ()

    def described(self) -> dict[str, Any]:
        """Return the stack as plain values."""
        return dataclasses.asdict(self) | {"listed": dict(self.listed)}

    def changes(self, other: ServingStack) -> str | None:
        """Return the first field in which another stack differs, with both values; None for equal ones."""
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs:
                return f"{field.name} was {mine!r} and is {theirs!r}"
        return None


class Consistency:
    """Holds the responses of a run to the first one: the same model, the same fingerprint. Thread-safe."""

    def __init__(self) -> None:
        self._first: tuple[Any, Any] | None = None
        self._lock = threading.Lock()

    def check(self, reply: Mapping[str, Any]) -> None:
        """Raise ModelError for a response of another model or backend than the first response's."""
        told = (reply.get("model"), reply.get("system_fingerprint"))
        with self._lock:
            first = self._first = told if self._first is None else self._first
        for name, before, now in zip(("model", "system_fingerprint"), first, told, strict=True):
            if before != now:
                raise ModelError(
                    f"the endpoint changed in the middle of a run: {name} was {before!r} and is {now!r}; "
                    "counts of two stacks say nothing about either: begin a new run"
                )


def listed_fields(models: Any, model: str) -> tuple[tuple[str, str | int], ...]:
    """Return what an answer of ``/models`` says about one model; nothing where it is not listed."""
    entries = models.get("data") if isinstance(models, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and entry.get("id") == model:
            return tuple((name, entry[name]) for name in _LISTED if isinstance(entry.get(name), str | int))
    return ()
