"""Whole numbers in floating point: pixels and weights so coarse that every order of summation is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridcert.errors import HybridCertError

PIXEL_STEP = 1 / 64
PIXEL_LOWEST, PIXEL_HIGHEST = -2.0, 3.0
FLOAT32_EXACT, FLOAT64_EXACT = 2.0**24, 2.0**53
"""Up to here the type holds every integer."""


def pixel_codes(image: NDArray[np.float64]) -> NDArray[np.float32]:
    """Express pixels in whole steps of the grid, clipped to its ends."""
    codes = (image * (1 / PIXEL_STEP)).astype(np.float32)
    np.rint(codes, out=codes)
    return np.clip(codes, PIXEL_LOWEST / PIXEL_STEP, PIXEL_HIGHEST / PIXEL_STEP, out=codes)


def on_grid(
    weights: NDArray[Any],
    bias: NDArray[Any],
    largest: NDArray[np.float64],
    *,
    input_step: float,
    limit: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return weights and bias of a layer as integers, and the step of the weights.

    The step is the finest power of two (down to 2^-20) at which every partial sum of the layer stays below
    ``limit``, whatever the order of summation, for integer inputs of absolute value at most ``largest``.
    """
    for exponent in range(20, -21, -1):
        step = 2.0**-exponent
        whole = np.rint(np.asarray(weights, dtype=np.float64) / step)
        whole_bias = np.rint(np.asarray(bias, dtype=np.float64) / (step * input_step))
        if (largest @ np.abs(whole) + np.abs(whole_bias)).max() < limit:
            return whole, whole_bias, step
    raise HybridCertError(f"no grid holds the trained weights, the largest is {np.abs(weights).max():.3g}")
