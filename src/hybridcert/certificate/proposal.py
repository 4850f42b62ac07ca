"""Proposals: where to look for a proof, and how steep the ground is there. Nothing here is guaranteed.

Worst-case scores fall as the shift m grows. `crossing` looks for the m at which they fall to a level;
`step_back` shrinks a proposed m until a directed evaluation proves it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hybridcert.certificate.directed import UNIT_ROUNDOFF, Bools, Floats

Rows = npt.NDArray[np.intp]

_STEPS = 80
_CLOSE = 1e-13
_BACK_OFFS = 48
_ROUNDING = 512 * UNIT_ROUNDOFF  # what rounding usually costs the dual bound, relative to its terms
_SPARE = 1e-11  # of a shift: more than this is not given away without a second try


class Proposal(NamedTuple):
    """A point (m, u) for each row; ``fall`` = −dV/dm is what a unit of m costs there."""

    shift: Floats
    log_t: Floats
    fall: Floats


class Estimate(NamedTuple):
    """The worst-case score V at given shifts, the u that attains it, and ``fall`` = −dV/dm."""

    value: Floats
    log_t: Floats
    fall: Floats


def crossing(value: Callable[[Rows, Floats], tuple[Floats, Floats]], level: Floats, hi: Floats) -> Floats:
    """Propose the m in (0, hi) at which a decreasing function comes down to ``level``; it is above at 0.

    ``value(rows, m)`` returns the function and minus its slope. Newton's method on its logarithm, guarded by
    a bracket.
    """
    lo, hi = np.zeros_like(hi), hi.copy()
    m = 0.5 * hi
    active = np.flatnonzero(hi > 0.0)
    for _ in range(_STEPS):
        if active.size == 0:
            break
        here, wanted = m[active], level[active]
        found, fall = value(active, here)
        above = found > wanted
        left = lo[active] = np.where(above, here, lo[active])
        right = hi[active] = np.where(above, hi[active], here)
        step = np.log(found / wanted) * found / fall
        small = np.abs(step) <= _CLOSE * here
        newton = small | ((here + step > left) & (here + step < right))
        m[active] = np.where(newton, here + step, 0.5 * (left + right))
        active = active[~small & (right - left > _CLOSE * here)]
    return m


def step_back(
    excess: Callable[[Rows, Floats], Floats], shift: Floats, fall: Floats, terms: Floats
) -> tuple[Floats, Bools]:
    """Shrink proposed shifts until ``excess(rows, shift)`` > 0, which proves them; also whether it ever is.

    ``fall`` turns what is missing of the bound into a step, and what it has to spare into a higher second
    proposal; ``terms`` is the size of what is summed in it. They set the pace, not the verdict.
    """
    best, proven = np.zeros_like(shift), np.zeros(shift.shape, dtype=np.bool_)
    rows = np.flatnonzero(np.isfinite(shift) & (shift > 0.0) & (fall > 0.0) & np.isfinite(terms))
    top, slope = shift[rows], fall[rows]
    back = np.minimum(8 * UNIT_ROUNDOFF * top + _ROUNDING * terms[rows] / slope, _SPARE * top)
    for attempt in range(_BACK_OFFS):
        trial = np.maximum(top - back, 0.5 ** (attempt + 1) * top)
        step = excess(rows, trial) / slope
        passed = step > 0.0
        kept = rows[passed]
        best[kept] = np.maximum(best[kept], trial[passed])
        proven[kept] = True
        higher = passed & (step > _SPARE * top) & (attempt == 0)
        left = np.flatnonzero(higher | ~passed)
        if left.size == 0:
            break
        top = np.where(higher, trial + step, top)[left]
        back = np.where(higher, back, np.clip(back - 1.25 * step, 1.5 * back, 4.0 * back))[left]
        rows, slope = rows[left], slope[left]
    return best, proven
