"""Many certificates: files, lists in files, run directories, and a pool of processes."""

from __future__ import annotations

import collections
import concurrent.futures
import concurrent.futures.process
import contextlib
import dataclasses
import functools
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hybridcert.errors import DataError
from hybridcert.verify import document as documents
from hybridcert.verify import limits
from hybridcert.verify.explain import explain
from hybridcert.verify.verdict import Verdict, verify_document

RUN_FILE: Final = "certificates.jsonl"
_CHUNK: Final = 64  # documents sent to a process at a time
_ALIKE: Final = 1024  # different verdicts on unreadable documents that are looked for among later ones
_FEW: Final = 256  # up to so many documents no process is worth starting

Progress = Callable[[str, int, int], None]
"""Called with what is being done, documents done and documents in all (0: not known yet)."""


@dataclass(frozen=True, slots=True)
class Source:
    """One document: its file, its place in the file (``line 3``, ``entry 0``, or empty) and its content."""

    path: str
    place: str
    content: object  # the bytes of a line, or parsed JSON, or the reason why there is neither


@dataclass(frozen=True, slots=True)
class Checked:
    """A document's place, its verdict and, where asked for, what it says in plain sentences."""

    path: str
    place: str
    verdict: Verdict
    explanation: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Where the document stands, for messages."""
        return f"{self.path}, {self.place}" if self.place else self.path


@dataclass(frozen=True, slots=True)
class _Broken:
    """Why a document could not be taken from its file."""

    reason: str


def verify_paths(
    paths: Iterable[str | os.PathLike[str]],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    explained: bool = False,
) -> list[Checked]:
    """Verify every certificate in files and run directories, in order.

    Parameters
    ----------
    paths
        ``*.jsonl`` files with one certificate a line, other files with one certificate or a list of them,
        and directories that hold ``certificates.jsonl`` themselves or one level down.
    jobs
        Processes; None for one per core. Few documents are checked in this one. A script that checks many
        needs ``if __name__ == "__main__":``, as processes are spawned.
    progress
        Called as documents are finished.
    explained
        Also say in plain sentences what each document guarantees.

    Raises
    ------
    DataError
        If a path does not exist, cannot be read or holds no certificate, or if there are too many.
    """
    files = [file for path in paths for file in _files(Path(path))]
    total = _lines_in(files) if progress is not None else 0
    checked: list[Checked] = []
    alike: dict[Verdict, Verdict] = {}  # what is no certificate takes few bytes: it must not leave many
    check = functools.partial(check_source, explained=explained)
    for found in _checked(_sources(files), check, jobs or os.cpu_count() or 1):
        if len(checked) == limits.DOCUMENTS:
            raise DataError(f"more than {limits.DOCUMENTS} certificates; verify fewer files at a time")
        if found.verdict.summary is None and len(alike) < _ALIKE:
            found = dataclasses.replace(found, verdict=alike.setdefault(found.verdict, found.verdict))
        checked.append(found)
        if progress is not None:
            progress("verifying certificates", len(checked), total)
    return checked


def _lines_in(files: Sequence[Path]) -> int:
    """Count the documents where every file has one a line; 0 where that takes more than counting lines."""
    if any(file.suffix != ".jsonl" for file in files):
        return 0
    lines = 0
    for file in files:
        with contextlib.suppress(OSError), file.open("rb") as stream:  # reading it says what is wrong
            while block := stream.read(limits.READ_BYTES):
                lines += block.count(b"\n")
    return lines


def _sources(files: Sequence[Path]) -> Iterator[Source]:
    """Yield the documents of all files."""
    for file in files:
        sources = _lines(file) if file.suffix == ".jsonl" else _entries(file)
        first = next(sources, None)
        if first is None:
            raise DataError(f"{file} holds no certificates")
        yield from itertools.chain([first], sources)


def check_source(source: Source, *, explained: bool = False) -> Checked:
    """Verify one document."""
    content = source.content
    if isinstance(content, bytes):
        try:
            content = documents.parse(content)
        except DataError as error:
            content = _Broken(str(error))
    if isinstance(content, _Broken):
        verdict = Verdict(False, (f"document: {content.reason}",), None)
        return Checked(source.path, source.place, verdict, ("NOT VALID: it cannot be read.",) * explained)
    verdict = verify_document(content)  # type: ignore[arg-type]
    lines = explain(content, verdict) if explained else ()  # type: ignore[arg-type]
    return Checked(source.path, source.place, verdict, tuple(lines))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = [file for file in (path / RUN_FILE, *sorted(path.glob(f"*/{RUN_FILE}"))) if file.is_file()]
        if not found:
            raise DataError(f"{path} holds no {RUN_FILE}, itself or one level down")
        return found
    if not path.is_file():
        raise DataError(f"{path} is not a file or directory")
    return [path]


def _lines(file: Path) -> Iterator[Source]:
    """Yield the lines of a file that are not blank; overlong ones without their content."""
    most = limits.DOCUMENT_BYTES
    try:
        with file.open("rb") as stream:
            for number in itertools.count(1):
                line = stream.readline(most + 2)
                if not line:
                    return
                content: object = line
                if len(line) > most + 1:
                    content = _Broken(f"longer than {most} bytes")
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(most)
                elif not line.strip():
                    continue
                yield Source(str(file), f"line {number}", content)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None


def _entries(file: Path) -> Iterator[Source]:
    """Yield the one document of a JSON file, or the entries of its list."""
    try:
        with file.open("rb") as stream:
            text = stream.read(limits.FILE_BYTES + 1)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    try:
        value = documents.parse(text, limits.FILE_BYTES)
    except DataError as error:
        value = _Broken(str(error))
    if isinstance(value, list):
        if len(value) > limits.ENTRIES:
            reason = f"a list has at most {limits.ENTRIES} certificates, got {len(value)}; use a *.jsonl file"
            value = [_Broken(reason)]
        for index, entry in enumerate(value):
            yield Source(str(file), f"entry {index}", entry)
    else:
        yield Source(str(file), "", value)


def _checked(sources: Iterator[Source], check: Callable[[Source], Checked], jobs: int) -> Iterator[Checked]:
    """Yield every document's verdict, in order; only so many documents are in memory at a time."""
    first = list(itertools.islice(sources, _FEW + 1))
    everything = itertools.chain(first, sources)
    if jobs == 1 or len(first) <= _FEW:
        yield from map(check, everything)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting: collections.deque[_Pending] = collections.deque()
        while chunk := tuple(itertools.islice(everything, _CHUNK)):
            waiting.append((chunk, pool.submit(_check_chunk, chunk, check)))
            if len(waiting) > 4 * jobs:
                yield from _finished(*waiting.popleft())
        while waiting:
            yield from _finished(*waiting.popleft())


_Pending = tuple[Sequence[Source], concurrent.futures.Future[list[Checked]]]


def _check_chunk(sources: Sequence[Source], check: Callable[[Source], Checked]) -> list[Checked]:
    return [check(source) for source in sources]


def _finished(sources: Sequence[Source], future: concurrent.futures.Future[list[Checked]]) -> list[Checked]:
    try:
        return future.result()
    except concurrent.futures.process.BrokenProcessPool:
        verdict = Verdict(False, ("document: the process that checked it died",), None)
        return [Checked(source.path, source.place, verdict) for source in sources]
