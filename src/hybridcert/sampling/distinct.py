"""The inputs of a run, equal ones once: equal rows share their noise, so they are asked once."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
import numpy.typing as npt

from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.streams import RowStreams


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class DistinctInputs:
    """Distinct rows of a batch, in their order of appearance.

    Attributes
    ----------
    batch : mapping of modality name to array
        All rows.
    rows : int array, shape (distinct,)
        Where each distinct row stands first.
    position : int array, shape (rows,)
        Which distinct row each row is.
    keys : list of bytes, one for each distinct row
        Keys of the random streams.
    names : list of str, one for each distinct row
        Digests of the content alone, without the seed.
    """

    batch: Batch
    rows: npt.NDArray[np.intp]
    position: npt.NDArray[np.intp]
    keys: list[bytes]
    names: list[str]

    @classmethod
    def of(cls, batch: Batch, *, seed: int) -> Self:
        """Find the distinct rows of a batch."""
        keys = RowStreams(seed).keys(batch)
        first: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            first.setdefault(key, row)
        rows = np.array(list(first.values()), dtype=np.intp)
        number = {key: n for n, key in enumerate(first)}
        taken = {name: values[rows] for name, values in batch.items()}
        return cls(
            batch=batch,
            rows=rows,
            position=np.array([number[key] for key in keys], dtype=np.intp),
            keys=list(first),
            names=[key.hex() for key in RowStreams(0).keys(taken)],
        )
