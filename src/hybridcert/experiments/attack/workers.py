"""Inputs attacked by several processes, each input by one of them; what comes back is in order."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection

from hybridcert.errors import HybridCertError, ModelError
from hybridcert.experiments.attack.attacking import Found, InputAttacker
from hybridcert.experiments.attack.budgets import Budget
from hybridcert.experiments.attack.certified import CertifiedInput
from hybridcert.experiments.attack.plan import Plan, Subject
from hybridcert.sampling.blocks import described
from hybridcert.sampling.executors.processes import THREADS

Job = tuple[CertifiedInput, Sequence[Budget]]
"""One input, and the budgets that it is attacked within."""


def in_processes(
    subject: Subject, plan: Plan, jobs: Sequence[Job], *, workers: int
) -> Iterator[tuple[CertifiedInput, list[Found]]]:
    """Yield every input with its outcomes, in order; the processes end with the iteration, or with this one.

    Parameters
    ----------
    subject, plan : Subject, Plan
        Pickled once for each process.
    jobs : sequence of Job
    workers : int >= 1

    Raises
    ------
    HybridCertError
        What a process raised on purpose.
    ModelError
        When a process dies, or raises anything else, and where the subject cannot be pickled.
    """
    work = _pickled(subject, plan)
    context = multiprocessing.get_context("spawn")
    theirs, lifeline = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(theirs, work))
    try:
        with _inherited():
            pending = [pool.submit(_attack, *job) for job in jobs]
        for (certified, _), outcomes in zip(jobs, pending, strict=True):
            yield certified, outcomes.result()
    except BrokenProcessPool as error:
        raise ModelError(
            "a process that attacked inputs died: look at its memory, or use one worker"
        ) from error
    finally:
        lifeline.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()


def _pickled(subject: Subject, plan: Plan) -> bytes:
    try:
        return pickle.dumps((subject, plan))
    except Exception as error:
        raise ModelError(
            f"the classifier cannot be pickled for other processes: {described(error)}; use one worker"
        ) from error


@contextlib.contextmanager
def _inherited() -> Iterator[None]:
    """Set what a process started inside inherits: one thread each for numerical libraries, no SIGINT."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    mask = None if sys.platform == "win32" else signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_work: bytes | InputAttacker
"""In a process of the pool: what it works with, pickled until the first input comes."""


def _begin(lifeline: Connection, work: bytes) -> None:
    """Make a process ready, and let it end at once, whatever it does, when nobody holds its lifeline."""
    global _work
    _work = work
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()  # nothing is ever sent
    os._exit(1)


def _attack(certified: CertifiedInput, budgets: Sequence[Budget]) -> list[Found]:
    global _work
    try:
        if isinstance(_work, bytes):
            _work = InputAttacker(*pickle.loads(_work))
        return list(_work.outcomes(certified, budgets))
    except HybridCertError:
        raise
    except Exception as error:  # whatever a model raises
        raise ModelError(f"input {certified.name!r} could not be attacked: {described(error)}") from None
