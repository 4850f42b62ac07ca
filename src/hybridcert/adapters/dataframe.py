"""Any scikit-learn compatible classifier on a table with numeric and categorical columns."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone

from hybridcert.adapters.estimator_margins import estimator_margins, score_method
from hybridcert.adapters.labels import class_indices
from hybridcert.adapters.onehot_linear import OneHotLinear
from hybridcert.adapters.schema import Column, Scale, TableSchema
from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.scores import Sensitivity
from hybridcert.threats import ContinuousSurface, DiscreteSurface


class DataFrameClassifier(BaseEstimator):  # type: ignore[misc]
    """A scikit-learn compatible classifier, its columns, and the units of its numbers.

    Parameters
    ----------
    estimator : classifier or pipeline
        Takes a table like ``X`` and answers with labels. Trained, or trained by `SmoothedClassifier.fit`.
    X : DataFrame or two-dimensional array, optional
        The training table: it fixes levels and units. Without it `SmoothedClassifier.fit` fixes them.
    numeric, categorical : sequences of column names, optional
        Columns that are not listed go by their dtype. Columns of an array are named 0, 1, ….
    immutable : sequence of column names
        Columns that the adversary cannot change; they receive no noise.
    levels : mapping of column to levels, optional
        Declares the alphabet of a column where the training table may lack levels.
    scale : mapping of numeric column to unit, optional
        Units of σ and ε. Default: the standard deviation of each column in ``X``.
    encoded : {"auto", "never"}
        Whether one-hot linear pipelines are evaluated on codes instead of tables, with the same answers.

    Notes
    -----
    A missing value of a categorical column is a level of its own. Levels that were not seen or declared, and
    numbers that are not finite, are errors, whatever the estimator would make of them.

    Examples
    --------
    >>> import hybridcert as hc
    >>> from sklearn.linear_model import LogisticRegression
    >>> classifier = hc.DataFrameClassifier(LogisticRegression(), [[0.5, 1.0], [2.5, 3.0]])
    >>> classifier.surfaces()["numeric"].features
    2
    """

    def __init__(
        self,
        estimator: Any,
        X: Any = None,
        *,
        numeric: Sequence[Column] | None = None,
        categorical: Sequence[Column] | None = None,
        immutable: Sequence[Column] = (),
        levels: Mapping[Column, Sequence[Any]] | None = None,
        scale: Scale = None,
        encoded: Literal["auto", "never"] = "auto",
    ) -> None:
        self.estimator = estimator
        self.X = X
        self.numeric = numeric
        self.categorical = categorical
        self.immutable = immutable
        self.levels = levels
        self.scale = scale
        self.encoded = encoded
        if X is not None:
            self.learn_schema(X)

    @property
    def classes_(self) -> npt.NDArray[Any] | None:
        """Labels of the estimator; None until it is trained."""
        classes = getattr(self._model(), "classes_", None)
        return None if classes is None else np.asarray(classes)

    def learn_schema(self, X: Any) -> None:
        """Fix levels and units from a training table, unless they are fixed already."""
        if self.encoded not in ("auto", "never"):
            raise ParameterError(f"encoded must be 'auto' or 'never', got {self.encoded!r}")
        if not hasattr(self, "schema_"):
            self.schema_ = TableSchema.learn(
                X,
                numeric=self.numeric,
                categorical=self.categorical,
                immutable=self.immutable,
                levels=self.levels or {},
                scale=self.scale,
            )
            self.n_features_in_ = len(self.schema_.order)

    def surfaces(self) -> dict[str, DiscreteSurface | ContinuousSurface]:
        """What the "categorical" and the "numeric" modality are made of."""
        return self._schema().surfaces()

    def encode(self, X: Any) -> dict[str, npt.NDArray[Any]]:
        """Check a table and return its codes and scaled numbers."""
        return self._schema().encode(X)

    def fit_encoded(self, batch: Batch, y: npt.NDArray[Any]) -> DataFrameClassifier:
        """Train a clone of the estimator on the decoded rows."""
        estimator = clone(self.estimator).fit(self._schema().decode(batch), y)
        if not hasattr(estimator, "classes_"):
            raise ModelError(
                f"{type(estimator).__name__} is not a classifier: it has no classes_ once trained"
            )
        self.estimator_ = estimator
        return self

    def set_params(self, **params: Any) -> DataFrameClassifier:
        """Set parameters as in scikit-learn; a schema learned from ``X`` is learned again."""
        super().set_params(**params)
        if set(params) & {"X", "numeric", "categorical", "immutable", "levels", "scale"}:
            self.__dict__.pop("schema_", None)
            if self.X is not None:
                self.learn_schema(self.X)
        return self

    def predict_encoded(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Return class indices, by lookup tables where that is exact, else by the estimator itself."""
        fast = self._fast_path()
        if fast is None:
            return self._predict(batch)
        return fast.predict(batch, self._predict)

    @property
    def tells_margins(self) -> bool:
        """Whether `margins` works: where the trained estimator has scores for its classes."""
        return self.classes_ is not None and score_method(self._model()) is not None

    def margins(self, batch: Batch, label: int) -> npt.NDArray[np.float64]:
        """Return the lead of a label's score over the best other one, shape (rows,).

        Its sign is that of `predict_encoded`'s answers, up to rounding. No guarantee rests on it.

        Raises
        ------
        ModelError
            For an estimator without scores; `tells_margins` says so beforehand.
        """
        fast = self._fast_path()
        if fast is not None:
            return fast.margins(batch, label)
        table = self._schema().decode(batch)
        return estimator_margins(self._model(), table, self._answers(table), label)

    @property
    def tells_sensitivity(self) -> bool:
        """Whether `sensitivity` works: where copies of a trained one are classified on codes, see `path`."""
        return self.classes_ is not None and self._fast_path() is not None

    def sensitivity(
        self, batch: Batch, label: int, origin: Mapping[str, npt.NDArray[np.intp]]
    ) -> Sensitivity:
        """Return the derivatives of the mean margin; see `DifferentiableClassifier`.

        Exact as long as the best other class stays the same. Fields of fewer levels than the largest have NaN
        behind their last one.

        Raises
        ------
        ModelError
            For an estimator that is no linear pipeline; `tells_sensitivity` says so beforehand.
        """
        fast = self._fast_path()
        if fast is None:
            raise ModelError(
                f"{type(self._model()).__name__} gives no derivatives, linear pipelines on one-hot fields "
                "do: attack it by its margins or its answers"
            )
        return fast.sensitivity(batch, label, origin)

    @property
    def path(self) -> str:
        """How copies are classified: "encoded" or "generic"."""
        return "generic" if self._fast_path() is None else "encoded"

    def _predict(self, batch: Batch) -> npt.NDArray[np.intp]:
        """The generic path: rebuild the table, ask the estimator."""
        return self._answers(self._schema().decode(batch))

    def _answers(self, table: Any) -> npt.NDArray[np.intp]:
        """Return the estimator's answers about a table as class indices."""
        classes = self.classes_
        if classes is None:
            raise ModelError("the estimator is not trained: call fit first, or pass a trained one")
        return class_indices(np.asarray(self._model().predict(table)), classes)

    def _fast_path(self) -> OneHotLinear | None:
        if self.encoded == "never" or not OneHotLinear.may_fit(self._model()):
            return None
        # keyed by all that the model holds: one that was trained again, or changed in place, is read again
        key = hashlib.blake2b(pickle.dumps(self._model(), protocol=5)).digest()
        if getattr(self, "_fast_key", None) != key:
            self._fast = OneHotLinear.extract(self._model(), self._schema())
            self._fast_key = key
        return self._fast

    def _model(self) -> Any:
        return getattr(self, "estimator_", self.estimator)

    def _schema(self) -> TableSchema:
        if not hasattr(self, "schema_"):
            raise ModelError("the columns are not known yet: pass X to DataFrameClassifier or call fit first")
        return self.schema_
