"""A filter for interaction in a directory: answers are kept as they come, files appear together."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from hybridcert.adapters.canvas import Canvas
from hybridcert.datasets.image_text import ImageTextPairs
from hybridcert.experiments.interaction import Report, filter_interaction
from hybridcert.experiments.interaction_result import InteractionResult, write_interaction
from hybridcert.experiments.run_directory import COMPLETE, going_on, stored_copies, together
from hybridcert.experiments.run_files import describe_environment, write_json
from hybridcert.sampling.run_identity import described_model
from hybridcert.smoothing import SmoothedClassifier


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filtering:
    """What is to be filtered, and how; see `filter_interaction`."""

    smoothed: SmoothedClassifier = dataclasses.field(kw_only=False)
    pairs: ImageTextPairs = dataclasses.field(kw_only=False)
    canvas: Canvas
    samples: int
    alpha: float
    threshold: float
    seed: int

    def settings(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        noise = {name: {"kernel": k.name} | k.parameters() for name, k in sorted(self.smoothed.noise.items())}
        return {
            "canvas": dataclasses.asdict(self.canvas),
            "noise": noise,
            "samples": self.samples,
            "alpha": self.alpha,
            "threshold": self.threshold,
            "seed": self.seed,
        }


def run_filter(
    asked: Filtering, directory: Path, *, resume: bool, progress: Report | None = None
) -> InteractionResult:
    """Filter, and write ``kept/``, ``examples.csv``, ``filter.json`` and ``environment.json``.

    The last two name the model and its policy. Where the classifier breaks down the answers so far are kept.

    Parameters
    ----------
    resume : bool
        Continue with the answers in the directory, if there are any.

    Raises
    ------
    RunMismatchError
        When the directory holds answers of another model, other pairs or other settings.
    HybridCertError
        See `filter_interaction`.
    """
    started = time.perf_counter()
    config = {"filter-interaction": asked.settings()}
    model = described_model(asked.smoothed.classifier)
    data = {"source": asked.pairs.source, "sha256": asked.pairs.digest()}
    identity = {"configuration": config, "model": model, "data": {"sha256": data["sha256"]}}
    with going_on(directory, config, resume=resume) as opened:
        found = filter_interaction(
            asked.smoothed,
            asked.pairs,
            blank=asked.canvas.blank(),
            samples=asked.samples,
            alpha=asked.alpha,
            threshold=asked.threshold,
            seed=asked.seed,
            store=opened.open_store(identity),
            progress=progress,
        )
        seconds = time.perf_counter() - started
        with together(directory) as hidden:
            write_interaction(found, hidden)
            environment = describe_environment(
                title="filter for interaction",
                seed=asked.seed,
                data=data | {"rows": len(asked.pairs), "kept_rows": len(found.kept)},
                model={
                    **{key: value or "unknown" for key, value in model.items()},
                    **found.settings["model"],
                },
                cost={"model_calls": stored_copies(directory), "sampling_seconds": seconds},
            )
            write_json(hidden / COMPLETE, environment)
    return found
