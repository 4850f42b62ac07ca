"""The run directory of the multimodal demo: the joint certificates, and beside them what rivals promise."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridcert.adapters.canvas import Canvas
from hybridcert.datasets.digits_captions import decode
from hybridcert.experiments.kept_inputs import of_pairs
from hybridcert.experiments.multimodal import UNSAFE, DemoResult
from hybridcert.experiments.run_files import describe_environment, write_run

_SIDE = 8


def write_demo(directory: Path, result: DemoResult) -> None:
    """Write the certificates of the unsafe pairs, with rivals and accuracies as further tables."""
    settings = dataclasses.asdict(result.settings)
    write_run(
        directory,
        run=result.hybrid,
        target=np.full(len(result.hybrid), UNSAFE),
        config={"demo": "multimodal", "settings": settings, "report": {"eps": list(result.settings.eps)}},
        environment=describe_environment(
            title="image-text filter (demo), unsafe pairs",
            seed=result.settings.seed,
            data={
                "source": "scikit-learn digits, captions from a grammar",
                "certified_rows": len(result.hybrid),
            },
            model={"estimator": "hybridcert.adapters.digits_filter.DigitsFilter"},
            cost=result.cost,
        ),
        extras=[
            _table(
                "Unsafe pairs certified at (d, ε), beside unimodal rivals",
                result.rivals(),
                'A dash: the rival promises nothing there. "drop the suffix" deletes the suffix slots first; '
                "like the joint filter it has to know where the suffix begins, and then it is the rival to "
                "beat. Here it wins, because the caption reader has learned to ignore the suffix. The joint "
                "certificate earns its place with filters that have to read what the attacker may write.",
            ),
            _table("Accuracy and false alarms", result.accuracy(), ""),
        ],
        inputs=of_pairs(
            [decode(text) for text in result.unsafe.text],
            [pixels.reshape(_SIDE, _SIDE) for pixels in result.unsafe.image],
            Canvas(_SIDE, _SIDE, 1),
        ),
    )


def _table(title: str, table: pd.DataFrame, text: str) -> dict[str, Any]:
    rows = [
        [str(name), *map(_cell, row)] for name, row in zip(table.index, table.to_numpy(object), strict=True)
    ]
    return {"title": title, "text": text, "columns": ["", *map(str, table.columns)], "rows": rows}


def _cell(value: Any) -> Any:
    if pd.isna(value):
        return None
    return f"{value:.3f}" if isinstance(value, float) else int(value)
