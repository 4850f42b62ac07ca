"""The inputs that a run directory keeps for its page: ``inputs.parquet``, one row per certified input.

Columns: ``input`` (as in ``results.parquet``), ``counts`` (answers by class, a JSON object), and what the
input is: ``fields`` (a JSON object), or ``text``, and ``image`` (PNG, the canvas in 8 bit). They are there
for people to read; certificates name inputs by their digests.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.adapters.canvas import Canvas
from hybridcert.certification import CertificationRun

FILE_NAME = "inputs.parquet"
MOST_IMAGE_BYTES = 64 * 2**20
"""Images beyond this total are left out, so that a run on large images does not copy its data set."""


def of_fields(X: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table, one row each: ``fields`` is a JSON object of column names and values."""
    names = [str(column) for column in X.columns]
    columns = [[_value(value) for value in X[column].tolist()] for column in X.columns]
    rows = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    return pd.DataFrame({"fields": [json.dumps(row, ensure_ascii=False) for row in rows]})


def of_texts(texts: Iterable[str]) -> pd.DataFrame:
    """Return texts, one row each."""
    return pd.DataFrame({"text": pd.Series(list(texts), dtype=object)})


def of_pairs(texts: Sequence[str], images: Iterable[Any], canvas: Canvas) -> pd.DataFrame:
    """Return texts with their images on a canvas, one row each; images beyond a total size are missing.

    Parameters
    ----------
    images : paths, PIL images or arrays
        As `Canvas.read` takes them.
    """
    kept: list[bytes | None] = []
    room = MOST_IMAGE_BYTES
    for row, image in enumerate(images):
        drawn = _png(canvas, canvas.read(image, name=f"image {row}")) if room > 0 else None
        room -= len(drawn) if drawn else 0
        kept.append(drawn if room >= 0 else None)
    frame = of_texts(texts)
    frame["image"] = pd.Series(kept, dtype=object)
    return frame


def write_inputs(directory: Path, run: CertificationRun, inputs: pd.DataFrame | None) -> None:
    """Write ``inputs.parquet``: counts by class of every input, and what it is where that is given."""
    classes = [str(label) for label in run.classes]
    counts = [json.dumps(dict(zip(classes, map(int, row), strict=True))) for row in run.counts]
    frame = pd.DataFrame({"input": run.index, "counts": counts})
    if inputs is not None:
        frame = pd.concat([frame, inputs.reset_index(drop=True)], axis=1)
    frame.to_parquet(directory / FILE_NAME, index=False, compression="zstd")


def _value(value: Any) -> Any:
    """Return a cell as JSON knows it: a missing one as null, what JSON has no word for as text."""
    if pd.isna(value):
        return None
    known = isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return value if known else str(value)


def _png(canvas: Canvas, pixels: npt.NDArray[np.float64]) -> bytes:
    from PIL import Image

    levels = np.rint(canvas.planes(pixels[None])[0] * 255.0).astype(np.uint8).transpose(1, 2, 0)
    picture = Image.fromarray(levels[:, :, 0] if canvas.channels == 1 else np.ascontiguousarray(levels))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
