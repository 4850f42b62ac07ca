"""The smoothing law of an input: one kernel per modality, applied to the eligible positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import DataError, ParameterError
from hybridcert.kernels.continuous import ContinuousKernel
from hybridcert.kernels.deletion import PADDING, RandomDeletion
from hybridcert.kernels.discrete import DiscreteKernel
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.kernels.laplace import LaplaceNoise
from hybridcert.kernels.positions import SizedPositionKernel
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.streams import RowStreams, Stage, symbol_counts
from hybridcert.threats import ContinuousSurface, DiscreteSurface, Surface

ContinuousNoise = GaussianNoise | LaplaceNoise
Kernel = DiscreteKernel | ContinuousNoise


@dataclasses.dataclass(frozen=True, slots=True)
class SmoothingNoise:
    """Independent noise per modality; modalities without a kernel stay as they are.

    Parameters
    ----------
    kernels : mapping of modality name to kernel
    surfaces : mapping of modality name to surface
        As the classifier declares them.

    Raises
    ------
    ParameterError
        For a kernel of a modality that does not exist, or of the wrong kind.
    """

    kernels: Mapping[str, Kernel]
    surfaces: Mapping[str, Surface]

    def __post_init__(self) -> None:
        if not self.kernels:
            raise ParameterError("noise must name at least one modality, got none")
        for name, kernel in self.kernels.items():
            surface = self.surfaces.get(name)
            if surface is None:
                known = ", ".join(sorted(self.surfaces))
                raise ParameterError(f"noise names modality {name!r}, the classifier has: {known}")
            if isinstance(surface, ContinuousSurface) and isinstance(kernel, ContinuousNoise):
                kernel.check_surface(surface)
            elif isinstance(surface, DiscreteSurface) and not isinstance(kernel, ContinuousNoise):
                kernel.check_surface(surface)
                if surface.sequence and not isinstance(kernel, RandomDeletion | SizedPositionKernel):
                    raise ParameterError(
                        f"modality {name!r} is a sequence of any length: the {kernel.name} kernel needs "
                        "fixed positions; use UniformReplacement, Absorbing or RandomDeletion"
                    )
            else:
                kind = "continuous" if isinstance(surface, ContinuousSurface) else "discrete"
                raise ParameterError(f"modality {name!r} is {kind}: the {kernel.name} kernel does not fit")

    @property
    def continuous(self) -> dict[str, ContinuousKernel]:
        """Kernels of the continuous modalities by name, sorted."""
        return {n: k for n, k in sorted(self.kernels.items()) if isinstance(k, ContinuousNoise)}

    def described(self) -> dict[str, Any]:
        """Return kernels and their parameters by modality, as plain values."""
        return {name: {"kernel": k.name} | k.parameters() for name, k in sorted(self.kernels.items())}

    def check_inputs(self, inputs: Batch) -> None:
        """Raise DataError unless the eligible codes lie in their alphabets, which the laws rely on."""
        for name in self.kernels:
            surface = self.surfaces[name]
            if not isinstance(surface, DiscreteSurface):
                continue
            width = inputs[name].shape[1]
            if surface.sequence and width > len(surface.alphabet_sizes):
                raise DataError(
                    f"modality {name!r}: must have at most {len(surface.alphabet_sizes)} symbols, got {width}"
                )
            least = PADDING if surface.sequence else 0
            for position, size in zip(surface.eligible, surface.eligible_sizes, strict=True):
                if surface.sequence and position >= width:
                    break  # the array is as wide as the longest of these inputs
                codes = inputs[name][:, position]
                wrong = (codes < least) | (codes >= size)
                if wrong.any():
                    raise DataError(
                        f"modality {name!r}, row {int(np.argmax(wrong))}, position {position}: code must be "
                        f"in [{least}, {size - 1}], got {codes[wrong][0]}"
                    )

    def exposed(self, inputs: Batch, name: str, row: int) -> tuple[npt.NDArray[np.int64], tuple[int, ...]]:
        """Return what noise and adversary reach in one row of a discrete modality: codes, alphabet sizes.

        A sequence is reached as a whole, without the padding behind it.
        """
        surface = self.surfaces[name]
        assert isinstance(surface, DiscreteSurface)
        codes = inputs[name][row]
        if not surface.sequence:
            return codes[list(surface.eligible)], surface.eligible_sizes
        counts = symbol_counts(inputs[name][row : row + 1])
        assert counts is not None
        return codes[: counts[0]], surface.alphabet_sizes[: counts[0]]

    def draw(
        self, inputs: Batch, row: int, copies: int, key: bytes, *, stage: Stage, block: int
    ) -> dict[str, npt.NDArray[Any]]:
        """Return ``copies`` noisy copies of one row, modality by modality; stage CLEAN has no noise."""
        return {
            name: self.draw_modality(name, inputs, row, copies, key, stage=stage, block=block)
            for name in sorted(inputs)
        }

    def draw_modality(
        self, name: str, inputs: Batch, row: int, copies: int, key: bytes, *, stage: Stage, block: int
    ) -> npt.NDArray[Any]:
        """Return one modality of what `draw` returns; modalities do not share randomness."""
        clean = inputs[name][row]
        if stage is Stage.CLEAN or name not in self.kernels:
            return np.broadcast_to(clean, (copies, *clean.shape))
        stream = self.stream(name, inputs, key, stage=stage, block=block)
        surface = self.surfaces[name]
        if isinstance(surface, DiscreteSurface) and surface.sequence:
            return self._shortened(inputs, name, row, copies, stream)
        return self.corrupted(name, clean, copies, stream)

    @staticmethod
    def stream(name: str, inputs: Batch, key: bytes, *, stage: Stage, block: int) -> np.random.Generator:
        """Return the random stream of one modality of a block."""
        return RowStreams.generator(key, stage=stage, block=block, modality=sorted(inputs).index(name))

    def corrupted(
        self, name: str, clean: npt.NDArray[Any], copies: int, stream: np.random.Generator
    ) -> npt.NDArray[Any]:
        """Return copies of one modality on fixed positions, drawn from a stream."""
        tiled = np.broadcast_to(clean, (copies, *clean.shape))
        return _corrupt(tiled, self.kernels[name], self.surfaces[name], stream)

    def _shortened(
        self, inputs: Batch, name: str, row: int, copies: int, stream: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Draw copies of a sequence alone, so that the width of its array plays no part; then pad them."""
        kernel = self.kernels[name]
        assert not isinstance(kernel, ContinuousNoise)
        codes, sizes = self.exposed(inputs, name, row)
        result = np.full((copies, inputs[name].shape[1]), PADDING, dtype=np.int64)
        result[:, : codes.size] = kernel.sample(np.tile(codes, (copies, 1)), sizes, stream)
        return result


def _corrupt(
    tiled: npt.NDArray[Any], kernel: Kernel, surface: Surface, stream: np.random.Generator
) -> npt.NDArray[Any]:
    everything = len(surface.eligible) == tiled.shape[1]
    columns = [] if everything else list(surface.eligible)
    part = tiled if everything else tiled[:, columns]
    drawn: npt.NDArray[Any]
    if isinstance(kernel, ContinuousNoise):
        drawn = kernel.sample(part, stream)
    else:
        assert isinstance(surface, DiscreteSurface)
        drawn = kernel.sample(np.ascontiguousarray(part), surface.eligible_sizes, stream)
    if everything:
        return drawn
    result = tiled.copy()
    result[:, columns] = drawn
    return result
