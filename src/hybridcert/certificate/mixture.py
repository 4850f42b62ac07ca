"""Quantiles of a mixture of equally wide normals: the law of the log likelihood ratio.

Estimates only: they steer searches, and nothing here is claimed. Newton's method runs in probit space, where
one normal is a straight line; a bracket guards it because the mixture is flat between distant atoms.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.spectrum import LikelihoodSpectrum

INVERSE_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
NOISE = 1e-15
"""Relative differences below this are rounding."""

_CLOSE = 1e-6  # in units of the width; the error left after such a Newton step is of the order of its square
_STEPS = 100
_FARTHEST_PROBIT = 40.0  # beyond it the normal tail is no float


@dataclasses.dataclass(frozen=True, slots=True)
class Mixture:
    """The function u ↦ Σ w_k Φ((u − ℓ_k)/m + tilt·m), with one width m and one u a row.

    Attributes
    ----------
    masses : float array, shape (atoms,)
        w_k; they need not add up to one.
    log_ratio : float array, shape (atoms, 1)
        ℓ_k, ascending.
    tilt : float
        ½ under the clean law, −½ under the adversarial one.
    """

    masses: Floats
    log_ratio: Floats
    tilt: float

    def arguments(self, m: Floats, u: Floats) -> Floats:
        """Return (u − ℓ_k)/m + tilt·m, shape (atoms, rows)."""
        a = u - self.log_ratio
        a /= m
        a += self.tilt * m
        return a

    def tail(self, a: Floats, sign: Floats | float = 1.0) -> Floats:
        """Return the mass below u where ``sign`` is 1, above u where it is −1; shape (rows,)."""
        return np.asarray(self.masses @ ndtr(a * sign))

    def density(self, a: Floats) -> Floats:
        """Return w_k φ(a_k), shape (atoms, rows)."""
        a = a * a
        a *= -0.5
        np.exp(a, out=a)
        a *= self.masses[:, None] * INVERSE_SQRT_2PI
        return a

    def split(self, target: Floats, upper: Bools) -> tuple[npt.NDArray[np.intp], Floats]:
        """Return the atom in which the tail mass ``target`` ends when m = 0, and the probit of its share."""
        last = self.masses.size - 1
        below = np.concatenate([[0.0], np.cumsum(self.masses)])
        above = np.concatenate([[0.0], np.cumsum(self.masses[::-1])])
        from_below = np.clip(np.searchsorted(below, target) - 1, 0, last)
        from_above = np.clip(np.searchsorted(above, target, side="right") - 1, 0, last)
        index = np.where(upper, last - from_above, from_below)
        share = (target - np.where(upper, above[from_above], below[from_below])) / self.masses[index]
        probit = ndtri(np.clip(share, NOISE, 1.0 - NOISE))
        return index, np.where(upper, -probit, probit)

    def quantile(self, m: Floats, target: Floats, upper: Bools, start: Floats | None = None) -> Floats:
        """Return u with mass ``target`` below it (above it, where ``upper``), elementwise."""
        if start is None:
            index, probit = self.split(target, upper)
            start = self.log_ratio[index, 0] + m * (probit - self.tilt * m)
        sign = np.where(upper, -1.0, 1.0)
        total = float(self.masses.sum())
        probit = np.clip(ndtri(target / total), -_FARTHEST_PROBIT, _FARTHEST_PROBIT)
        centre = m * (sign * probit - self.tilt * m)
        lo = centre + self.log_ratio[0] - 1e-3 * m
        hi = centre + self.log_ratio[-1] + 1e-3 * m
        u = np.clip(start, lo, hi)
        active = np.arange(u.size)
        for _ in range(_STEPS):
            here, width, wanted = u[active], m[active], target[active]
            a = self.arguments(width, here)
            mass = self.tail(a, sign[active])
            z = ndtri(mass / total)
            gap = sign[active] * (probit[active] - z)
            step = gap * np.exp(-0.5 * z * z) * (INVERSE_SQRT_2PI * total) * width
            step /= self.density(a).sum(axis=0)
            left = lo[active] = np.where(gap > 0.0, here, lo[active])
            right = hi[active] = np.where(gap < 0.0, here, hi[active])
            small, hit = np.abs(step) <= _CLOSE * width, np.abs(mass - wanted) <= NOISE * wanted
            newton = small | ((here + step > left) & (here + step < right))
            u[active] = np.where(newton, here + step, np.where(hit, here, 0.5 * (left + right)))
            active = active[~(small | hit) & (right - left > NOISE * (width + np.abs(here)))]
            if active.size == 0:
                break
        return u


@dataclasses.dataclass(frozen=True, slots=True)
class Laws:
    """The clean and the adversarial law of one spectrum; ``ratio_zero`` is clean mass below every u."""

    clean: Mixture
    adversarial: Mixture
    ratio_zero: float

    @staticmethod
    def of(spectrum: LikelihoodSpectrum) -> Laws:
        """Sort the atoms of ``spectrum`` by log ratio."""
        order = np.argsort(spectrum.log_ratio)
        log_ratio = spectrum.log_ratio[order][:, None]
        return Laws(
            Mixture(spectrum.clean_lower[order], log_ratio, 0.5),
            Mixture(spectrum.adversarial_lower[order], log_ratio, -0.5),
            spectrum.ratio_zero_upper,
        )

    def tail(self, p: Floats) -> tuple[Floats, Bools]:
        """Return the smaller tail of the clean atoms at each p, and whether it is the upper one."""
        upper = p >= 0.5  # from there on 1 − p is exact
        return np.where(upper, 1.0 - p, p - self.ratio_zero), upper

    def level(self, m: Floats, threshold: Floats, start: Floats | None = None) -> Floats:
        """Return u with W(u; m) = threshold, elementwise."""
        return self.adversarial.quantile(m, threshold, np.zeros(m.shape, dtype=np.bool_), start)

    def along(self, m: Floats, u: Floats, threshold: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Describe the curve W(u; m) = threshold: arguments a_k, correction of F, dF/dm and du/dm.

        The correction (threshold − W)/t carries F over to the curve when u, rounded or not yet settled, is
        off it; it matters for small m, where one unit in the last place of u shifts every a_k by much.
        """
        a = self.clean.arguments(m, u)
        density = self.clean.density(a)
        slope = density.sum(axis=0)
        correction = (threshold - self.adversarial.tail(a - m)) * np.exp(-u)
        density *= a
        return a, correction, slope, density.sum(axis=0) / slope
