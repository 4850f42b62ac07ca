"""Proposition 4.1 of the paper: two unimodal certificates do not add up to a joint one."""

from __future__ import annotations

import importlib.util
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest
from flint import arb

import hybridcert as hc
from balls import BallLaw, ball, precision
from exact_laws import uniform_law

EXAMPLE = Path(__file__).parents[1] / "examples" / "proposition_4_1.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("proposition_4_1", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_both_unimodal_certificates_may_hold_where_the_joint_one_fails() -> None:
    """Clean score 0.99, one symbol of 10 changed under β = ½, ε = 2σ, threshold ½."""
    p, threshold = 0.99, 0.5
    spectrum, law = hc.UniformReplacement(0.5).spectrum([10]), uniform_law(0.5, [10])
    discrete, _ = hc.adversarial_value(p_lower=p, spectrum=spectrum, sigma=1.0, epsilon=0.0)
    continuous, _ = hc.adversarial_value(
        p_lower=p, spectrum=hc.LikelihoodSpectrum.identity(), sigma=1.0, epsilon=2.0
    )
    assert discrete > threshold
    assert continuous > threshold
    with precision(220):  # exactly, not only by our lower bound
        _, above = BallLaw.of(law).value_between(2.0, p, near=0.0)
        assert bool(above < ball(threshold))
    joint, _ = hc.adversarial_value(p_lower=p, spectrum=spectrum, sigma=1.0, epsilon=2.0)
    assert joint < threshold
    answer = hc.radius(p_lower=p, spectrum=spectrum, sigma=1.0, threshold=threshold)[0]
    assert answer.certified
    assert answer.radius is not None
    assert answer.radius < 2.0


def test_a_classifier_satisfies_both_certificates_and_falls_to_a_joint_attack(example: ModuleType) -> None:
    found = example.counterexample()
    assert found.clean_lower >= example.P
    assert found.discrete_lower > example.THRESHOLD
    assert found.continuous_lower > example.THRESHOLD
    assert found.naive_claims
    assert found.attacked_upper < example.THRESHOLD
    assert not found.joint_certifies
    assert 0.0 < found.joint_radius < example.EPS
    assert found.joint_lower <= found.attacked_upper


def test_the_attack_lies_within_the_budgets(example: ModuleType) -> None:
    (symbol, number), (other, moved) = example.CLEAN, example.ATTACKED
    assert (symbol != other) <= example.D
    assert abs(Fraction(moved) - Fraction(number)) <= example.EPS


def test_the_scores_of_the_example_are_those_of_its_base_classifier(example: ModuleType) -> None:
    """Enumerate the noise on the symbol, and integrate that on the number up to where the answer flips."""
    rule = example.JointRule()
    with precision():
        for point in (example.CLEAN, example.ATTACKED, ("b", 0.0), ("a", 2.0)):
            total = arb(0)
            for symbol, rate in (("a", Fraction(1, 4)), ("b", Fraction(1, 4))):
                weight = 1 - rate if symbol == point[0] else rate
                edge = float(example.cut(symbol))
                answers = rule.predict_encoded(rule.encode([(symbol, edge - 1e-9), (symbol, edge + 1e-9)]))
                assert answers.tolist() == [1, 0]
                total += ball(weight) * (-(example.cut(symbol) - ball(point[1])) / arb(2).sqrt()).erfc() / 2
            assert total.overlaps(example.score(*point))


def test_no_classifier_with_that_clean_score_loses_more(example: ModuleType) -> None:
    """The example is Neyman–Pearson optimal: its attacked score is the worst case at its clean score."""
    with precision(300):
        law = BallLaw.of(uniform_law(0.25, [2]))
        cut = ball(example.CUT)
        assert law.clean(ball(2.0), cut).overlaps(example.score(*example.CLEAN))
        assert law.adversarial(ball(2.0), cut).overlaps(example.score(*example.ATTACKED))


def test_sampling_agrees_with_the_exact_scores(example: ModuleType) -> None:
    """Bounds at level 1 − 1e-6 each, at a fixed seed."""
    drawn = example.sample(samples=100_000)
    assert drawn.p_lower < 0.9851
    assert drawn.naive_claims
    assert not drawn.joint_certifies
    assert drawn.attacked_upper < example.THRESHOLD
    assert abs(drawn.attacked_share - 0.4614) < 0.01


@pytest.mark.parametrize("number", range(3))
def test_the_naive_product_overstates_at_the_settings_of_the_paper(example: ModuleType, number: int) -> None:
    rows = example.overstated(*list(example.SETTINGS.values())[number], inputs=500)
    medians = [row.median for row in rows]
    assert rows[0].d == 1
    assert all(1.0 < row.median <= row.largest for row in rows)
    assert medians == sorted(medians)
    assert medians[-1] > 2.0


def test_the_example_prints_what_it_found(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main()
    text = capsys.readouterr().out
    assert "naive product,    (1, 2): claimed.  UNSOUND – not a certificate" in text
    assert "at most 0.4615. The claim is false." in text
    assert "refused; it proves shifts up to 1.8916" in text
