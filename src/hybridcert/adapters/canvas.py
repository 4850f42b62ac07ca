"""The space that images live in: pixels on a canvas of one size, on which shifts are measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.ranges import check_count
from hybridcert.errors import DataError, ParameterError
from hybridcert.threats import ContinuousSurface

Pixels = npt.NDArray[np.float64]

_MODES = {1: "L", 3: "RGB"}
_MOST_OF_16_BIT = 2**16 - 1
_MOST_PIXELS = 2**24


@dataclasses.dataclass(frozen=True, slots=True)
class Canvas:
    """Images of one size with pixel values in [0, 1]: what noise is added to and ε is measured on.

    An image of another size is resized to the canvas first, once, and what the certificate says is about
    the resized image. Everything behind the canvas (clipping, rounding to 8 bit, a model's own resizing and
    tiling) is part of the classifier.

    Parameters
    ----------
    height, width : int >= 1
    channels : {1, 3}
        Grey or RGB. Colour images on a grey canvas are converted; transparent pixels become white.

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """

    height: int
    width: int
    channels: int = 3

    def __post_init__(self) -> None:
        check_count("height", self.height)
        check_count("width", self.width)
        if self.height * self.width > _MOST_PIXELS:
            raise ParameterError(
                f"a canvas must have at most {_MOST_PIXELS:,} pixels, got {self.height} × {self.width}"
            )
        if self.channels not in _MODES:
            raise ParameterError(f"channels must be 1 (grey) or 3 (RGB), got {self.channels!r}")

    @property
    def features(self) -> int:
        """Number of values of an image."""
        return self.channels * self.height * self.width

    @property
    def unit(self) -> str:
        """What one unit of ℓ₂ distance means."""
        kind = "grey" if self.channels == 1 else "RGB"
        return f"pixel values in [0, 1], {kind} {self.width}×{self.height}"

    def surface(self) -> ContinuousSurface:
        """Return the modality of images on this canvas: every pixel has noise and may be attacked."""
        return ContinuousSurface(self.features, tuple(range(self.features)), self.unit)

    def read(self, image: Any, *, name: str) -> Pixels:
        """Return an image as values in [0, 1], channels first and flattened, shape (features,).

        Parameters
        ----------
        image : path, PIL image, or array
            Arrays have shape (H, W) or (H, W, 1 or 3 or 4), and hold uint8 levels or floats in [0, 1]. Floats
            of the canvas's size are taken as they are; everything else goes through 8 bit. Images of 16 bit
            grey, and those of 32-bit integers, have levels from 0 to 65535.
        name : str
            Names the image in errors.

        Raises
        ------
        DataError
            For a file that is missing or no image, an array of another shape, type or range, and a PIL image
            whose pixels are floats, integers of more than 16 bit, or in a mode that is no colour.
        """
        if isinstance(image, str | Path):
            return self._drawn(_opened(Path(image), name), name)
        if isinstance(image, np.ndarray):
            exact = self._exact(image, name)
            return exact if exact is not None else self._drawn(_pictured(image, name), name)
        if hasattr(image, "convert") and hasattr(image, "resize"):
            return self._drawn(image, name)
        raise DataError(
            f"{name}: an image must be a path, a PIL image or an array, got {type(image).__name__}"
        )

    def blank(self) -> Pixels:
        """Return mid grey, which stands for "no image", shape (height, width, channels)."""
        return np.full((self.height, self.width, self.channels), 0.5)

    def planes(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return flattened images (n, features) as (n, channels, height, width), without copying."""
        return values.reshape(len(values), self.channels, self.height, self.width)

    def _exact(self, image: npt.NDArray[Any], name: str) -> Pixels | None:
        """Return floats that fit the canvas as they are; None for what has to be converted."""
        if image.dtype.kind != "f":
            return None
        if not np.isfinite(image).all() or image.min(initial=0.0) < 0 or image.max(initial=0.0) > 1:
            worst = image[~((image >= 0) & (image <= 1))][0]
            raise DataError(f"{name}: pixel values must be in [0, 1], got {worst}")
        planes = image[..., None] if image.ndim == 2 else image
        if planes.shape != (self.height, self.width, self.channels):
            return None
        return np.ascontiguousarray(planes.transpose(2, 0, 1), dtype=np.float64).ravel()

    def _drawn(self, picture: Any, name: str) -> Pixels:
        """Return a PIL image on this canvas."""
        from PIL import Image

        if picture.mode == "F" or picture.mode.startswith("I"):
            picture = _in_eight_bit(picture, name)
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
            picture = Image.alpha_composite(white, picture.convert("RGBA"))
        try:
            picture = picture.convert(_MODES[self.channels])
        except ValueError as error:
            raise DataError(
                f"{name}: an image must be grey or in colours, got mode {picture.mode}, which cannot be "
                f"converted to {_MODES[self.channels]}"
            ) from error
        if picture.size != (self.width, self.height):
            picture = picture.resize((self.width, self.height), Image.Resampling.BICUBIC)
        levels = np.asarray(picture, dtype=np.float64).reshape(self.height, self.width, self.channels)
        return np.ascontiguousarray(levels.transpose(2, 0, 1)).ravel() / 255.0


def _opened(path: Path, name: str) -> Any:
    """Return the image in a file, decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise DataError(f"{name}: there is no image file {str(path)!r}") from None
    except UnidentifiedImageError:
        raise DataError(f"{name}: {str(path)!r} is no image that can be read") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{name}: the image {str(path)!r} is damaged: {reason}") from error


def _in_eight_bit(picture: Any, name: str) -> Any:
    """Return a picture of 16 bit grey in 8 bit: levels divided by 257, rounded; transparent ones white."""
    from PIL import Image

    if picture.mode == "F":
        raise DataError(
            f"{name}: an image must hold integers of 8 or 16 bit, got floats (mode F) of unknown range: pass "
            "an array of floats in [0, 1]"
        )
    values = np.asarray(picture).astype(np.int64)
    least, most = int(values.min(initial=0)), int(values.max(initial=0))
    if least < 0 or most > _MOST_OF_16_BIT:
        worst = least if least < 0 else most
        raise DataError(
            f"{name}: an image of integers (mode {picture.mode}) must hold values in [0, {_MOST_OF_16_BIT}], "
            f"got {worst}: scale it first"
        )
    levels = np.rint(values / 257).astype(np.uint8)
    levels[values == picture.info.get("transparency", -1)] = 255
    return Image.fromarray(levels)


def _pictured(image: npt.NDArray[Any], name: str) -> Any:
    """Return an array as a PIL image of 8 bit."""
    from PIL import Image

    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or not image.size:
        raise DataError(f"{name}: an image must have shape (H, W) or (H, W, 1, 3 or 4), got {image.shape}")
    if image.dtype.kind == "f":
        image = np.rint(image * 255.0).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise DataError(f"{name}: an image must hold uint8 or floats in [0, 1], got {image.dtype}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(image))
