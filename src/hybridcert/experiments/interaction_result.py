"""Which pairs a filter for interaction kept, where the others fell out, and the files that say so."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridcert.datasets.image_text import ImageTextPairs
from hybridcert.datasets.jsonl_pairs import write_pairs
from hybridcert.errors import DataError


class Step(enum.StrEnum):
    """Where an example falls out, in the order of the questions; or that it stays."""

    UNREADABLE = "cannot be read"
    FAILED = "the classifier failed"
    TEXT = "text alone is not safe"
    IMAGE = "image alone is not safe"
    PAIR = "text and image together are not unsafe"
    NOISE = "noise alone triggers"
    KEPT = "kept"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class InteractionResult:
    """What `filter_interaction` kept, and why everything else fell out.

    Attributes
    ----------
    kept : ImageTextPairs
    frame : DataFrame, one row per example, in their order
        ``id``, ``kept``, ``step`` (a `Step`), ``reason`` (one line; empty where kept); the answers
        ``text_alone``, ``image_alone`` and ``together`` (missing where there is none); and for the noisy
        copies of (text, no image), (no text, image) and (no text, no image) ``*_hits`` (answers other than
        safe) with ``*_upper`` (upper confidence bound on their share), missing where none were drawn.
    settings : mapping
        ``samples``, ``alpha``, ``threshold``, ``seed``, ``safe``, ``unsafe``, the noise, and the model: what
        its classifier says of itself (``described()``), policy included.
    """

    kept: ImageTextPairs
    frame: pd.DataFrame
    settings: Mapping[str, Any]

    def steps(self) -> pd.DataFrame:
        """Return how many examples fell out at each step, and how many were left after it."""
        found = self.frame["step"].value_counts()
        dropped = [int(found.get(str(step), 0)) for step in Step if step is not Step.KEPT]
        return pd.DataFrame(
            {
                "step": [str(step) for step in Step if step is not Step.KEPT],
                "dropped": dropped,
                "left": len(self.frame) - np.cumsum(dropped),
            }
        )


def write_interaction(result: InteractionResult, folder: Path) -> None:
    """Write ``kept/`` (pairs), ``examples.csv`` (one row per example) and ``filter.json`` (steps, settings).

    Raises
    ------
    DataError
        For a ``kept`` folder that is not empty, an image that cannot be read, or a folder that cannot be
        written.
    """
    write_pairs(result.kept, folder / "kept")
    summary = {
        "examples": len(result.frame),
        "kept": len(result.kept),
        "steps": result.steps().to_dict("records"),
        "settings": dict(result.settings),
        "source": result.kept.source,
    }
    try:
        result.frame.to_csv(folder / "examples.csv", index=False)
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "filter.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}") from error
