"""Choosing noise on exploration copies: what is chosen, that the copies are others, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import betabinom

import hybridcert as hc
from classifiers import Sign, WordsAndNumbers
from hybridcert.certificate.need import score_needed
from hybridcert.threats import ContinuousSurface
from hybridcert.tuning import NoiseChoice, choose_noise

QUESTION = {
    "threat": None,
    "d": 0,
    "epsilon": 0.5,
    "threshold": 0.5,
    "samples": 60,
    "seed": 4,
    "planned_samples": 1_000,
    "alpha": 0.01,
}


def signs(*sigmas: float) -> dict[str, hc.SmoothedClassifier]:
    return {f"σ = {s}": hc.SmoothedClassifier(Sign(), noise={"numeric": hc.GaussianNoise(s)}) for s in sigmas}


def points(*values: float) -> np.ndarray:
    return np.stack([values, np.arange(len(values))], axis=1).astype(np.float64)


@dataclasses.dataclass
class Recording:
    """Says yes, and remembers what it saw."""

    seen: list[float] = dataclasses.field(default_factory=list)

    classes_ = np.array(["no", "yes"])

    def surfaces(self):
        return {"numeric": ContinuousSurface(1, (0,), "units")}

    def encode(self, X):
        return {"numeric": np.asarray(X, dtype=np.float64)}

    def predict_encoded(self, batch):
        self.seen.extend(batch["numeric"][:, 0].tolist())
        return np.ones(len(batch["numeric"]), dtype=np.intp)


def test_the_copies_that_choose_are_never_those_that_certify():
    base = Recording()
    smoothed = hc.SmoothedClassifier(base, noise={"numeric": hc.GaussianNoise(1.0)})
    X = np.array([[0.0], [1.0]])
    choose_noise({"only": smoothed}, X, **QUESTION)
    chose, base.seen = set(base.seen), []
    assert len(chose) == 120
    smoothed.certify(X, threat=None, samples=60, alpha=0.01, seed=4, threshold=0.5)
    certified = set(base.seen) - {0.0, 1.0}  # it is asked about the inputs themselves, too
    assert len(certified) == 2 * (100 + 60)
    assert not chose & certified


def test_one_noise_for_the_data_set():
    """At ε = 0.5 a distance of 0.8 wants a noise that is neither small nor large against it."""
    candidates = signs(0.05, 0.4, 30.0)
    found = choose_noise(candidates, points(*np.full(8, 0.8)), **QUESTION)
    assert found.name == "σ = 0.4"
    assert found.rows("σ = 0.4").tolist() == list(range(8))
    assert found.rows("σ = 30.0").size == 0
    table = found.frame()
    assert table["inputs"].tolist() == [0, 8, 0]
    assert table["certified_hat"].idxmax() == "σ = 0.4"


def test_one_noise_for_each_input():
    """Close to the boundary small noise is sharper; far from it large noise needs less certainty."""
    candidates, X = signs(0.2, 4.0), points(0.58, 0.6, 20.0, 30.0)
    question = QUESTION | {"samples": 4_000, "planned_samples": 10_000}
    found = choose_noise(candidates, X, **question, per="input")
    assert found.chosen.tolist() == [0, 0, 1, 1]
    for name, rows in (("σ = 0.2", [0, 1]), ("σ = 4.0", [2, 3])):
        assert found.rows(name).tolist() == rows
        run = candidates[name].certify(
            X[rows], threat=None, samples=10_000, alpha=0.01, seed=4, threshold=0.5
        )
        assert run.certified(0, 0.5).all()
    with pytest.raises(hc.ParameterError, match="name must be one of"):
        found.rows("σ = 9")


def test_different_choices_have_no_one_name():
    floats = np.zeros((2, 2))
    found = NoiseChoice(("a", "b"), np.array([0, 1]), np.array([["x", "x"]] * 2), floats, floats)
    with pytest.raises(hc.ParameterError, match="2 candidates were chosen"):
        _ = found.name


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_the_estimate_is_the_predictive_probability_to_certify(epsilon):
    candidates = signs(0.5)
    X = points(0.2, 0.6, 0.9, 2.0)
    found = choose_noise(candidates, X, **(QUESTION | {"epsilon": epsilon}), label="yes")
    assert (found.label == "yes").all()
    successes = np.rint(found.score_hat[0] * 60).astype(int)
    p = score_needed(spectrum=hc.LikelihoodSpectrum.identity(), sigma=0.5, epsilon=epsilon, threshold=0.5)
    bounds = hc.clopper_pearson_lower(np.arange(1001), 1000, 0.01)
    least = int(np.argmax(bounds >= p))
    expected = betabinom.sf(least - 1, 1000, 0.5 + successes, 60.5 - successes)
    np.testing.assert_allclose(found.certified_hat[0], expected, rtol=1e-6, atol=1e-12)


def test_what_cannot_be_certified_promises_nothing():
    found = choose_noise(signs(0.5), points(5.0), **(QUESTION | {"epsilon": 50.0}))
    assert found.certified_hat.tolist() == [[0.0]]


def test_discrete_budgets_and_labels_of_mixed_inputs():
    X = {
        "text": np.array([[0, 1, 2], [0, 3, 4]]),
        "tag": np.array([[0], [1]]),
        "numeric": np.array([[3.0], [-3.0]]),
        "other": np.array([[0.0], [0.0]]),
    }
    candidates = {
        str(beta): hc.SmoothedClassifier(
            WordsAndNumbers(), noise={"text": hc.UniformReplacement(beta), "numeric": hc.GaussianNoise(1.0)}
        )
        for beta in (0.05, 0.25, 0.9)
    }
    question = QUESTION | {"threat": hc.Substitution(2), "d": 1, "epsilon": 0.1}
    found = choose_noise(candidates, X, **question)
    assert found.label.shape == (3, 2)
    assert found.label[0].tolist() == [1, 0]
    assert (found.certified_hat[:, 1] > 0.0).any()


def test_wrong_arguments_are_named():
    X = points(1.0)
    words = hc.SmoothedClassifier(WordsAndNumbers(), noise={"text": hc.UniformReplacement(0.5)})
    two = {"numeric": hc.GaussianNoise(1.0), "other": hc.GaussianNoise(2.0)}
    scales = [
        hc.SmoothedClassifier(WordsAndNumbers(), noise=two | {"other": hc.GaussianNoise(s)}) for s in (1, 2)
    ]
    for candidates, options, message in [
        ({}, {}, "candidates must name at least one"),
        (signs(1.0), {"per": "row"}, "per must be"),
        (signs(1.0), {"epsilon": -1.0}, "epsilon must be >= 0"),
        (signs(1.0), {"threshold": 1.0}, "threshold must be"),
        (signs(1.0), {"samples": 0}, "samples must be"),
        (signs(1.0), {"planned_samples": 0}, "planned_samples must be"),
        (signs(1.0), {"d": 1}, "d must be a budget"),
        (signs(1.0), {"label": "maybe"}, "label must be one of"),
        ({"words": words}, {}, "epsilon must be 0"),
        (dict(zip("ab", scales, strict=True)), {}, "measure epsilon differently"),
    ]:
        with pytest.raises(hc.ParameterError, match=message):
            choose_noise(candidates, X, **(QUESTION | options))
