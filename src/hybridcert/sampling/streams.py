"""Counter-based random streams, keyed by what an input contains.

The noise of an input depends on (seed, content of the row, stage, block, modality) and on nothing else: not
on batch size, row order, worker or machine. Philox (Salmon et al. 2011) takes the key and the counter as
they are, so streams need no state and never overlap: each has 2⁶⁴ steps of its own.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ParameterError
from hybridcert.sampling.classifier import Batch


class Stage(enum.IntEnum):
    """What samples are for; different stages never share randomness."""

    ESTIMATE = 0
    SELECT = 1
    TRAIN = 2
    PREDICT = 3
    EXPLORE = 4


@dataclasses.dataclass(frozen=True, slots=True)
class RowStreams:
    """Random streams of one run.

    Parameters
    ----------
    seed : int >= 0
        Any size; it is hashed together with the row. A served filter needs a secret one.
    """

    seed: int

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise ParameterError(f"seed must be an integer >= 0, got {self.seed!r}")

    def keys(self, inputs: Batch) -> list[bytes]:
        """Return one 128-bit key per row; equal rows have equal keys."""
        names = sorted(inputs)
        arrays = [_canonical(inputs[name]) for name in names]
        header = repr(
            (int(self.seed), [(n, a.dtype.str, a.shape[1:]) for n, a in zip(names, arrays, strict=True)])
        )
        return [
            hashlib.blake2b(
                b"".join(array[row].tobytes() for array in arrays),
                digest_size=16,
                salt=b"hybridcert",
                key=hashlib.blake2b(header.encode()).digest(),
            ).digest()
            for row in range(len(arrays[0]))
        ]

    @staticmethod
    def generator(key: bytes, *, stage: Stage, block: int, modality: int) -> np.random.Generator:
        """Return the stream of one block of one modality of the row with this key."""
        words = np.frombuffer(key, dtype="<u8")
        return np.random.Generator(np.random.Philox(key=words, counter=[0, modality, block, int(stage)]))


def _canonical(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Little-endian, contiguous, and with one zero: equal values have equal bytes."""
    if array.dtype.kind == "f":
        return np.ascontiguousarray(array + 0.0, dtype="<f8")
    return np.ascontiguousarray(array, dtype="<i8")
