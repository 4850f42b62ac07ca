"""Proposition 4.1 of the paper: two unimodal certificates do not add up to a joint one."""

from __future__ import annotations

import hybridcert as hc
from balls import BallLaw, ball, precision
from exact_laws import uniform_law


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
