"""Progress on standard error: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from hybridcert.cli.console import notices

if TYPE_CHECKING:
    from hybridcert.sampling.outcome import SamplingProgress

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
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[state]}", markup=False),
                TimeElapsedColumn(),
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
        self._begin(what, total)
        state = ""
        if total and done > 0:
            left = (time.monotonic() - self._started) * (total - done) / done
            state = f"{100 * done // total} %, about {duration(left)} left"
        self._show(state, done, total)

    def sampling(self, what: str, progress: SamplingProgress) -> None:
        """Show how far the sampling of ``what`` is; copies that need not be drawn count as done."""
        total = progress.calls_at_most
        if progress.stage.name == "SELECT":
            what = f"{what} to choose labels"
        self._begin(what, total)
        self._show(sampling_state(progress), progress.calls + progress.calls_saved, total)

    def _begin(self, what: str, total: int) -> None:
        """Start anew when something else is being done."""
        if what == self._what:
            return
        self._what, self._started = what, time.monotonic()
        if self._announcement is not None:
            self._announcement.cancel()
        self._spoke = self._started - _LINE_EVERY + _QUIET_SECONDS
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=total or None, state="")
        elif not total:
            self._announce()

    def _show(self, state: str, done: int, total: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total or None, state=state)
            return
        now = time.monotonic()
        if total and done and now - self._spoke >= _LINE_EVERY and done < total:
            sys.stderr.write(f"{self._what}: {state}\n")
            self._spoke = now

    def _announce(self) -> None:
        """Name a phase of unknown length once it has lasted a while."""
        self._announcement = threading.Timer(_QUIET_SECONDS, sys.stderr.write, [f"{self._what} …\n"])
        self._announcement.daemon = True
        self._announcement.start()


class Prefixed:
    """A report whose phases are named after a prefix."""

    def __init__(self, report: ProgressLine, prefix: str) -> None:
        self._report = report
        self._prefix = prefix

    def __call__(self, what: str, done: int, total: int) -> None:
        """See `ProgressLine`."""
        self._report(self._prefix + what, done, total)

    def sampling(self, what: str, progress: SamplingProgress) -> None:
        """See `ProgressLine`."""
        self._report.sampling(self._prefix + what, progress)


def sampling_state(progress: SamplingProgress) -> str:
    """Return inputs done, claims certified, calls made and saved, and the time left, in one line."""
    parts = [f"{progress.inputs_done:,} of {progress.inputs:,} inputs done"]
    if progress.certified:
        parts.append(f"{progress.certified:,} certified")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    drawn = progress.calls - progress.calls_from_store
    parts.append(f"{drawn:,} calls made")
    if progress.calls_from_store:
        parts.append(f"{progress.calls_from_store:,} found")
    if progress.calls_saved:
        parts.append(f"{progress.calls_saved:,} saved")
    left = progress.calls_at_most - progress.calls - progress.calls_saved
    if drawn and left > 0:
        open_end = progress.calls_saved or progress.certified  # more inputs may stop early
        word = "at most" if open_end else "about"
        parts.append(f"{word} {duration(progress.seconds * left / drawn)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Spell a time that need not be exact: "42 s", "7 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
