"""Runs that are killed thirty times: one block a kill is drawn twice at most, and no certificate changes."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from killed_runs import TASK, Certify, alive, prepare, wait_until
from logged_model import logged_copies, logged_processes

KILLS = 30
STOPPING = {"certificate.stopping": {"target": {"d": 1, "eps": 0.25}}, "certificate.samples": 20_000}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "in_flight", "changes"),
    [
        (("--executor", "serial"), 1, {}),
        (("--executor", "serial"), 1, STOPPING),
        (("--executor", "processes", "--workers", "2"), 4, {}),
    ],
    ids=["serial", "serial, stopping early", "two workers"],
)
def test_thirty_kills(options: tuple[str, ...], in_flight: int, changes: dict[str, object], tmp_path: Path):
    """Kill at moments spread over the whole life of a command, from its start to after its end.

    A kill can cost what is being drawn, and what was drawn and is not yet kept: one model call in the process
    itself; for a worker the call that it is in, and the one before if its answer had not been read.
    """
    config = prepare(tmp_path, changes)
    whole = Certify(config, tmp_path / "whole", tmp_path / "whole-log", options=options)
    started = time.monotonic()
    assert whole.finish().returncode == 0
    life = time.monotonic() - started
    moments = random.Random(0)
    kills = runs = 0
    while kills < KILLS:
        runs += 1
        run = Certify(config, tmp_path / f"run-{runs}", tmp_path / f"log-{runs}", options=options)
        killed = 0
        while True:
            if kills < KILLS and run.killed_after(moments.uniform(0.0, life), "--resume"):
                kills, killed = kills + 1, killed + 1
                wait_until(lambda log=run.log: not alive(logged_processes(log)))
                continue
            assert run.finish("--resume").returncode == 0
            break
        assert run.certificates() == whole.certificates()
        again = logged_copies(run.log) - logged_copies(whole.log)
        assert 0 <= again <= killed * in_flight * TASK
    assert kills == KILLS
