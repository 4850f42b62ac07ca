"""From labels to class indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ModelError


def class_indices(labels: npt.NDArray[Any], classes: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the index into ``classes`` of every label.

    Raises
    ------
    ModelError
        For a label that is none of the classes.
    """
    order = np.argsort(classes)
    index = order[np.minimum(np.searchsorted(classes[order], labels), classes.size - 1)]
    if not np.array_equal(classes[index], labels):
        wrong = labels[classes[index] != labels][0]
        raise ModelError(f"the estimator answered {wrong!r}, which is not one of its classes_ {classes}")
    return np.asarray(index, dtype=np.intp)
