"""Estimators and vectorisers by their dotted paths; one clear line where a path or parameter is wrong."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from hybridcert.errors import ConfigError


def build_classifier(path: str, params: Mapping[str, Any], *, seed: int) -> Any:
    """Build the classifier ``model.estimator``; where it draws at random, it does so from ``seed``.

    Raises
    ------
    ConfigError
        For a path that leads to no classifier, or parameters that do not fit it.
    """
    from sklearn.base import ClassifierMixin, RegressorMixin

    module_name, module = _module("model.estimator", path, "a classifier such as sklearn.svm.LinearSVC")
    name = path.rpartition(".")[2]
    kind = getattr(module, name, None)
    if not (isinstance(kind, type) and hasattr(kind, "fit") and hasattr(kind, "predict")) or issubclass(
        kind, RegressorMixin
    ):
        known = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, ClassifierMixin)]
        hint = _hint(module_name, name, known, "expected a scikit-learn classifier")
        raise ConfigError(f"model.estimator {path!r} is not a classifier: {hint}")
    estimator = _made(kind, params, key="model.params", path=path)
    settings = estimator.get_params() if hasattr(estimator, "get_params") else {}
    if "random_state" in settings and "random_state" not in params:
        estimator.set_params(random_state=seed % 2**32)
    return estimator


def build_vectorizer(path: str, params: Mapping[str, Any]) -> Any:
    """Build the vectoriser ``model.vectorizer``; YAML lists become tuples where the default is one.

    Raises
    ------
    ConfigError
        For a path that leads to no transformer, or parameters that do not fit it.
    """
    example = "a vectoriser such as sklearn.feature_extraction.text.TfidfVectorizer"
    module_name, module = _module("model.vectorizer.estimator", path, example)
    name = path.rpartition(".")[2]
    kind = getattr(module, name, None)
    if not (isinstance(kind, type) and hasattr(kind, "fit") and hasattr(kind, "transform")):
        known = [n for n, v in vars(module).items() if isinstance(v, type) and hasattr(v, "transform")]
        hint = _hint(module_name, name, known, f"expected {example}")
        raise ConfigError(f"model.vectorizer.estimator {path!r} is not a vectoriser: {hint}")
    plain = _made(kind, {}, key="model.vectorizer.params", path=path)
    defaults = plain.get_params() if hasattr(plain, "get_params") else {}
    fitting = {k: tuple(v) if isinstance(defaults.get(k), tuple) else v for k, v in params.items()}
    return _made(kind, fitting, key="model.vectorizer.params", path=path)


def _module(key: str, path: str, example: str) -> tuple[str, Any]:
    name = path.rpartition(".")[0]
    try:
        return name, importlib.import_module(name)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{key} must be the dotted path of {example}, got {path!r} ({error})") from error


def _hint(module: str, name: str, known: list[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {module}.{close[0]}?" if close else otherwise


def _made(kind: type, params: Mapping[str, Any], *, key: str, path: str) -> Any:
    try:
        return kind(**params)
    except TypeError as error:
        raise ConfigError(f"{key} do not fit {path}: {error}") from error
