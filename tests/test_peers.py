"""Numbers that other implementations publish or compute (shared/golden/peers; each file names its source)."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

import hybridcert as hc
from exact_laws import (
    Law,
    compose,
    float_above,
    float_below,
    knapsack,
    power,
    spectrum_of,
    uniform_law,
)

HALF = Fraction(1, 2)
LAST_SCORE = math.nextafter(1.0, 0.0)


@pytest.fixture(scope="module")
def peer(shared: Path) -> Callable[[str], dict[str, Any]]:
    @functools.cache
    def load(name: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads((shared / "golden" / "peers" / f"{name}.json").read_text())
        return answer

    return load


# -- Lee et al. 2019: the least clean score whose discrete worst case is still one half --------------------


@functools.cache
def substitution_law(beta: Fraction, size: int, changed: int) -> Law:
    return uniform_law(beta, [size] * changed)


def least_score(law: Law, value: Fraction) -> Fraction:
    """The least p with knapsack(law, p) = value, exactly."""
    score, room = Fraction(0), value
    for ratio in sorted(law):
        p, q = law[ratio]
        if q >= room and ratio > 0:
            return score + room / ratio
        score, room = score + p, room - q
    raise AssertionError("the value is out of reach")


def test_exact_thresholds_equal_the_published_ones(peer: Callable[[str], dict[str, Any]]) -> None:
    """Rationals only, at the published decimal rates: floor(10³⁰·p), and p rounded up at the 20th decimal."""
    rows = peer("lee2019_thresholds")["rows"]
    assert len(rows) == 178
    for row in rows:
        least = least_score(substitution_law(Fraction(row["beta"]), row["V"], row["r"]), HALF)
        assert math.floor(least * 10**30) == int(row["exact_30"]), row
        assert 0 <= Fraction(row["published"]) - least <= Fraction(2, 10**20), row


def test_certified_values_cross_one_half_at_the_published_thresholds(
    peer: Callable[[str], dict[str, Any]],
) -> None:
    """Float64 at the float64 rate: below ½ under the threshold, and above it 1e-9 of the way to 1 beyond.

    The threshold compared with is exact for the rate taken as a float64; it differs from the published one
    by that rounding only. Where it lies above 1 − 2⁻⁵³ no float64 score can be certified, and none is.
    """
    beyond_float64 = 0
    for row in peer("lee2019_thresholds")["rows"]:
        beta = float(row["beta"])
        law = substitution_law(Fraction(beta), row["V"], row["r"])
        least = least_score(law, HALF)
        assert abs(least - Fraction(row["published"])) < Fraction(1, 10**14) * (1 - least) + Fraction(
            2, 10**20
        )
        spectrum = hc.UniformReplacement(beta).spectrum([row["V"]] * row["r"])
        bound = hc.Tradeoff(spectrum)
        below = math.nextafter(float_above(least), 0.0)
        assert float(bound.lower(below).value) < 0.5, row
        above = min(float_above(least + Fraction(1, 10**9) * (1 - least)), LAST_SCORE)
        value = float(bound.lower(above).value)
        assert Fraction(value) <= knapsack(law, Fraction(above)), row
        if Fraction(above) > least:
            assert value >= 0.5, row
        else:
            beyond_float64 += 1
            assert not hc.radius(p_lower=above, spectrum=spectrum, sigma=1.0, threshold=0.5).certified[0], row
    assert beyond_float64 == 8


# -- Cohen et al. 2019: certification logs ---------------------------------------------------------------


@functools.cache
def gaussian_radii(alpha: float) -> dict[int, float]:
    """Radius in units of σ for every count from 99 400 to 100 000 out of 100 000."""
    counts = np.arange(99_400, 100_001)
    p = hc.clopper_pearson_lower(counts, 100_000, alpha)
    radii = hc.radius(p_lower=p, spectrum=hc.LikelihoodSpectrum.identity(), sigma=1.0, threshold=0.5)
    assert radii.certified.all()
    return dict(zip(counts.tolist(), radii.radius.tolist(), strict=True))


def counts_printed_as(text: str, sigma: float, alpha: float) -> list[int]:
    """Counts whose radius prints as ``text`` with three significant digits, as the logs print it."""
    return [count for count, r in gaussian_radii(alpha).items() if f"{sigma * r:.3}" == text]


def test_every_published_gaussian_radius_is_one_of_ours(peer: Callable[[str], dict[str, Any]]) -> None:
    """The largest distinct radii of 13 logs: each is explained by the same counts at the log's α."""
    levels = []
    for log in peer("cohen_smoothing")["files"].values():
        members = log["members_by_alpha"]
        alpha = next(a for a in ("0.001", "0.01") if members[a] == log["nonabstaining"])
        levels.append(alpha)
        if alpha == "0.001":
            published = {
                text: list(range(ends[0], ends[1] + 1))
                for text, ends in log["top_radius_to_nA_range"].items()
            }
        else:
            published = log["top_radius_to_nA_alpha_0.01"]
        for text, counts in published.items():
            assert counts_printed_as(text, log["sigma"], float(alpha)) == counts, (text, log["sigma"], alpha)
        assert f"{log['max_radius']:.3}" in published
    assert levels.count("0.01") == 9
    assert levels.count("0.001") == 4


def test_published_confidence_bounds_and_quantiles_agree(peer: Callable[[str], dict[str, Any]]) -> None:
    log = peer("cohen_smoothing")
    exact = Fraction(log["cp_lower_exact"])
    ours = Fraction(float(hc.clopper_pearson_lower(100_000, 100_000, 0.001)))
    assert 0 <= exact - ours < Fraction(2, 2**53)
    for row in log["table_cp"]:
        p = hc.clopper_pearson_lower(row["nA"], row["N"], row["alpha"])
        assert float(p) == pytest.approx(row["cp"], rel=1e-14)
        r = hc.radius(p_lower=p, spectrum=hc.LikelihoodSpectrum.identity(), sigma=1.0, threshold=0.5)[0]
        assert r.radius is not None
        assert r.radius == pytest.approx(row["z"], rel=1e-10)  # near ½ the quantile amplifies an ulp of p
    top = hc.radius(
        p_lower=ours.__float__(), spectrum=hc.LikelihoodSpectrum.identity(), sigma=1.0, threshold=0.5
    )
    assert top.radius[0] <= float(log["z_exact"])
    for sigma, largest in log["max_table"].items():
        assert float(sigma) * top.radius[0] == pytest.approx(largest, rel=1e-11)
    assert ndtri(float(ours)) == pytest.approx(top.radius[0], rel=1e-11)


# -- Bojchevski et al. 2020: sparse binary flips and small alphabets ---------------------------------------


@functools.cache
def flip_law(plus: float, minus: float, additions: int, deletions: int) -> Law:
    """Bits flip 0 → 1 with rate ``plus``, 1 → 0 with ``minus``; the adversary adds and deletes ones."""
    p, q = Fraction(plus), Fraction(minus)
    added: Law = {(1 - q) / p: (p, 1 - q), q / (1 - p): (1 - p, q)}
    deleted: Law = {p / (1 - q): (1 - q, p), (1 - p) / q: (q, 1 - p)}
    return compose(power(added, additions), power(deleted, deletions))


def law_and_spectrum(row: dict[str, Any]) -> tuple[Law, hc.LikelihoodSpectrum]:
    if row["kind"] == "discrete":
        sizes = [row["k"]] * row["d"]
        return uniform_law(row["beta"], sizes), hc.UniformReplacement(row["beta"]).spectrum(sizes)
    law = flip_law(row["pf_plus"], row["pf_minus"], row["ra"], row["rd"])
    return law, spectrum_of(law)


def test_sparse_smoothing_values_are_matched_from_below(peer: Callable[[str], dict[str, Any]]) -> None:
    """624 values: ours never exceeds the exact rational value, and is within 1e-12 of the peer's `exact`."""
    rows = peer("sparse_smoothing")["rows"]
    assert len(rows) == 624
    for row in rows:
        law, spectrum = law_and_spectrum(row)
        ours = float(hc.Tradeoff(spectrum).lower(row["pA"]).value)
        exact = knapsack(law, Fraction(row["pA"]))
        assert Fraction(ours) <= exact, row
        assert ours == pytest.approx(float(exact), rel=1e-9, abs=1e-15), row
        assert float(exact) == pytest.approx(row["exact"], rel=1e-12, abs=1e-15), row
        assert row["rho"] == pytest.approx(row["exact"], rel=1e-9, abs=1e-12), row


def test_sparse_smoothing_largest_radii_are_matched(peer: Callable[[str], dict[str, Any]]) -> None:
    """Largest number of added (deleted) ones at which the value still exceeds one half."""
    for row in peer("sparse_smoothing")["max_radius_pf_plus_0_01_pf_minus_0_6"]:
        for key, side in (("max_ra", (1, 0)), ("max_rd", (0, 1))):
            values = []
            for count in (row[key], row[key] + 1):
                law = flip_law(0.01, 0.6, side[0] * count, side[1] * count)
                values.append(float(hc.Tradeoff(spectrum_of(law)).lower(row["pA"]).value))
            assert values[0] > 0.5 >= values[1], (row, key)


def test_directed_conversion_of_the_truth_to_float64_is_sharp() -> None:
    for value in (Fraction(1, 3), Fraction(1, 2), Fraction(0), Fraction(1, 10**320), Fraction(2, 3) ** 50):
        low, high = float_below(value), float_above(value)
        assert Fraction(low) <= value <= Fraction(high)
        assert high in (low, math.nextafter(low, math.inf))
