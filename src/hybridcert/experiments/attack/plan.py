"""Which certified inputs are attacked, within which budgets, and how sure a violation has to be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from hybridcert.attacks import Attacker, AttackSettings, samples_needed
from hybridcert.certification import CertificationRun
from hybridcert.documents.claims import Claim, ScoreAbove
from hybridcert.errors import ConfigError, DataError
from hybridcert.experiments.attack.budgets import Budget, budgets_of
from hybridcert.experiments.attack.certified import CertifiedInput, certified_in, chosen
from hybridcert.experiments.attack.section import AttackSection
from hybridcert.joint_threat import JointThreat, Threat
from hybridcert.sampling.classifier import Batch, Classifier
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import RowStreams
from hybridcert.smoothing import SmoothedClassifier

CANDIDATES = {"gradient": 8, "score": 32, "decision": 32}
"""Of a discrete step by method, unless others are given: derivatives point to good ones (docs/attacks.md)."""

LEAST_SAMPLES = 1000
"""Copies that judge an attack, unless more are needed or others are given."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is attacked.

    Attributes
    ----------
    classifier : Classifier
        The base classifier.
    joint : JointThreat
    claim : ScoreAbove or TopK
    inputs : Batch
        Encoded inputs; those that are not attacked lend their symbols where any symbol may be written.
    certified : sequence of CertifiedInput
        All that may be attacked.
    """

    classifier: Classifier
    joint: JointThreat
    claim: Claim
    inputs: Batch
    certified: Sequence[CertifiedInput]

    @staticmethod
    def of_run(smoothed: SmoothedClassifier, X: Any, run: CertificationRun, *, threat: Threat) -> Subject:
        """Return the inputs that a run certified.

        Parameters
        ----------
        smoothed : SmoothedClassifier
            What was certified, trained.
        X : inputs as ``smoothed`` takes them
            Those of the run, in their order.
        run : CertificationRun
        threat : as `SmoothedClassifier.certify` took it

        Raises
        ------
        DataError
            When ``X`` holds other inputs than the run.
        """
        classifier: Classifier = getattr(smoothed, "classifier_", smoothed.classifier)
        inputs = classifier.encode(X)
        if [key.hex() for key in RowStreams(0).keys(inputs)] != list(run.digests):
            raise DataError("X must hold the inputs of the run in their order: digests differ")
        joint = JointThreat.of(SmoothingNoise(smoothed.noise, classifier.surfaces()), threat)
        return Subject(classifier, joint, run.claim, inputs, certified_in(run))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be done, fixed before anything is asked.

    Attributes
    ----------
    section : AttackSection
    settings : AttackSettings
        Of each search.
    inputs : sequence of CertifiedInput
        Those that are attacked.
    budgets : sequence of lists of Budget
        For each of them.
    attempts : int
        Attacks inside certified budgets.
    level : float
        Error probability of each judgement, α over the attempts (Bonferroni), rounded down. Judgements of
        attacks beyond certified budgets have it too, each for itself: they are no attempts.
    samples : int
        Copies that a judgement draws at most.
    """

    section: AttackSection
    settings: AttackSettings
    inputs: Sequence[CertifiedInput]
    budgets: Sequence[list[Budget]]
    attempts: int
    level: float
    samples: int

    @staticmethod
    def of(subject: Subject, section: AttackSection) -> Plan:
        """Choose inputs and budgets, and how many copies judge.

        Raises
        ------
        ConfigError
            When nothing is certified, or ``samples`` are so few that no violation could be declared.
        ModelError
            For a method that needs more than the classifier offers.
        """
        inputs = chosen(subject.certified, section.inputs, seed=section.seed)
        if not inputs:
            raise ConfigError("the run certified no input: there is nothing to attack")
        budgets = [
            budgets_of(certified, section.budgets, joint=subject.joint, inputs=subject.inputs)
            for certified in inputs
        ]
        attempts = sum(budget.inside for each in budgets for budget in each)
        level = math.nextafter(section.alpha / max(attempts, 1), 0.0)
        least = 1
        if isinstance(subject.claim, ScoreAbove):
            least = samples_needed(subject.claim.threshold, level)
        if section.samples is not None and section.samples < least:
            raise ConfigError(
                f"attack.samples must be at least {least}, got {section.samples}: with fewer copies no "
                f"attack could be a violation at level {level:.3g}, the share of each of {attempts} attacks "
                f"in alpha {section.alpha!r}"
            )
        return Plan(
            section=section,
            settings=_settings(subject, section),
            inputs=inputs,
            budgets=budgets,
            attempts=attempts,
            level=level,
            samples=section.samples or max(LEAST_SAMPLES, least),
        )

    @property
    def outcomes(self) -> int:
        """The most outcomes that there can be."""
        kinds = 1 + self.section.unsmoothed
        return kinds * sum(1 + len(each) for each in self.budgets)


def _settings(subject: Subject, section: AttackSection) -> AttackSettings:
    settings = AttackSettings(
        iterations=section.iterations,
        copies=section.copies,
        restarts=section.restarts,
        method=section.method,
    )
    method = Attacker(subject.classifier, subject.joint, settings).method
    candidates = CANDIDATES[method] if section.candidates is None else section.candidates
    return dataclasses.replace(settings, candidates=candidates)
