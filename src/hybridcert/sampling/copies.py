"""Noisy copies of one input, drawn when they are asked for, and classifiers that ask for them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
import numpy.typing as npt

from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.noise import Kernel, SmoothingNoise
from hybridcert.sampling.streams import Stage


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """The copies of one block, not yet drawn.

    `drawn` and `portions` give the same values, bit for bit, however they are cut. Who draws on a device of
    its own uses `seed` instead; then the values depend on that device as well.

    Attributes
    ----------
    noise : SmoothingNoise
    inputs : Batch
        Arrays in which the input is number ``row``.
    row : int
    count : int >= 1
        Number of copies.
    key : bytes
        Of the row, from `RowStreams.keys`.
    stage : Stage
        CLEAN has no noise.
    block : int
    """

    noise: SmoothingNoise
    inputs: Batch
    row: int
    count: int
    key: bytes
    stage: Stage
    block: int

    def clean(self, name: str) -> npt.NDArray[Any]:
        """Return the input itself, one modality, without a leading axis."""
        values: npt.NDArray[Any] = self.inputs[name][self.row]
        return values

    def kernel(self, name: str) -> Kernel | None:
        """Return the noise of a modality; None where it has none."""
        return None if self.stage is Stage.CLEAN else self.noise.kernels.get(name)

    def drawn(self, name: str) -> npt.NDArray[Any]:
        """Return all copies of a modality, shape (count, …); read-only where it has no noise."""
        return self.noise.draw_modality(
            name, self.inputs, self.row, self.count, self.key, stage=self.stage, block=self.block
        )

    def portions(self, name: str, size: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the rows of `drawn`, ``size`` at a time; Gaussian noise is only drawn portion by portion."""
        kernel = self.kernel(name)
        cuts = range(0, self.count, size)
        if not isinstance(kernel, GaussianNoise):
            everything = self.drawn(name)
            yield from (everything[start : start + size] for start in cuts)
            return
        stream = self.noise.stream(name, self.inputs, self.key, stage=self.stage, block=self.block)
        for start in cuts:
            rows = min(size, self.count - start)
            yield self.noise.corrupted(name, self.clean(name), rows, stream)

    def seed(self, name: str, portion: int) -> int:
        """Return a seed in [0, 2⁶³) for one portion of a modality, to draw it elsewhere.

        Seeds of different (row, seed of the run, stage, block, modality, portion) are unrelated, as long as
        the generator takes all their bits. What a portion is, the caller decides once and for all: it is part
        of what the counts depend on.
        """
        what = (int(self.stage), self.block, name, portion)
        digest = hashlib.blake2b(repr(what).encode(), digest_size=8, key=self.key, person=b"elsewhere")
        return int.from_bytes(digest.digest(), "little") >> 1


@runtime_checkable
class DrawingClassifier(Protocol):
    """A classifier that draws the copies it is asked about: portion by portion, or where it computes.

    For inputs that are large, such as images. Everything else that `Classifier` asks for holds.
    """

    def predict_copies(self, copies: Copies) -> npt.NDArray[np.intp]:
        """Return the index into ``classes_`` for every copy, shape (copies.count,)."""


def draws(classifier: object) -> TypeGuard[DrawingClassifier]:
    """Return whether a classifier draws its copies itself; runtime protocols would take longer to tell."""
    return hasattr(classifier, "predict_copies")


@runtime_checkable
class VariantClassifier(Protocol):
    """A classifier that answers about several variants of one modality of a copy for little more than one.

    For models that read the varying modality last, and can go on from what they made of all before it.
    """

    def predict_variants(
        self, copies: Copies, modality: str, variants: npt.NDArray[np.int64], owner: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.intp]:
        """Return the index into ``classes_`` for every variant, shape (variants,).

        Parameters
        ----------
        copies : Copies
        modality : str
        variants : (variants, positions) int64
            What stands in that modality in place of what ``copies`` would draw.
        owner : (variants,) int, ascending
            The copy whose other modalities go with each variant; every copy has at least one.
        """
