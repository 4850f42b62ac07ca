"""Rows of a run store: one block's counts each, with their cells as text that people can read too."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ParameterError, StoreError
from hybridcert.sampling.store_file import explained, reading

if TYPE_CHECKING:
    import pandas as pd

Cells = npt.NDArray[np.int64]
Row = tuple[str, str, int, int, int, str]

_CHUNK = 50_000
_COLUMNS = ("input", "kernel", "stage", "block", "copies")
_ROWS = """SELECT input, kernel, stage, block, copies, cells FROM counts
    WHERE ?1 IS NULL OR stage = ?1 ORDER BY input, kernel, stage, block"""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """The counts of one block.

    Parameters
    ----------
    input : str
        Key of the input's content; the seed plays no part in it.
    kernel : str
        Digest of the noise.
    stage, block : int >= 0
        Which of the input's random streams the copies came from.
    copies : int >= 1
        Copies drawn.
    cells : int64 array, shape (cells,), at least one cell
        What the answers were tallied into.
    """

    input: str
    kernel: str
    stage: int
    block: int
    copies: int
    cells: Cells


def read_counts(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Return the counts of a store that a run may be writing, as they stand at this moment.

    Returns
    -------
    DataFrame
        One row for each input, kernel, stage and block, sorted by these: columns input, kernel, stage,
        block, copies, and cells (int64 arrays).

    Raises
    ------
    StoreError
        When there is no store or it cannot be read.
    """
    import pandas as pd

    path = Path(path)
    columns: dict[str, list[Any]] = {name: [] for name in (*_COLUMNS, "cells")}
    with reading(path) as connection:
        for rows in chunks(connection, path):
            flat, ends = decoded([row[-1] for row in rows], path)
            for name, values in zip(_COLUMNS, zip(*rows, strict=True), strict=False):
                columns[name].extend(values)
            columns["cells"].extend(split(flat, ends))
    return pd.DataFrame(columns)


def encoded(entry: Entry) -> Row:
    """Return an entry as it is written; ParameterError unless it holds a line of counts."""
    cells = entry.cells
    if cells.ndim != 1 or cells.size == 0 or cells.dtype != np.int64:
        raise ParameterError(
            f"cells must be a line of at least one int64 count, got shape {cells.shape} of {cells.dtype}"
        )
    if entry.copies < 1:
        raise ParameterError(f"copies must be >= 1, got {entry.copies}")
    numbers = int(entry.stage), int(entry.block), int(entry.copies)
    return (entry.input, entry.kernel, *numbers, json.dumps(cells.tolist()))


def chunks(connection: sqlite3.Connection, path: Path, stage: int | None = None) -> Iterator[list[Row]]:
    """Yield the rows of one stage, or of all, sorted by key, some thousand at a time."""
    with explained(path):
        cursor = connection.execute(_ROWS, (None if stage is None else int(stage),))
        while rows := cursor.fetchmany(_CHUNK):
            yield rows


def decoded(texts: list[str], path: Path) -> tuple[Cells, npt.NDArray[np.intp]]:
    """Return the cells of several rows behind one another, read-only, and where each row ends."""
    try:
        lists = json.loads(f"[{','.join(texts)}]")
        flat = np.array(list(itertools.chain.from_iterable(lists)))
        ends = np.cumsum([len(cells) for cells in lists], dtype=np.intp)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{path} holds cells that are no list of counts ({error}): restore it") from error
    if flat.dtype != np.int64 or len(lists) != len(texts):
        raise StoreError(f"{path} holds cells that are no list of int64 counts: restore it from a copy")
    flat.setflags(write=False)
    return flat, ends


def split(flat: Cells, ends: npt.NDArray[np.intp]) -> Iterator[Cells]:
    """Yield the cells of each row, as views."""
    start = 0
    for end in ends.tolist():
        yield flat[start:end]
        start = end


def write_parquet(target: Path, rows_of: Iterable[list[Row]], path: Path) -> None:
    """Write rows of the store at ``path`` to a Parquet file at ``target``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = (pa.string(), pa.string(), pa.int64(), pa.int64(), pa.int64(), pa.list_(pa.int64()))
    schema = pa.schema(list(zip((*_COLUMNS, "cells"), types, strict=True)))
    with pq.ParquetWriter(target, schema) as writer:
        for rows in rows_of:
            flat, ends = decoded([row[-1] for row in rows], path)
            cells = pa.ListArray.from_arrays(pa.array([0, *ends], pa.int32()), pa.array(flat))
            plain = [pa.array(v, t) for v, t in zip(list(zip(*rows, strict=True))[:-1], types, strict=False)]
            writer.write_table(pa.Table.from_arrays([*plain, cells], schema=schema))
