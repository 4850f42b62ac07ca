"""The clean score that a claim needs: the question a sequential test is designed for."""

from __future__ import annotations

import math

import numpy as np

from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.frontier import Spectra, radius

_GRID = 64
_ROUNDS = 12
_MARGIN = 2.0**-36
"""Share of the remaining way to 1 that is added: directed radii waver by less."""


def score_needed(
    *, spectrum: Spectra, sigma: float, epsilon: float, threshold: float, noise: str = "gaussian"
) -> float:
    """Return a clean score from which `radius` certifies ``epsilon`` at the budget of ``spectrum``.

    It is what a test of "the clean score is no better than needed" is designed for. It carries no guarantee
    of its own: certificates rest on the bound that the samples give and on the radius computed from that.

    Parameters
    ----------
    spectrum : LikelihoodSpectrum or sequence of them
        A sequence means the worst case over its members.
    sigma : float > 0
        Scale of the continuous noise.
    epsilon : float >= 0, in the units of ``sigma``
    threshold : float in (0, 1)
    noise : {"gaussian", "laplace"}

    Returns
    -------
    float in (0, 1]
        Within about 1e-10 of the least such score, from above; 1 where no score below 1 suffices.

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """

    def enough(p: Floats) -> Bools:
        radii = radius(p_lower=p, spectrum=spectrum, sigma=sigma, threshold=threshold, noise=noise)
        return radii.certified & (radii.radius >= epsilon)

    low, high = 0.0, math.nextafter(1.0, 0.0)
    if not enough(np.array([high]))[0]:
        return 1.0
    for _ in range(_ROUNDS):
        grid = np.linspace(low, high, _GRID)
        first = int(np.argmax(enough(grid)))  # the last one is enough
        if first == 0:
            break
        low, high = float(grid[first - 1]), float(grid[first])
    return min(high + _MARGIN * (1.0 - high), math.nextafter(1.0, 0.0))
