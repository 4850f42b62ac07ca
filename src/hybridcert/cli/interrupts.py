"""Interrupts: Ctrl-C and SIGTERM end a command tidily, at any moment."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

EXIT_CODE = 130
"""What a command that was interrupted exits with."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 - it is no error
    """A command was interrupted, and its message says what is kept."""


def listen() -> None:
    """Let both signals raise KeyboardInterrupt."""
    for number in _SIGNALS:
        signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold interrupts back until the block ends: extension modules do not survive one while they load."""
    came: list[int] = []
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt
