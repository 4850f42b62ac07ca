"""How far an answer is from another one, from the scores that scikit-learn's estimators tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ModelError

Floats = npt.NDArray[np.float64]

_LEAST = float(np.nextafter(0.0, 1.0))


def leads(scores: Floats, label: int) -> Floats:
    """Return by how much the score of a label exceeds the largest of the others, shape (rows,).

    Parameters
    ----------
    scores : (rows, classes), or (rows, 1) where positive scores stand for the second of two classes
    label : int
        Index of a class.
    """
    if scores.shape[1] == 1:
        return scores[:, 0] if label == 1 else -scores[:, 0]
    return np.asarray(scores[:, label] - np.delete(scores, label, axis=1).max(axis=1))


def rivals(scores: Floats, label: int) -> npt.NDArray[np.intp]:
    """Return which of the other classes has the largest score, shape (rows,); needs a score for each."""
    others = scores.copy()
    others[:, label] = -np.inf
    best: npt.NDArray[np.intp] = others.argmax(axis=1)
    return best


def score_method(estimator: Any) -> str | None:
    """Return the method by which an estimator tells a score for every class; None where it has none.

    ``decision_function`` comes first: probabilities near 0 and 1 say little about how far away a change is.
    Scores of pairs of classes are no scores of classes.
    """
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    pairwise = getattr(last, "decision_function_shape", None) == "ovo" and len(estimator.classes_) > 2
    if hasattr(estimator, "decision_function") and not pairwise:
        return "decision_function"
    return "predict_proba" if hasattr(estimator, "predict_proba") else None


def estimator_margins(estimator: Any, table: Any, answers: npt.NDArray[np.intp], label: int) -> Floats:
    """Return margins of a label on rows that an estimator reads, shape (rows,), finite.

    The difference of the scores of the label and of the best other class. Estimators may answer otherwise
    than their scores say, as with a threshold of their own; there the margin is moved to 0, or just above it,
    on the side of the answer.

    Parameters
    ----------
    answers : (rows,) int
        What the estimator answers about the same rows, as indices of classes.
    label : int
        Index of a class.

    Raises
    ------
    ModelError
        For an estimator without scores, or with scores of another shape, or NaN.
    """
    method = score_method(estimator)
    if method is None:
        raise ModelError(
            f"{type(estimator).__name__} tells no scores (decision_function or predict_proba), so it has no "
            "margins: attack it by its answers"
        )
    scores = np.asarray(getattr(estimator, method)(table), dtype=np.float64)
    scores = scores[:, None] if scores.ndim == 1 else scores
    classes = len(estimator.classes_)
    if scores.shape != (len(answers), classes) and (scores.shape != (len(answers), 1) or classes != 2):
        raise ModelError(
            f"{method} of {type(estimator).__name__} must give scores of shape ({len(answers)}, {classes}), "
            f"got {scores.shape}"
        )
    if np.isnan(scores).any():
        raise ModelError(f"{method} of {type(estimator).__name__} gave NaN: no margin can be read from that")
    found = leads(finite(scores), label)
    return np.where(answers == label, np.maximum(found, _LEAST), np.minimum(found, 0.0))


def finite(scores: Floats) -> Floats:
    """Return scores with infinite ones replaced by the largest whose differences are still finite."""
    most = np.finfo(np.float64).max / 4
    return np.clip(scores, -most, most)
