"""A classifier that writes down every call, for tests that kill runs and count what is drawn twice.

The log is the file that the environment variable CALL_LOG names: one line per call, with the process and the
number of rows, appended in one write when the call begins. CALL_SECONDS slows every call down, so that there
are moments in which a run can be killed; CALL_FAILS names a file whose existence makes calls raise.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Self

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression


class LoggedClassifier(ClassifierMixin, BaseEstimator):
    """A logistic regression that is slow and keeps a log."""

    def __init__(self, random_state: int | None = None) -> None:
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        self.inner_ = LogisticRegression(random_state=self.random_state).fit(X, y)
        self.classes_ = self.inner_.classes_
        self.n_features_in_ = self.inner_.n_features_in_
        return self

    def predict(self, X: Any) -> Any:
        log = os.environ.get("CALL_LOG")
        if log:
            handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(handle, f"{os.getpid()} {X.shape[0]}\n".encode())
            os.close(handle)
        time.sleep(float(os.environ.get("CALL_SECONDS", "0")))
        if Path(os.environ.get("CALL_FAILS") or "/nonexistent").exists():
            raise RuntimeError("the model is out of order")
        return self.inner_.predict(X)


def logged_copies(log: Path) -> int:
    """Return how many rows were classified, those of calls that were cut short included."""
    return sum(int(line.split()[1]) for line in log.read_text().splitlines()) if log.exists() else 0


def logged_processes(log: Path) -> set[int]:
    """Return the processes that made calls."""
    return {int(line.split()[0]) for line in log.read_text().splitlines()} if log.exists() else set()
