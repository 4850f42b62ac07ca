"""Many certificates: files, lists in files, run directories, and a pool of processes."""

from __future__ import annotations

import collections
import concurrent.futures
import concurrent.futures.process
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
from hybridcert.verify.verdict import Verdict, verify_document, verify_text

RUN_FILE: Final = "certificates.jsonl"
_CHUNK: Final = 64  # documents sent to a process at a time
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
    """A document's place and its verdict."""

    path: str
    place: str
    verdict: Verdict

    @property
    def name(self) -> str:
        """Where the document stands, for messages."""
        return f"{self.path}, {self.place}" if self.place else self.path


@dataclass(frozen=True, slots=True)
class _Broken:
    """Why a document could not be taken from its file."""

    reason: str


def verify_paths(
    paths: Iterable[str | os.PathLike[str]], *, jobs: int | None = None, progress: Progress | None = None
) -> list[Checked]:
    """Verify every certificate in files and run directories, in order.

    Parameters
    ----------
    paths
        ``*.jsonl`` files with one certificate a line, other files with one certificate or a list of them,
        and directories that hold ``certificates.jsonl`` themselves or one level down.
    jobs
        Processes; None for one per core. Few documents are checked in this one.
    progress
        Called as documents are finished.

    Raises
    ------
    DataError
        If a path does not exist, cannot be read or holds no certificate.
    """
    checked: list[Checked] = []
    for source, verdict in _verdicts(read_sources(paths), jobs or os.cpu_count() or 1):
        checked.append(Checked(source.path, source.place, verdict))
        if progress is not None:
            progress("verifying certificates", len(checked), 0)
    return checked


def read_sources(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Source]:
    """Yield the documents of all paths; see `verify_paths`."""
    for file in [file for path in paths for file in _files(Path(path))]:
        sources = _lines(file) if file.suffix == ".jsonl" else _entries(file)
        first = next(sources, None)
        if first is None:
            raise DataError(f"{file} holds no certificates")
        yield from itertools.chain([first], sources)


def check_source(source: Source) -> Verdict:
    """Verify one document."""
    if isinstance(source.content, _Broken):
        return Verdict(False, (f"document: {source.content.reason}",), None)
    if isinstance(source.content, bytes):
        return verify_text(source.content)
    return verify_document(source.content)  # type: ignore[arg-type]


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
        for index, entry in enumerate(value):
            yield Source(str(file), f"entry {index}", entry)
    else:
        yield Source(str(file), "", value)


def _verdicts(sources: Iterator[Source], jobs: int) -> Iterator[tuple[Source, Verdict]]:
    """Yield every document with its verdict, in order; only so many are in memory at a time."""
    first = list(itertools.islice(sources, _FEW + 1))
    if jobs == 1 or len(first) <= _FEW:
        for source in itertools.chain(first, sources):
            yield source, check_source(source)
        return
    everything = itertools.chain(first, sources)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting: collections.deque[tuple[Sequence[Source], concurrent.futures.Future[list[Verdict]]]] = (
            collections.deque()
        )
        while chunk := tuple(itertools.islice(everything, _CHUNK)):
            waiting.append((chunk, pool.submit(_check_chunk, chunk)))
            if len(waiting) > 4 * jobs:
                yield from _finished(*waiting.popleft())
        while waiting:
            yield from _finished(*waiting.popleft())


def _check_chunk(sources: Sequence[Source]) -> list[Verdict]:
    return [check_source(source) for source in sources]


def _finished(
    sources: Sequence[Source], future: concurrent.futures.Future[list[Verdict]]
) -> Iterator[tuple[Source, Verdict]]:
    try:
        verdicts = future.result()
    except concurrent.futures.process.BrokenProcessPool:
        verdicts = [Verdict(False, ("document: the process that checked it died",), None)] * len(sources)
    yield from zip(sources, verdicts, strict=True)
