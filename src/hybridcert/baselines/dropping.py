"""Dropping the untrusted region: the trivial rival wherever a boundary is known.

A system that knows where the adversary writes can blank those slots before anything else. What is left is
smoothed in its continuous part, and the certificate of that holds whatever stands in the slots: any number of
changes there is covered, at the radius of image-only smoothing. The price is that whatever an honest user
wrote there is lost as well. Without a boundary there is no such system.

The smoothed score of the dropping filter at an input is the score of the plain filter at that input with
its slots blanked, so it is counted there.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hybridcert.baselines.certified import Baseline, Need, check_budgets
from hybridcert.baselines.draws import Draws, Scores, check_continuous
from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.frontier import Radii, radius
from hybridcert.certificate.ranges import check_open
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError
from hybridcert.kernels.continuous import joint_budget
from hybridcert.sampling.blocks import ByLabel, Work
from hybridcert.sampling.classifier import Batch, Classifier
from hybridcert.sampling.noise import Kernel, SmoothingNoise
from hybridcert.sampling.wrapped import Wrapped
from hybridcert.threats import DiscreteSurface, Surface

BASELINE = Baseline(
    name="dropping the untrusted region",
    source="folklore; the trivial rival of every certificate for a known region",
    sound=True,
    certifies="every d in the region, every ε up to the image-only radius of what is left",
    needs=(Need.BOUNDARY,),
    calls="N",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Dropping(Wrapped):
    """The deployed filter: a classifier that never sees what stands in the slots.

    Parameters
    ----------
    classifier : Classifier
    modality : str
        Its eligible positions are the slots.
    blank : int
        Code of an empty slot.

    Raises
    ------
    ParameterError
        Where the modality is no region of fixed slots, or the code is none of its symbols.
    """

    classifier: Classifier
    modality: str
    blank: int

    def __post_init__(self) -> None:
        slot_positions(self.classifier.surfaces(), self.modality, self.blank)

    def predict_encoded(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Return the classifier's answers about the rows with their slots blanked."""
        return self.classifier.predict_encoded(self.blanked(batch))

    def blanked(self, batch: Batch) -> dict[str, npt.NDArray[Any]]:
        """Return the rows with every slot empty."""
        columns = slot_positions(self.classifier.surfaces(), self.modality, self.blank)
        symbols = batch[self.modality].copy()
        symbols[:, list(columns)] = self.blank
        return {**batch, self.modality: symbols}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Dropped:
    """Certificates of the dropping filter.

    With probability at least 1 − alpha for each input: at every input that differs in its slots, in any way,
    and by at most the radius in its continuous part, the filter's smoothed score of the label is above the
    threshold.

    Attributes
    ----------
    scores : Scores
    radii : Radii
        In the units of the noise, rounded down.
    slots : int
    """

    scores: Scores
    radii: Radii
    slots: int
    baseline: ClassVar[Baseline] = BASELINE

    @property
    def p_hat(self) -> Floats:
        """Share of copies about which the label was the answer, shape (m,)."""
        return self.scores.p_hat

    @property
    def p_lower(self) -> Floats:
        """Lower confidence bound on the score of the label, shape (m,)."""
        return self.scores.p_lower

    def claims(self, *, d: int, eps: float) -> Bools:
        """Whether (``d``, ``eps``) is certified, shape (m,): the same for every d."""
        check_budgets(d, eps)
        return self.radii.certified & (self.radii.radius >= eps)


def dropped(
    classifier: Classifier,
    X: Any,
    *,
    modality: str,
    blank: int,
    noise: Mapping[str, Kernel],
    label: Any,
    threshold: float,
    draws: Draws,
) -> Dropped:
    """Certify every input for the filter that drops the slots and smooths the continuous part.

    Parameters
    ----------
    classifier : Classifier
        The plain filter.
    X : inputs as the classifier takes them
    modality : str
        Where the slots are.
    blank : int
        Code of an empty slot.
    noise : mapping of continuous modality to kernel
    label : one of the classifier's classes
    threshold : float in (0, 1)
    draws : Draws

    Raises
    ------
    ParameterError
        For values out of range, noise on a discrete modality, and regions without a boundary.
    DataError, ModelError
        See `SmoothedClassifier.certify`.
    """
    check_continuous(noise)
    check_open("threshold", threshold)
    drop = Dropping(classifier, modality, blank)
    inputs = drop.blanked(classifier.encode(X))
    law = SmoothingNoise(noise, classifier.surfaces())
    budget = joint_budget(law.continuous)
    scores = draws.scored(Work(classifier, law, ByLabel()), inputs, label=label)
    radii = radius(
        p_lower=scores.p_lower,
        spectrum=LikelihoodSpectrum.identity(),
        sigma=budget.scale,
        threshold=threshold,
        noise=budget.noise,
    )
    slots = len(slot_positions(classifier.surfaces(), modality, blank))
    return Dropped(scores, radii, slots)


def slot_positions(surfaces: Mapping[str, Surface], modality: str, blank: int) -> tuple[int, ...]:
    """Return the slots of a modality; raise ParameterError where there is no boundary to drop behind."""
    surface = surfaces.get(modality)
    if not isinstance(surface, DiscreteSurface):
        known = ", ".join(n for n, s in sorted(surfaces.items()) if isinstance(s, DiscreteSurface))
        raise ParameterError(f"modality must be discrete, one of {known or 'none'}, got {modality!r}")
    if surface.sequence:
        raise ParameterError(
            f"modality {modality!r} is a sequence without a boundary: there is no region to drop, use slots"
        )
    least = min(surface.eligible_sizes, default=0)
    if not isinstance(blank, numbers.Integral) or not 0 <= blank < least:
        raise ParameterError(f"blank must be a code in [0, {least - 1}], got {blank!r}")
    return surface.eligible
