"""Killing a writer of a run store at random moments, and asking what is left."""

from __future__ import annotations

import random
import time
from pathlib import Path

from hybridcert.sampling.store import read_counts
from store_writer import check_holds, finish, spawn


def kill_while_writing(path: Path, *, kills: int, moments: random.Random) -> None:
    """Kill writers one after another, each going on where the last one was cut off.

    Everything that a writer said to have added must be there, whole and in a sound file; beyond it at most
    the one batch that was added and not yet said. Half of the times a reader looks at the file first.
    """
    held: set[int] = set()
    for kill in range(kills):
        batch = moments.choice([1, 7, 50])
        process = spawn("loop", path, batch)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        first = process.stdout.readline()
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        _, lines, err = finish(process)
        assert err == ""
        last = max(int(line) for line in [first, *lines])
        said = held | set(range(last + 1))
        if kill % 2:
            assert len(read_counts(path)) >= len(said)
        held = check_holds(path, said, possible=set(range(last + 1, last + 1 + batch)))
        assert len(held) - len(said) in (0, batch)


def kill_during_making(path: Path, *, moments: random.Random) -> None:
    """Kill a writer just when it makes the store; the next one must find it, or make it."""
    process = spawn("loop", path, 1)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(moments.uniform(0, 0.004))
    process.kill()
    _, lines, err = finish(process)
    assert err == ""
    check_holds(path, {int(line) for line in lines}, possible={len(lines)})
    assert not list(path.parent.glob(f"{path.name}-*"))
