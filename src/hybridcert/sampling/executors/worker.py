"""The worker's side of an executor: the classifier is built once, then asked about one task after another."""

from __future__ import annotations

import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
import time
from typing import NamedTuple

from hybridcert.errors import ModelError
from hybridcert.sampling.blocks import Cells, Task, Work, described, perform


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    """The worker has built and loaded the classifier."""


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """The worker began with the first of its tasks."""


class Answer(NamedTuple):
    """What a worker made of a task: as in `Outcome`; a defect is an error that ends the run."""

    cells: Cells | None
    seconds: float
    error: str | None
    defect: bool = False


def rebuild(pickled: bytes) -> Work:
    """Return the work, with its classifier loaded.

    Raises
    ------
    ModelError
        If the description cannot be unpickled here, or the classifier not be loaded.
    """
    try:
        work: Work = pickle.loads(pickled)
    except Exception as error:
        raise ModelError(
            f"the classifier cannot be rebuilt in a worker: {described(error)}; define it in a module that "
            "can be imported there, or use executor=Serial()"
        ) from error
    work.load()
    return work


def answer(work: Work, pickled: bytes) -> Answer:
    """Do one task; whatever it raises becomes the answer."""
    started = time.perf_counter()
    try:
        task: Task = pickle.loads(pickled)
        cells = perform(work, task)
    except ModelError as error:
        return Answer(None, time.perf_counter() - started, str(error), defect=True)
    except Exception as error:
        return Answer(None, time.perf_counter() - started, described(error))
    return Answer(cells, time.perf_counter() - started, None)


def serve(connection: multiprocessing.connection.Connection) -> None:
    """Be a worker process: receive the work, then tasks, until the other end of the connection is gone.

    An interrupt from the keyboard is the calling process's to deal with. If that process is killed, the
    worker ends at once, in the middle of a task too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        try:
            work = rebuild(connection.recv_bytes())
        except ModelError as error:
            connection.send(error)
            return
        connection.send(Ready())
        while True:
            task = connection.recv_bytes()
            connection.send(Started())
            connection.send(answer(work, task))
    except (EOFError, OSError):
        return  # nobody is left to answer to


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
