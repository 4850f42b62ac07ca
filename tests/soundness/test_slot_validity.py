"""Validity with known truth: reuse for fewer slots, certifying after a choice; 10 000 repetitions each."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import hybridcert as hc
from hybridcert.slot_reuse import slot_frontier
from hybridcert.threats import ContinuousSurface
from hybridcert.tuning import choose_noise
from slot_tables import KERNELS, inputs_for, noisy_row, table_for, word_for

REPETITIONS = 10_000
ALPHA = 0.05
FALSE_ALARM = 1e-6

pytestmark = pytest.mark.slow


def rate_is_at_most(alpha: float, failures: int, repetitions: int) -> bool:
    """Whether so many failures are compatible with a rate of at most alpha, at a false-alarm rate of 1e-6."""
    return bool(hc.clopper_pearson_lower([failures], repetitions, FALSE_ALARM)[0] <= alpha)


@pytest.mark.parametrize("kernel", ["uniform", "matrix"])
@pytest.mark.parametrize("scope", ["per budget", "simultaneous"])
def test_reused_copies_bound_the_score_of_every_number_of_slots(kernel, scope):
    """Inputs that differ in a number without noise are repetitions: each has streams of its own."""
    table = table_for(kernel, 5, likely=0.5)
    smoothed = hc.SmoothedClassifier(table, noise={"text": KERNELS[kernel]})
    found = slot_frontier(
        smoothed,
        inputs_for(kernel, REPETITIONS),
        modality="text",
        samples=150,
        alpha=ALPHA,
        seed=11,
        threshold=0.5,
        label="b",
        scope=scope,
    )
    wrong = []
    for slots, run in enumerate(found.runs):
        truth = table.score(noisy_row(kernel, word_for(kernel), slots), 1)
        wrong.append(run.p_lower > float(truth))
        assert rate_is_at_most(run.alpha, int(wrong[-1].sum()), REPETITIONS)
    together = int(np.any(wrong, axis=0).sum())
    assert sum(int(w.sum()) for w in wrong) > 0
    if scope == "simultaneous":
        assert rate_is_at_most(ALPHA, together, REPETITIONS)
    else:
        assert not rate_is_at_most(ALPHA, together, REPETITIONS)  # alpha each is not alpha together


NOISES = 8
POINT = 1.0


@dataclasses.dataclass(frozen=True)
class Looking:
    """Says yes where one feature is positive, so that different noises see different randomness."""

    feature: int

    classes_ = np.array(["no", "yes"])

    def surfaces(self):
        return {"numeric": ContinuousSurface(NOISES + 1, tuple(range(NOISES)), "units")}

    def encode(self, X):
        return {"numeric": np.asarray(X, dtype=np.float64)}

    def predict_encoded(self, batch):
        return (batch["numeric"][:, self.feature] > 0.0).astype(np.intp)


def test_certifying_after_a_choice_is_valid_on_other_copies_only():
    """All noises are equally good, so the best-looking one was lucky; its own copies say too much."""
    truth, samples = 0.8413447460685429, 100  # Φ(1)
    X = np.full((REPETITIONS, NOISES + 1), POINT)
    X[:, NOISES] = np.arange(REPETITIONS)
    candidates = {
        str(feature): hc.SmoothedClassifier(Looking(feature), noise={"numeric": hc.GaussianNoise(1.0)})
        for feature in range(NOISES)
    }
    choice = choose_noise(
        candidates,
        X,
        threat=None,
        d=0,
        epsilon=0.0,
        threshold=0.84,
        samples=samples,
        seed=2,
        planned_samples=samples,
        alpha=ALPHA,
        per="input",
        label="yes",
    )
    best = choice.score_hat[choice.chosen, np.arange(REPETITIONS)]
    np.testing.assert_array_equal(best, choice.score_hat.max(axis=0))
    naive = hc.clopper_pearson_lower(np.rint(best * samples).astype(int), samples, ALPHA) > truth
    assert not rate_is_at_most(4 * ALPHA, int(naive.sum()), REPETITIONS)
    failures = 0
    for name, smoothed in candidates.items():
        rows = choice.rows(name)
        assert rows.size > REPETITIONS / NOISES / 2
        run = smoothed.certify(
            X[rows], threat=None, samples=samples, alpha=ALPHA, seed=2, threshold=0.84, label="yes"
        )
        failures += int((run.p_lower > truth).sum())
    assert failures > 0
    assert rate_is_at_most(ALPHA, failures, REPETITIONS)
