"""One worker process: how it is started, spoken to and ended."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from multiprocessing.context import SpawnProcess
from typing import Any

from hybridcert.errors import ParameterError
from hybridcert.sampling.executors.pool import Died, Event
from hybridcert.sampling.executors.worker import serve

UNGUARDED = 77
"""Exit code of a worker that, importing the main script, came upon the call that had started it."""

PATIENCE = 1.0
"""Seconds for a killed process to be gone."""


def end_if_starting() -> None:
    """End this process if it is a worker that is only importing the script which started it."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(UNGUARDED)


class WorkerProcess:
    """A fresh interpreter that runs `serve`, its pipe, and the thread that writes to it.

    The thread keeps the calling process from waiting on a worker that itself waits for its answer to be read.

    Parameters
    ----------
    work : the pickled work, the first message
    environment : variables that the process starts with, before it imports anything
    """

    def __init__(self, work: bytes, environment: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=serve, args=(theirs,), daemon=True)
        try:
            # the main script is imported only where the work refers to it: most scripts then need no guard
            with _inherited(environment, main=b"__main__" in work):
                self.process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            theirs.close()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()
        self.send(work)

    def send(self, message: bytes) -> None:
        """Send in the background."""
        self._outbox.put(message)

    def events(self) -> list[Event]:
        """Return what the worker has said, and how it ended if it did."""
        dead = not self.process.is_alive()  # asked first: what it said before that is read below
        heard: list[Event] = []
        try:
            while self.pipe.poll():
                heard.append(self.pipe.recv())
        except (EOFError, OSError):
            dead = True
        return [*heard, self._death()] if dead else heard

    def end(self) -> None:
        """Kill the process and let go of what can be let go of."""
        self.process.kill()
        self._outbox.put(None)
        self.process.join(PATIENCE)
        self._writer.join(PATIENCE)
        if not self._writer.is_alive():  # else a descendant holds the pipe's other end, and it is in use
            self.pipe.close()
        if self.process.exitcode is not None:
            self.process.close()

    def _death(self) -> Event:
        self.process.join(PATIENCE)
        code = self.process.exitcode
        if code == UNGUARDED:
            return ParameterError(
                "the classifier refers to the main script, so workers import it, and come upon this call "
                'again: put what the script runs under `if __name__ == "__main__":`, or use executor=Serial()'
            )
        if code is None:
            return Died("hung up")
        return Died(f"died (signal {-code})" if code < 0 else f"died (exit code {code})")

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # of a worker that died: its sentinel tells
            while (message := self._outbox.get()) is not None:
                self.pipe.send_bytes(message)


@contextlib.contextmanager
def _inherited(environment: Mapping[str, str], *, main: bool) -> Iterator[None]:
    """Set what a process started inside inherits: variables, deafness to SIGINT, the main script or none."""
    old = {name: os.environ.get(name) for name in environment}
    script = sys.modules["__main__"]
    mask = _hold_interrupts()
    os.environ.update(environment)
    if not main:
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _hold_interrupts() -> set[Any] | None:
    """Block SIGINT in this thread; return the signals that were blocked before.

    A worker inherits the block, so an interrupt finds it deaf from its first instruction; here it is only
    delivered later.
    """
    if sys.platform == "win32":
        return None
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # starting it unblocks SIGINT, so it must not start inside
    return signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
