"""The dual bound D(u; m, p): no attacker gets the smoothed score below it, whatever u is."""

from __future__ import annotations

from typing import Literal

from flint import arb, fmpq

from hybridcert.errors import DataError, ParameterError
from hybridcert.verify import limits
from hybridcert.verify.balls import precision
from hybridcert.verify.changes import Factor
from hybridcert.verify.reals import real
from hybridcert.verify.spectrum import Spectrum, exact_product

Noise = Literal["gaussian", "laplace", "none"]


def dual_value(
    spectrum: Spectrum, noise: Noise, shift: fmpq, log_t: str | float | fmpq | None, p: fmpq, bits: int
) -> arb:
    """Return a ball that holds D(u; m, p), with u = ``log_t`` and m = ``shift``.

    D = Σ q_k G_Q(u − ℓ_k) + e^u (p − p_0 − Σ p_k G_P(u − ℓ_k)), evaluated as e^u (p − p_0) + Σ c_k with
    c_k = q_k G_Q − e^u p_k G_P, which lies in [−e^u p_k, 0] for every law of noise.

    Parameters
    ----------
    spectrum
        From `hybridcert.verify.laws.spectrum_of`, with the same or a larger precision.
    noise
        Law of the continuous noise; it does not matter at shift 0.
    shift
        m >= 0, exact; 0 with noise ``"none"``.
    log_t
        u: a float or fmpq taken exactly, a real as the format writes it, or None for the trivial D = 0.
    p
        Clean score in [0, 1], exact.
    bits
        Working precision.

    Raises
    ------
    ParameterError
        If the shift is negative, or positive without noise.
    """
    if shift < 0 or (shift > 0 and noise == "none"):
        raise ParameterError(f"shift must be >= 0, and 0 without continuous noise, got {float(shift)!r}")
    if log_t is None:
        return arb(0)
    with precision(bits):
        u = arb(_exact(log_t))
        t = u.exp()
        total = t * (p - spectrum.zero) - (t * spectrum.light).union(arb(0))
        if shift == 0:
            zero = arb(0)
            for clean, adversarial, _ in spectrum.atoms:
                total = total + zero.min(adversarial - t * clean)
            return total
        m = arb(shift)
        term = _gaussian if noise == "gaussian" else _laplace
        for clean, adversarial, log_ratio in spectrum.atoms:
            total = total + term(t * clean, adversarial, u - log_ratio, m)
        return total


def _exact(log_t: str | float | fmpq) -> fmpq:
    if isinstance(log_t, str):
        u = real(log_t, "log_t")
    elif isinstance(log_t, fmpq):
        u = log_t
    else:
        u = fmpq(*float(log_t).as_integer_ratio())
    if abs(u) > limits.LOG_T:
        raise DataError(f"log_t: must be at most {limits.LOG_T} in size, got {float(u)!r}")
    return u


def _gaussian(scaled: arb, adversarial: arb, s: arb, m: arb) -> arb:
    """Return q Φ(s/m − m/2) − e^u p Φ(s/m + m/2)."""
    root = arb(2).sqrt()
    z = s / m
    half = m / 2
    return (adversarial * ((half - z) / root).erfc() - scaled * ((-z - half) / root).erfc()) / 2


def _laplace(scaled: arb, adversarial: arb, s: arb, m: arb) -> arb:
    """Return q G_Q(s) − e^u p G_P(s), on whichever of its three continuous pieces s may lie."""
    pieces = []
    if not s >= -m:
        pieces.append(arb(0))
    if not (s < -m or s >= m):
        middle = adversarial * ((s - m) / 2).exp() / 2
        pieces.append(middle - scaled * (1 - (-(s + m) / 2).exp() / 2))
    if not s < m:
        pieces.append(adversarial - scaled)
    found = pieces[0]
    for piece in pieces[1:]:
        found = found.union(piece)
    return found


def exact_tie(factors: tuple[Factor, ...], log_t: fmpq, p: fmpq, bits: int) -> fmpq | None:
    """Return D(u; 0, p) exactly if it is rational, and small enough to be written out; None otherwise.

    D = A + e^u B with rational A and B, so it is rational only if u = 0 or B = 0: the cases in which D can
    equal a rational bound, which no ball decides.
    """
    exact = exact_product(factors)
    if exact is None:
        return None
    masses, zero = exact
    free, scaled = fmpq(0), p - zero
    if log_t == 0:
        return scaled + sum((min(q - c, fmpq(0)) for c, q in masses), fmpq(0))
    with precision(bits):
        t = arb(log_t).exp()
        for clean, adversarial in masses:
            ratio = adversarial / clean
            if t > ratio:
                free, scaled = free + adversarial, scaled - clean
            elif not t < ratio:
                return None
    return free if scaled == 0 else None
