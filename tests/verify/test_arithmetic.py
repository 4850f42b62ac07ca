"""Spectra, dual bounds and binomial tails hold the exact values, computed by another route."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from flint import arb, fmpq
from hypothesis import given
from hypothesis import strategies as st
from issuing import dual, law_of_changes
from specimens import SPECIMENS

from balls import ball, precision
from exact_laws import Law
from hybridcert.errors import DataError, ParameterError
from hybridcert.verify import limits
from hybridcert.verify.binomial import lower_tail, upper_tail
from hybridcert.verify.decimals import shown_down
from hybridcert.verify.duality import dual_value
from hybridcert.verify.laws import spectrum_of
from hybridcert.verify.ratios import coprime_basis, exponents
from hybridcert.verify.reals import decimal, real
from hybridcert.verify.spectrum import Spectrum

BITS = 256
Json = dict[str, Any]


def rational(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


def document_of(law: Json, kind: str = "substitution") -> Json:
    threat = {"modality": law["modality"], "kind": kind, "max_d": 9}
    return {"law": {"discrete": [law]}, "threat": {"discrete": [threat]}}


def spectrum_for(document: Json, change: list[Json], bits: int = BITS) -> Spectrum:
    return spectrum_of(document["law"], change, document["threat"], bits)


def assert_encloses(spectrum: Spectrum, law: Law) -> None:
    """Every exact atom lies in one ball, and there are no more balls than atoms."""
    with precision(BITS):
        expected = sorted((ratio, *masses) for ratio, masses in law.items() if ratio)
        found = sorted(spectrum.atoms, key=lambda atom: float(atom[2].mid()))
        assert len(found) == len(expected)
        for (p, q, log_ratio), (ratio, clean, adversarial) in zip(found, expected, strict=True):
            for enclosure, exact in (
                (p, ball(clean)),
                (q, ball(adversarial)),
                (log_ratio, ball(ratio).log()),
            ):
                assert enclosure.overlaps(exact)
                assert float(enclosure.rad()) <= 1e-50 * (1 + abs(float(enclosure.mid())))
        assert spectrum.zero.overlaps(ball(law.get(Fraction(0), (Fraction(0),))[0]))
        assert spectrum.light == 0
        total = sum((p for p, _, _ in spectrum.atoms), spectrum.zero)
        assert total.contains(1)


@pytest.mark.parametrize("name", sorted(SPECIMENS))
def test_spectra_of_all_kernels_hold_the_exact_ones(name: str):
    document = golden(name)
    for point in document["frontier"]:
        for witness in point["witnesses"]:
            if "d" in str(witness["change"]) and len(str(witness["change"])) > 2000:
                continue
            law = law_of_changes(document, witness["change"])
            spectrum = spectrum_for(document, witness["change"])
            if name == "envelope":  # atoms of vanishing mass stay as balls around zero
                assert_encloses_mass(spectrum, law)
            else:
                assert_encloses(spectrum, law)


def assert_encloses_mass(spectrum: Spectrum, law: Law) -> None:
    with precision(BITS):
        for p, q, log_ratio in spectrum.atoms:
            near = [m for r, m in law.items() if r and abs(float(log_ratio.mid()) - math.log(r)) < 1e-9]
            clean, adversarial = near[0] if near else (Fraction(0), Fraction(0))
            assert p.overlaps(ball(clean))
            assert q.overlaps(ball(adversarial))
        assert spectrum.zero.overlaps(ball(law.get(Fraction(0), (Fraction(0),))[0]))
        assert sum((p for p, _, _ in spectrum.atoms), spectrum.zero).contains(1)


def golden(name: str) -> Json:
    import json
    from pathlib import Path

    folder = Path(__file__).resolve().parents[1] / "data" / "certificates"
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


weights = st.lists(st.integers(0, 6), min_size=3, max_size=3).filter(any)


@given(
    rows=st.lists(weights, min_size=3, max_size=3),
    taken=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    shift=st.fractions(0, 4),
    u=st.floats(-6, 6),
    p=st.fractions(0, 1),
    noise=st.sampled_from(["gaussian", "laplace"]),
)
def test_the_dual_bound_is_that_of_the_page(
    rows: list[list[int]], taken: list[int], shift: Fraction, u: float, p: Fraction, noise: str
):
    law = {
        "modality": "text",
        "kernel": "matrix",
        "rows": [[str(weight) for weight in row] for row in rows],
        "substitutions": "all",
        "positions": [[x, 6] for x in range(3)],
    }
    change = [{"positions": [[c, o, taken[2 * c + o]] for c in range(3) for o in range(2)]}]
    document = document_of(law)
    spectrum = spectrum_for(document, change)
    exact = law_of_changes(document, change)
    got = dual_value(spectrum, noise, rational(shift), u, rational(p), BITS)
    with precision(BITS):
        assert got.overlaps(dual(exact, noise, shift, u, p))
        assert float(got.rad()) <= 1e-50


def test_the_trivial_bound_and_refused_shifts():
    document = golden("uniform")
    spectrum = spectrum_for(document, [{"positions": [[0, 0, 1]]}])
    half = fmpq(1, 2)
    assert dual_value(spectrum, "gaussian", fmpq(1), None, half, BITS) == 0
    assert dual_value(spectrum, "none", fmpq(0), "-0x1p+1", half, BITS).overlaps(
        dual_value(spectrum, "laplace", fmpq(0), -2.0, half, BITS)
    )
    for noise, shift in (("none", fmpq(1)), ("gaussian", fmpq(-1))):
        with pytest.raises(ParameterError, match="shift must be >= 0"):
            dual_value(spectrum, noise, shift, 0.0, half, BITS)
    with pytest.raises(DataError, match="log_t"):
        dual_value(spectrum, "none", fmpq(0), "1" + "0" * 20, half, BITS)


@pytest.mark.parametrize("bits", [128, 256])
def test_light_atoms_are_left_out_but_not_forgotten(bits: int):
    law = {"modality": "text", "kernel": "uniform", "beta": "1/4", "positions": [[50, 2000]]}
    document = document_of(law)
    document["threat"]["discrete"][0]["max_d"] = 2000
    change = [{"positions": [[0, 0, 2000]]}]
    spectrum = spectrum_for(document, change, bits)
    assert 256 < len(spectrum.atoms) < 4001
    assert 0 < spectrum.light < arb(2) ** (-3 * bits)
    assert sum((p for p, _, _ in spectrum.atoms), spectrum.zero).overlaps(1 - spectrum.light.union(arb(0)))
    sharp = dual_value(spectrum_for(document, change, 512), "gaussian", fmpq(3), -4500.0, fmpq(1, 2), 512)
    assert dual_value(spectrum, "gaussian", fmpq(3), -4500.0, fmpq(1, 2), bits).overlaps(sharp)


def test_ten_thousand_positions_take_a_moment():
    law = {"modality": "text", "kernel": "uniform", "beta": "1/4", "positions": [[50000, 10_000]]}
    document = document_of(law)
    assert len(spectrum_for(document, [{"positions": [[0, 0, 10_000]]}], 128).atoms) < 10_000


@given(p=st.fractions(0, 1, max_denominator=1000), n=st.integers(1, 40), data=st.data())
def test_binomial_tails_hold_the_exact_ones(p: Fraction, n: int, data: st.DataObject):
    k = data.draw(st.integers(0, n))
    terms = [math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(n + 1)]
    with precision(BITS):
        for ball_around, exact in (
            (upper_tail(k, n, rational(p), BITS), sum(terms[k:])),
            (lower_tail(k, n, rational(p), BITS), sum(terms[: k + 1])),
        ):
            assert ball_around.overlaps(ball(Fraction(exact)))
            assert float(ball_around.rad()) < 1e-60


@pytest.mark.parametrize(("k", "n"), [(9970, 10_000), (12, 10_000), (50_000, 100_000), (99_999, 100_000)])
@pytest.mark.parametrize("sigmas", [-6, -1, 1, 6])
def test_binomial_tails_agree_with_the_incomplete_beta_function(k: int, n: int, sigmas: int):
    share = k / n
    p = min(max(share + sigmas * math.sqrt(share * (1 - share) / n), 1e-9), 1 - 1e-9)
    exact = fmpq(*p.as_integer_ratio())
    with precision(192):
        assert upper_tail(k, n, exact, 192).overlaps(arb(exact).beta_lower(k, n - k + 1, 1))
        assert upper_tail(k, n, exact, 192).rel_accuracy_bits() > 100


def test_ten_billion_samples_take_a_moment():
    tail = upper_tail(5 * 10**9, 10**10, fmpq(4999, 10_000), 128)
    assert tail.rel_accuracy_bits() > 60


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=6))
def test_a_coprime_basis_gives_unique_exponents(numbers: list[int]):
    basis = coprime_basis(numbers)
    assert all(math.gcd(a, b) == 1 for i, a in enumerate(basis) for b in basis[:i])
    for number in numbers:
        powers = exponents(fmpq(number), basis)
        assert math.prod(b**e for b, e in zip(basis, powers, strict=True)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_hexadecimal_floats_are_read_exactly(value: float):
    assert real(value.hex(), "x") == rational(Fraction(value))


BAD_REALS = ["", "nan", "inf", "-inf", "0x1p", "0x1.8", " 1", "1 ", "1/0", "1/-2", "1e5", "0.5", "+1", "１"]


@pytest.mark.parametrize(
    "text", [*BAD_REALS, "0x1p+9999999", "0x1p99999", "9" * 2001, "0x" + "f" * 65 + "p0"]
)
def test_what_is_no_real(text: str):
    with pytest.raises(DataError, match=r"^x: "):
        real(text, "x")


@pytest.mark.parametrize("value", [0.5, 1, True, None, [], {}, float("nan")])
def test_reals_are_strings(value: object):
    with pytest.raises(DataError, match="expected a real as a string"):
        real(value, "x")


def test_decimals():
    assert decimal("0.99", "x") == fmpq(99, 100)
    for text in ("99e-2", ".99", "-0.5", "nan", 0.99, "0." + "9" * 50):
        with pytest.raises(DataError, match="decimal string"):
            decimal(text, "x")


@given(st.fractions(0, 10**12))
def test_shown_bounds_never_exceed_the_bound(value: Fraction):
    shown = Fraction(shown_down(rational(value)))
    assert shown <= value
    assert shown * (1 + Fraction(1, 10**5)) >= value


def test_limits_are_positive_numbers():
    numbers = {name: value for name, value in vars(limits).items() if name.isupper() and name != "PRECISIONS"}
    assert all(isinstance(value, int) and value > 0 for value in numbers.values())
