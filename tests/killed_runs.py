"""Runs of the real command that are killed, for tests of `certify --resume`."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hybridcert.cli.main import main
from tabular_data import small_table, write_config

TASK = 5_000
"""Copies in one model call at most."""

CHANGES: dict[str, Any] = {
    "model.estimator": "logged_model.LoggedClassifier",
    "model.noisy_copies": 1,
    "certificate.samples": 10_000,
    "certificate.selection_samples": 100,
    "data.test_rows": 12,
}


def prepare(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    """Write table and configuration of a run whose every call is logged; return the configuration."""
    small_table().to_parquet(folder / "table.parquet")
    return write_config(folder, CHANGES | (changes or {}))


@dataclasses.dataclass(frozen=True)
class Certify:
    """The command `certify` on one configuration and directory, as a process of its own."""

    config: Path
    out: Path
    log: Path
    seconds: float = 0.02
    options: tuple[str, ...] = ()

    def start(self, *more: str, **popen: Any) -> subprocess.Popen[str]:
        """Start the command, with more arguments."""
        given = [str(self.config), "--out", str(self.out), *self.options, *more]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "CALL_LOG": str(self.log),
            "CALL_SECONDS": str(self.seconds),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "hybridcert", "certify", *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | popen.pop("env", {}),
            **popen,
        )

    def finish(self, *more: str, **popen: Any) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, in a process of its own."""
        return finished(self.start(*more, **popen))

    def here(self, *more: str) -> int:
        """Run the command to its end in this process, without delays; return its exit code."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CALL_LOG", str(self.log))
            return main(["certify", str(self.config), "--out", str(self.out), *self.options, *more])

    def killed_after(self, seconds: float, *more: str, how: int = signal.SIGKILL) -> bool:
        """Start the command and signal it after so long; return False if it had ended before."""
        with self.start(*more) as process:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(how)
            process.communicate(timeout=120)
        return process.returncode == -how

    def certificates(self) -> bytes:
        """Return what was issued."""
        return (self.out / "certificates.jsonl").read_bytes()


def finished(process: subprocess.Popen[str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Wait for a command's end."""
    with process:
        out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    """Wait until something holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def alive(processes: Sequence[int] | set[int]) -> set[int]:
    """Return which processes still run (zombies do not)."""
    found = set()
    for pid in processes:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found.add(pid)
    return found
