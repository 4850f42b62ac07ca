"""The smoothing law of an input: one kernel per modality, applied to the eligible positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import DataError, ParameterError
from hybridcert.kernels.discrete import DiscreteKernel
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.streams import RowStreams, Stage
from hybridcert.threats import ContinuousSurface, DiscreteSurface, Surface

Kernel = DiscreteKernel | GaussianNoise


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
            if isinstance(surface, ContinuousSurface) != isinstance(kernel, GaussianNoise):
                kind = "continuous" if isinstance(surface, ContinuousSurface) else "discrete"
                raise ParameterError(f"modality {name!r} is {kind}: the {kernel.name} kernel does not fit")
            if isinstance(surface, DiscreteSurface) and not isinstance(kernel, GaussianNoise):
                kernel.check_surface(surface)

    def check_inputs(self, inputs: Batch) -> None:
        """Raise DataError unless the eligible codes lie in their alphabets, which the laws rely on."""
        for name in self.kernels:
            surface = self.surfaces[name]
            if not isinstance(surface, DiscreteSurface):
                continue
            least = -1 if surface.sequence else 0
            for position, size in zip(surface.eligible, surface.eligible_sizes, strict=True):
                codes = inputs[name][:, position]
                wrong = (codes < least) | (codes >= size)
                if wrong.any():
                    raise DataError(
                        f"modality {name!r}, row {int(np.argmax(wrong))}, position {position}: code must be "
                        f"in [{least}, {size - 1}], got {codes[wrong][0]}"
                    )

    def draw(
        self, inputs: Batch, row: int, copies: int, key: bytes, *, stage: Stage, block: int
    ) -> dict[str, npt.NDArray[Any]]:
        """Return ``copies`` noisy copies of one row, modality by modality."""
        noisy: dict[str, npt.NDArray[Any]] = {}
        for modality, name in enumerate(sorted(inputs)):
            clean = inputs[name][row]
            kernel = self.kernels.get(name)
            tiled = np.broadcast_to(clean, (copies, *clean.shape))
            if kernel is None:
                noisy[name] = tiled
                continue
            stream = RowStreams.generator(key, stage=stage, block=block, modality=modality)
            noisy[name] = _corrupt(tiled, kernel, self.surfaces[name], stream)
        return noisy


def _corrupt(
    tiled: npt.NDArray[Any], kernel: Kernel, surface: Surface, stream: np.random.Generator
) -> npt.NDArray[Any]:
    columns = list(surface.eligible)
    everything = len(columns) == tiled.shape[1]
    part = tiled if everything else tiled[:, columns]
    drawn: npt.NDArray[Any]
    if isinstance(kernel, GaussianNoise):
        drawn = kernel.sample(part, stream)
    else:
        assert isinstance(surface, DiscreteSurface)
        drawn = kernel.sample(np.ascontiguousarray(part), surface.eligible_sizes, stream)
    if everything:
        return drawn
    result = tiled.copy()
    result[:, columns] = drawn
    return result
