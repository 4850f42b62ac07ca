"""Shares of an error probability: never more than the whole, as exact rationals."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridcert as hc
from hybridcert.certificate.alpha_budget import AlphaBudget, alpha_budget

LOOKS = st.lists(st.integers(1, 10**6), min_size=1, max_size=30, unique=True).map(sorted)


@given(LOOKS, st.floats(1e-300, 1.0, exclude_max=True))
def test_shares_follow_the_copies_and_never_exceed_the_whole(looks: list[int], alpha: float) -> None:
    budget = alpha_budget(looks, alpha)
    assert budget.looks == tuple(looks)
    assert sum(map(Fraction, budget.alphas)) <= Fraction(alpha)
    before = 0
    for n, share in zip(looks, budget.alphas, strict=True):
        exact = Fraction(alpha) * (n - before) / looks[-1]
        assert Fraction(share) <= exact < Fraction(math.nextafter(share, 1.0))
        before = n


@given(LOOKS, st.data())
def test_shares_can_be_chosen(looks: list[int], data: st.DataObject) -> None:
    count = len(looks)
    shares = data.draw(st.lists(st.floats(1e-9, 1e9), min_size=count, max_size=count))
    budget = alpha_budget(looks, 0.01, shares=shares)
    assert sum(map(Fraction, budget.alphas)) <= Fraction(0.01)
    assert sum(budget.alphas) == pytest.approx(0.01, rel=1e-14)
    assert budget.alphas[0] / budget.alphas[-1] == pytest.approx(shares[0] / shares[-1], rel=1e-14)


def test_one_look_has_it_all() -> None:
    for alpha in (0.1, 0.01, 1e-6, math.nextafter(1.0, 0.0)):
        assert alpha_budget((77,), alpha).alphas == (alpha,)


def test_the_bound_at_a_look_is_clopper_pearson_at_its_share() -> None:
    budget = alpha_budget((100, 400, 1000), 0.05)
    for look, (n, share) in enumerate(zip(budget.looks, budget.alphas, strict=True)):
        k = np.array([0, n // 2, n - 1, n])
        assert budget.lower(k, look=look).tolist() == hc.clopper_pearson_lower(k, n, share).tolist()


@pytest.mark.parametrize(
    ("looks", "alpha", "shares", "message"),
    [
        ((), 0.1, None, "looks must hold at least one number of copies, got none"),
        ((0, 5), 0.1, None, r"each of looks must be an integer in \[1, 10000000000\], got 0"),
        ((5, 5), 0.1, None, "looks must increase strictly, got 5 after 5"),
        ((5, 2.5), 0.1, None, "each of looks must be an integer"),
        ((5, 10), 0.0, None, r"alpha must be in \(0, 1\), got 0.0"),
        ((5, 10), math.nan, None, r"alpha must be in \(0, 1\), got nan"),
        ((5, 10), 0.1, (1.0,), "shares must have one entry for each of 2 looks, got 1"),
        ((5, 10), 0.1, (1.0, 0.0), "each of shares must be a positive number, got 0.0"),
        ((5, 10), 0.1, (1.0, math.inf), "each of shares must be a positive number, got inf"),
        ((5, 10), 5e-324, None, "alpha must leave every look a positive share, got 5e-324 for 2 looks"),
    ],
)
def test_impossible_budgets_are_refused(looks: object, alpha: float, shares: object, message: str) -> None:
    with pytest.raises(hc.ParameterError, match=message):
        alpha_budget(looks, alpha, shares=shares)  # type: ignore[arg-type]


def test_a_budget_made_by_hand_is_checked() -> None:
    tenth = AlphaBudget((5, 10), (0.05, 0.05), 0.1)
    with pytest.raises(hc.ParameterError, match=r"look must be in \[0, 1\], got 2"):
        tenth.lower(3, look=2)
    with pytest.raises(hc.ParameterError, match=r"alphas must add up to at most alpha = 0\.3"):
        AlphaBudget((5, 10), (0.1, 0.2), 0.3)  # as rationals, these floats exceed it by 2⁻⁵⁶
    with pytest.raises(hc.ParameterError, match="alphas must have one entry"):
        AlphaBudget((5, 10), (0.1,), 0.3)
    with pytest.raises(hc.ParameterError, match=r"each of alphas must be in \(0, 1\), got 0.0"):
        AlphaBudget((5, 10), (0.1, 0.0), 0.3)
