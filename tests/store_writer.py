"""A process that writes a run store, to be killed, starved and locked out by tests.

Run as a script: ``store_writer.py COMMAND PATH [NUMBER]``. It prints the number of an entry after the store
took it, so that a test knows what must be there.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from hybridcert.errors import HybridCertError
from hybridcert.sampling import store as store_module
from hybridcert.sampling.store import Entry, RunStore
from hybridcert.sampling.store_file import WriterLock

IDENTITY = {"seed": 7, "certificate": {"alpha": 0.01, "points": [1, 0.25]}}
COPIES = 5_000


def entry(number: int) -> Entry:
    """Entry ``number`` of a sequence that spreads over the keys, as hashed inputs do."""
    key = f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"
    cells = np.array([number, COPIES - number], dtype=np.int64)
    return Entry(key, "kernel", stage=0, block=number % 3, copies=COPIES, cells=cells)


def spawn(command: str, path: Path, *numbers: int) -> subprocess.Popen[str]:
    """Start this script."""
    arguments = [sys.executable, __file__, command, str(path), *map(str, numbers)]
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    """Wait for a started script; return exit code, lines of stdout, stderr."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out.splitlines(), err


def check_holds(path: Path, numbers: set[int], *, possible: set[int] | None = None) -> set[int]:
    """Assert that a store is sound and holds these entries whole, beyond them at most ``possible`` ones."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with RunStore.open(path, identity=IDENTITY, resume=True) as store:
        held = store.load(0)
    found = {int(cells[0]) for _, cells in held.values()}
    assert len(found) == len(held)
    assert numbers <= found <= numbers | (possible or set())
    for number in found:
        expected = entry(number)
        copies, cells = held[expected.input, expected.kernel, expected.block]
        assert copies == COPIES
        np.testing.assert_array_equal(cells, expected.cells)
    return found


def _say(text: object) -> None:
    os.write(1, f"{text}\n".encode())


def _open(path: Path) -> RunStore:
    return RunStore.open(path, identity=IDENTITY, resume=True)


def _loop(path: Path, batch: int) -> None:
    """Add for ever, ``batch`` entries at a time, going on after what is there."""
    store_module.SYNC_SECONDS = 0.01  # many syncs within a short life
    _say("ready")
    store = _open(path)
    start = len(store.load(0))
    for first in range(start, COPIES * 1000, batch):
        store.add([entry(number) for number in range(first, first + batch)])
        _say(first + batch - 1)


def _some(path: Path, count: int) -> None:
    """Add ``count`` entries, synced one by one, and close."""
    store_module.SYNC_SECONDS = 0.0
    with _open(path) as store:
        for number in range(count):
            store.add([entry(number)])
            _say(number)


def _until_error(path: Path, limit: int) -> None:
    """Add until it fails, with files of at most ``limit`` bytes (0: any size); then say how it failed."""
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    number = 0
    try:
        with _open(path) as store:
            while number < COPIES:
                store.add([entry(number)])
                _say(number)
                number += 1
    except HybridCertError as error:
        _say(f"{type(error).__name__}: {error}")


def _unprivileged(path: Path, limit: int) -> None:
    """Like ``until-error``, as a user whom permissions bind."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    _until_error(path, limit)


def _contend(path: Path, rounds: int) -> None:
    """Take the writer's lock ``rounds`` times, in between others; say so if another had it too."""
    marker = path.with_name("marker")
    while rounds:
        try:
            lock = WriterLock(path)
        except HybridCertError:
            continue
        marker.touch(exist_ok=False)
        marker.unlink()
        lock.release()
        rounds -= 1
    _say("done")


def _hold(path: Path, children: int) -> None:
    """Hold the store open until stdin ends; first fork children that outlive a kill of this process."""
    store = _open(path)
    store.add([entry(0)])
    for _ in range(children):
        child = os.fork()
        if child == 0:
            os.close(1)
            os.close(2)
            time.sleep(30)
            os._exit(0)
        _say(child)
    _say("held")
    sys.stdin.read()
    store.close()


if __name__ == "__main__":
    _COMMANDS = {
        "loop": _loop,
        "some": _some,
        "until-error": _until_error,
        "unprivileged": _unprivileged,
        "contend": _contend,
        "hold": _hold,
    }
    _COMMANDS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
