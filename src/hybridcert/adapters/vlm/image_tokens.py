"""How many image tokens LLaVA-OneVision needs for an image: base view, tiles without padding, line ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hybridcert.errors import ModelError

if TYPE_CHECKING:
    from hybridcert.adapters.canvas import Canvas

_ANYRES = "anyres_max_"


def onevision_image_tokens(
    config: Any, *, canvas: Canvas, tile_grid: tuple[int, int], tile: tuple[int, int]
) -> int:
    """Return the number of image tokens for one image: that of the features which the model inserts.

    Parameters
    ----------
    config : LlavaOnevisionConfig
        Its vision tower must have no class token (SigLIP), or drop it.
    canvas : Canvas
        The image's size.
    tile_grid, tile : tuple of int
        (height, width) in pixels of all tiles together and of one, as the image processor makes them.

    Raises
    ------
    ModelError
        For a configuration of another model, or one that disagrees with the image processor.
    """
    side = _tower_side(config, tile)
    _check_grid(config, canvas, tile_grid)
    rows, columns = side * (tile_grid[0] // tile[0]), side * (tile_grid[1] // tile[1])
    rows, columns = _without_padding(canvas.height, canvas.width, rows, columns)
    excess = math.sqrt(rows * columns / (_most_tiles(config) * side**2))
    if excess > 1.1:
        rows, columns = int(rows // excess), int(columns // excess)
    return side * side + rows * columns + rows


def _tower_side(config: Any, tile: tuple[int, int]) -> int:
    """Return how many patches a view has along each side."""
    vision = getattr(config, "vision_config", None)
    if getattr(config, "model_type", None) != "llava_onevision" or vision is None:
        raise ModelError(
            f"image tokens are known for llava_onevision, got {getattr(config, 'model_type', None)!r}: "
            "ask the model's processor"
        )
    if tile != (vision.image_size, vision.image_size):
        raise ModelError(
            f"the image processor makes views of {tile[0]}×{tile[1]}, but the vision tower takes "
            f"{vision.image_size}×{vision.image_size}: take both from one checkpoint"
        )
    return int(vision.image_size // vision.patch_size)


def _check_grid(config: Any, canvas: Canvas, tile_grid: tuple[int, int]) -> None:
    """Refuse a model that expects other tiles than the image processor makes."""
    from transformers.image_processing_utils import select_best_resolution

    expected = select_best_resolution((canvas.height, canvas.width), config.image_grid_pinpoints)
    if expected is None or tuple(expected) != tile_grid:
        raise ModelError(
            f"the image processor makes a grid of {tile_grid} pixels, but the model expects {expected}: "
            "their image_grid_pinpoints differ, take both from one checkpoint"
        )


def _most_tiles(config: Any) -> int:
    """Return the number of tiles above which the model shrinks its features."""
    mode = str(config.vision_aspect_ratio)
    if not mode.startswith(_ANYRES) or not mode.removeprefix(_ANYRES).isdigit():
        raise ModelError(f"vision_aspect_ratio must be {_ANYRES}N, got {mode!r}")
    return int(mode.removeprefix(_ANYRES))


def _without_padding(height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
    """Return the rows and columns of features that are left when those of the padding are cut off."""
    if width / height > columns / rows:
        kept = int(round(height * (columns / width), 7))
        return rows - (rows - kept) // 2 * 2, columns
    kept = int(round(width * (rows / height), 7))
    return rows, columns - (columns - kept) // 2 * 2
