"""The counts of a run, kept block by block as they are drawn: what a killed run had, its successor has.

The store is one SQLite file, which the ``sqlite3`` shell, pandas and a second process can read while the run
is writing; counts lie in it as text such as ``[12, 4988]``. Its tables are described in `store_file`.

**What is kept.** Entries whose `RunStore.add` returned survive the death of the process, also by SIGKILL. A
power cut can take the entries that came within `SYNC_SECONDS` after the last sync, never more, and never
leaves a file that contradicts itself. A sync for each commit would make adding ten times as dear
(0.2 ms for an entry in place of 0.02 ms, on the disk that it was measured on), to save a second of work.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from hybridcert.errors import DataError, StoreError
from hybridcert.sampling.store_file import (
    WriterLock,
    begin_writing,
    check_sound,
    connect,
    create,
    end_writing,
    explained,
    is_store,
    transaction,
)
from hybridcert.sampling.store_identity import check_same, flatten
from hybridcert.sampling.store_rows import Cells, Row, chunks, decoded, encoded, split, write_parquet
from hybridcert.sampling.store_rows import Entry as Entry
from hybridcert.sampling.store_rows import read_counts as read_counts

SYNC_SECONDS: Final = 1.0
"""A commit that comes later than this after the last sync is synced, with all before it."""

_INSERT = "INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_GET = "SELECT copies, cells FROM counts WHERE input = ? AND kernel = ? AND stage = ? AND block = ?"


class RunStore:
    """A store that is open for writing; `open` makes one. Use it from one thread, as a context manager.

    The process that writes must not open the file by other means than SQLite (`read_counts` is fine): closing
    such a second handle would end SQLite's locks on it.
    """

    __slots__ = ("_connection", "_failed", "_lock", "_path", "_synced", "_syncing")

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = connection
        self._lock = lock
        self._synced = time.monotonic()
        self._syncing: bool | None = None
        self._failed = bool(connection.execute("SELECT EXISTS (SELECT 1 FROM failures)").fetchone()[0])

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, identity: Mapping[str, Any], resume: bool) -> Self:
        """Make a store, or with ``resume`` continue one that was made for the same run.

        Parameters
        ----------
        path : path
            Usually ``run.sqlite`` of a run directory, which must exist.
        identity : mapping
            Everything that the counts depend on, as nested mappings of plain values.
        resume : bool
            Without it, ``path`` must be free. With it, a store that is missing, or whose making was cut
            short, is made.

        Raises
        ------
        DataError
            When there is a store and ``resume`` was not asked for; as RunMismatchError when its identity
            is another.
        StoreError
            When another process is writing the store, when it is damaged or no store, or when the place
            cannot be written.
        """
        flat = flatten(identity)
        given, path = Path(path), Path(path).resolve()
        lock = WriterLock(path)
        connection = None
        try:
            with explained(given):
                connection = connect(path)
                if is_store(connection, given):
                    _check_resumable(connection, given, flat, resume)
                else:
                    create(connection, flat)
                begin_writing(connection, given)
        except BaseException:
            if connection is not None:
                connection.close()
            lock.release()
            raise
        return cls(given, connection, lock)

    def add(self, entries: Iterable[Entry]) -> None:
        """Keep all entries, or none. Entries that are there already may come again, if they are the same.

        Raises
        ------
        StoreError
            When the file cannot be written (what was added before stays), or when it holds other counts for
            the same block: the model or the machine then does not repeat itself.
        ParameterError
            For cells that are not a line of int64 counts.
        """
        rows = [encoded(entry) for entry in entries]
        if rows:
            with self._writing() as connection:
                for row in rows:
                    self._insert(connection, row)

    def fail(self, input: str, stage: int, block: int, attempts: int, reason: str) -> None:  # noqa: A002
        """Note that a block could not be counted after ``attempts``; forgotten when it is added after all.

        Raises
        ------
        StoreError
            When the file cannot be written.
        """
        self._failed = True
        text = " ".join(reason.encode(errors="replace").decode().split())
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?)",
                (input, int(stage), int(block), int(attempts), text),
            )

    def get(self, input: str, kernel: str, stage: int, block: int) -> tuple[int, Cells] | None:  # noqa: A002
        """Return (copies, cells) of one block, or None if it is not there; cells are read-only."""
        with explained(self._path):
            row = self._open.execute(_GET, (input, kernel, int(stage), int(block))).fetchone()
        return None if row is None else (row[0], decoded([row[1]], self._path)[0])

    def load(self, stage: int) -> dict[tuple[str, str, int], tuple[int, Cells]]:
        """Return all entries of one stage: (input, kernel, block) → (copies, cells); cells are read-only.

        Raises
        ------
        StoreError
            When the file cannot be read, or counts in it are not counts.
        """
        entries: dict[tuple[str, str, int], tuple[int, Cells]] = {}
        names: dict[str, str] = {}  # one string object a key, however many blocks have it
        for rows in chunks(self._open, self._path, stage):
            flat, ends = decoded([row[-1] for row in rows], self._path)
            for (key, kernel, _, block, copies, _), cells in zip(rows, split(flat, ends), strict=True):
                key, kernel = names.setdefault(key, key), names.setdefault(kernel, kernel)
                entries[key, kernel, block] = copies, cells
        return entries

    def copies(self, stage: int | None = None) -> int:
        """Return how many copies the store holds, in all or of one stage."""
        query = "SELECT coalesce(sum(copies), 0) FROM counts WHERE ?1 IS NULL OR stage = ?1"
        with explained(self._path):
            return int(self._open.execute(query, (None if stage is None else int(stage),)).fetchone()[0])

    def export_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the counts to a Parquet file that appears whole, or not at all, replacing an older one.

        One row for each input, kernel, stage and block, sorted by these; ``cells`` is a list of int64.

        Raises
        ------
        StoreError
            When the store cannot be read or the file cannot be written.
        """
        path = Path(path)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            write_parquet(scratch, chunks(self._open, self._path), self._path)
            scratch.replace(path)
        except OSError as error:
            raise StoreError(
                f"{path} cannot be written ({error.strerror or error}): free space, or choose another place"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)

    def close(self) -> None:
        """Sync, merge the log into the one file, and let the next writer in; closing twice is fine.

        Raises
        ------
        StoreError
            When the file cannot be written. What was added is then still there, in the log beside it.
        """
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            with explained(self._path):
                end_writing(connection)
        finally:
            connection.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.nullcontext() if error is None else contextlib.suppress(StoreError):
            self.close()

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self._path} is closed: open it again with resume")
        return self._connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; synced, with all before it, if the last sync is `SYNC_SECONDS` ago."""
        connection = self._open
        sync = time.monotonic() - self._synced >= SYNC_SECONDS
        with explained(self._path):
            if sync is not self._syncing:
                connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
                self._syncing = sync
            with transaction(connection):
                yield connection
        if sync:
            self._synced = time.monotonic()

    def _insert(self, connection: sqlite3.Connection, row: Row) -> None:
        key, kernel, stage, block, copies, text = row
        if connection.execute(_INSERT, row).rowcount == 0:
            was = connection.execute(_GET, (key, kernel, stage, block)).fetchone()
            if was != (copies, text):
                raise StoreError(
                    f"{self._path} holds other counts for input {key}, stage {stage}, block {block}: "
                    f"{was[1]:.60} of {was[0]} copies, now {text:.60} of {copies}. The model does not repeat "
                    "its answers, or has changed: choose another --out"
                )
        if self._failed:
            connection.execute(
                "DELETE FROM failures WHERE input = ? AND stage = ? AND block = ?", (key, stage, block)
            )


def _check_resumable(
    connection: sqlite3.Connection, path: Path, identity: Mapping[str, str], resume: bool
) -> None:
    if not resume:
        raise DataError(f"{path} holds a run: continue it with --resume, or choose another --out")
    check_sound(connection, path)
    was = dict(connection.execute("SELECT name, value FROM identity ORDER BY position"))
    check_same(path, was, identity)
