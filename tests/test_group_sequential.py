"""Group-sequential designs and bounds against exact crossing probabilities (rational, and in balls)."""

from __future__ import annotations

import decimal
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

import hybridcert as hc
from balls import ball, precision
from hybridcert.certificate.crossing import crossing_upper
from hybridcert.certificate.futility import hopeless_failures
from hybridcert.certificate.group_sequential import (
    GroupSequentialDesign,
    group_sequential_design,
    group_sequential_lower,
)
from sequential_oracle import ball_crossing, exact_crossing

LAST = math.nextafter(1.0, 0.0)
TIGHT = 1e-10
NEEDS = st.one_of(st.floats(0.01, 0.99), st.sampled_from([1e-4, 0.25, 0.5, 0.75, 0.999]))
LEVELS = st.one_of(st.floats(1e-9, 0.9), st.sampled_from([1e-30, 0.001, 0.01, 0.25, 0.5, 1 - 1e-9]))


@st.composite
def plans(draw: st.DrawFn, *, most: int = 24) -> tuple[list[int], list[int]]:
    """Looks with any boundaries whatever, monotone or not."""
    looks = sorted(draw(st.sets(st.integers(1, most), min_size=1, max_size=6)))
    return looks, [draw(st.integers(max(0, n // 3), n + 1)) for n in looks]


def lower(design: GroupSequentialDesign, k: int, look: int) -> float:
    return group_sequential_lower(
        k, look=look, looks=design.looks, certify_at=design.certify_at, alpha=design.alpha
    )


def above(p: float) -> float:
    """A little above a bound: where exceeding the level shows that the bound is tight."""
    return p + max(2 * math.ulp(p), TIGHT * min(p, 1.0 - p))


@given(plans(), st.one_of(st.floats(1e-6, LAST), st.just(1e-300)), LEVELS)
@settings(max_examples=150)
def test_crossing_probabilities_are_exact_from_above(
    plan: tuple[list[int], list[int]], p: float, level: float
) -> None:
    looks, certify_at = plan
    found = crossing_upper(p, [(n, n - c) for n, c in zip(looks, certify_at, strict=True)], level=level)
    exact = exact_crossing(p, looks, certify_at)
    assert Fraction(found) >= exact
    assert found <= float(exact) * (1 + 1e-13) + level * 1e-15 + 1e-288


@given(plans(), st.data(), LEVELS)
@settings(max_examples=100)
def test_a_bound_is_exact_from_below(
    plan: tuple[list[int], list[int]], data: st.DataObject, alpha: float
) -> None:
    looks, certify_at = plan
    look = data.draw(st.integers(0, len(looks) - 1))
    k = data.draw(st.integers(0, looks[look]))
    p = group_sequential_lower(k, look=look, looks=looks, certify_at=certify_at, alpha=alpha)
    upto, boundaries = looks[: look + 1], [*certify_at[:look], k]
    if 0 in boundaries:
        assert p == 0.0
        return
    assert 0.0 < p < 1.0
    assert exact_crossing(p, upto, boundaries) <= Fraction(alpha)
    tight = above(p) >= 1.0 or exact_crossing(above(p), upto, boundaries) > Fraction(alpha)
    assert tight or alpha > 0.9  # next to certainty, the probability hardly depends on p


@given(st.integers(1, 2000), st.data(), LEVELS)
@settings(max_examples=60)
def test_a_single_look_is_clopper_pearson(n: int, data: st.DataObject, alpha: float) -> None:
    k = data.draw(st.integers(0, n))
    p = group_sequential_lower(k, look=0, looks=[n], certify_at=[k], alpha=alpha)
    assert p == float(hc.clopper_pearson_lower(k, n, alpha))
    if k and n > 1:  # so it is where an earlier boundary cannot be reached, and nearly where it hardly can
        assert p == group_sequential_lower(k, look=1, looks=[1, n], certify_at=[2, n + 1], alpha=alpha)
        if p > 1e-200:
            tail = crossing_upper(p, [(n, n - k)], level=alpha)
            assert tail == pytest.approx(alpha, rel=1e-9)


@given(NEEDS, st.integers(1, 60), LEVELS, st.data())
@settings(max_examples=80)
def test_a_design_keeps_its_level_and_certifies_what_it_says(
    need: float, most: int, alpha: float, data: st.DataObject
) -> None:
    design = group_sequential_design(
        need,
        most,
        alpha,
        first=data.draw(st.one_of(st.none(), st.integers(1, most))),
        growth=data.draw(st.sampled_from([1.01, 1.15, 1.5, 3.0])),
        futility=data.draw(st.sampled_from([0.0, 0.01, 0.3])),
    )
    assert list(design.looks) == sorted(set(design.looks))
    assert design.looks[-1] == most
    assert exact_crossing(need, design.looks, design.certify_at) <= Fraction(alpha)
    for look, (n, boundary, stop) in enumerate(
        zip(design.looks, design.certify_at, design.stop_below, strict=True)
    ):
        assert 0 <= stop <= boundary <= n + 1
        for k in range(boundary, n + 1, max(1, (n - boundary) // 2)):
            assert lower(design, k, look) >= need
    assert design.stop_below[-1] == design.certify_at[-1]


@pytest.mark.parametrize("need", [0.25, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("alpha", [0.25, 0.0625, 0.5])
def test_levels_that_are_met_exactly_still_certify(need: float, alpha: float) -> None:
    """Dyadic numbers: p^n = α has solutions in floats, the case in which one rounding decides."""
    for most in range(1, 12):
        design = group_sequential_design(need, most, alpha, first=1, growth=1.01)
        assert exact_crossing(need, design.looks, design.certify_at) <= Fraction(alpha)
        for look, boundary in enumerate(design.certify_at):
            if boundary <= design.looks[look]:
                assert lower(design, boundary, look) >= need


LARGE = [
    (0.98781, 10_000, 0.01),
    (0.99712, 10_000, 0.01),
    (0.5, 10_000, 0.001),
    (0.07, 10_000, 0.01),
    (4.6e-5, 10**5, 0.01),
    (0.9999, 10**5, 0.001),
]


@pytest.mark.parametrize(("need", "most", "alpha"), LARGE)
def test_large_designs_keep_their_level_in_balls(need: float, most: int, alpha: float) -> None:
    design = group_sequential_design(need, most, alpha)
    with precision(192):
        crossing = ball_crossing(need, design.looks, design.certify_at)
        assert bool(crossing <= ball(alpha))
        assert bool(crossing > ball(alpha) * 0.7)  # little is wasted
    reached = [look for look, c in enumerate(design.certify_at) if c <= design.looks[look]]
    for look in {reached[0], reached[len(reached) // 2], reached[-1]}:
        n, boundary = design.looks[look], design.certify_at[look]
        for k in {boundary, (n + boundary) // 2}:
            assert lower(design, k, look) >= need


@pytest.mark.parametrize(("need", "most", "alpha"), LARGE)
def test_large_bounds_are_exact_from_below_in_balls(need: float, most: int, alpha: float) -> None:
    design = group_sequential_design(need, most, alpha)
    last = len(design.looks) - 1
    middle = last // 2
    end = design.certify_at[last]
    cases = [(middle, design.certify_at[middle]), (last, end), (last, end - min(200, end // 10))]
    for look, k in [case for case in cases if case[1] <= design.looks[case[0]]]:
        p = lower(design, k, look)
        upto, boundaries = design.looks[: look + 1], (*design.certify_at[:look], k)
        with precision(192):
            assert bool(ball_crossing(p, upto, boundaries) <= ball(alpha))
            assert bool(ball_crossing(above(p), upto, boundaries) > ball(alpha))


@pytest.mark.slow
@pytest.mark.parametrize("need", [0.5, 0.999, 4.6e-5])
def test_a_design_of_a_million_copies_keeps_its_level_and_what_it_says(need: float) -> None:
    design = group_sequential_design(need, 10**6, 0.01)
    reached = [look for look, c in enumerate(design.certify_at) if c <= design.looks[look]]
    for look in {*reached[::8], reached[-1]}:
        assert lower(design, design.certify_at[look], look) >= need
    if need != 0.5:  # in balls, half a million states take too long
        with precision(128):
            assert bool(ball_crossing(need, design.looks, design.certify_at) <= ball(0.01))


def test_bounds_are_ordered_by_stage_and_by_successes() -> None:
    """Earlier crossings say more than later ones, and more successes more than fewer."""
    design = group_sequential_design(0.9, 400, 0.01)
    ordered = []
    for look, (n, boundary) in enumerate(zip(design.looks, design.certify_at, strict=True)):
        ordered += [lower(design, k, look) for k in range(n, boundary - 1, -1)]
    last = len(design.looks) - 1
    ordered += [lower(design, k, last) for k in range(design.certify_at[-1] - 1, -1, -20)]
    assert all(a >= b for a, b in itertools.pairwise(ordered))
    assert ordered[-1] < 0.05


def test_boundaries_from_the_look_on_do_not_matter() -> None:
    looks, given_up = (10, 20, 40), {"look": 1, "looks": (10, 20, 40), "alpha": 0.05}
    bounds = {
        group_sequential_lower(18, certify_at=(10, second, third), **given_up)
        for second in (0, 19, 21)
        for third in (0, 41)
    }
    assert len(bounds) == 1
    assert bounds == {group_sequential_lower(18, look=1, looks=looks[:2], certify_at=(10, 0), alpha=0.05)}


def test_a_need_that_most_copies_cannot_show_is_given_up_at_once() -> None:
    design = group_sequential_design(0.999, 100, 0.01)  # 0.999^100 = 0.9
    assert design.certify_at == tuple(n + 1 for n in design.looks)
    assert design.stop_below == design.certify_at


@pytest.mark.parametrize("need", [1e-17, 1e-48])
def test_a_need_too_small_to_tell_its_failure_rate_from_one_has_a_design(need: float) -> None:
    design = group_sequential_design(need, 25, 1e-3)
    assert design.certify_at[-1] >= 1
    assert exact_crossing(need, design.looks, design.certify_at) <= Fraction(1e-3)
    assert all(low <= high for low, high in zip(design.stop_below, design.certify_at, strict=True))


def test_futility_is_the_predictive_probability_under_the_prior() -> None:
    """Against a recursion over beta-binomial laws; the curtailed design gives up only what is lost."""
    looks, allowed, need = (10, 20, 40, 60), (-1, 0, 2, 5), 0.8
    later = {f: float(f <= allowed[-1]) for f in range(looks[-1] + 1)}
    expected = [allowed[-1] + 1]
    for i in (2, 1, 0):
        drawn = looks[i + 1] - looks[i]
        now = {}
        for f in range(looks[i] + 1):
            law = betabinom(drawn, 0.05 + f, 1.0 + looks[i] - f)
            crossing = sum(law.pmf(g) * later[f + g] for g in range(drawn + 1))
            now[f] = 1.0 if f <= allowed[i] else crossing
        expected.insert(0, next(f for f, value in now.items() if value < 0.05))
        later = now
    assert hopeless_failures(looks, allowed, need=need, futility=0.05) == tuple(expected)
    assert hopeless_failures(looks, allowed, need=need, futility=0.0) == (6, 6, 6, 6)


def test_giving_up_costs_little_and_saves_much() -> None:
    """Copies and certificates at scores around the need, by exact recursion over the design's own tree."""
    need, most = 0.98781, 10_000
    design = group_sequential_design(need, most, 0.01)
    for p, share, copies in ((0.999, 0.999, 0.12), (0.995, 0.99, 0.35), (0.97, 0.0, 0.12), (0.5, 0.0, 0.003)):
        rng = np.random.default_rng(1)
        steps = np.diff(design.looks, prepend=0)
        successes = np.cumsum(rng.binomial(steps, p, size=(4000, len(steps))), axis=1)
        over = (successes >= design.certify_at) | (successes < design.stop_below)
        ends = over.argmax(axis=1)
        rows = np.arange(len(ends))
        assert (successes[rows, ends] >= np.array(design.certify_at)[ends]).mean() >= share
        assert np.array(design.looks)[ends].mean() <= copies * most


def test_small_rates_are_not_given_up_at_the_first_look() -> None:
    """A threshold of 4.6e-5: no success among 20 copies says nothing."""
    design = group_sequential_design(4.6e-5, 100_000, 0.01)
    assert design.stop_below[0] == 0
    assert design.stop_below[-2] > 0


def test_designs_are_cached() -> None:
    assert group_sequential_design(0.9, 500, 0.01) is group_sequential_design(0.9, 500, 0.01)


def test_looks_grow_and_end_where_they_should() -> None:
    design = group_sequential_design(0.95, 5000, 0.01, first=200, growth=1.5)
    start = design.looks.index(200)
    assert start == 8
    assert all(c == n + 1 for n, c in zip(design.looks[:start], design.certify_at[:start], strict=True))
    ratios = [b / a for a, b in zip(design.looks[start:], design.looks[start + 1 :], strict=False)]
    assert all(1.2 < r < 1.9 for r in ratios)


@pytest.mark.parametrize("alpha", [1e-320, 1e-200, LAST])
def test_extreme_levels_still_give_a_bound(alpha: float) -> None:
    for k in (1, 10, 29, 30):
        p = group_sequential_lower(k, look=1, looks=(10, 30), certify_at=(10, 31), alpha=alpha)
        assert 0.0 <= p < 1.0
        assert exact_crossing(p, (10, 30), (10, k)) <= Fraction(alpha)
    design = group_sequential_design(0.9, 50, alpha)
    assert exact_crossing(0.9, design.looks, design.certify_at) <= Fraction(alpha)


def test_the_callers_decimal_context_does_not_matter() -> None:
    plan = {"look": 1, "looks": (11, 37), "certify_at": (11, 35), "alpha": 0.0123}
    with decimal.localcontext(decimal.Context(prec=3, Emax=10, Emin=-10)):
        strange = [group_sequential_lower(k, **plan) for k in (20, 36)]
        design = group_sequential_design(0.912, 300, 0.0123)
    with precision(128):
        for k, p in zip((20, 36), strange, strict=True):
            assert bool(ball_crossing(p, (11, 37), (11, k)) <= ball(0.0123))
            assert bool(ball_crossing(above(p), (11, 37), (11, k)) > ball(0.0123))
        assert bool(ball_crossing(0.912, design.looks, design.certify_at) <= ball(0.0123))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"p_needed": 0.0}, r"p_needed must be in \(0, 1\), got 0.0"),
        ({"p_needed": 1.0}, r"p_needed must be in \(0, 1\), got 1.0"),
        ({"p_needed": math.nan}, r"p_needed must be in \(0, 1\), got nan"),
        ({"most": 0}, r"most must be an integer in \[1, 10000000\], got 0"),
        ({"most": 10**7 + 1}, r"most must be an integer in \[1, 10000000\], got 10000001"),
        ({"most": 10.5}, r"most must be an integer in \[1, 10000000\], got 10.5"),
        ({"alpha": 1.0}, r"alpha must be in \(0, 1\), got 1.0"),
        ({"first": 0}, r"first must be an integer in \[1, 100\], got 0"),
        ({"first": 101}, r"first must be an integer in \[1, 100\], got 101"),
        ({"growth": 1.0}, r"growth must be in \[1.01, 100\], got 1.0"),
        ({"growth": math.nan}, r"growth must be in \[1.01, 100\], got nan"),
        ({"futility": 1.0}, r"futility must be in \[0, 1\), got 1.0"),
        ({"futility": -0.1}, r"futility must be in \[0, 1\), got -0.1"),
    ],
)
def test_impossible_designs_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(hc.ParameterError, match=message):
        group_sequential_design(**({"p_needed": 0.9, "most": 100, "alpha": 0.01} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"successes": -1}, r"successes must be an integer in \[0, 20\], got -1"),
        ({"successes": 21}, r"successes must be an integer in \[0, 20\], got 21"),
        ({"successes": 2.5}, r"successes must be an integer in \[0, 20\], got 2.5"),
        ({"look": 2}, r"look must be in \[0, 1\], got 2"),
        ({"look": -1}, r"look must be in \[0, 1\], got -1"),
        ({"looks": (10, 10)}, "looks must increase strictly, got 10 after 10"),
        ({"certify_at": (10,)}, "certify_at must have one entry for each of 2 looks, got 1"),
        ({"certify_at": (12, 20)}, r"each of certify_at must be an integer in \[0, 11\], got 12"),
        ({"alpha": 0.0}, r"alpha must be in \(0, 1\), got 0.0"),
    ],
)
def test_impossible_samples_are_refused(changes: dict[str, object], message: str) -> None:
    given = {"successes": 15, "look": 1, "looks": (10, 20), "certify_at": (10, 18), "alpha": 0.05} | changes
    with pytest.raises(hc.ParameterError, match=message):
        group_sequential_lower(given.pop("successes"), **given)  # type: ignore[arg-type]
