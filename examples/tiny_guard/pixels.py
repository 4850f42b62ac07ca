"""From grey levels to what the vision tower sees, in one go for a batch: what the image processor does."""

from __future__ import annotations

import torch
from guard import MEAN, SIDE, STD

GREY_SIDE = 8


def _bicubic() -> torch.Tensor:
    """Return the matrix (SIDE, GREY_SIDE) that enlarges a line of pixels as PIL does."""
    lines = torch.eye(GREY_SIDE)[:, None, :, None].repeat(1, 1, 1, GREY_SIDE)
    enlarged = torch.nn.functional.interpolate(lines, size=(SIDE, SIDE), mode="bicubic", antialias=True)
    return enlarged[:, 0, :, 0].T.contiguous()


_ENLARGE = _bicubic()


def _to_bytes(levels: torch.Tensor) -> torch.Tensor:
    return levels.clamp(0, 255).add(0.5).floor()


def pixel_values(grey: torch.Tensor) -> torch.Tensor:
    """Clip grey levels (m, 64) to [0, 1], round to bytes, enlarge and normalise; shape (m, 3, SIDE, SIDE).

    PIL enlarges the lines, rounds to bytes, and then enlarges the columns.
    """
    image = _to_bytes((grey * 255).reshape(-1, GREY_SIDE, GREY_SIDE))
    image = _to_bytes(image @ _ENLARGE.T)
    image = _to_bytes(_ENLARGE @ image)
    return ((image / 255 - MEAN) / STD)[:, None].expand(-1, 3, -1, -1)
