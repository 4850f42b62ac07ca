"""The outcomes of a campaign as they come: one line each, on the disk before the next attack begins."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

from hybridcert.errors import DataError
from hybridcert.experiments.attack.outcome import Outcome
from hybridcert.sampling.store_identity import check_same, flatten

OUTCOMES_FILE = "outcomes.jsonl"

SCHEMA = "hybridcert/attack/1"


def check_free(directory: Path, *, resume: bool) -> None:
    """Raise DataError where a directory holds outcomes that are not to be gone on with."""
    if (directory / OUTCOMES_FILE).exists() and not resume:
        raise DataError(
            f"{directory} holds an attack: continue or show it with --resume, or choose another --out"
        )


class OutcomeLog:
    """A file of outcomes that is appended to; its first line says which campaign they belong to.

    Attributes
    ----------
    outcomes : list of Outcome
        All in the file, in order.
    """

    def __init__(self, path: Path, file: IO[bytes], outcomes: list[Outcome], ends: list[int]) -> None:
        self.path = path
        self.outcomes = outcomes
        self._file = file
        self._ends = ends  # of the first line, and of the line of each outcome

    @classmethod
    def open(cls, directory: Path, *, identity: Mapping[str, Any], resume: bool) -> Self:
        """Begin a file in ``directory``, or go on with the one that is there.

        A last line that was cut short is taken away.

        Parameters
        ----------
        identity : mapping
            Plain values that the outcomes depend on.
        resume : bool
            Whether to go on; a file that is there is refused without it.

        Raises
        ------
        RunMismatchError
            When the file belongs to another campaign, naming what differs.
        DataError
            When it cannot be read or written, or is no such file.
        """
        check_free(directory, resume=resume)
        path = directory / OUTCOMES_FILE
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path.touch()
            file = path.open("r+b")
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            outcomes, ends = _read(path, file, identity)
            log = cls(path, file, outcomes, ends)
            log.keep(len(outcomes))
            if not ends:
                log._write(json.dumps({"schema": SCHEMA, "identity": identity}, ensure_ascii=False))
        except BaseException:
            file.close()
            raise
        return log

    def append(self, outcome: Outcome) -> None:
        """Write one outcome; it is on the disk when this returns."""
        self._write(outcome.line())
        self.outcomes.append(outcome)

    def keep(self, count: int) -> None:
        """Take away all outcomes but the first ``count``."""
        del self.outcomes[count:]
        del self._ends[count + 1 :]
        self._file.truncate(self._ends[-1] if self._ends else 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: str) -> None:
        try:
            self._file.seek(0, os.SEEK_END)
            self._file.write(line.encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unusable(self.path, error) from error
        self._ends.append(self._file.tell())


def _read(path: Path, file: IO[bytes], identity: Mapping[str, Any]) -> tuple[list[Outcome], list[int]]:
    outcomes: list[Outcome] = []
    ends: list[int] = []
    end = 0
    for line in file:
        if not line.endswith(b"\n"):
            break  # cut short
        end += len(line)
        try:
            if ends:
                outcomes.append(Outcome.of_line(line.decode()))
            else:
                first = json.loads(line)
                check_same(path, flatten(first["identity"]), flatten(identity))
        except DataError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {len(ends) + 1}, is not what an attack writes: choose another --out"
            ) from error
        ends.append(end)
    return outcomes, ends


def _unusable(path: Path, error: OSError) -> DataError:
    reason = " ".join(str(error.strerror or error).split())
    return DataError(
        f"{path} cannot be read or written ({reason}): free space or choose another --out, and run again "
        "with --resume"
    )
