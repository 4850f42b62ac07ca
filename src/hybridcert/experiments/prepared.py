"""A smoothed model that is ready to be asked, and what it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hybridcert.joint_threat import JointThreat
from hybridcert.sampling.classifier import Classifier
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.smoothing import SmoothedClassifier
from hybridcert.threats import DiscreteThreat


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What a configuration certifies: a trained or loaded model with its noise, and the threat.

    Attributes
    ----------
    smoothed : SmoothedClassifier
    threat : DiscreteThreat or None
        None where no discrete change is considered.
    described : mapping
        What certificates and reports say of the model.
    identity : mapping
        What its answers depend on.
    """

    smoothed: SmoothedClassifier
    threat: DiscreteThreat | None
    described: Mapping[str, Any]
    identity: Mapping[str, Any]

    @property
    def classifier(self) -> Classifier:
        """The base classifier, trained."""
        base: Classifier = getattr(self.smoothed, "classifier_", self.smoothed.classifier)
        return base

    @property
    def joint(self) -> JointThreat:
        """The threat against the smoothing law."""
        noise = SmoothingNoise(self.smoothed.noise, self.classifier.surfaces())
        return JointThreat.of(noise, self.threat)

    def close(self) -> None:
        """Close what the classifier holds open, such as a connection."""
        close = getattr(self.classifier, "close", None)
        if close is not None:
            close()
