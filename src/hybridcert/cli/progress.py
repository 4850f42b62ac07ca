"""Progress on standard error: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hybridcert.cli.console import notices

_QUIET_SECONDS = 2.0
_LINE_EVERY = 10.0


class ProgressLine:
    """What a long command is doing; call it with (what, steps done, steps in all or 0).

    On a terminal a bar appears; elsewhere one line at most every ten seconds, none in the first two.
    """

    def __init__(self) -> None:
        self._bar = (
            Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=notices(),
                transient=True,
            )
            if sys.stderr.isatty()
            else None
        )
        self._task: TaskID | None = None
        self._announcement: threading.Timer | None = None
        self._what = ""
        self._started = self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._announcement is not None:
            self._announcement.cancel()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of ``what`` are finished."""
        if what != self._what:
            self._what, self._started = what, time.monotonic()
            if self._announcement is not None:
                self._announcement.cancel()
            self._spoke = self._started - _LINE_EVERY + _QUIET_SECONDS
            if self._bar is not None:
                if self._task is not None:
                    self._bar.remove_task(self._task)
                self._task = self._bar.add_task(what, total=total or None)
            elif not total:
                self._announce()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)
        else:
            self._speak(done, total)

    def _announce(self) -> None:
        """Name a phase of unknown length once it has lasted a while."""
        self._announcement = threading.Timer(_QUIET_SECONDS, sys.stderr.write, [f"{self._what} …\n"])
        self._announcement.daemon = True
        self._announcement.start()

    def _speak(self, done: int, total: int) -> None:
        now = time.monotonic()
        if total and done and now - self._spoke >= _LINE_EVERY and done < total:
            left = (now - self._started) * (total - done) / done
            sys.stderr.write(f"{self._what}: {100 * done // total} %, about {left:.0f} s left\n")
            self._spoke = now
