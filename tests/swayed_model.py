"""A classifier whose answers depend on more than its content: what no digest notices, and an attack has to.

While the environment variable SWAYED is set, it answers its last class about everything.
"""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression


class SwayedClassifier(ClassifierMixin, BaseEstimator):
    """A logistic regression, unless it is swayed."""

    def fit(self, X: Any, y: Any) -> Self:
        self.inner_ = LogisticRegression().fit(X, y)
        self.classes_ = self.inner_.classes_
        self.n_features_in_ = self.inner_.n_features_in_
        return self

    def predict(self, X: Any) -> Any:
        if os.environ.get("SWAYED"):
            return np.repeat(self.classes_[-1:], X.shape[0])
        return self.inner_.predict(X)
