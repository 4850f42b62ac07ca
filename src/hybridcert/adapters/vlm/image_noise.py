"""Noisy images as tensors, a batch at a time: drawn on the host, or where the model computes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import IMAGE
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.sampling.copies import Copies

if TYPE_CHECKING:
    import torch

PORTION = 16
"""Images that are drawn from one seed on a device; part of what their noise is."""


def noisy_images(
    copies: Copies, canvas: Canvas, *, size: int, device: Any, on_device: bool
) -> Iterator[torch.Tensor]:
    """Yield noisy images, ``size`` at a time, float64 of shape (n, C, H, W), on a device.

    Noise is drawn in float64. On the host its values are those that `SmoothingNoise` draws, on every machine;
    on a device they depend on (seed, input, stage, block) and on the kind of device, not on ``size``.

    Parameters
    ----------
    copies : Copies
    canvas : Canvas
    size : int
        A multiple or a divisor of `PORTION` where ``on_device``.
    device : torch.device
    on_device : bool
        Whether Gaussian noise is drawn there, unless it is a CPU, whose seeds in torch have 32 bits. Other
        noise is drawn on the host in any case.
    """
    import torch

    shape = (-1, canvas.channels, canvas.height, canvas.width)
    kernel = copies.kernel(IMAGE)
    if on_device and device.type != "cpu" and isinstance(kernel, GaussianNoise):
        clean = torch.from_numpy(np.ascontiguousarray(copies.clean(IMAGE))).to(device)
        for images in drawn_there(copies, clean, kernel, size):
            yield images.reshape(shape)
        return
    for values in copies.portions(IMAGE, size):
        yield torch.from_numpy(np.array(values, dtype=np.float64)).to(device).reshape(shape)


def drawn_there(
    copies: Copies, clean: torch.Tensor, kernel: GaussianNoise, size: int
) -> Iterator[torch.Tensor]:
    """Yield copies of a flattened image, ``size`` at a time, drawn where it lies."""
    import torch

    portions = _portions(copies, clean, kernel)
    if size <= PORTION:
        for noisy in portions:
            yield from torch.split(noisy, size)
        return
    while batch := list(itertools.islice(portions, size // PORTION)):
        yield torch.cat(batch)


def _portions(copies: Copies, clean: torch.Tensor, kernel: GaussianNoise) -> Iterator[torch.Tensor]:
    """Yield the copies portion by portion, each from a seed of its own, flattened."""
    import torch

    sigma = torch.as_tensor(kernel.sigma, dtype=torch.float64, device=clean.device)
    generator = torch.Generator(device=clean.device)
    for portion in range(-(-copies.count // PORTION)):
        generator.manual_seed(copies.seed(IMAGE, portion))
        noise = torch.randn(
            (PORTION, clean.numel()), generator=generator, dtype=torch.float64, device=clean.device
        )
        yield noise.mul_(sigma).add_(clean)[: copies.count - portion * PORTION]
