"""The SQLite file below a run store: its tables, its one writer, and what SQLite's failures mean.

A database is ours when it carries `APPLICATION` as its application id. It is made in one transaction, so a
process that dies at any moment leaves either a file without tables, which counts as no store, or a whole
store with its identity.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from hybridcert.errors import StoreError
from hybridcert.sampling.streams import Stage

APPLICATION = 0x68796372
"""Application id in the file's header: "hycr"."""

VERSION = 1
"""Version of the tables, kept as the database's user version."""

_TIMEOUT = 5.0  # seconds to wait for a program that holds the file for a moment
_STAGES = " ".join(f"WHEN {stage.value} THEN '{stage.name.lower()}'" for stage in Stage)
_TABLES = (
    "CREATE TABLE identity (position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, value TEXT NOT NULL)",
    """CREATE TABLE counts (
        input TEXT NOT NULL, kernel TEXT NOT NULL, stage INTEGER NOT NULL, block INTEGER NOT NULL,
        copies INTEGER NOT NULL, cells TEXT NOT NULL,
        PRIMARY KEY (input, kernel, stage, block)) WITHOUT ROWID""",
    """CREATE TABLE failures (
        input TEXT NOT NULL, stage INTEGER NOT NULL, block INTEGER NOT NULL,
        attempts INTEGER NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (input, stage, block)) WITHOUT ROWID""",
    f"""CREATE VIEW progress AS
        SELECT stage, CASE stage {_STAGES} END AS name, count(DISTINCT input) AS inputs,
            count(*) AS blocks, sum(copies) AS copies
        FROM counts GROUP BY stage ORDER BY stage""",
)
_WHAT_TO_DO = {
    sqlite3.SQLITE_FULL: "the disk is full: free space and run again with --resume",
    sqlite3.SQLITE_IOERR: "reading or writing failed: free space (quotas and limits on file sizes count "
    "too) or mend the disk, and run again with --resume",
    sqlite3.SQLITE_READONLY: "it cannot be written: make it and its directory writable and run again with "
    "--resume, or choose another --out",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: make it and its directory readable and writable, or "
    "choose another --out",
    sqlite3.SQLITE_BUSY: "another program holds it: close that program and run again with --resume",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore it from a copy, or choose another --out",
    sqlite3.SQLITE_NOTADB: "it is not a run store: choose another --out",
}


class WriterLock:
    """The right to write one store, held by at most one process and lost with it.

    An exclusive transaction on an empty database beside the store: the operating system ends it when the
    process dies, however it dies, and children of the process do not inherit it. Readers of the store never
    touch it. The file is removed on release; one that a killed process left behind stops nobody.

    Raises
    ------
    StoreError
        When another writer holds the store, or the directory cannot be written.
    """

    __slots__ = ("_connection", "_path")

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(f"{store.name}-lock")
        while True:
            connection = _locked(store, self._path)
            if connection is not None:
                self._connection = connection
                return

    def release(self) -> None:
        """Let the next writer in."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._connection.close()


def _locked(store: Path, path: Path) -> sqlite3.Connection | None:
    """Return the lock; None if the file was removed by its last holder before we had it."""
    try:
        path.touch()
        before = path.stat().st_ino
    except FileNotFoundError:
        if path.parent.is_dir():
            return None
        raise StoreError(f"{store}: its directory does not exist: make it, or choose another --out") from None
    except OSError as error:
        raise StoreError(
            f"{store} cannot be written ({error.strerror}): make its directory writable and run again with "
            "--resume, or choose another --out"
        ) from error
    with explained(store):
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        connection.close()
        if _primary_code(error) == sqlite3.SQLITE_BUSY:
            raise StoreError(
                f"{store} is being written by another process: wait for it to end, or choose another --out"
            ) from None
        with explained(store):
            raise
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == before:
            return connection
    connection.close()
    return None


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreError: one line with the path, what happened and what to do."""
    try:
        yield
    except sqlite3.ProgrammingError:  # a defect of ours
        raise
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        advice = _WHAT_TO_DO.get(_primary_code(error), "run again with --resume, or choose another --out")
        raise StoreError(f"{path}: {advice} (SQLite says: {error}, {name})") from error


def connect(path: Path) -> sqlite3.Connection:
    """Open for writing, making an empty file if there is none; transactions are begun by hand."""
    return sqlite3.connect(path, timeout=_TIMEOUT, isolation_level=None)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that cannot write, to a store that may be being written; check that it is one."""
    if not path.is_file():
        raise StoreError(f"{path} does not exist: name the run.sqlite of a run directory")
    with explained(path):
        uri = f"{path.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_TIMEOUT)) as connection:
            if not is_store(connection, path):
                raise StoreError(f"{path} is empty: its run was ended before it began to count")
            yield connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything in the block is kept, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after some failures SQLite has rolled back already
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def is_store(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the file holds a store that this version reads; False for a file without tables.

    Raises
    ------
    StoreError
        For a database of another program, or a store of another version.
    """
    application, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if application == 0 and tables == 0:
        return False
    if application != APPLICATION:
        raise StoreError(f"{path} is a database of another program, not a run store: choose another --out")
    if version != VERSION:
        raise StoreError(
            f"{path} is a run store of version {version}, must be {VERSION}: use the version of hybridcert "
            "that wrote it, or choose another --out"
        )
    return True


def create(connection: sqlite3.Connection, identity: Mapping[str, str]) -> None:
    """Make the tables and write the identity, in one transaction that is synced to the disk."""
    with transaction(connection):
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        for statement in _TABLES:
            connection.execute(statement)
        connection.executemany("INSERT INTO identity (name, value) VALUES (?, ?)", identity.items())


def check_sound(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError when pages of the file contradict each other, or when it cannot be written."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        said = " ".join(str(found).split())
        raise StoreError(f"{path} is damaged ({said}): restore it from a copy, or choose another --out")
    with transaction(connection):
        pass


def begin_writing(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to a write-ahead log, which lets others read while we write."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"{path}: its file system cannot hold a write-ahead log (journal mode {mode}): choose an --out "
            "on a local disk"
        )
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()  # opens the log, here and not later


def end_writing(connection: sqlite3.Connection) -> None:
    """Sync everything, and leave one file that can be read from a read-only place too.

    While another program reads, the log stays beside the file, synced; the last one to close merges it.
    """
    busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA user_version = {VERSION}")  # a commit: it syncs all that came before
        return
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if _primary_code(error) != sqlite3.SQLITE_BUSY:
            raise


def _primary_code(error: BaseException | None) -> int:
    """Return SQLite's result code without its extension; -1 for errors that have none."""
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else int(code) & 0xFF
