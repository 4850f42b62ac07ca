"""Disks that fill up, places that cannot be written, processes that are killed: real ones."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hybridcert.errors import StoreError
from hybridcert.sampling.store import RunStore, read_counts
from store_killing import kill_during_making, kill_while_writing
from store_writer import COPIES, IDENTITY, check_holds, entry, finish, spawn

Remount = Callable[[str], None]
_ROOT = os.geteuid() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Remount]]:
    """A file system of one megabyte, and how to mount it with other options."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if not _ROOT or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)

    try:
        yield disk, remount
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def written(lines: list[str]) -> tuple[set[int], str]:
    """Split what a writer printed: the numbers that the store took, and how it failed."""
    assert all(line.isdigit() for line in lines[:-1])
    return {int(line) for line in lines[:-1]}, lines[-1]


def fill(filler: Path) -> None:
    """Take all the room that is left."""
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def test_a_full_disk_ends_the_run_with_one_line_and_the_store_goes_on_after(
    small_disk: tuple[Path, Remount],
) -> None:
    disk, _ = small_disk
    path, filler = disk / "run.sqlite", disk / "filler"
    filler.write_bytes(bytes(500_000))
    code, lines, err = finish(spawn("until-error", path))
    assert (code, err) == (0, "")
    numbers, said = written(lines)
    assert said.startswith(f"StoreError: {path}: the disk is full: free space and run again with --resume")
    assert 10 < len(numbers) < COPIES
    assert set(read_counts(path)["copies"]) == {COPIES}
    filler.unlink()
    check_holds(path, numbers)
    assert sorted(file.name for file in disk.iterdir()) == ["run.sqlite"]
    with RunStore.open(path, identity=IDENTITY, resume=True) as store:
        store.add([entry(len(numbers))])
    check_holds(path, numbers | {len(numbers)})


@pytest.mark.parametrize("free", [0, 4096, 8192, 20_000, 40_000, 60_000])
def test_a_disk_without_room_for_the_store_says_so_at_once(
    small_disk: tuple[Path, Remount], free: int
) -> None:
    disk, _ = small_disk
    path, filler = disk / "run.sqlite", disk / "filler"
    room = os.statvfs(disk)
    filler.write_bytes(bytes(room.f_bavail * room.f_frsize - free))
    _, lines, _ = finish(spawn("until-error", path))
    numbers, said = written(lines)
    assert said.startswith("StoreError: ")
    assert "full" in said or "cannot be opened" in said or "reading or writing failed" in said
    filler.unlink()
    check_holds(path, numbers)


@pytest.mark.parametrize("limit", [2_000, 20_000, 100_000, 1_000_000])
def test_a_limit_on_file_sizes_ends_the_run_with_one_line(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "run.sqlite"
    code, lines, err = finish(spawn("until-error", path, limit))
    assert (code, err) == (0, "")
    numbers, said = written(lines)
    assert said.startswith(f"StoreError: {path}: reading or writing failed: free space (quotas and limits")
    assert (len(numbers) > 10) == (limit >= 100_000)
    check_holds(path, numbers)


def test_a_store_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with RunStore.open(path, identity=IDENTITY, resume=False) as store:
        connection = store._open
        connection.execute("PRAGMA max_page_count = 20")
        number = 0
        said = ""
        while not said:
            try:
                store.add([entry(number), entry(number + 1)])
                number += 2
            except StoreError as error:
                said = str(error)
        assert said.startswith(f"{path}: the disk is full: free space and run again with --resume")
        assert len(store.load(0)) == number > 10  # of the last transaction nothing is kept
        assert store.get(entry(number).input, "kernel", 0, number % 3) is None
        connection.execute("PRAGMA max_page_count = 1000")
        store.add([entry(number), entry(number + 1)])
    check_holds(path, set(range(number + 2)))


def test_an_error_of_the_run_is_not_hidden_by_a_disk_that_is_full(small_disk: tuple[Path, Remount]) -> None:
    disk, _ = small_disk
    path, filler = disk / "run.sqlite", disk / "filler"
    store = RunStore.open(path, identity=IDENTITY, resume=False)
    store.add([entry(number) for number in range(2_000)])
    fill(filler)
    with pytest.raises(ZeroDivisionError), store:
        _ = 1 // 0
    filler.unlink()
    check_holds(path, set(range(2_000)))


def test_closing_on_a_full_disk_says_so_and_keeps_everything(small_disk: tuple[Path, Remount]) -> None:
    disk, _ = small_disk
    path, filler = disk / "run.sqlite", disk / "filler"
    store = RunStore.open(path, identity=IDENTITY, resume=False)
    store.add([entry(number) for number in range(2_000)])
    fill(filler)
    with pytest.raises(StoreError, match="the disk is full: free space and run again with --resume"):
        store.close()
    filler.unlink()
    check_holds(path, set(range(2_000)))


def test_an_export_that_fails_leaves_no_file(small_disk: tuple[Path, Remount], tmp_path: Path) -> None:
    disk, _ = small_disk
    target = disk / "counts.parquet"
    target.write_text("old")
    room = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize - 8192))
    with RunStore.open(tmp_path / "run.sqlite", identity=IDENTITY, resume=False) as store:
        store.add([entry(number) for number in range(5_000)])
        with pytest.raises(StoreError, match=r"counts\.parquet cannot be written \(.*free space"):
            store.export_parquet(target)
    assert sorted(file.name for file in disk.iterdir()) == ["counts.parquet", "filler"]
    assert target.read_text() == "old"


def test_a_read_only_disk_is_named_and_a_finished_store_is_read_from_it(
    small_disk: tuple[Path, Remount],
) -> None:
    disk, remount = small_disk
    path = disk / "run.sqlite"
    with RunStore.open(path, identity=IDENTITY, resume=False) as store:
        store.add([entry(0)])
    remount("ro")
    assert len(read_counts(path)) == 1
    for target in (path, disk / "other.sqlite"):
        with pytest.raises(
            StoreError, match=r"cannot be written \(Read-only file system\): make its directory"
        ):
            RunStore.open(target, identity=IDENTITY, resume=True)
    remount("rw")
    check_holds(path, {0})


@pytest.mark.parametrize("what", ["directory", "file"])
def test_missing_rights_are_named(open_directory: Path, what: str) -> None:
    path = open_directory / "run.sqlite"
    with RunStore.open(path, identity=IDENTITY, resume=False) as store:
        store.add([entry(0)])
    path.chmod(0o444)
    open_directory.chmod(0o555 if what == "directory" else 0o777)
    try:
        code, lines, err = finish(spawn("unprivileged", path))
    finally:
        open_directory.chmod(0o755)
    assert (code, err) == (0, "")
    assert len(lines) == 1
    assert lines[0].startswith(f"StoreError: {path}")
    assert "cannot be written" in lines[0]
    path.chmod(0o644)
    check_holds(path, {0})
    assert [file.name for file in open_directory.iterdir()] == ["run.sqlite"]


def test_a_file_without_read_permission_is_named(open_directory: Path) -> None:
    path = open_directory / "run.sqlite"
    RunStore.open(path, identity=IDENTITY, resume=False).close()
    path.chmod(0o000)
    open_directory.chmod(0o777)
    code, lines, err = finish(spawn("unprivileged", path))
    assert (code, err) == (0, "")
    assert lines[0].startswith(f"StoreError: {path}: it cannot be opened: make it and its directory readable")


def test_places_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="its directory does not exist: make it, or choose another --out"):
        RunStore.open(tmp_path / "missing" / "run.sqlite", identity=IDENTITY, resume=False)
    (tmp_path / "run.sqlite").mkdir()
    with pytest.raises(StoreError, match="it cannot be opened"):
        RunStore.open(tmp_path / "run.sqlite", identity=IDENTITY, resume=True)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written \(Not a directory\)"):
        RunStore.open(tmp_path / "file" / "run.sqlite", identity=IDENTITY, resume=False)


def test_what_a_killed_process_had_added_is_there(tmp_path: Path) -> None:
    kill_while_writing(tmp_path / "run.sqlite", kills=5, moments=random.Random(1))


def test_a_store_whose_making_was_cut_short_is_made_afresh(tmp_path: Path) -> None:
    for number in range(3):
        kill_during_making(tmp_path / f"{number}.sqlite", moments=random.Random(number))


def test_a_log_that_lost_its_end_leaves_the_entries_before_it(tmp_path: Path) -> None:
    """What a power cut may do to commits that were not synced, at any byte of the log."""
    moments = random.Random(1)
    path = tmp_path / "run.sqlite"
    with RunStore.open(path, identity=IDENTITY, resume=False) as store:
        for number in range(100):
            store.add([entry(number)])
        content, log = path.read_bytes(), (tmp_path / "run.sqlite-wal").read_bytes()
    counts = []
    for case in range(20):
        folder = tmp_path / str(case)
        folder.mkdir()
        end = moments.randrange(len(log))
        garbage = moments.randbytes(moments.choice([0, 5000]))
        (folder / "run.sqlite").write_bytes(content)
        (folder / "run.sqlite-wal").write_bytes(log[:end] + garbage)
        found = check_holds(folder / "run.sqlite", set(), possible=set(range(100)))
        assert found == set(range(len(found)))
        counts.append((end, len(found)))
    assert sorted(counts) == sorted(counts, key=lambda pair: pair[1])
    assert max(counts)[1] > 50
