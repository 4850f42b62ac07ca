"""Resizing as Pillow does it, to the last level, as matrix products on any device.

Pillow resizes an 8-bit image one axis at a time, with weights in fixed point (22 fractional bits), and rounds
to 8 bit after each axis. Levels and weights are integers over a power of two, and every sum of products
stays far below 2⁵³, so products in float64 are exact in any order: the result is Pillow's on every device.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridcert.adapters.vlm.image_filters import RESAMPLE_FILTERS, axis_weights
from hybridcert.errors import ModelError

if TYPE_CHECKING:
    import torch

_BLOCK = 32


class _Block(NamedTuple):
    """Weights of the target pixels start:stop, which depend on the source pixels first:last only."""

    start: int
    stop: int
    first: int
    last: int
    weights: torch.Tensor


@functools.lru_cache(maxsize=64)
def _blocks(source: int, target: int, resample: str, device: str) -> tuple[_Block, ...]:
    """Return one axis's weights cut into blocks: dense matrices over the few source pixels that count."""
    import torch

    weights = axis_weights(source, target, resample)
    blocks = []
    for start in range(0, target, _BLOCK):
        part = weights[:, start : start + _BLOCK]
        used = np.flatnonzero(part.any(axis=1))
        first, last = int(used[0]), int(used[-1]) + 1
        dense = torch.from_numpy(np.ascontiguousarray(part[first:last])).to(device)
        blocks.append(_Block(start, start + part.shape[1], first, last, dense))
    return tuple(blocks)


@dataclasses.dataclass(frozen=True, slots=True)
class Resize:
    """Resize levels as Pillow resizes an 8-bit image.

    Parameters
    ----------
    source, target : tuple of int
        (height, width) before and after.
    resample : str
        One of ``RESAMPLE_FILTERS``.
    vertical_first : bool
        The axis that is resized, and rounded, first; Pillow's releases differ (see ``installed_resize``).
    """

    source: tuple[int, int]
    target: tuple[int, int]
    resample: str
    vertical_first: bool = False

    def __call__(self, levels: torch.Tensor) -> torch.Tensor:
        """Return the resized levels.

        Parameters
        ----------
        levels : tensor of float64, shape (n, C, height, width)
            Whole numbers 0 to 255.

        Returns
        -------
        tensor of float64, shape (n, C, target height, target width)
            Whole numbers 0 to 255, equal to Pillow's.
        """
        if self.vertical_first:
            return self._horizontal(self._vertical(levels))
        return self._vertical(self._horizontal(levels))

    def _horizontal(self, levels: torch.Tensor) -> torch.Tensor:
        import torch

        width, target = self.source[1], self.target[1]
        if width == target:
            return levels
        rows = levels.reshape(-1, width)
        out = rows.new_empty((len(rows), target))
        for block in _blocks(width, target, self.resample, str(levels.device)):
            torch.mm(rows[:, block.first : block.last], block.weights, out=out[:, block.start : block.stop])
        return _rounded(out).reshape(*levels.shape[:-1], target)

    def _vertical(self, levels: torch.Tensor) -> torch.Tensor:
        import torch

        height, target = self.source[0], self.target[0]
        if height == target:
            return levels
        planes = levels.reshape(-1, height, levels.shape[-1])
        out = planes.new_empty((len(planes), target, levels.shape[-1]))
        for block in _blocks(height, target, self.resample, str(levels.device)):
            torch.matmul(
                block.weights.T, planes[:, block.first : block.last], out=out[:, block.start : block.stop]
            )
        return _rounded(out).reshape(*levels.shape[:-2], target, levels.shape[-1])


def _rounded(sums: torch.Tensor) -> torch.Tensor:
    """Round weighted sums to levels in place: halves up, then into 0 to 255."""
    return sums.add_(0.5).floor_().clamp_(0.0, 255.0)


@functools.lru_cache(maxsize=256)
def installed_resize(source: tuple[int, int], target: tuple[int, int], resample: str) -> Resize:
    """Return the resize that the installed Pillow does, found by resizing one image with both.

    Releases differ in the axis that comes first. The image is fixed noise, where the order shows.

    Raises
    ------
    ModelError
        For an unknown filter, or if the installed Pillow gives other levels in either order.
    """
    import torch
    from PIL import Image

    if resample not in RESAMPLE_FILTERS:
        raise ModelError(
            f"resample must be one of {', '.join(RESAMPLE_FILTERS)}, got {resample!r}: use ProcessorPipeline"
        )
    noise = np.random.default_rng(0).integers(0, 256, source, dtype=np.uint8)
    picture = Image.fromarray(noise).resize(target[::-1], Image.Resampling[resample.upper()])
    expected = torch.from_numpy(np.array(picture, dtype=np.float64))
    levels = torch.from_numpy(noise)[None, None].double()
    for vertical_first in (False, True):
        resize = Resize(source, target, resample, vertical_first)
        if torch.equal(resize(levels)[0, 0], expected):
            return resize
    raise ModelError(
        f"the installed Pillow resizes {source} to {target} ({resample}) otherwise: use ProcessorPipeline"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """Cut a window out of levels; what lies outside the image is 0.

    Parameters
    ----------
    top, left : int
        Corner of the window in the image, negative where the window begins outside.
    height, width : int >= 1
        Size of the window.
    """

    top: int
    left: int
    height: int
    width: int

    def __call__(self, levels: torch.Tensor) -> torch.Tensor:
        """Return the window of levels (n, C, H, W), shape (n, C, height, width)."""
        from torch.nn.functional import pad

        bottom, right = self.top + self.height, self.left + self.width
        inside = levels[..., max(self.top, 0) : max(bottom, 0), max(self.left, 0) : max(right, 0)]
        if inside.shape[-2:] == (self.height, self.width):
            return inside
        above, before = min(max(-self.top, 0), self.height), min(max(-self.left, 0), self.width)
        below, behind = self.height - above - inside.shape[-2], self.width - before - inside.shape[-1]
        return pad(inside, (before, behind, above, below))
