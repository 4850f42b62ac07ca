"""Who draws when a budget of copies does not last for all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridcert.certificate.confidence import clopper_pearson_lower
from hybridcert.certificate.group_sequential import group_sequential_design
from hybridcert.sampling.allocation import affordable
from hybridcert.sampling.stopping import GroupSequentialRule, StoppingRule, Verdict


def test_the_most_urgent_are_served_first() -> None:
    copies, urgency = np.array([10, 10, 10, 10]), np.array([0.1, 0.4, 0.2, 0.3])
    assert affordable(copies, urgency, 25).tolist() == [False, True, False, True]


def test_equals_are_served_in_their_order() -> None:
    copies, urgency = np.array([10, 10, 10]), np.ones(3)
    assert affordable(copies, urgency, 20).tolist() == [True, True, False]


def test_who_needs_too_much_is_passed_over() -> None:
    copies, urgency = np.array([30, 10, 10]), np.array([3.0, 2.0, 1.0])
    assert affordable(copies, urgency, 20).tolist() == [False, True, True]
    assert affordable(copies, urgency, 30).tolist() == [True, False, False]


@pytest.mark.parametrize("budget", [-5, 0, 9])
def test_an_exhausted_budget_serves_nobody(budget: int) -> None:
    assert not affordable(np.array([10, 10]), np.ones(2), budget).any()


def test_nobody_to_serve() -> None:
    assert affordable(np.zeros(0, np.int64), np.zeros(0), 5).tolist() == []


@given(
    needs=st.lists(st.tuples(st.integers(1, 50), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=12),
    budget=st.integers(0, 300),
)
def test_the_budget_holds_and_no_copy_that_fits_is_withheld(
    needs: list[tuple[int, float]], budget: int
) -> None:
    copies, urgency = np.array([n for n, _ in needs]), np.array([u for _, u in needs])
    chosen = affordable(copies, urgency, budget)
    left = budget - int(copies[chosen].sum())
    assert left >= 0
    assert (copies[~chosen] > left).all()
    for refused in np.flatnonzero(~chosen):  # those served before it left too little
        before = (urgency > urgency[refused]) | (
            (urgency == urgency[refused]) & (np.arange(len(needs)) < refused)
        )
        assert copies[refused] > budget - copies[chosen & before].sum()


def _certified(rule: StoppingRule, scores: np.ndarray, *, budget: int, seed: int) -> tuple[int, int]:
    """Play a rule against scores under a budget; return the inputs certified and the copies spent."""
    rng, rows = np.random.default_rng(seed), np.arange(scores.size)
    schedule = rule.schedule(rows)
    counts = np.zeros((scores.size, 2), dtype=np.int64)
    going, before = np.ones(scores.size, dtype=np.bool_), np.zeros(scores.size, dtype=np.int64)
    certified = spent = 0
    for look in range(schedule.shape[1]):
        more = schedule[:, look] - before
        active = np.flatnonzero(going & (more > 0))
        if not active.size:
            break
        ahead = rule.outlook(look - 1, active, counts[active])
        assert (ahead.copies >= more[active]).all()
        chosen = affordable(ahead.copies, ahead.urgency, budget - spent)
        going[active[~chosen]] = False
        active = active[chosen]
        spent += int(more[active].sum())
        hits = rng.binomial(more[active], scores[active])
        counts[active] += np.stack([more[active] - hits, hits], axis=1)
        verdicts = rule.verdicts(look, active, counts[active])
        certified += int((verdicts == Verdict.CERTIFIED).sum())
        going[active[verdicts != Verdict.GO_ON]] = False
        before = schedule[:, look]
    return certified, spent


@pytest.mark.parametrize("per_input", [200, 400, 800])
@pytest.mark.parametrize("piloted", [False, True])
def test_more_inputs_are_certified_than_with_equal_shares(per_input: int, piloted: bool) -> None:
    """Failure rates as on a data set of census records: even in the logarithm, from 1e-5 to 1/2."""
    rng = np.random.default_rng(1)
    scores = 1.0 - np.exp(rng.uniform(np.log(1e-5), np.log(0.5), 600))
    needed, alpha = 0.9878, 0.01
    pilot_hits = rng.binomial(100, scores)
    pilot = np.stack([100 - pilot_hits, pilot_hits], axis=1)
    rule = GroupSequentialRule(
        designs=(group_sequential_design(needed, 10_000, alpha),),
        design_of_row=np.zeros(600, np.intp),
        claimed=np.ones(600, np.intp),
        pilot=pilot if piloted else None,
    )
    budget = per_input * scores.size
    certified, spent = _certified(rule, scores, budget=budget, seed=2)
    hits = rng.binomial(per_input, scores)
    equal = int((clopper_pearson_lower(hits, per_input, alpha) >= needed).sum())
    assert spent <= budget
    assert certified > equal + (12 if piloted else 0)
    assert _certified(rule, scores, budget=budget, seed=2) == (certified, spent)
