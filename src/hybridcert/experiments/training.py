"""Training on noisy copies, with progress and one clear line where the estimator refuses."""

from __future__ import annotations

from collections.abc import Callable

from hybridcert.datasets.tables import Table
from hybridcert.errors import ConfigError, HybridCertError
from hybridcert.smoothing import SmoothedClassifier

Report = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all; 0 in all: not known)."""


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
