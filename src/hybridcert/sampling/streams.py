"""Counter-based random streams, keyed by what an input contains.

The noise of an input depends on (seed, content of the row, stage, block, modality) and on nothing else: not
on batch size, row order, worker or machine. Padding at the end of a row is no content: a sequence has one
key whatever the width of the array that it stands in. Philox (Salmon et al. 2011) takes the key and the
counter as they are, so streams need no state and never overlap: each has 2⁶⁴ steps of its own.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ParameterError
from hybridcert.kernels.deletion import PADDING
from hybridcert.sampling.classifier import Batch


class Stage(enum.IntEnum):
    """What samples are for; different stages never share randomness."""

    ESTIMATE = 0
    SELECT = 1
    TRAIN = 2
    PREDICT = 3
    EXPLORE = 4
    CLEAN = 5
    ATTACK = 6
    JUDGE = 7


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
        """Return one 128-bit key per row; equal rows have equal keys, up to `PADDING` at their ends.

        Rows of one width stay distinct without their padding, so different rows have different inputs to
        the hash.
        """
        names = sorted(inputs)
        arrays = [_canonical(inputs[name]) for name in names]
        lengths = [symbol_counts(array) for array in arrays]
        headers: dict[tuple[int | None, ...], bytes] = {}
        keys = []
        for row in range(len(arrays[0])):
            ends = tuple(None if counts is None else int(counts[row]) for counts in lengths)
            if ends not in headers:
                headers[ends] = self._header(names, arrays, ends)
            content = b"".join(a[row, :end].tobytes() for a, end in zip(arrays, ends, strict=True))
            keys.append(
                hashlib.blake2b(content, digest_size=16, salt=b"hybridcert", key=headers[ends]).digest()
            )
        return keys

    def _header(
        self, names: list[str], arrays: list[npt.NDArray[Any]], ends: tuple[int | None, ...]
    ) -> bytes:
        """Digest of the seed and of what tells the modalities' bytes apart: names, types, shapes."""
        shapes = [a.shape[1:] if end is None else (end,) for a, end in zip(arrays, ends, strict=True)]
        described = [(n, a.dtype.str, shape) for n, a, shape in zip(names, arrays, shapes, strict=True)]
        return hashlib.blake2b(repr((int(self.seed), described)).encode()).digest()

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


def symbol_counts(array: npt.NDArray[Any]) -> npt.NDArray[np.intp] | None:
    """Return how far each row of symbols reaches before `PADDING` alone is left; None for other arrays."""
    if array.dtype.kind == "f" or array.ndim != 2:
        return None
    symbols = array != PADDING
    width = array.shape[1]
    if width == 0 or symbols[:, -1].all():
        return np.full(len(array), width, dtype=np.intp)
    return np.where(symbols.any(axis=1), width - symbols[:, ::-1].argmax(axis=1), 0)
