"""Interpolation along the curve of all (m, u, p) on which the worst-case score equals the threshold.

Estimates only. Points of the curve come cheaply: for each m one equation, W(u; m) = τ, gives u, and then
p = F(u; m). Rows are looked up the other way, from p to m and u, on the axis log((p − P)/(1 − p)), where P is
the clean mass below the atom that decides at m = 0: there m grows like a probit of the distance.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.interpolate import CubicHermiteSpline, PPoly, make_interp_spline

from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.mixture import Laws

_DEGREE = 7
_AGREEMENT = 1e-8  # in units of m, between interpolants of degree 3 and 7: the latter errs by 1e-10 at most


@dataclasses.dataclass(frozen=True, slots=True)
class LevelCurve:
    """The curve between two shifts; ``below`` and ``above`` are the clean masses on either side of P."""

    below: float
    above: float
    table: PPoly
    trusted: Bools

    @staticmethod
    def through(m: Floats, laws: Laws, threshold: float) -> LevelCurve | None:
        """Tabulate the curve at ascending shifts ``m``; None where floats cannot tell its points apart."""
        level = np.full(m.shape, threshold)
        atom = laws.adversarial.split(level[:1], np.array([False]))[0][0]
        below = laws.ratio_zero + float(laws.clean.masses[:atom].sum())
        above = float(laws.clean.masses[atom:].sum())
        u = laws.level(m, level)
        a, correction, slope, drift = laws.along(m, u, level)
        p = laws.ratio_zero + laws.clean.tail(a) + correction
        q = np.where(p < 0.5, 1.0 - p, laws.clean.tail(a, -1.0) - correction)
        x = _axis(below, above, p, q)
        if not np.all(np.diff(x) > 0.0):
            return None
        values = np.stack([m, u, np.exp(u) * slope], axis=1)
        spline = make_interp_spline(x, values, k=_DEGREE)
        derivatives = [spline(x[:-1], nu=n) / math.factorial(n) for n in range(_DEGREE, -1, -1)]
        table = PPoly(np.stack(derivatives), x)
        dm_dx = 1.0 / (slope * (1.0 / np.where(p < 0.5, p - below, above - q) + 1.0 / q))
        cubic = CubicHermiteSpline(x, values[:, :2], np.stack([dm_dx, drift * dm_dx], axis=1))
        middle = 0.5 * (x[:-1] + x[1:])
        apart = np.abs(cubic(middle) - table(middle)[:, :2]).max(axis=1)
        return LevelCurve(below, above, table, apart <= _AGREEMENT * m[:-1])

    def at(self, p: Floats) -> tuple[Floats, Bools]:
        """Return (m, u, −∂D/∂m) as columns, and where they can be trusted, at each p."""
        x = _axis(self.below, self.above, p, 1.0 - p)
        interval = np.searchsorted(self.table.x, x) - 1
        inside = (interval >= 0) & (interval < self.trusted.size)
        return self.table(x), inside & self.trusted[np.clip(interval, 0, self.trusted.size - 1)]


def _axis(below: float, above: float, p: Floats, q: Floats) -> Floats:
    return np.asarray(np.log(np.where(p < 0.5, p - below, above - q) / q))
