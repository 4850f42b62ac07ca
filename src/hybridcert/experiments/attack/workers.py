"""Inputs attacked by several processes, each input by one of them; what comes back is in order."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast

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
    """Yield every input with its outcomes, in order; the processes end with the iteration.

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
        When a process dies, or raises anything else.
    """
    crew: dict[Connection, SpawnProcess] = {}
    doing: dict[Connection, int] = {}
    done: dict[int, list[Found]] = {}
    waiting = iter(range(len(jobs)))
    try:
        work = pickle.dumps((subject, plan))
        for _ in range(workers):
            pipe, process = _started(work)
            crew[pipe] = process
            _next(pipe, doing, waiting, jobs)
        for number, (certified, _) in enumerate(jobs):
            while number not in done:
                for ready in wait(list(doing)):
                    pipe = cast("Connection", ready)
                    done[doing[pipe]] = _received(pipe, jobs[doing[pipe]][0])
                    _next(pipe, doing, waiting, jobs)
            yield certified, done.pop(number)
    finally:
        for pipe, process in crew.items():
            process.kill()
            process.join()
            pipe.close()


def _next(
    pipe: Connection, doing: dict[Connection, int], waiting: Iterator[int], jobs: Sequence[Job]
) -> None:
    """Give a process the next job, if there is one left."""
    doing.pop(pipe, None)
    number = next(waiting, None)
    if number is not None:
        doing[pipe] = number
        with contextlib.suppress(OSError):  # of a process that died: reading from it tells
            pipe.send(jobs[number])


def _received(pipe: Connection, certified: CertifiedInput) -> list[Found]:
    try:
        answer = pipe.recv()
    except (EOFError, OSError) as error:
        raise ModelError(
            f"the process that attacked input {certified.name!r} died: look at its memory, or use one worker"
        ) from error
    if isinstance(answer, HybridCertError):
        raise answer
    found: list[Found] = answer
    return found


def _started(work: bytes) -> tuple[Connection, SpawnProcess]:
    """Start a process that is deaf to interrupts: this one ends it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)
    try:
        with _inherited():
            process.start()
    finally:
        theirs.close()
    return ours, process


@contextlib.contextmanager
def _inherited() -> Iterator[None]:
    """Set what a process started inside inherits: one thread each for numerical libraries, no SIGINT."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    mask = None
    if sys.platform != "win32":
        resource_tracker.ensure_running()  # starting it unblocks SIGINT, so it must not start inside
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(pipe: Connection, work: bytes) -> None:
    """Attack inputs until the pipe is closed."""
    attacker: InputAttacker | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            job: Job = pipe.recv()
            try:
                attacker = attacker or InputAttacker(*pickle.loads(work))
                answer: list[Found] | HybridCertError = list(attacker.outcomes(*job))
            except HybridCertError as error:
                answer = error
            except Exception as error:  # whatever a model raises
                answer = ModelError(f"input {job[0].name!r} could not be attacked: {described(error)}")
            pipe.send(answer)
