from __future__ import annotations

import json
import shutil
import sqlite3
import string
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridcert.errors import DataError, HybridCertError, ParameterError, RunMismatchError, StoreError
from hybridcert.sampling import store as store_module
from hybridcert.sampling.store import Entry, RunStore, read_counts
from hybridcert.sampling.store_identity import flatten
from store_writer import IDENTITY, check_holds, entry, finish, spawn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[RunStore]:
    with RunStore.open(path, identity=IDENTITY, resume=False) as opened:
        yield opened


def make(path: Path, *, entries: int = 3, identity: dict[str, Any] = IDENTITY) -> None:
    with RunStore.open(path, identity=identity, resume=False) as store:
        store.add([entry(number) for number in range(entries)])


def one(cells: list[int], *, stage: int = 0, block: int = 0, copies: int = 10) -> Entry:
    return Entry("aa", "kk", stage, block, copies, np.array(cells, dtype=np.int64))


def resume(path: Path, identity: dict[str, Any] = IDENTITY) -> None:
    RunStore.open(path, identity=identity, resume=True).close()


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    assert isinstance(error, HybridCertError)
    return text


# what goes in comes out


def test_entries_come_back_one_by_one_and_stage_by_stage(store: RunStore) -> None:
    extremes = [0, 2**63 - 1, -(2**63)]
    store.add([one([4, 6]), one(extremes, block=1), one([10], stage=1, copies=7)])
    found = store.get("aa", "kk", 0, 1)
    assert found is not None
    assert found[0] == 10
    assert found[1].dtype == np.int64
    assert found[1].tolist() == extremes
    assert not found[1].flags.writeable
    assert store.get("aa", "kk", 0, 2) is None
    held = store.load(0)
    assert {key: (copies, cells.tolist()) for key, (copies, cells) in held.items()} == {
        ("aa", "kk", 0): (10, [4, 6]),
        ("aa", "kk", 1): (10, extremes),
    }
    assert not any(cells.flags.writeable for _, cells in held.values())
    assert (store.copies(), store.copies(0), store.copies(1), store.copies(2)) == (27, 20, 7, 0)
    assert store.load(2) == {}


ENTRIES = st.builds(
    lambda key, kernel, stage, block, copies, cells: Entry(
        key, kernel, stage, block, copies, np.array(cells, dtype=np.int64)
    ),
    st.sampled_from(["aa", "ab", "b'", "ü;"]),
    st.sampled_from(["k1", "k2"]),
    st.integers(0, 2),
    st.integers(0, 3),
    st.integers(1, 5000),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
)


@settings(max_examples=15)
@given(batches=st.lists(st.lists(ENTRIES, max_size=6), max_size=5), reopen=st.booleans())
def test_a_store_is_a_dictionary_that_refuses_contradictions(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Entry]], reopen: bool
) -> None:
    path = tmp_path_factory.mktemp("store") / "run.sqlite"
    expected: dict[tuple[Any, ...], tuple[int, list[int]]] = {}
    store = RunStore.open(path, identity={}, resume=False)
    for batch in batches:
        after, contradiction = dict(expected), False
        for e in batch:
            value = (e.copies, e.cells.tolist())
            contradiction |= after.setdefault((e.stage, e.input, e.kernel, e.block), value) != value
        if contradiction:
            with pytest.raises(StoreError, match="holds other counts for input"):
                store.add(batch)
        else:
            store.add(batch)
            expected = after
        if reopen:
            store.close()
            store = RunStore.open(path, identity={}, resume=True)
    held = {(s, *key): (n, c.tolist()) for s in range(3) for key, (n, c) in store.load(s).items()}
    assert held == expected
    assert store.copies() == sum(copies for copies, _ in expected.values())
    store.close()
    frame = read_counts(path)
    assert len(frame) == len(expected)


def test_the_same_block_may_come_again_but_other_counts_may_not(store: RunStore) -> None:
    store.add([one([4, 6])])
    store.add([one([4, 6]), one([1, 9], block=1)])
    with pytest.raises(StoreError, match=r"input aa, stage 0, block 0: \[4, 6\] of 10 copies, now \[5, 5\]"):
        store.add([one([2, 8], block=2), one([5, 5])])
    with pytest.raises(StoreError, match=r"now .* of 11"):
        store.add([one([4, 6], copies=11)])
    assert sorted(block for _, _, block in store.load(0)) == [0, 1]
    store.add([])
    store.add([one([2, 8], block=2)])
    assert len(store.load(0)) == 3


@pytest.mark.parametrize(
    "cells",
    [np.zeros((2, 2), dtype=np.int64), np.array([0.5]), np.array([], dtype=np.int64), np.array([True])],
)
def test_cells_are_a_line_of_counts(store: RunStore, cells: Any) -> None:
    with pytest.raises(ParameterError, match="cells must be a line of at least one int64 count"):
        store.add([Entry("aa", "kk", 0, 0, 10, cells)])
    with pytest.raises(ParameterError, match="copies must be >= 1, got 0"):
        store.add([one([1], copies=0)])


def test_a_failure_is_noted_and_forgotten_when_the_block_is_counted(store: RunStore, path: Path) -> None:
    store.fail("aa", 0, 0, 1, "no answer")
    store.fail("aa", 0, 0, 3, "no\nanswer \udcff twice")
    store.fail("bb", 0, 0, 3, "worker died")
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT input, stage, block, attempts, reason FROM failures"
        assert connection.execute(query).fetchall() == [
            ("aa", 0, 0, 3, "no answer ? twice"),
            ("bb", 0, 0, 3, "worker died"),
        ]
        store.add([one([4, 6])])
        assert connection.execute("SELECT input FROM failures").fetchall() == [("bb",)]


def test_a_closed_store_says_so(path: Path) -> None:
    store = RunStore.open(path, identity={}, resume=False)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.add([one([1])])
    with pytest.raises(StoreError, match="is closed"):
        store.load(0)


# identity


def test_a_store_is_not_begun_twice_and_is_continued_on_request(path: Path) -> None:
    make(path)
    with pytest.raises(DataError, match=r"holds a run: continue it with --resume, or choose another --out"):
        RunStore.open(path, identity=IDENTITY, resume=False)
    check_holds(path, {0, 1, 2})
    reordered = dict(reversed(IDENTITY.items()))
    resume(path, reordered)


def test_resume_makes_a_store_that_is_missing(path: Path) -> None:
    resume(path)
    check_holds(path, set())


def test_another_run_is_refused_with_its_first_differences(path: Path) -> None:
    make(path)
    other = {"seed": 8, "certificate": {"alpha": 0.05, "points": [1, 0.5]}, "model": {"sha256": "ab"}}
    with pytest.raises(RunMismatchError) as caught:
        resume(path, other)
    assert one_line(caught.value) == (
        f"{path} belongs to another run: seed was 7, is 8; certificate.alpha was 0.01, is 0.05; "
        "certificate.points was [1, 0.25], is [1, 0.5]; and 1 more. "
        "Choose another --out, or restore the configuration"
    )
    with pytest.raises(RunMismatchError, match=r'model was not given, is "m"\. Choose'):
        resume(path, {**IDENTITY, "model": "m"})
    with pytest.raises(RunMismatchError, match=r"seed was 7, is not given\. Choose"):
        resume(path, {"certificate": IDENTITY["certificate"]})
    assert isinstance(caught.value, DataError)
    check_holds(path, {0, 1, 2})


def test_long_values_are_shown_where_they_differ(path: Path) -> None:
    make(path, identity={"names": [*range(200)]})
    with pytest.raises(RunMismatchError) as caught:
        resume(path, {"names": [*range(199), 777]})
    text = one_line(caught.value)
    assert "198, 199]" in text
    assert "198, 777]" in text
    assert len(text) < len(str(path)) + 300


KEYS = st.one_of(st.text(string.ascii_letters + '._" 1', max_size=4), st.integers(0, 3))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
IDENTITIES = st.dictionaries(KEYS, VALUES, max_size=3)


def typed(value: Any) -> Any:
    """Equal only for values of equal types, in any order of keys."""
    if isinstance(value, dict):
        return frozenset((repr(key), typed(part)) for key, part in value.items())
    return ("list", *map(typed, value)) if isinstance(value, list) else json.dumps(value)


@given(first=IDENTITIES, second=IDENTITIES)
def test_different_identities_flatten_differently(first: dict[Any, Any], second: dict[Any, Any]) -> None:
    if typed(first) != typed(second):
        assert flatten(first) != flatten(second)
    assert flatten(first) == flatten(dict(reversed(first.items())))


@pytest.mark.parametrize(
    ("identity", "flat"),
    [
        ({"a.b": 1, "a": {"b": 2}}, {'"a.b"': "1", "a.b": "2"}),
        ({"a": {"": 1, 1: 2, "1": 3}}, {'a.""': "1", "a.1": "2", 'a."1"': "3"}),
        ({"a": {}, "b": [], "c": (1, 2)}, {"a": "{}", "b": "[]", "c": "[1, 2]"}),
        ({"größe": "ü\n"}, {"größe": '"ü\\n"'}),
        ({"eps": float("inf")}, {"eps": "Infinity"}),
    ],
)
def test_names_are_dotted_and_quoted_where_they_must_be(identity: Any, flat: dict[str, str]) -> None:
    assert flatten(identity) == flat


def test_an_identity_is_made_of_plain_values(path: Path) -> None:
    with pytest.raises(ParameterError, match=r"identity 'a\.b' must be made of plain values.*got set"):
        RunStore.open(path, identity={"a": {"b": {1}}}, resume=False)
    assert not path.exists()


def test_the_identity_can_be_read_with_any_tool(path: Path) -> None:
    make(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name, value FROM identity ORDER BY position").fetchall() == [
            ("seed", "7"),
            ("certificate.alpha", "0.01"),
            ("certificate.points", "[1, 0.25]"),
        ]


# reading


def test_readers_see_what_is_committed_while_a_run_writes(store: RunStore, path: Path) -> None:
    assert read_counts(path).empty
    assert list(read_counts(path).columns) == ["input", "kernel", "stage", "block", "copies", "cells"]
    store.add([one([4, 6], block=1), one([1, 9])])
    frame = read_counts(path)
    assert frame["block"].tolist() == [0, 1]
    assert frame["copies"].sum() == 20
    assert np.stack(frame["cells"].tolist()).tolist() == [[1, 9], [4, 6]]
    with closing(sqlite3.connect(path)) as connection:
        progress = pd.read_sql_query("SELECT * FROM progress", connection)
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM counts").fetchall()
        store.add([one([0, 10], block=2)])  # a reader in the middle of a transaction stops nobody
        assert len(connection.execute("SELECT * FROM counts").fetchall()) == 2
    assert progress.to_dict("records") == [
        {"stage": 0, "name": "estimate", "inputs": 1, "blocks": 2, "copies": 20}
    ]
    assert len(read_counts(path)) == 3


def test_the_shell_shows_counts_that_a_person_can_read(store: RunStore, path: Path) -> None:
    if shutil.which("sqlite3") is None:
        pytest.skip("needs the sqlite3 shell")
    store.add([one([12, 4988], copies=5000)])
    shell = subprocess.run(
        ["sqlite3", path, "SELECT * FROM counts; SELECT * FROM progress;"], capture_output=True, text=True
    )
    assert shell.stdout == "aa|kk|0|0|5000|[12, 4988]\n0|estimate|1|1|5000\n"


def test_a_finished_store_is_one_file(path: Path) -> None:
    make(path)
    assert [file.name for file in path.parent.iterdir()] == ["run.sqlite"]
    before = path.read_bytes()
    assert len(read_counts(path)) == 3
    assert [file.name for file in path.parent.iterdir()] == ["run.sqlite"]
    assert path.read_bytes() == before


def test_a_reader_that_stays_does_not_keep_a_store_from_closing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridcert.sampling.store_file._TIMEOUT", 0.05)
    store = RunStore.open(path, identity=IDENTITY, resume=False)
    store.add([entry(0)])
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM counts").fetchall()
        store.add([entry(1)])
        store.close()
        assert len(reader.execute("SELECT * FROM counts").fetchall()) == 1
        assert len(read_counts(path)) == 2
    check_holds(path, {0, 1})


def test_parquet_appears_whole_and_replaces_an_older_one(store: RunStore, tmp_path: Path) -> None:
    store.add([one([4, 6], block=1), one([1, 2, 3]), one([7], stage=1)])
    target = tmp_path / "counts.parquet"
    target.write_text("old")
    store.export_parquet(target)
    table = pq.read_table(target)
    assert [str(field.type) for field in table.schema][-1] == "list<element: int64>"
    assert table.select(["input", "stage", "block", "copies", "cells"]).to_pylist() == [
        {"input": "aa", "stage": 0, "block": 0, "copies": 10, "cells": [1, 2, 3]},
        {"input": "aa", "stage": 0, "block": 1, "copies": 10, "cells": [4, 6]},
        {"input": "aa", "stage": 1, "block": 0, "copies": 10, "cells": [7]},
    ]
    with pytest.raises(StoreError, match="cannot be written"):
        store.export_parquet(tmp_path / "missing" / "counts.parquet")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        store.export_parquet(tmp_path / "folder.parquet")
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_many_rows_are_read_in_order_and_whole(
    store: RunStore, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridcert.sampling.store_rows._CHUNK", 1000)
    count = 2017
    store.add(Entry(f"{i % 97:02d}", "kk", 0, i, 10, np.array([i] * (1 + i % 2))) for i in range(count))
    held = store.load(0)
    assert len(held) == count
    assert all(cells.tolist() == [block] * (1 + block % 2) for (_, _, block), (_, cells) in held.items())
    frame = read_counts(path)
    assert (frame["cells"].map(lambda cells: cells[0]) == frame["block"]).all()
    store.export_parquet(tmp_path / "counts.parquet")
    cells = pq.read_table(tmp_path / "counts.parquet").to_pydict()
    assert cells["cells"] == [[block] * (1 + block % 2) for block in cells["block"]]
    assert cells["block"] == frame["block"].tolist()


# files that are no store


def test_a_file_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("name,value\n" * 1000)
    before = path.read_bytes()
    for act in (resume, read_counts):
        with pytest.raises(StoreError, match="is not a run store: choose another --out") as caught:
            act(path)
        one_line(caught.value)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE counts (n)")
    before = path.read_bytes()
    for act in (resume, read_counts):
        with pytest.raises(StoreError, match="is a database of another program"):
            act(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["run.sqlite"]


def test_a_store_of_another_version_is_refused(path: Path) -> None:
    make(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    for act in (resume, read_counts):
        with pytest.raises(StoreError, match="version 2, must be 1: use the version of hybridcert"):
            act(path)


def test_a_file_without_tables_counts_as_no_store(path: Path) -> None:
    path.touch()
    with pytest.raises(StoreError, match="is empty"):
        read_counts(path)
    make(path)
    check_holds(path, {0, 1, 2})
    with pytest.raises(StoreError, match="does not exist"):
        read_counts(path.with_name("other.sqlite"))


@pytest.mark.parametrize("page", [1, 2, 5])
def test_damage_is_found_before_anything_is_counted(path: Path, page: int) -> None:
    make(path, entries=2000)
    content = bytearray(path.read_bytes())
    assert len(content) > 10 * 4096
    start = (page - 1) * 4096 + (100 if page == 1 else 0)
    content[start : start + 2000] = b"\x5a" * 2000
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged|run again with --resume") as caught:
        resume(path)
    one_line(caught.value)


def test_a_file_that_was_cut_off_is_damaged(path: Path) -> None:
    make(path, entries=2000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match="is damaged") as caught:
        resume(path)
    one_line(caught.value)


@pytest.mark.parametrize("text", ["[1.5, 2]", "[1", "7", "{}", "[99999999999999999999]", "[1],[2]", "[]"])
def test_cells_that_someone_wrote_by_hand_must_be_counts(path: Path, text: str) -> None:
    make(path, entries=1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE counts SET cells = ?", (text,))
    with RunStore.open(path, identity=IDENTITY, resume=True) as store:
        for act in (lambda: store.load(0), lambda: read_counts(path)):
            with pytest.raises(StoreError, match="holds cells that are no list") as caught:
                act()
            one_line(caught.value)


# one writer


def test_a_second_writer_is_turned_away_until_the_first_ends(store: RunStore, path: Path) -> None:
    with pytest.raises(StoreError, match="is being written by another process: wait for it to end"):
        resume(path)
    code, lines, err = finish(spawn("until-error", path))
    assert (code, err) == (0, "")
    assert len(lines) == 1
    assert lines[0].startswith(f"StoreError: {path} is being written by another process")
    store.add([entry(0)])
    store.close()
    code, lines, _ = finish(spawn("some", path, 4))
    assert (code, lines) == (0, ["0", "1", "2", "3"])
    check_holds(path, {0, 1, 2, 3})


def test_a_link_is_no_second_door(store: RunStore, path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "run.sqlite").symlink_to(path)
    with pytest.raises(StoreError, match="is being written"):
        resume(tmp_path / "link" / "run.sqlite")


def test_the_lock_dies_with_its_process_even_if_children_live_on(path: Path) -> None:
    process = spawn("hold", path, 1)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="is being written"):
            resume(path)
        process.kill()
        finish(process)
        assert path.with_name("run.sqlite-lock").exists()
        check_holds(path, {0})
        assert [file.name for file in path.parent.iterdir()] == ["run.sqlite"]
    finally:
        subprocess.run(["kill", "-9", str(child)])


def test_no_two_processes_hold_the_lock_at_once(path: Path) -> None:
    processes = [spawn("contend", path, 200) for _ in range(4)]
    for process in processes:
        assert finish(process) == (0, ["done"], "")
    assert list(path.parent.iterdir()) == []


def test_an_open_that_fails_leaves_no_lock(path: Path) -> None:
    make(path)
    with pytest.raises(RunMismatchError):
        resume(path, {"seed": 0})
    assert [file.name for file in path.parent.iterdir()] == ["run.sqlite"]
    resume(path)


def test_another_program_that_writes_is_waited_for_and_then_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridcert.sampling.store_file._TIMEOUT", 0.05)
    with RunStore.open(path, identity=IDENTITY, resume=False) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another program holds it: close that program") as caught:
                store.add([entry(0)])
            one_line(caught.value)
        store.add([entry(0)])
    check_holds(path, {0})


# syncs


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.0, 20, 30), (1e9, 0, 10)])
def test_a_commit_is_synced_when_the_last_sync_is_long_ago(
    path: Path, tmp_path: Path, seconds: float, least: int, most: int
) -> None:
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "true"], capture_output=True).returncode:
        pytest.skip("needs strace, and the right to use it")
    code = f"""
import os
from store_writer import IDENTITY, entry
from hybridcert.sampling import store as module
module.SYNC_SECONDS = {seconds}
with module.RunStore.open({str(path)!r}, identity=IDENTITY, resume=False) as store:
    os.chdir("/")
    for number in range(20):
        store.add([entry(number)])
    os.chdir("/")
"""
    log = tmp_path / "log"
    command = [strace, "-o", str(log), "-e", "trace=fsync,fdatasync,chdir", *_python(code)]
    subprocess.run(command, check=True, cwd=Path(__file__).parent)
    _, during, after = log.read_text().split('chdir("/")')
    assert least <= during.count("sync(") <= most
    assert after.count("sync(") >= 1  # closing syncs
    assert store_module.SYNC_SECONDS == 1.0


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]
