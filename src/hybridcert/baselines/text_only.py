"""The discrete part alone: fractional knapsack on the likelihood ratios of the discrete noise, at ε = 0.

Lee et al. 2019; Chen et al. 2025 for guards of language models. Fill clean mass p with the outcomes of the
smallest ratio first, the last one in part: that is max over u of D(u; 0) of the discrete spectrum, so the
joint solver gives it at shift 0. The value is tight over all classifiers that may answer at random, and sound
for all others. `knapsack01` has the variant without the part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hybridcert.baselines.certified import (
    Baseline,
    LargestBudget,
    Need,
    check_budgets,
    largest_budget,
)
from hybridcert.baselines.draws import Draws, check_discrete
from hybridcert.certificate.directed import Bools
from hybridcert.certificate.frontier import Spectra, adversarial_value
from hybridcert.certificate.ranges import check_open
from hybridcert.certification import CertificationRun
from hybridcert.errors import ParameterError
from hybridcert.sampling.classifier import Classifier
from hybridcert.sampling.noise import Kernel
from hybridcert.threats import DiscreteThreat

BASELINE = Baseline(
    name="text-only smoothing (fractional knapsack)",
    source="Lee et al. 2019; Chen et al. 2025",
    sound=True,
    certifies="ε = 0, every d up to the largest",
    needs=(Need.CONTINUOUS_UNCHANGED,),
    calls="N",
)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TextOnly:
    """Certificates of the discrete part.

    With probability at least 1 − alpha for each input: at every input with the same continuous part that
    differs in at most the largest d discrete places, the smoothed score of the label is above the threshold.

    Attributes
    ----------
    run : CertificationRun
    """

    run: CertificationRun
    baseline: ClassVar[Baseline] = BASELINE

    @property
    def largest(self) -> LargestBudget:
        """The largest d that is certified for each input."""
        return largest_budget(lambda d: self.run.points[d].radii.certified, len(self.run.points) - 1)

    def claims(self, *, d: int, eps: float) -> Bools:
        """Whether (``d``, eps) is certified, shape (m,); nothing is for eps > 0."""
        check_budgets(d, eps)
        return self.largest.covers(d) & (eps == 0.0)


def text_only_budgets(
    *, p_lower: npt.ArrayLike, spectra: Sequence[Spectra], threshold: float
) -> LargestBudget:
    """Return the largest d at which the fractional knapsack exceeds the threshold.

    Guarantee: if the clean score is at least ``p_lower``, it is above ``threshold`` at every input within
    that many discrete changes, as ``spectra`` describe them, and the same continuous part.

    Parameters
    ----------
    p_lower : float array, shape (n,) or scalar, in [0, 1]
    spectra : sequence
        Entry d is the spectrum at budget d, or the candidates of its worst case; entry 0 is "no change".
    threshold : float in (0, 1)

    Raises
    ------
    ParameterError
        For values outside these ranges.

    Examples
    --------
    >>> import hybridcert as hc
    >>> from hybridcert.baselines.text_only import text_only_budgets
    >>> spectra = [hc.Absorbing(0.5).spectrum(d) for d in range(5)]
    >>> text_only_budgets(p_lower=[0.9, 0.99], spectra=spectra, threshold=0.05).d  # V = p − (1 − β^d)
    array([2, 4])
    """
    check_open("threshold", threshold)
    if not spectra:
        raise ParameterError("spectra must have an entry for every budget d = 0, 1, …, got none")
    p = np.atleast_1d(np.asarray(p_lower, dtype=np.float64))

    def holds(d: int) -> Bools:
        value, _ = adversarial_value(p_lower=p, spectrum=spectra[d], sigma=1.0, epsilon=0.0)
        return value > threshold

    return largest_budget(holds, len(spectra) - 1)


def text_only(
    classifier: Classifier,
    X: Any,
    *,
    noise: Mapping[str, Kernel],
    threat: DiscreteThreat,
    label: Any,
    threshold: float,
    draws: Draws,
) -> TextOnly:
    """Certify every input against discrete changes alone.

    Parameters
    ----------
    classifier : Classifier
    X : inputs as the classifier takes them
    noise : mapping of discrete modality to kernel
        For instance ``{"suffix": UniformReplacement(0.25)}``.
    threat : DiscreteThreat
        Against the only modality that has noise.
    label : one of the classifier's classes
    threshold : float in (0, 1)
    draws : Draws

    Raises
    ------
    ParameterError, DataError, ModelError
        See `SmoothedClassifier.certify`; ParameterError for noise on a continuous modality.
    """
    check_discrete(noise)
    if not isinstance(threat, DiscreteThreat):
        raise ParameterError(f"threat must be a threat such as Substitution(8), got {threat!r}")
    run = draws.certified(classifier, X, noise=noise, threat=threat, label=label, threshold=threshold)
    return TextOnly(run)
