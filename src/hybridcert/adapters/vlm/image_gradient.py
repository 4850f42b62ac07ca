"""The derivative of what a vision tower is given with respect to the pixels of the canvas."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from hybridcert.adapters.vlm.image_filters import axis_weights
from hybridcert.adapters.vlm.image_pipeline import ImagePipeline
from hybridcert.adapters.vlm.image_plan import Chain, Step
from hybridcert.adapters.vlm.image_resample import Resize

if TYPE_CHECKING:
    import torch


def straight_through(pipeline: ImagePipeline, images: torch.Tensor) -> torch.Tensor:
    """Return the pixel values of a pipeline, differentiable by the images.

    The values are those of ``pipeline(images)``, bit for bit. The derivatives are those of the same steps
    without any rounding: clipping, resizing, windows, rescaling and normalising are linear, or clip.

    Parameters
    ----------
    pipeline : ImagePipeline
    images : tensor of floats, shape (n, C, H, W)
        See `ImagePipeline.__call__`.
    """
    import torch

    with torch.no_grad():
        exact = pipeline(images.detach())
    smooth = unrounded(pipeline, images)
    return exact + (smooth - smooth.detach())


def unrounded(pipeline: ImagePipeline, images: torch.Tensor) -> torch.Tensor:
    """Return pixel values without rounding to levels, float32, of the shape that the pipeline gives."""
    import torch

    plan = pipeline.plan
    done: dict[Chain, torch.Tensor] = {(): images.double().clamp(0.0, 1.0) * 255.0}
    views = []
    for chain in plan.views:
        for length in range(1, len(chain) + 1):
            if chain[:length] not in done:
                done[chain[:length]] = _step(chain[length - 1], done[chain[: length - 1]])
        views.append(_normalised(pipeline, done[chain]))
    out = torch.stack([views[view] for view in plan.order], dim=1)
    return out if plan.tiled else out[:, 0]


def _step(step: Step, levels: torch.Tensor) -> torch.Tensor:
    """Do one step of a chain; a resize without rounding, but with clipping, after each axis."""
    if not isinstance(step, Resize):
        return step(levels)
    axes = ((step.source[0], step.target[0]), (step.source[1], step.target[1]))
    for axis in (0, 1) if step.vertical_first else (1, 0):
        source, target = axes[axis]
        if source != target:
            weights = _weights(source, target, step.resample, str(levels.device))
            resized = levels @ weights if axis == 1 else weights.T @ levels
            levels = resized.clamp(0.0, 255.0)
    return levels


def _normalised(pipeline: ImagePipeline, levels: torch.Tensor) -> torch.Tensor:
    """Return levels (n, C, height, width) rescaled and normalised, shape (n, 3, height, width)."""
    plan = pipeline.plan
    values = (levels if plan.scale is None else levels * plan.scale).float()
    values = values.expand(-1, 3, -1, -1)
    if plan.mean is None or plan.std is None:
        return values
    mean, std = (values.new_tensor(three).view(3, 1, 1) for three in (plan.mean, plan.std))
    return (values - mean) / std


@functools.lru_cache(maxsize=64)
def _weights(source: int, target: int, resample: str, device: str) -> torch.Tensor:
    """Return Pillow's weights for one axis, shape (source, target)."""
    import torch

    return torch.from_numpy(axis_weights(source, target, resample)).to(device)
