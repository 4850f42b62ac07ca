"""What a classifier may tell besides its answer: how sure it is, and what would change that.

Nothing here carries a guarantee. Attacks use it to search; what they find is judged by answers alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hybridcert.sampling.classifier import Batch

Floats = npt.NDArray[np.float64]


@runtime_checkable
class ScoringClassifier(Protocol):
    """A classifier that tells how far it is from another answer.

    An attribute ``tells_margins`` (True where absent), and ``tells_sensitivity`` for
    `DifferentiableClassifier`, say whether the method works for this instance: that may depend on an
    estimator, or on settings.
    """

    def margins(self, batch: Batch, label: int) -> Floats:
        """Return how far each row is from losing a label, shape (rows,).

        Above 0 where `predict_encoded` answers ``label``, at most 0 where it does not, up to rounding and
        ties; the lower, the further away. Finite, in any unit, such as a difference of log probabilities.
        """


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """How the mean margin of noisy copies changes with the input that they are copies of, to first order.

    Attributes
    ----------
    margins : (rows,) float
        As `ScoringClassifier.margins` returns them.
    continuous : mapping of modality name to (features,) float
        Derivative of the mean margin with respect to each feature of the input, finite.
    discrete : mapping of modality name to (positions, symbols) float
        For each position of the input, how the mean margin would change, to first order, with the weight of
        each symbol there. Only differences within a position mean something. Finite, or NaN where no copy
        carries the position, or where the symbol there gives the model nothing to differentiate, such as an
        empty slot.
    """

    margins: Floats
    continuous: Mapping[str, Floats]
    discrete: Mapping[str, Floats]


@runtime_checkable
class DifferentiableClassifier(ScoringClassifier, Protocol):
    """A classifier whose margins can be differentiated with respect to its input."""

    def sensitivity(
        self, batch: Batch, label: int, origin: Mapping[str, npt.NDArray[np.intp]]
    ) -> Sensitivity:
        """Return the derivatives of the mean margin over noisy copies of one input.

        Steps such as rounding to 8 bit are taken as the identity (straight through), clipping as what it is.

        Parameters
        ----------
        batch : Batch
            Noisy copies of one input.
        label : int
            Index into ``classes_``.
        origin : mapping of discrete modality name to (rows, width) int
            Which position of the input each symbol of a copy was taken over from; −1 where noise chose it, or
            nothing stands there. Modalities that are not named are not differentiated.
        """
