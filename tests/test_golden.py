"""The 300 golden certificates: computed elsewhere at 40 digits by bisection on the Neyman–Pearson value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hybridcert as hc

Record = dict[str, Any]

KERNELS = {
    "uniform": hc.UniformReplacement,
    "fields": hc.UniformReplacement,
    "absorbing": hc.Absorbing,
    "deletion": hc.RandomDeletion,
}
THREATS = {
    "substitution": hc.Substitution,
    "fields": hc.Fields,
    "insertion": hc.Insertion,
    "edit": hc.Edit,
}
TIGHTNESS = Decimal("1e-9")


@pytest.fixture(scope="module")
def records(shared: Path) -> list[Record]:
    answer: list[Record] = json.loads((shared / "golden" / "certificates.json").read_text())
    return answer


def spectra(record: Record) -> list[hc.LikelihoodSpectrum]:
    kernel = KERNELS[record["kernel"]](beta=float(record["beta"]))
    sizes = record.get("sizes") or [record.get("alphabet", 2)] * record["d"]
    return kernel.spectra(THREATS[record["threat"]](record["d"]), record["d"], sizes)


def radius(record: Record) -> hc.Radius:
    return hc.radius(
        p_lower=float(record["p_lower"]),
        spectrum=spectra(record),
        sigma=float(record["sigma"]),
        threshold=float(record["threshold"]),
    )[0]


def value(record: Record) -> float:
    answer, _ = hc.adversarial_value(
        p_lower=float(record["p_lower"]),
        spectrum=spectra(record),
        sigma=float(record["sigma"]),
        epsilon=float(record["eps"]),
    )
    return float(answer)


def printed(text: str) -> tuple[Decimal, Decimal]:
    """The number and half a unit of its 16th significant digit: all that printing leaves open."""
    number = Decimal(text)
    return number, Decimal(5).scaleb(number.adjusted() - 16) if number else Decimal(0)


def rated(records: list[Record]) -> Iterator[tuple[Record, Decimal, Decimal, Decimal]]:
    """Every golden number with ours beside it: (record, exact, what printing leaves open, ours)."""
    for record in records:
        yield record, *printed(record["p_adv"]), Decimal(value(record))
        if record["radius"] is not None:
            certificate = radius(record)
            assert certificate.radius is not None, record
            yield record, *printed(record["radius"]), Decimal(certificate.radius)


def test_there_are_300_records_of_every_kernel(records: list[Record]) -> None:
    assert len(records) == 300
    assert {record["kernel"] for record in records} == set(KERNELS)


def test_no_value_or_radius_exceeds_the_exact_one(records: list[Record]) -> None:
    above = [record for record, exact, open_digits, ours in rated(records) if ours > exact + open_digits]
    assert above == []


def test_every_value_and_radius_is_within_1e9_relative_of_the_exact_one(records: list[Record]) -> None:
    short = [record for record, exact, _, ours in rated(records) if ours < exact * (1 - TIGHTNESS)]
    assert short == []


def test_certified_exactly_where_the_golden_radius_is_not_null(records: list[Record]) -> None:
    assert [radius(record).certified for record in records] == [r["radius"] is not None for r in records]


def test_an_uncertified_record_has_neither_radius_nor_witness(records: list[Record]) -> None:
    rejected = [record for record in records if record["radius"] is None]
    assert rejected
    assert {radius(record) for record in rejected} == {hc.Radius(False, None, None)}


def test_radii_scale_with_sigma(records: list[Record]) -> None:
    for record in records[:60]:
        base = radius(record)
        for sigma in (0.25, 3.0):
            scaled = radius({**record, "sigma": str(sigma)})
            assert scaled.certified == base.certified
            if base.radius is not None:
                assert scaled.radius == pytest.approx(sigma * base.radius, rel=1e-12)


def test_all_records_of_a_spectrum_at_once_agree_with_one_at_a_time(records: list[Record]) -> None:
    for record in records[:40]:
        p = np.array([0.6, float(record["p_lower"]), 0.9999])
        threshold = float(record["threshold"])
        together = hc.radius(p_lower=p, spectrum=spectra(record), sigma=1.0, threshold=threshold)
        single = radius(record)
        assert together[1].certified == single.certified
        assert (together[1].radius or 0.0) == pytest.approx(single.radius or 0.0, rel=1e-12)
