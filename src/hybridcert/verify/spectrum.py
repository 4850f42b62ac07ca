"""The pair of laws behind a change, as masses by likelihood ratio, in ball arithmetic."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flint import arb, arb_poly, fmpq, fmpq_poly

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.balls import precision
from hybridcert.verify.changes import Envelope, Factor
from hybridcert.verify.envelope import super_position
from hybridcert.verify.layout import Layout, along_line
from hybridcert.verify.memory import Kept
from hybridcert.verify.meter import Meter
from hybridcert.verify.ratios import Exponents, exponents

Number = Any  # a ball (arb) or an exact rational (fmpq): python-flint carries no types
Masses = dict[int, tuple[Number, Number]]  # packed exponents of the ratio -> (clean, adversarial)
Step = Sequence[tuple[Exponents, Number, Number]]  # the same for one position, not yet packed

_MASS_UNITS = 10  # work to multiply two masses
_FEW = 256  # powers with up to this many atoms keep them all


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Balls around the masses p_k, q_k and the log ratios ℓ_k = log(q_k/p_k) of the product of all factors.

    ``atoms`` holds (p_k, q_k, ℓ_k). ``zero`` holds the clean mass that the adversary never produces.
    ``light`` is an upper bound on the clean mass of atoms too light to matter at this precision, which are
    not listed: a bound has to allow for any ratio there. ``work`` counts what it took to build.
    """

    atoms: tuple[tuple[arb, arb, arb], ...]
    zero: arb
    light: arb
    work: int


def product(factors: tuple[Factor, ...], bits: int) -> Spectrum:
    """Return the spectrum of independent factors, computed with ``bits`` bits.

    Equal ratios are merged on exact keys. The balls hold the exact masses whatever ``bits`` is.

    Raises
    ------
    DataError
        If the spectrum has more atoms, or takes more work, than the limits allow.
    """
    return _SPECTRA.get((factors, bits), lambda: _product(factors, bits), lambda s: len(s.atoms))


_SPECTRA: Final[Kept[Spectrum]] = Kept(limits.KEPT_ATOMS)


def _product(factors: tuple[Factor, ...], bits: int) -> Spectrum:
    with precision(bits):
        meter = Meter(limits.PRODUCT_WORK)
        layout = Layout.of(factors, meter)
        building = _Product(layout, arb, arb_poly, bits, meter)
        masses, zero = building.masses()
        logs = [arb(number).log() for number in layout.basis]
        origin = arb(0)
        for f in layout.deletions:
            origin = origin + (f.insertions - f.deletions) * arb(f.beta).log()
        for pair, n in layout.powers:
            if pair.atoms:
                origin = origin + n * arb(pair.atoms[0][0]).log()
        atoms = []
        for key, (clean, adversarial) in masses.items():
            shares = (e * log for e, log in zip(layout.unpack(key), logs, strict=True) if e)
            atoms.append((clean, adversarial, sum(shares, origin)))
        return Spectrum(tuple(atoms), zero, building.light, meter.spent)


@functools.lru_cache(maxsize=32)
def exact_product(factors: tuple[Factor, ...]) -> tuple[tuple[tuple[fmpq, fmpq], ...], fmpq] | None:
    """Return the exact masses (p_k, q_k) and the clean mass at ratio 0; None if they would be too large."""
    if any(isinstance(factor, Envelope) for factor in factors):
        return None
    meter = Meter(limits.PRODUCT_WORK)
    layout = Layout.of(factors, meter)
    if layout.exact_bits() > limits.EXACT_BITS:
        return None
    masses, zero = _Product(layout, fmpq, fmpq_poly, None, meter).masses()
    return tuple(masses.values()), zero


@dataclass(frozen=True, slots=True)
class _Cut:
    """Two polynomials in the same ratio, without their first ``start`` terms, and the clean mass cut off."""

    start: int
    clean: Any
    adversarial: Any
    light: Number

    def times(self, other: _Cut) -> _Cut:
        """Multiply; all masses are at most one, so the shares that were cut off add up at most."""
        return _Cut(
            self.start + other.start,
            self.clean * other.clean,
            self.adversarial * other.adversarial,
            self.light + other.light,
        )

    def trimmed(self, cut: Number) -> _Cut:
        """Cut off both ends where the clean mass is below ``cut``."""
        clean = self.clean.coeffs()
        low, high, light = 0, len(clean), self.light
        while low < high and clean[low] < cut:
            light, low = light + clean[low], low + 1
        while low < high and clean[high - 1] < cut:
            light, high = light + clean[high - 1], high - 1
        kept = self.adversarial.coeffs()[low:high]
        return _Cut(self.start + low, arb_poly(clean[low:high]), arb_poly(kept), light)


class _Product:
    """One multiplication of all factors, in balls of ``bits`` bits or, with None, in exact rationals."""

    def __init__(
        self,
        layout: Layout,
        number: Callable[..., Number],
        poly: Callable[..., Any],
        bits: int | None,
        meter: Meter,
    ) -> None:
        self._layout, self._number, self._poly = layout, number, poly
        self._bits = bits
        self._meter = meter
        self._scale = (bits or 128) / 128
        self.light = number(0)

    def masses(self) -> tuple[Masses, Number]:
        """Return the masses by packed ratio, and the clean mass at ratio 0."""
        number, layout = self._number, self._layout
        found: Masses = {0: (number(1), number(1))}
        kept = number(1)  # clean mass that the adversary produces too
        for f in layout.deletions:
            beta = number(f.beta)
            clean, adversarial = beta**f.deletions, beta**f.insertions
            found = {0: (found[0][0] * clean, found[0][1] * adversarial)}
            kept = kept * clean
        for pair, n in layout.powers:
            if not pair.atoms:  # disjoint laws: all clean mass is at ratio 0
                return {}, number(1)
            origin = pair.atoms[0][0]
            step = [(exponents(r / origin, layout.basis), number(p), number(q)) for r, p, q in pair.atoms]
            kept = kept * number(1 - pair.zero) ** n
            found = self._multiply(found, self._power(step, n))
        for envelope in layout.envelopes:
            if envelope.times:
                slopes = envelope.highest - envelope.lowest + 1
                self._meter.spend(_MASS_UNITS * self._scale * slopes)
                zero, lines = super_position(envelope, self._meter, _MASS_UNITS * self._scale)
                direction = exponents(envelope.base, layout.basis)
                kept = kept * (1 - zero) ** envelope.times
                along = [(tuple(e * x for x in direction), p, q) for e, p, q in lines]
                found = self._multiply(found, self._power(along, envelope.times))
        return found, 1 - kept

    def _power(self, step: Step, n: int) -> Masses:
        """Return the masses of ``n`` independent copies of one position."""
        along = along_line([vector for vector, _, _ in step])
        if along is None:
            return self._general_power(step, n)
        direction, places = along
        lowest = min(places)
        span = max(places) - lowest
        if span >= limits.ATOMS:
            raise DataError(f"the law of a change has more than {limits.ATOMS} atoms")
        rows = []
        for side in (1, 2):
            coefficients = [self._number(0)] * (span + 1)
            for place, atom in zip(places, step, strict=True):
                coefficients[place - lowest] = atom[side]
            rows.append(self._poly(coefficients))
        first, clean, adversarial = self._polynomial_power(rows[0], rows[1], n)
        stride, start = self._layout.pack(direction), n * lowest + first
        return {
            (start + k) * stride: (p, adversarial[k])
            for k, p in enumerate(clean)
            if not p == 0  # noqa: SIM201  (`p != 0` is false of a ball around zero, which has to stay)
        }

    def _polynomial_power(
        self, clean: Any, adversarial: Any, n: int
    ) -> tuple[int, list[Number], list[Number]]:
        """Return the first exponent and the coefficients of two polynomials to the power n.

        In balls, both ends of the clean coefficients are cut off on the way where they are too light to
        matter, and counted in ``light``: of a square, at most twice the share that its root lost is lost.
        """
        square, power = _Cut(0, clean, adversarial, self._number(0)), None
        while True:
            if n & 1:
                power = square if power is None else self._times(power, square)
            n >>= 1
            if not n:
                break
            square = self._times(square, square)
        assert power is not None
        self.light = self.light + power.light
        return power.start, power.clean.coeffs(), power.adversarial.coeffs()

    def _times(self, one: _Cut, other: _Cut) -> _Cut:
        length = one.clean.length() + other.clean.length()
        if length > limits.ATOMS:
            raise DataError(f"the law of a change has more than {limits.ATOMS} atoms")
        self._meter.spend(self._scale * length**1.5)  # long products span a wide range of sizes
        product = one.times(other)
        if self._bits is None or length <= _FEW:
            return product
        return product.trimmed(arb(2) ** (-4 * self._bits))

    def _general_power(self, step: Step, n: int) -> Masses:
        result: Masses = {0: (self._number(1), self._number(1))}
        square = {self._layout.pack(vector): (p, q) for vector, p, q in step}
        while n:
            if n & 1:
                result = self._multiply(result, square)
            n >>= 1
            if n:
                square = self._multiply(square, square)
        return result

    def _multiply(self, first: Masses, second: Masses) -> Masses:
        """Convolve two laws: ratios multiply, masses multiply, equal ratios merge."""
        self._meter.spend(_MASS_UNITS * self._scale * len(first) * len(second))
        if len(first) == 1 and first.get(0) == (1, 1):
            return second
        result: Masses = {}
        for key, (p, q) in first.items():
            for other, (v, w) in second.items():
                at = key + other
                before = result.get(at)
                result[at] = (p * v, q * w) if before is None else (before[0] + p * v, before[1] + q * w)
        if len(result) > limits.ATOMS:
            raise DataError(f"the law of a change has more than {limits.ATOMS} atoms")
        return result
