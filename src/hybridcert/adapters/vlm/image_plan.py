"""What a checkpoint's image processor does to an image of one size, read off its attributes.

The processor classes of transformers fall into two kinds that can be read: those that resize, crop, rescale
and normalise in the order of their base class (CLIP, SigLIP, ViT and many more), and LLaVA-OneVision's,
which adds tiles. A class is taken to be of the first kind if it overrides none of the base class's steps.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridcert.adapters.vlm.image_resample import Resize, Window, installed_resize
from hybridcert.errors import ModelError

if TYPE_CHECKING:
    from hybridcert.adapters.canvas import Canvas

Step = Resize | Window
Chain = tuple[Step, ...]
Size = tuple[int, int]

_STEPS = (
    "preprocess",
    "process_image",
    "convert_to_rgb",
    "resize",
    "center_crop",
    "rescale",
    "normalize",
    "pad",
    "_prepare_images_structure",
    "_prepare_image_like_inputs",
    "_preprocess_image_like_inputs",
    "_standardize_kwargs",
)
_TILED = ("LlavaOnevisionImageProcessor", "LlavaOnevisionImageProcessorPil")


@dataclasses.dataclass(frozen=True, slots=True)
class ImagePlan:
    """The steps from one image's levels to what a model takes.

    Parameters
    ----------
    views : tuple of chains
        The distinct views of an image, each a chain of steps that starts at the canvas.
    order : tuple of int
        Which of the views stands where in the model's input.
    size : tuple of int
        (height, width) of every view.
    tiled : bool
        Whether the model's input has an axis for views.
    tile_grid : tuple of int
        (height, width) in pixels of the grid of tiles; (0, 0) where there are no tiles.
    scale : float or None
        What levels are multiplied by; None leaves them as they are.
    mean, std : tuple of float or None
        One value for each of R, G, B; None where the processor does not normalise.
    """

    views: tuple[Chain, ...]
    order: tuple[int, ...]
    size: Size
    tiled: bool
    tile_grid: Size
    scale: float | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def read_plan(image_processor: Any, canvas: Canvas) -> ImagePlan:
    """Return what an image processor of transformers does to images on a canvas.

    Raises
    ------
    ModelError
        For a class or a setting whose steps are not known here.
    """
    tiled = _kind(image_processor)
    size = (canvas.height, canvas.width)
    grid: Size = (0, 0)
    starts: list[tuple[Chain, Size]] = [((), size)]
    if tiled:
        starts, grid = _tiles(image_processor, size)
    finished = [_finish(image_processor, chain, start) for chain, start in starts]
    sizes = {end for _, end in finished}
    if len(sizes) > 1:
        raise ModelError(f"{_name(image_processor)} makes views of several sizes, {sorted(sizes)}, of {size}")
    chains = [chain for chain, _ in finished]
    views = tuple(dict.fromkeys(chains))
    normalised = bool(image_processor.do_normalize)
    return ImagePlan(
        views=views,
        order=tuple(views.index(chain) for chain in chains),
        size=sizes.pop(),
        tiled=tiled,
        tile_grid=grid,
        scale=float(image_processor.rescale_factor) if image_processor.do_rescale else None,
        mean=_by_channel(image_processor, "image_mean") if normalised else None,
        std=_by_channel(image_processor, "image_std") if normalised else None,
    )


def _name(image_processor: Any) -> str:
    return type(image_processor).__name__


def _kind(image_processor: Any) -> bool:
    """Return whether the processor makes tiles; ModelError for a class that is not known."""
    from transformers.image_processing_backends import PilBackend, TorchvisionBackend

    kind = type(image_processor)
    backend: Any
    for backend in (PilBackend, TorchvisionBackend):
        if not isinstance(image_processor, backend):
            continue
        if kind.__name__ in _TILED and kind.__module__.startswith("transformers.models.llava_onevision."):
            return True
        if all(getattr(kind, step) is getattr(backend, step) for step in (*_STEPS, "_preprocess")):
            if not image_processor.do_pad:
                return False
            raise ModelError(f"{kind.__name__} pads images (do_pad): use ProcessorPipeline")
    raise ModelError(
        f"the steps of the image processor {kind.__name__} are not known: supported are "
        "LlavaOnevisionImageProcessor, SiglipImageProcessor, CLIPImageProcessor, ViTImageProcessor and "
        "others that only resize, centre-crop, rescale and normalise; use ProcessorPipeline for this one"
    )


def _by_channel(image_processor: Any, attribute: str) -> tuple[float, ...]:
    """Return a mean or standard deviation for each of R, G, B."""
    value = getattr(image_processor, attribute)
    values = (float(value),) * 3 if isinstance(value, int | float) else tuple(float(one) for one in value)
    if len(values) != 3:
        raise ModelError(f"{attribute} of {_name(image_processor)} must have 3 values, got {len(values)}")
    return values


def _finish(image_processor: Any, chain: Chain, size: Size) -> tuple[Chain, Size]:
    """Return a view's chain with the processor's own resize and centre crop behind it, and its final size."""
    if image_processor.do_resize:
        chain, size = _resized(image_processor, chain, size, _target(image_processor.size, size))
    if getattr(image_processor, "do_center_crop", None):
        crop = image_processor.crop_size
        if not (crop and crop.height and crop.width):
            raise ModelError(
                f"{_name(image_processor)} must have a crop_size of height and width, got {crop!r}"
            )
        corner = (
            _margin(image_processor, size[0] - crop.height),
            _margin(image_processor, size[1] - crop.width),
        )
        chain, size = _cut(chain, size, corner, (crop.height, crop.width))
    return chain, size


def _margin(image_processor: Any, excess: int) -> int:
    """Return where a centre crop begins; the backends differ for images too small by an odd number."""
    return excess // 2 if image_processor.backend == "pil" else int(excess / 2)


def _resized(image_processor: Any, chain: Chain, source: Size, target: Size) -> tuple[Chain, Size]:
    """Append a resize, unless it would change nothing."""
    from PIL import Image

    if source == target:
        return chain, target
    resample = image_processor.resample
    if resample is None:
        name = "bilinear"
    else:
        name = str(getattr(resample, "name", None) or Image.Resampling(resample).name).lower()
    return (*chain, installed_resize(source, target, name)), target


def _cut(chain: Chain, size: Size, corner: Size, target: Size) -> tuple[Chain, Size]:
    """Append a window, unless it is the whole image."""
    if corner == (0, 0) and size == target:
        return chain, target
    return (*chain, Window(*corner, *target)), target


def _target(wanted: Any, size: Size) -> Size:
    """Return the size that a processor's ``size`` stands for, for an image of a size."""
    from transformers import image_transforms, image_utils

    height, width = size
    if wanted.shortest_edge and wanted.longest_edge:
        found = image_transforms.get_size_with_aspect_ratio(size, wanted.shortest_edge, wanted.longest_edge)
    elif wanted.shortest_edge:
        found = image_transforms.get_resize_output_image_size(
            _shaped(size), wanted.shortest_edge, default_to_square=False, input_data_format="channels_first"
        )
    elif wanted.max_height and wanted.max_width:
        found = image_utils.get_image_size_for_max_height_width(size, wanted.max_height, wanted.max_width)
    elif wanted.height and wanted.width:
        found = (wanted.height, wanted.width)
    else:
        raise ModelError(f"cannot tell which size {wanted!r} stands for, for an image of {height}×{width}")
    return int(found[0]), int(found[1])


def _shaped(size: Size) -> Any:
    """Return something of an RGB image's shape that takes no memory, for functions that ask for an image."""
    return np.broadcast_to(np.uint8(0), (3, *size))


def _tiles(image_processor: Any, size: Size) -> tuple[list[tuple[Chain, Size]], Size]:
    """Return LLaVA-OneVision's views before their final resize, base view first, and the grid's size."""
    from transformers.image_processing_utils import get_patch_output_size, select_best_resolution

    wanted, crop = image_processor.size, image_processor.crop_size
    base = (wanted.height, wanted.width) if wanted.height and wanted.width else (wanted.shortest_edge,) * 2
    side = (crop.height if crop else None) or wanted.height or wanted.shortest_edge
    best = select_best_resolution(size, image_processor.image_grid_pinpoints)
    if best is None:
        raise ModelError(f"{_name(image_processor)} has no image_grid_pinpoints that fit an image of {size}")
    grid = (int(best[0]), int(best[1]))
    fit: Any = get_patch_output_size
    fitted = fit(_shaped(size), grid, input_data_format="channels_first")
    chain, fitted = _resized(image_processor, (), size, (int(fitted[0]), int(fitted[1])))
    above, before = ((grid[axis] - fitted[axis]) // 2 for axis in (0, 1))
    tiles = [
        _cut(
            chain,
            fitted,
            (row - above, column - before),
            (min(side, grid[0] - row), min(side, grid[1] - column)),
        )
        for row in range(0, grid[0], side)
        for column in range(0, grid[1], side)
    ]
    return [_resized(image_processor, (), size, base), *tiles], grid
