"""Training on noisy copies, with progress and one clear line where the estimator refuses."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from hybridcert.datasets.tables import Table
from hybridcert.errors import ConfigError, HybridCertError
from hybridcert.sampling.blocks import described
from hybridcert.sampling.model_digest import model_digest
from hybridcert.sampling.outcome import SamplingProgress
from hybridcert.smoothing import SmoothedClassifier


class Report(Protocol):
    """Told how far an experiment is."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note of steps done and steps in all; 0 in all: not known."""

    def sampling(self, what: str, progress: SamplingProgress) -> None:
        """Take note of how far the sampling of ``what`` is."""


def told(report: Report | None, what: str) -> Callable[[SamplingProgress], None] | None:
    """Return what `SmoothedClassifier.certify` takes as ``progress``; ``what`` names this sampling."""
    return None if report is None else functools.partial(report.sampling, what)


def steps(report: Report | None, what: str) -> Callable[[int, int], None] | None:
    """Return a callable(done, total) that reports the steps of ``what``."""
    return None if report is None else functools.partial(report, what)


def train_smoothed(
    smoothed: SmoothedClassifier,
    train: Table,
    *,
    estimator: str,
    copies: int,
    seed: int,
    report: Report | None = None,
) -> None:
    """Train on ``copies`` noisy copies of every row; ``estimator`` names the model in messages.

    Raises
    ------
    ConfigError
        For an estimator that cannot be trained on them.
    """

    def drawing(done: int, total: int) -> None:
        assert report is not None
        report("drawing noisy copies to train on", done, total)
        if total - done < 256 * copies:
            report(f"training on {total} noisy copies", 0, 0)

    try:
        smoothed.fit(
            train.X,
            train.y,
            noisy_copies=copies,
            seed=seed,
            progress=None if report is None else drawing,
        )
    except HybridCertError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"model.estimator {estimator} cannot be trained: {' '.join(str(error).split())}"
        ) from error


def digest_of(model: Any, *, estimator: str) -> str:
    """Return the digest of a trained model, by which a run that is continued knows it again.

    Raises
    ------
    ConfigError
        For a model that cannot be pickled: it has no digest.
    """
    try:
        return model_digest(model)
    except Exception as error:  # pickling calls whatever the estimator defines
        raise ConfigError(
            f"model.estimator {estimator} cannot be pickled once trained: {described(error)}; keep what "
            "cannot be pickled, such as a lambda or an open file, out of its attributes"
        ) from error
