"""A classifier around another one: what it hands on unchanged."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.sampling.blocks import block_copies
from hybridcert.sampling.classifier import Batch, Classifier, Loadable
from hybridcert.threats import Surface


class Wrapped(abc.ABC):
    """Hands everything on to ``classifier``, a field of the class that derives from it."""

    __slots__ = ()
    classifier: Classifier

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Labels of the classifier."""
        return self.classifier.classes_

    @property
    def block_copies(self) -> int:
        """The most copies that the classifier is asked about at once."""
        return block_copies(self.classifier)

    @property
    def unclaimable(self) -> Sequence[Any]:
        """Classes of the classifier that no claim can be about."""
        return getattr(self.classifier, "unclaimable", ())

    def surfaces(self) -> Mapping[str, Surface]:
        """Return the classifier's surfaces."""
        return self.classifier.surfaces()

    def encode(self, X: Any) -> dict[str, npt.NDArray[Any]]:
        """Validate inputs as the classifier does."""
        return self.classifier.encode(X)

    def load(self) -> None:
        """Let the classifier load itself where it has something to load."""
        if isinstance(self.classifier, Loadable):
            self.classifier.load()

    @abc.abstractmethod
    def predict_encoded(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Return the index into `classes_` for every row."""
