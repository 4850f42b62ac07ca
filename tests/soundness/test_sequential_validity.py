"""Sequential rules with known truth: every path of small samples, and ten thousand repetitions of large ones.

Every simulated check rejects only if the rule errs significantly more often than α: a rule that errs with
probability exactly α fails it with probability at most 1e-6. Each comes with a broken rule that it catches.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

import hybridcert as hc
from hybridcert.certificate.alpha_budget import alpha_budget
from hybridcert.certificate.anytime import SMOOTHED_SCORE_PRIOR, beta_mixture_lower
from hybridcert.certificate.group_sequential import (
    GroupSequentialDesign,
    group_sequential_design,
    group_sequential_lower,
)

REPETITIONS = 10_000
FALSE_ALARM = 1e-6
Bound = Callable[[int, int], float]  # (successes, index of the look) to a lower bound


def too_many(alpha: float, repetitions: int = REPETITIONS) -> int:
    """More errors than this have probability at most 1e-6 if each has probability at most α."""
    return int(binom.isf(FALSE_ALARM, repetitions, alpha))


def sampled(looks: tuple[int, ...], p: float, seed: int) -> npt.NDArray[np.int64]:
    """Successes up to each look, one row a repetition."""
    steps = np.diff(looks, prepend=0)
    return np.cumsum(np.random.default_rng(seed).binomial(steps, p, size=(REPETITIONS, len(looks))), axis=1)


def least_exceeding(bound: Bound, p: float, *, most: int, look: int) -> int:
    """The least count whose bound is above p (most + 1 for none); bounds grow with the count."""
    low, high = -1, most + 1
    while high - low > 1:
        k = (low + high) // 2
        low, high = (low, k) if bound(k, look) > p else (k, high)
    return high


def exceeding(bound: Bound, p: float, looks: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.array([least_exceeding(bound, p, most=n, look=i) for i, n in enumerate(looks)])


def broken(looks: tuple[int, ...], alpha: float) -> Bound:
    """Clopper–Pearson at full α, again at every look."""
    return lambda k, look: float(hc.clopper_pearson_lower(k, looks[look], alpha))


# All paths of a few copies, exactly -----------------------------------------------------------------------

SCORES = [Fraction(i, 20) for i in range(1, 20)] + [Fraction(99, 100), Fraction(9, 10**4)]


def errs_exactly(p: Fraction, n: int, reported: Callable[[tuple[int, ...]], float]) -> Fraction:
    """P(reported bound > p), over all 2^n paths."""
    rate = Fraction(0)
    for path in itertools.product((0, 1), repeat=n):
        if Fraction(reported(path)) > p:
            rate += p ** sum(path) * (1 - p) ** (n - sum(path))
    return rate


def worst_places(bounds: set[float]) -> list[Fraction]:
    """The scores right below a bound, where most bounds exceed them."""
    return SCORES + [Fraction(math.nextafter(b, 0.0)) for b in sorted(bounds) if b > 1e-3]


def test_an_alpha_budget_errs_with_probability_at_most_alpha_even_for_the_best_look_of_all() -> None:
    looks, alpha = (2, 4, 7, 10), 0.2
    budget = alpha_budget(looks, alpha)
    bound = [[float(budget.lower(k, look=i)) for k in range(n + 1)] for i, n in enumerate(looks)]

    def best(path: tuple[int, ...]) -> float:
        return max(bound[i][sum(path[:n])] for i, n in enumerate(looks))

    for p in worst_places({b for row in bound for b in row}):
        assert errs_exactly(p, looks[-1], best) <= Fraction(alpha)


def test_a_beta_mixture_errs_with_probability_at_most_alpha_over_all_times() -> None:
    n, alpha = 11, 0.2
    for a, b in ((1.0, 1.0), SMOOTHED_SCORE_PRIOR, (0.5, 3.0)):
        k, m = np.tril_indices(n + 1)[::-1]
        k, m = k[m > 0], m[m > 0]
        table = dict(
            zip(
                zip(k.tolist(), m.tolist(), strict=True),
                beta_mixture_lower(k, m, alpha, a=a, b=b).tolist(),
                strict=True,
            )
        )

        def best(path: tuple[int, ...], table: dict[tuple[int, int], float] = table) -> float:
            return max(table[s, i] for i, s in enumerate(itertools.accumulate(path), start=1))

        for p in worst_places(set(list(table.values())[-12:])):
            assert errs_exactly(p, n, best) <= Fraction(alpha)


def stopped(
    design: GroupSequentialDesign, bound: dict[tuple[int, int], float], quits_at: int
) -> Callable[[tuple[int, ...]], float]:
    """Report as the design asks, quitting at a look after a path that happens to end in a failure."""
    last = len(design.looks) - 1

    def report(path: tuple[int, ...]) -> float:
        for look, (n, boundary, stop) in enumerate(
            zip(design.looks, design.certify_at, design.stop_below, strict=True)
        ):
            k = sum(path[:n])
            if k >= boundary:
                return bound[look, k]
            if k < stop or (look == quits_at and path[n - 1] == 0):
                return bound[last, k]  # copies not drawn count as failures
        return bound[last, sum(path)]

    return report


@pytest.mark.parametrize(("need", "alpha"), [(0.5, 0.2), (0.7, 0.1), (0.2, 0.05)])
def test_a_group_sequential_bound_errs_with_probability_at_most_alpha(need: float, alpha: float) -> None:
    design = group_sequential_design(need, 12, alpha, first=3, growth=1.5, futility=0.1)
    bound = {
        (look, k): group_sequential_lower(
            k, look=look, looks=design.looks, certify_at=design.certify_at, alpha=alpha
        )
        for look, n in enumerate(design.looks)
        for k in range(n + 1)
    }
    assert len(design.looks) >= 4
    for quits_at in (-1, 1):
        report = stopped(design, bound, quits_at)
        for p in [*worst_places(set(bound.values()))[::3], Fraction(need)]:
            assert errs_exactly(p, 12, report) <= Fraction(alpha)


def test_peeking_with_plain_bounds_is_caught_on_a_small_sample() -> None:
    """The same enumeration tells an invalid rule: the best of several Clopper–Pearson bounds at full α."""
    looks, alpha = (2, 4, 7, 10), 0.2
    peek = broken(looks, alpha)
    bound = [[peek(k, i) for k in range(n + 1)] for i, n in enumerate(looks)]
    rates = [
        errs_exactly(p, 10, lambda path: max(bound[i][sum(path[:n])] for i, n in enumerate(looks)))
        for p in worst_places({b for row in bound for b in row})
    ]
    assert max(rates) > Fraction(alpha)


# Large samples, simulated ---------------------------------------------------------------------------------

NEED, MOST, ALPHA = 0.98781, 10_000, 0.01


@pytest.fixture(scope="module")
def design() -> GroupSequentialDesign:
    return group_sequential_design(NEED, MOST, ALPHA)


def test_peeking_with_plain_bounds_is_caught_in_repetitions(design: GroupSequentialDesign) -> None:
    """Stopping as soon as plain Clopper–Pearson shows the need, at the looks of the design."""
    p = math.nextafter(NEED, 0.0)
    above = exceeding(broken(design.looks, ALPHA), p, design.looks)
    errors = int((sampled(design.looks, p, seed=11) >= above).any(axis=1).sum())
    assert errors > 2 * too_many(ALPHA)


@pytest.mark.slow
@pytest.mark.parametrize("p", [math.nextafter(NEED, 0.0), 0.5, 0.999])
def test_an_alpha_budget_holds_whatever_stops_it(design: GroupSequentialDesign, p: float) -> None:
    """Stop as soon as a bound exceeds the true probability: no other rule errs more often."""
    looks = design.looks
    budget = alpha_budget(looks, ALPHA)
    above = exceeding(lambda k, look: float(budget.lower(k, look=look)), p, looks)
    errors = int((sampled(looks, p, seed=12) >= above).any(axis=1).sum())
    assert errors <= too_many(ALPHA)


@pytest.mark.slow
def test_a_group_sequential_design_certifies_falsely_with_probability_alpha(
    design: GroupSequentialDesign,
) -> None:
    """Just below the need: at most α, and nearly so (fewer than 50: with probability below 1e-5 at 0.9 α)."""
    p = math.nextafter(NEED, 0.0)
    successes = sampled(design.looks, p, seed=13)
    certified = int((successes >= np.array(design.certify_at)).any(axis=1).sum())
    assert 50 <= certified <= too_many(ALPHA)
    over = (successes >= design.certify_at) | (successes < design.stop_below)
    ends, rows = over.argmax(axis=1), np.arange(REPETITIONS)
    assert (successes[rows, ends] >= np.array(design.certify_at)[ends]).sum() <= certified


@pytest.mark.slow
@pytest.mark.parametrize("p", [math.nextafter(NEED, 0.0), 0.9, 0.98, 0.9885, 0.995, 0.9999])
def test_a_group_sequential_bound_holds_wherever_the_sample_stops(
    design: GroupSequentialDesign, p: float
) -> None:
    """Crossing, giving up, the end, or a budget that runs out at a look that the counts themselves decide."""

    def bound(k: int, look: int) -> float:
        return group_sequential_lower(
            k, look=look, looks=design.looks, certify_at=design.certify_at, alpha=ALPHA
        )

    successes, looks, last = sampled(design.looks, p, seed=14), np.array(design.looks), len(design.looks) - 1
    crossed = successes >= design.certify_at
    failures = looks - successes
    out_of_budget = (failures % 7 == 3) & (looks > 1000)
    above, above_at_end = exceeding(bound, p, design.looks), least_exceeding(bound, p, most=MOST, look=last)
    for gives_up in (successes < design.stop_below, out_of_budget, np.zeros_like(crossed)):
        over = crossed | gives_up
        over[:, last] = True
        ends, rows = over.argmax(axis=1), np.arange(REPETITIONS)
        k = successes[rows, ends]
        wrong = np.where(crossed[rows, ends], k >= above[ends], k >= above_at_end)
        assert int(wrong.sum()) <= too_many(ALPHA)


@pytest.mark.slow
@pytest.mark.parametrize("p", [math.nextafter(NEED, 0.0), 0.6])
def test_a_beta_mixture_holds_when_looked_at_after_every_copy(p: float) -> None:
    """A horizon of 1500 copies; plain Clopper–Pearson at every copy errs more than three times as often."""
    horizon, (a, b) = 1500, SMOOTHED_SCORE_PRIOR
    looks = tuple(range(1, horizon + 1))

    def bound(k: int, look: int) -> float:
        return float(beta_mixture_lower(k, looks[look], ALPHA, a=a, b=b))

    successes = sampled(looks, p, seed=15)
    assert int((successes >= exceeding(bound, p, looks)).any(axis=1).sum()) <= too_many(ALPHA)
    peeking = (successes >= exceeding(broken(looks, ALPHA), p, looks)).any(axis=1).sum()
    assert int(peeking) > 2 * too_many(ALPHA)
