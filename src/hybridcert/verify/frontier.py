"""The check of one point of a frontier: its witnesses cover the attack set, and prove the bounds."""

from __future__ import annotations

from typing import Final

from flint import arb, fmpq

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.balls import above, not_below, precision
from hybridcert.verify.certificate import Certificate, Point, Witness
from hybridcert.verify.changes import Factor
from hybridcert.verify.cover import uncovered
from hybridcert.verify.duality import Noise, dual_value, exact_tie
from hybridcert.verify.laws import factors_of
from hybridcert.verify.memory import Kept
from hybridcert.verify.meter import Meter
from hybridcert.verify.spectrum import product

_ATOM_UNITS: Final = 50  # work for one atom of D, and to settle a tie in exact rationals
_TIE_UNITS: Final = limits.SECOND // 2


def check_point(certificate: Certificate, index: int, meter: Meter) -> list[str]:
    """Return what does not hold of ``certificate.points[index]``; empty if everything does.

    Raises
    ------
    DataError
        If that takes more than the limits allow.
    """
    point = certificate.points[index]
    where, at = f"frontier[{index}]", f"at d = {shown_budget(point)}"
    listed = tuple(witness.changes for witness in point.witnesses)
    try:
        missing = uncovered(certificate.modalities, point.d, listed, meter)
        if missing is not None:
            return [f"{where}.witnesses: nothing listed covers {missing} {at}"]
        for number, witness in enumerate(point.witnesses):
            reason = _check_witness(certificate, point, witness, meter)
            if reason is not None:
                field, what = reason
                return [f"{where}.{field}: {what} for witnesses[{number}] {at}"]
    except DataError as error:
        raise DataError(f"{where}: {error} {at}") from None
    return []


def shown_budget(point: Point) -> str:
    """Return the budget of a point as text."""
    return str(point.d[0]) if len(point.d) == 1 else str(list(point.d)) if point.d else "0"


def _check_witness(
    certificate: Certificate, point: Point, witness: Witness, meter: Meter
) -> tuple[str, str] | None:
    """Return the field that a witness does not prove and what fails, or None."""
    estimate, claim, noise = certificate.estimate, certificate.claim, certificate.continuous.noise
    factors = factors_of(certificate.modalities, witness.changes)
    zero, p = fmpq(0), estimate.p_lower

    built: set[int] = set()

    def value(shift: fmpq, log_t: fmpq | None, score: fmpq, bits: int) -> arb:
        if log_t is not None:
            spectrum = product(factors, bits)
            meter.spend(_ATOM_UNITS * (1 + len(spectrum.atoms)) * (bits / 128) ** 2)
            meter.spend(0 if bits in built else spectrum.work)
            built.add(bits)
        return _dual(factors, noise, shift, log_t, score, bits)

    u = witness.log_t_at_zero[0]
    holds = not_below(lambda bits: value(zero, u, p, bits), point.p_adv)
    if holds is None and u is not None:
        meter.spend(_TIE_UNITS)
        exact = exact_tie(factors, u, p, limits.PRECISIONS[-1])
        holds = None if exact is None else exact >= point.p_adv
    if not holds:
        return "p_adv", f"D >= p_adv {_failure(holds)}"
    if point.radius is None:
        return None
    shift = point.radius / certificate.continuous.scale
    first = witness.log_t[0]
    if claim.kind == "score":
        assert claim.threshold is not None
        holds = above(lambda bits: value(shift, first, p, bits), claim.threshold)
        what = "D > threshold"
    else:
        second = witness.log_t[1]
        rest = 1 - (1 - p if estimate.p_upper is None else estimate.p_upper)

        def both(bits: int) -> arb:
            with precision(bits):
                return value(shift, first, p, bits) + value(shift, second, rest, bits)

        holds = above(both, fmpq(1))
        what = "D(p_lower) + D(1 - p_upper) > 1"
    return None if holds else ("radius", f"{what} {_failure(holds)}")


def _failure(holds: bool | None) -> str:
    return "does not hold" if holds is False else f"is undecided at {limits.PRECISIONS[-1]} bits"


def _dual(
    factors: tuple[Factor, ...], noise: Noise, shift: fmpq, log_t: fmpq | None, p: fmpq, bits: int
) -> arb:
    return _DUALS.get(
        (factors, noise, shift, log_t, p, bits),
        lambda: dual_value(product(factors, bits), noise, shift, log_t, p, bits),
        lambda _: len(factors),
    )


_DUALS: Final[Kept[arb]] = Kept(limits.KEPT_ATOMS // 10)
