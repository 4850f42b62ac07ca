"""The weights with which Pillow resizes one axis of an 8-bit image, in its fixed point."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_FRACTION = 1 << 22


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def _bilinear(x: float) -> float:
    return max(1.0 - abs(x), 0.0)


def _hamming(x: float) -> float:
    x = abs(x) * math.pi
    if x == 0.0:
        return 1.0
    # Pillow holds these two constants in single precision.
    first, second = float(np.float32(0.54)), float(np.float32(0.46))
    return math.sin(x) / x * (first + second * math.cos(x)) if x < math.pi else 0.0


def _bicubic(x: float) -> float:
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 if x < 2.0 else 0.0


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x else 1.0


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3.0) if -3.0 <= x < 3.0 else 0.0


_FILTERS: dict[str, tuple[Callable[[float], float], float]] = {
    "box": (_box, 0.5),
    "bilinear": (_bilinear, 1.0),
    "hamming": (_hamming, 1.0),
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}

RESAMPLE_FILTERS = ("nearest", *_FILTERS)
"""The filters known here, by Pillow's names in lower case."""


def axis_weights(source: int, target: int, resample: str) -> npt.NDArray[np.float64]:
    """Return Pillow's weights for resizing one axis, as a matrix.

    Parameters
    ----------
    source, target : int >= 1
        Number of pixels before and after.
    resample : str
        One of ``RESAMPLE_FILTERS``.

    Returns
    -------
    ndarray of float64, shape (source, target)
        Column j holds what each source pixel adds to pixel j: integers over 2²², exactly Pillow's.
    """
    weights = np.zeros((source, target))
    scale = source / target
    if resample == "nearest":
        position = scale * 0.5
        for j in range(target):
            weights[int(position), j] = 1.0
            position += scale
        return weights
    kernel, reach = _FILTERS[resample]
    stretch = max(scale, 1.0)
    reach *= stretch
    inverse = 1.0 / stretch
    for j in range(target):
        centre = (j + 0.5) * scale
        first = max(int(centre - reach + 0.5), 0)
        last = min(int(centre + reach + 0.5), source)
        taps = [kernel((i - centre + 0.5) * inverse) for i in range(first, last)]
        total = functools.reduce(float.__add__, taps, 0.0)
        for i, tap in enumerate(taps, start=first):
            share = (tap / total if total else tap) * _FRACTION
            weights[i, j] = int(share - 0.5 if share < 0 else share + 0.5) / _FRACTION
    return weights
