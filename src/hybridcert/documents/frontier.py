"""From evidence to the numbers of a document: witnesses found in float64, last digits proven in balls.

The library's directed float64 gives each bound to about 1e-12 from below. A document carries the largest
float64 that its witness proves, so that a number moved up by one unit in the last place is refused. The
arithmetic is the verifier's: what is written is what it will accept.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flint import arb, fmpq

from hybridcert.certificate.tradeoff import dual_bound_lower, worst_case_lower
from hybridcert.documents.claims import Claim, ScoreAbove, TopK
from hybridcert.documents.evidence import Estimate, JointCandidate, PointEvidence, Setting
from hybridcert.documents.exact import float_below, hexadecimal, largest_float, least_float
from hybridcert.errors import CertificateError
from hybridcert.verify.balls import above, not_below, precision
from hybridcert.verify.binomial import upper_tail
from hybridcert.verify.decisions import Decision, crossing_at_most, evidence_suffices, tail_at_most
from hybridcert.verify.duality import dual_value, exact_tie
from hybridcert.verify.laws import factors_of, read_changes, spectrum_of, threatened
from hybridcert.verify.limits import PRECISIONS
from hybridcert.verify.sequential import crossing, log_evidence, stages_of

_BITS = 256
"""Precision of the balls; what is written here is decided again by the verifier."""

_AGREEMENT = 1e-9
"""How far the two ways to evaluate the dual bound may lie apart, in units of t."""

_UNDERFLOW = 1e-290
_LAST_SCORE = math.nextafter(1.0, 0.0)

Witness = float | None


def sharpened(estimate: Estimate, claim: Claim) -> Estimate:
    """Return the estimate with the tightest float64 bounds that its counts prove."""
    if estimate.method == "given":
        return estimate
    with precision(_BITS):
        return _sharpened(estimate, claim)


def _sharpened(estimate: Estimate, claim: Claim) -> Estimate:
    n, alpha, plan = estimate.samples, estimate.alpha, estimate.plan
    assert n is not None
    assert alpha is not None
    level = exact(plan.alphas[plan.look] if plan is not None and plan.alphas else alpha)
    upper = estimate.p_upper
    if estimate.method == "clopper-pearson-bonferroni":
        level /= len(estimate.counts)
        assert isinstance(claim, TopK)
        assert upper is not None
        others = sorted((c for i, c in enumerate(estimate.counts) if i != estimate.label_index), reverse=True)
        rival = others[claim.k - 1]
        if rival < n:  # a rival that every copy answered has no bound below 1
            upper = least_float(lambda p: tail_at_most("lower", rival, n, exact(p), level)[0] is None, upper)
    lower: float | None = 0.0
    if estimate.p_lower > 0.0:
        proven, spare = _evidence(estimate, n, level)
        lower = largest_float(proven, estimate.p_lower, spare=spare)
    if lower is None or (upper is None and estimate.p_upper is not None):
        raise CertificateError("the confidence bound could not be proven: this is a defect, please report it")
    return dataclasses.replace(estimate, p_lower=lower, p_upper=upper)


def _evidence(
    estimate: Estimate, n: int, level: fmpq
) -> tuple[Callable[[float], bool], Callable[[float], arb]]:
    """Return whether the counts prove that the score is at least p, and what they have left over at p."""
    plan, own = estimate.plan, int(estimate.counts[estimate.label_index])
    decided: Callable[[fmpq], Decision]
    spare: Callable[[fmpq], arb]
    if plan is not None and plan.certify_at:
        stages = stages_of(plan.looks, plan.certify_at, plan.look, own)
        decided = functools.partial(crossing_at_most, stages, alpha=level)
        spare = lambda p: arb(level) - crossing(stages, p, _BITS)  # noqa: E731
    elif plan is not None and plan.prior is not None:
        prior = exact(plan.prior[0]), exact(plan.prior[1])
        decided = functools.partial(evidence_suffices, own, n, prior=prior, alpha=level)
        spare = lambda p: log_evidence(own, n, p, prior, _BITS) + arb(level).log()  # noqa: E731
    else:
        decided = functools.partial(tail_at_most, "upper", own, n, alpha=level)
        spare = lambda p: arb(level) - upper_tail(own, n, p, _BITS)  # noqa: E731
    return (
        lambda p: p == 0.0 or (p < 1.0 and decided(exact(p))[0] is None),
        lambda p: spare(exact(min(p, _LAST_SCORE))),
    )


def frontier_section(
    setting: Setting, estimate: Estimate, points: Sequence[PointEvidence]
) -> list[dict[str, Any]]:
    """Return the ``frontier`` section: every point with a witness for each candidate of its worst case.

    Raises
    ------
    CertificateError
        When ball arithmetic does not confirm a point; nothing may be issued then.
    """
    with precision(_BITS):
        scores = _scores(setting, estimate)
        return [_point(setting, scores, point) for point in points]


def exact(value: float) -> fmpq:
    """Return a float as the rational number it is."""
    return fmpq(*float(value).as_integer_ratio())


def _float(value: fmpq) -> float:
    return int(value.p) / int(value.q)


def _scores(setting: Setting, estimate: Estimate) -> list[fmpq]:
    """Clean scores that enter the dual bound: the label's own and, for top-k, what its rival leaves."""
    own = exact(estimate.p_lower)
    if isinstance(setting.claim, ScoreAbove):
        return [own]
    return [own, own if estimate.p_upper is None else 1 - exact(estimate.p_upper)]


def _point(setting: Setting, scores: Sequence[fmpq], point: PointEvidence) -> dict[str, Any]:
    proofs = [_Proof(setting, candidate) for candidate in point.attack.candidates]
    at_zero = [[proof.witness_at_zero(p) for p in scores] for proof in proofs]
    p_adv = max(0.0, min(proof.value(u[0], scores[0]) for proof, u in zip(proofs, at_zero, strict=True)))
    _cross_check(proofs, at_zero, scores, fmpq(0))
    log_t: list[list[Witness] | None] = [None] * len(proofs)
    radius: float | None = None
    if point.certified:
        shift = point.radius / setting.scale
        found = at_zero if shift == 0.0 else [[proof.witness(p, shift) for p in scores] for proof in proofs]
        radius = _largest_radius(setting, proofs, found, scores, point.radius)
        if radius is None:
            raise CertificateError(
                f"radius {point.radius!r} at d = {point.d} is not confirmed in ball arithmetic: this is a "
                "defect, please report it"
            )
        _cross_check(proofs, found, scores, exact(radius) / exact(setting.scale))
        log_t = list(found)
    return {
        "d": point.d,
        "certified": point.certified,
        "radius": None if radius is None else hexadecimal(radius),
        "p_adv": hexadecimal(p_adv),
        "worst_case": point.attack.worst_case,
        "witnesses": [
            {"change": proof.change, "log_t": _written(u), "log_t_at_zero": _written(z)}
            for proof, u, z in zip(proofs, log_t, at_zero, strict=True)
        ],
    }


class _Proof:
    """The dual bound of one candidate, in float64 to find witnesses and in balls to use them."""

    def __init__(self, setting: Setting, candidate: JointCandidate) -> None:
        self.change = [dict(change) for change in candidate.changes]
        self._noise = setting.noise
        self._shift_law = "laplace" if setting.noise == "laplace" else "gaussian"
        self._spectrum = candidate.spectrum
        self._sections = setting.law, self.change, setting.threat

    def witness(self, p: fmpq, shift: float) -> Witness:
        """Return log t near the optimum, or None where the bound is the trivial 0."""
        score = min(_float(p), _LAST_SCORE)
        log_t = float(worst_case_lower(self._spectrum, score, shift, noise=self._shift_law).log_t)
        return log_t if np.isfinite(log_t) else None

    def witness_at_zero(self, p: fmpq) -> Witness:
        """Return log t near the optimum at shift 0, where it is the log ratio of an atom."""
        found = self.witness(p, 0.0)
        if found is None:
            return None
        ratios = self._spectrum.log_ratio
        atom = float(ratios[np.abs(ratios - found).argmin()])
        return atom if self.dual(atom, p, fmpq(0)) >= self.dual(found, p, fmpq(0)) else found

    def value(self, log_t: Witness, p: fmpq) -> float:
        """Return the largest float64 that D(log t; 0, p) is proven to reach."""
        below = float_below(self.dual(log_t, p, fmpq(0)))
        following = math.nextafter(below, math.inf)
        reached = not_below(lambda bits: self.dual(log_t, p, fmpq(0), bits), exact(following))
        if reached is None and log_t is not None:  # a tie, which no ball decides
            law, change, threat = self._sections
            modalities = threatened(law, threat)
            factors = factors_of(modalities, read_changes(change, modalities, "change"))
            rational = exact_tie(factors, exact(log_t), p, PRECISIONS[-1])
            reached = rational is not None and rational >= exact(following)
        return following if reached else below

    def dual(self, log_t: Witness, p: fmpq, shift: fmpq, bits: int = _BITS) -> arb:
        """Return D(log t; shift, p)."""
        return dual_value(spectrum_of(*self._sections, bits), self._noise, shift, log_t, p, bits)

    def cross_check(self, log_t: Witness, p: fmpq, shift: fmpq) -> None:
        """Refuse to go on where the balls are above directed float64 by more than its margins can explain.

        All terms of D are at most t = e^u in size, so the two ways to evaluate it agree to a share of that.
        """
        if log_t is None:
            return
        ball = float(self.dual(log_t, p, shift).mid())
        m, score, u = (np.array([value]) for value in (_float(shift), _float(p), log_t))
        directed = float(dual_bound_lower(self._spectrum, m, score, u, noise=self._shift_law)[0])
        if ball > directed + _AGREEMENT * math.exp(log_t) + _UNDERFLOW:
            raise CertificateError(
                f"D(log t = {log_t!r}) is {ball!r} in ball arithmetic and at least {directed!r} in directed "
                "float64, which do not agree: this is a defect, please report it"
            )


def _cross_check(
    proofs: Sequence[_Proof], witnesses: Sequence[Sequence[Witness]], scores: Sequence[fmpq], shift: fmpq
) -> None:
    for proof, witness in zip(proofs, witnesses, strict=True):
        for log_t, p in zip(witness, scores, strict=True):
            proof.cross_check(log_t, p, shift)


def _largest_radius(
    setting: Setting,
    proofs: Sequence[_Proof],
    found: Sequence[Sequence[Witness]],
    scores: Sequence[fmpq],
    start: float,
) -> float | None:
    scale = exact(setting.scale)
    needed = exact(setting.claim.threshold) if isinstance(setting.claim, ScoreAbove) else fmpq(1)

    def total(radius: float, witness: Sequence[Witness], proof: _Proof, bits: int) -> arb:
        with precision(bits):
            terms = [
                proof.dual(u, p, exact(radius) / scale, bits) for u, p in zip(witness, scores, strict=True)
            ]
            return sum(terms, arb(0))

    def proven(radius: float) -> bool:
        return all(
            above(functools.partial(total, radius, witness, proof), needed) is True
            for proof, witness in zip(proofs, found, strict=True)
        )

    def spare(radius: float) -> arb:
        totals = [total(radius, u, proof, _BITS) for proof, u in zip(proofs, found, strict=True)]
        return min(totals, key=lambda value: float(value.mid())) - arb(needed)

    if setting.noise == "none":
        return 0.0 if proven(0.0) else None
    return largest_float(proven, start, spare=spare)


def _written(witness: Sequence[Witness] | None) -> list[str | None] | None:
    return None if witness is None else [None if u is None else hexadecimal(u) for u in witness]
