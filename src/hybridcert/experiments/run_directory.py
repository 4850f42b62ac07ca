"""Run directories: there from the start, complete only when everything in them is.

A run makes its directory with ``config.yaml`` at once and keeps its counts in ``run.sqlite`` while it draws
them. All other files are written in a hidden place inside and moved out together at the end;
``environment.json`` comes last, so a run directory that has it is complete. In the directory of a sweep that
mark is ``sweep.json``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from hybridcert.errors import DataError, StoreError
from hybridcert.sampling.store import RunStore
from hybridcert.sampling.store_file import reading

CONFIG_FILE = "config.yaml"
STORE_FILE = "run.sqlite"
COMPLETE = "environment.json"
SWEEP_COMPLETE = "sweep.json"

_HIDDEN = ".unfinished"
_SCRATCH = f".{CONFIG_FILE}"


def check_vacant(out: Path) -> None:
    """Raise DataError unless a run directory can be made at ``out``."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: choose another directory with --out")
    if out.is_dir() and any(path.name != _SCRATCH for path in out.iterdir()):
        if is_unfinished(out):
            raise DataError(
                f"{out} holds an unfinished run: continue it with --resume, or choose another directory with "
                "--out"
            )
        raise DataError(f"{out} is not empty: choose another directory with --out, or remove it")


def check_resumable(out: Path) -> None:
    """Raise DataError unless ``out`` is missing, empty, or what a run made."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: choose another directory with --out")
    if not out.is_dir() or (out / CONFIG_FILE).is_file():
        return
    if any(path.name != _SCRATCH for path in out.iterdir()):
        raise DataError(f"{out} holds no run to --resume: choose another directory with --out")


def is_complete(directory: Path) -> bool:
    """Whether the run, or the sweep, in a directory has come to its end."""
    return any((directory / mark).is_file() for mark in (COMPLETE, SWEEP_COMPLETE))


def is_unfinished(directory: Path) -> bool:
    """Whether a directory holds what a run or a sweep began and did not end."""
    return (directory / CONFIG_FILE).is_file() and not is_complete(directory)


def next_vacant(parent: Path, name: str) -> Path:
    """Return ``parent/name``, or ``name-2``, ``name-3``, … if that is taken."""
    out, number = parent / name, 2
    while out.exists():
        out, number = parent / f"{name}-{number}", number + 1
    return out


def last_taken(parent: Path, name: str) -> Path:
    """Return the last of ``parent/name``, ``name-2``, ``name-3``, … that is taken; the first if none is."""
    out, number = parent / name, 2
    while (following := parent / f"{name}-{number}").exists():
        out, number = following, number + 1
    return out


class OpenRun:
    """A run directory while its run is going on; `going_on` makes one."""

    __slots__ = ("_store", "path", "resume")

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.resume = resume
        self._store: RunStore | None = None

    def open_store(self, identity: Mapping[str, Any]) -> RunStore:
        """Open the store of the counts, which stays open until the run ends.

        Raises
        ------
        DataError, StoreError
            See `RunStore.open`.
        """
        self._store = RunStore.open(self.path / STORE_FILE, identity=identity, resume=self.resume)
        return self._store

    def kept(self) -> int:
        """Return how many copies are in the store, 0 where there is none."""
        if self._store is None:
            return 0
        with contextlib.suppress(StoreError):
            return self._store.copies()
        return 1  # it cannot be read now: take it for worth keeping

    def close(self) -> None:
        """Close the store, if it is open."""
        if self._store is not None:
            self._store.close()


@contextlib.contextmanager
def going_on(directory: Path, config: Mapping[str, Any], *, resume: bool) -> Iterator[OpenRun]:
    """Make a run directory with its configuration, or enter the one that is there.

    What was made is taken away again if the block fails before a single copy is kept.

    Raises
    ------
    DataError
        When the directory cannot be made or written.
    """
    made = _make(directory, config)
    run = OpenRun(directory, resume=resume)
    try:
        yield run
        run.close()
    except BaseException:
        worthless = run.kept() == 0
        with contextlib.suppress(StoreError):
            run.close()
        if worthless and made:
            _take_away(directory, made)
        raise


def _make(directory: Path, config: Mapping[str, Any]) -> list[Path]:
    """Make the directory and the file of its configuration; return what was not there before."""
    made = [path for path in (directory, directory / CONFIG_FILE) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if directory / CONFIG_FILE in made:
            write_config(directory, config)
    except OSError as error:
        raise _unwritable(directory, error) from error
    return made


def _take_away(directory: Path, made: list[Path]) -> None:
    """Remove what a run made, if nothing of it is worth keeping, unless the directory holds more."""
    files = (directory / CONFIG_FILE, directory / STORE_FILE)
    with contextlib.suppress(OSError):
        if directory / CONFIG_FILE in made and set(directory.iterdir()) <= set(files):
            for path in files:
                path.unlink(missing_ok=True)
            if directory in made:
                directory.rmdir()


def stored_copies(directory: Path) -> int:
    """Return how many noisy copies the store of a run directory has answers for; 0 without a store."""
    store = directory / STORE_FILE
    if not store.is_file():
        return 0
    with contextlib.suppress(StoreError), reading(store) as connection:
        return int(connection.execute("SELECT coalesce(sum(copies), 0) FROM counts").fetchone()[0])
    return 0


def write_config(directory: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.yaml`` so that a reader sees all of it or nothing."""
    scratch = directory / _SCRATCH
    scratch.write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True), encoding="utf-8")
    scratch.replace(directory / CONFIG_FILE)


@contextlib.contextmanager
def together(directory: Path, *, last: str = COMPLETE) -> Iterator[Path]:
    """Yield a hidden place inside a directory whose files appear there together when the block ends well.

    They are on the disk before the first one is moved, and the file ``last`` is moved last.

    Raises
    ------
    DataError
        When something cannot be written.
    """
    hidden = directory / _HIDDEN
    try:
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir()
        yield hidden
        for path in sorted(hidden.rglob("*")):
            if path.is_file():
                _sync(path)
        _move(hidden, directory, last)
        _sync(directory)
    except OSError as error:
        raise _unwritable(directory, error) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _move(source: Path, target: Path, last: str) -> None:
    for path in sorted(source.iterdir(), key=lambda path: (path.name == last, path.name)):
        if path.is_dir():
            (target / path.name).mkdir(exist_ok=True)
            _move(path, target / path.name, last)
        else:
            path.replace(target / path.name)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(directory: Path, error: OSError) -> DataError:
    reason = " ".join(str(error.strerror or error).split())
    return DataError(
        f"{directory} cannot be written ({reason}): free space or choose another --out, and run again with "
        "--resume"
    )


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling of ``out`` that takes its place when the block ends well.

    Raises
    ------
    DataError
        When ``out`` is taken or its parent cannot be written.
    """
    check_vacant(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise DataError(f"{out.parent} cannot be written: {error.strerror or error}") from error
    try:
        yield scratch
        scratch.chmod(0o777 & ~_umask())
        if out.is_dir():
            out.rmdir()
        scratch.rename(out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
