"""The seam a base classifier implements: arrays in, class indices out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ParameterError
from hybridcert.threats import Surface

Batch = Mapping[str, npt.NDArray[Any]]
"""Modality name → array with one row per (copy of an) input: int64 codes or float64 values."""


class Classifier(Protocol):
    """A deterministic function of each row, as a picklable description.

    A row's answer must not depend on the other rows of its batch: counts would otherwise depend on how
    rows are grouped into batches. Executors other than `Serial` pickle it once and rebuild it once in each
    worker; what is heavy, or tied to a device, belongs into `Loadable.load`.

    A classifier for which a call is expensive may have an attribute ``block_copies``, an integer >= 1: the
    most copies that it is asked about at once, and so the most that is lost when a worker dies. It is part
    of what counts depend on. Without it calls are of up to 5 000 copies.

    One whose answers may be unreadable gives them a class of their own, and lists it in ``unclaimable``: that
    class is never chosen as the label to certify.
    """

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Labels, shape (classes,)."""

    def surfaces(self) -> Mapping[str, Surface]:
        """Return what each modality is made of and which positions are in play."""

    def encode(self, X: Any) -> dict[str, npt.NDArray[Any]]:
        """Validate inputs and return them as arrays with one row each.

        Raises
        ------
        DataError
            Naming the offending cell or column and what is allowed there.
        """

    def predict_encoded(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Return the index into `classes_` for every row, shape (rows,)."""


@runtime_checkable
class TrainableClassifier(Classifier, Protocol):
    """A classifier that can be trained on noisy copies."""

    def fit_encoded(self, batch: Batch, y: npt.NDArray[Any]) -> Self:
        """Train on encoded rows and their targets; return self."""


@runtime_checkable
class Loadable(Protocol):
    """A classifier that has something to do in the process that will ask it: read weights, take a GPU.

    `load` is called once in each worker, after the classifier was unpickled there and before the first
    task; with `Serial`, once per run in the calling process, before the first task. A worker that replaces
    a dead one loads anew. `predict_encoded` may be called without it, outside the sampling of a run.
    """

    def load(self) -> None:
        """Get ready to answer; what it raises ends the run with ModelError."""


def claimed_indices(
    classifier: Classifier, rows: int, *, label: Any, pilot: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.intp]:
    """Return the class to claim for every row: ``label`` or, without one, the most frequent in a pilot.

    Parameters
    ----------
    pilot : (rows, classes) int
        Counts on copies that bound nothing; needed without a label.

    Raises
    ------
    ParameterError
        For a label that is no class, or one that cannot be claimed.
    """
    may = ~np.isin(np.asarray(classifier.classes_), list(getattr(classifier, "unclaimable", ())))
    if label is None:
        assert pilot is not None
        most: npt.NDArray[np.intp] = np.where(may, pilot, -1).argmax(axis=1)
        return most
    index = class_index(np.asarray(classifier.classes_), label)
    if not may[index]:
        raise ParameterError(f"label must not be {label!r}: such answers count against every claim")
    return np.full(rows, index, dtype=np.intp)


def class_index(classes: npt.NDArray[Any], label: Any) -> int:
    """Return the index of a label; raise ParameterError where it is none of the classes."""
    matches = np.flatnonzero(classes == label)
    if matches.size == 0:
        raise ParameterError(f"label must be one of {', '.join(map(str, classes))}, got {label!r}")
    return int(matches[0])
