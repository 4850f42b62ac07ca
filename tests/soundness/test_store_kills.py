"""Run stores under many kills: at random moments, and at every system call that changes a file."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import store_writer
from store_killing import kill_during_making, kill_while_writing
from store_writer import check_holds

pytestmark = pytest.mark.slow

ADDED = 4
CALLS = ("pwrite64", "fdatasync", "ftruncate", "unlink", "fcntl", "openat")


@pytest.mark.parametrize("seed", range(3))
def test_what_a_killed_process_had_added_is_there(tmp_path: Path, seed: int) -> None:
    kill_while_writing(tmp_path / "run.sqlite", kills=30, moments=random.Random(seed))


def test_a_store_whose_making_was_cut_short_is_made_afresh(tmp_path: Path) -> None:
    for number in range(60):
        kill_during_making(tmp_path / f"{number}.sqlite", moments=random.Random(number))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("started", [False, True])
def test_a_kill_at_any_system_call_loses_nothing(tmp_path: Path, call: str, started: bool) -> None:
    """Open, add, close; killed at the first such call on the store's files, at the second, and so on."""
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "true"], capture_output=True).returncode:
        pytest.skip("needs strace, and the right to use it")
    for moment in itertools.count(1):
        folder = tmp_path / str(moment)
        folder.mkdir()
        path = folder / "run.sqlite"
        if started:
            subprocess.run([*_writer(path), "1"], check=True, capture_output=True)
        on_files = [f"--trace-path={path}{end}" for end in ("", "-journal", "-wal", "-shm", "-lock")]
        inject = [f"--inject={call}:signal=SIGKILL:when={moment}", f"--trace={call}"]
        done = subprocess.run(
            [strace, "-o", "/dev/null", *on_files, *inject, *_writer(path), str(ADDED)],
            capture_output=True,
            text=True,
        )
        said = {int(line) for line in done.stdout.split()} | ({0} if started else set())
        check_holds(path, said, possible={len(said)})
        if done.returncode == 0:
            assert said == set(range(ADDED))
            assert moment > 1
            return
        assert done.stderr == ""


def _writer(path: Path) -> list[str]:
    return [sys.executable, store_writer.__file__, "some", str(path)]
