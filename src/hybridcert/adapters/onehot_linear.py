"""One-hot linear pipelines on codes: the same answers from one table lookup per field.

A pipeline of one-hot encoding, affine scaling and a linear classifier has the score
b + Σ table_f[code_f] + Σ w_j z_j. The tables are read off the pipeline by asking it about one change at a
time, and checked on random rows. Scores too close to a tie to be sure of the label go to the pipeline.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC

from hybridcert.adapters.estimator_margins import finite, leads, rivals
from hybridcert.adapters.schema import TableSchema
from hybridcert.errors import ModelError
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.scores import Sensitivity

_LINEAR = (LinearSVC, LogisticRegression, LogisticRegressionCV, Perceptron, RidgeClassifier, SGDClassifier)
_SCALERS = (MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler)
_COLUMNWISE = (OneHotEncoder, OrdinalEncoder, SimpleImputer)
_CHECKED_ROWS = 1_000
_AUDITED_ROWS = 200
_AGREEMENT = 1e-11  # relative difference of scores: rounding only
_TIE = 1e-9  # scores this close to a tie, relative to their terms, are left to the pipeline

Scores = npt.NDArray[np.float64]
Predict = Callable[[Batch], npt.NDArray[np.intp]]


@dataclasses.dataclass(slots=True, eq=False)
class OneHotLinear:
    """Score tables of a one-hot linear pipeline.

    Attributes
    ----------
    intercept : float array, shape (outputs,)
    tables : list of float arrays, shape (levels, outputs)
        Contribution of each level of each categorical column.
    weights : float array, shape (numeric columns, outputs)
    audited : bool
        Whether answers on real rows have been compared with the pipeline's yet.
    """

    intercept: Scores
    tables: list[Scores]
    weights: Scores
    audited: bool = False

    @staticmethod
    def may_fit(model: Any) -> bool:
        """Tell at a glance whether a model could be of this form."""
        return isinstance(model, Pipeline) and type(model[-1]) in _LINEAR

    @staticmethod
    def extract(model: Any, schema: TableSchema) -> OneHotLinear | None:
        """Read the tables off a pipeline; None where it is not of this form."""
        if not (OneHotLinear.may_fit(model) and schema.frame):
            return None
        numeric = frozenset(schema.numeric)
        if not all(_is_additive(step, numeric) for _, step in model.steps[:-1]):
            return None
        probe = _probe_rows(schema)
        scores = _scores(model, schema, probe)
        base, rest = scores[0], scores[1:] - scores[0]
        tables, start = [], 0
        for column in schema.categorical:
            tables.append(rest[start : start + len(column.levels)])
            start += len(column.levels)
        fast = OneHotLinear(base, tables, rest[start:])
        rows = _random_rows(schema, np.random.default_rng(0))
        found, terms = fast._evaluate(rows)
        if not np.all(np.abs(found - _scores(model, schema, rows)) <= _AGREEMENT * terms):
            return None
        return fast

    def predict(self, batch: Batch, generic: Predict) -> npt.NDArray[np.intp]:
        """Return class indices; ``generic`` answers near ties and is compared once on real rows.

        Raises
        ------
        ModelError
            When the two disagree.
        """
        scores, terms = self._evaluate(batch)
        if scores.shape[1] == 1:
            answers = (scores[:, 0] > 0.0).astype(np.intp)
            margin = np.abs(scores[:, 0])
        else:
            answers = scores.argmax(axis=1)
            best = np.partition(scores, -2, axis=1)[:, -2:]
            margin = best[:, 1] - best[:, 0]
        close = np.flatnonzero(margin <= _TIE * terms)
        if close.size:
            answers[close] = generic({name: values[close] for name, values in batch.items()})
        if not self.audited:
            head = {name: values[:_AUDITED_ROWS] for name, values in batch.items()}
            wrong = np.flatnonzero(generic(head) != answers[:_AUDITED_ROWS])
            if wrong.size:
                raise ModelError(
                    f"the encoded path disagrees with the pipeline on {wrong.size} of {_AUDITED_ROWS} rows: "
                    "use DataFrameClassifier(..., encoded='never')"
                )
            self.audited = True
        return answers

    def margins(self, batch: Batch, label: int) -> Scores:
        """Return the lead of a label's score over the best other one, shape (rows,)."""
        return leads(finite(self._evaluate(batch)[0]), label)

    def sensitivity(
        self, batch: Batch, label: int, origin: Mapping[str, npt.NDArray[np.intp]]
    ) -> Sensitivity:
        """Return the derivatives of the mean margin; see `DataFrameClassifier.sensitivity`."""
        scores, _ = self._evaluate(batch)
        signs = _signs(scores, label) / max(1, len(scores))
        tables = {}
        if "categorical" in origin:
            tables["categorical"] = self._weight_of_levels(signs, origin["categorical"])
        numbers = {"numeric": self.weights @ signs.sum(axis=0)} if len(self.weights) else {}
        return Sensitivity(leads(finite(scores), label), numbers, tables)

    def _weight_of_levels(self, signs: Scores, origin: npt.NDArray[np.intp]) -> Scores:
        """Return the change of the mean margin for each level of each column; NaN where there is none."""
        most = max((len(table) for table in self.tables), default=0)
        found = np.full((len(self.tables), most), np.nan)
        for position, table in enumerate(self.tables):
            carried = (origin == position).any(axis=1)
            if carried.any():
                found[position, : len(table)] = table @ signs[carried].sum(axis=0)
        return found

    def _evaluate(self, batch: Batch) -> tuple[Scores, float]:
        """Return scores, shape (rows, outputs), and the largest sum of absolute terms."""
        rows = len(next(iter(batch.values())))
        scores = np.repeat(self.intercept[None, :], rows, axis=0)
        size = float(np.abs(self.intercept).max())
        for position, table in enumerate(self.tables):
            codes = batch["categorical"][:, position]
            if table.shape[1] == 1:
                scores[:, 0] += table[:, 0].take(codes)
            else:
                scores += table.take(codes, axis=0)
            size += float(np.abs(table).max())
        if len(self.weights):
            values = batch["numeric"]
            scores += values @ self.weights
            size += float((np.abs(values).max(axis=0) @ np.abs(self.weights)).max())
        return scores, size


def _signs(scores: Scores, label: int) -> Scores:
    """Return the derivative of each row's margin with respect to its scores, shape of the scores."""
    signs = np.zeros_like(scores)
    if scores.shape[1] == 1:
        signs[:, 0] = 1.0 if label == 1 else -1.0
        return signs
    signs[:, label] = 1.0
    signs[np.arange(len(scores)), rivals(scores, label)] = -1.0
    return signs


def _is_additive(step: Any, numeric: frozenset[Any]) -> bool:
    """Whether a step keeps scores additive: affine on numbers, column by column on categories."""
    if not isinstance(step, ColumnTransformer):
        return _is_affine(step)
    for _, inner, columns in getattr(step, "transformers_", ()):
        if not isinstance(columns, list | tuple):
            return False  # a mask, a slice or a callable: leave it to the pipeline
        if not (_is_columnwise(inner) if numeric.isdisjoint(columns) else _is_affine(inner)):
            return False
    return hasattr(step, "transformers_")


def _is_affine(step: Any) -> bool:
    if isinstance(step, Pipeline):
        return all(_is_affine(inner) for _, inner in step.steps)
    if isinstance(step, str):
        return step in ("passthrough", "drop")
    if type(step) is FunctionTransformer:  # how a fitted ColumnTransformer spells "passthrough"
        return step.func is None
    return type(step) in _SCALERS and not getattr(step, "clip", False)


def _is_columnwise(step: Any) -> bool:
    if isinstance(step, Pipeline):
        return all(_is_columnwise(inner) for _, inner in step.steps)
    return type(step) in _COLUMNWISE or _is_affine(step)


def _probe_rows(schema: TableSchema) -> dict[str, npt.NDArray[Any]]:
    """One row of zeros, then one row for every level and for every numeric column."""
    sizes = [len(c.levels) for c in schema.categorical]
    rows = 1 + sum(sizes) + len(schema.numeric)
    codes = np.zeros((rows, len(sizes)), dtype=np.int64)
    numbers = np.zeros((rows, len(schema.numeric)))
    at = 1
    for column, size in enumerate(sizes):
        codes[at : at + size, column] = np.arange(size)
        at += size
    numbers[at:] = np.eye(len(schema.numeric))
    return {"categorical": codes, "numeric": numbers}


def _random_rows(schema: TableSchema, stream: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    columns = [stream.integers(0, len(c.levels), _CHECKED_ROWS) for c in schema.categorical]
    codes = np.stack(columns, axis=1) if columns else np.zeros((_CHECKED_ROWS, 0), dtype=np.int64)
    return {
        "categorical": codes,
        "numeric": 4.0 * stream.standard_normal((_CHECKED_ROWS, len(schema.numeric))),
    }


def _scores(model: Pipeline, schema: TableSchema, batch: Batch) -> Scores:
    scores = np.asarray(model.decision_function(schema.decode(batch)), dtype=np.float64)
    return scores if scores.ndim == 2 else scores[:, None]
