"""The text experiment: train a filter on noisy copies, certify what it should flag, count false alarms."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from hybridcert.adapters.text import TextClassifier
from hybridcert.certification import CertificationRun
from hybridcert.datasets.tables import Table, read_table
from hybridcert.datasets.texts import select_texts
from hybridcert.errors import ConfigError, DataError
from hybridcert.experiments.config_text import TextConfig, TextDataSection
from hybridcert.experiments.estimators import build_classifier, build_vectorizer
from hybridcert.experiments.run_directory import write_run
from hybridcert.experiments.training import Report, train_smoothed
from hybridcert.kernels.deletion import RandomDeletion
from hybridcert.smoothing import SmoothedClassifier
from hybridcert.threats import THREATS


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A table of texts, and how many duplicates were left out of it."""

    table: Table
    duplicates: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TextResult:
    """What one run on texts found.

    Attributes
    ----------
    run : CertificationRun
        The test texts of the flagged label, every one certified for that label.
    benign : DataFrame
        The other test texts: ``input``, ``target``, ``clean_label``, ``hits`` (of ``samples`` noisy copies
        that were given the flagged label), ``samples``.
    model : mapping
        Estimator, vectoriser, and the SHA-256 of the trained model.
    training_seconds, seconds : float
    """

    run: CertificationRun
    benign: pd.DataFrame
    model: dict[str, str]
    training_seconds: float
    seconds: float

    @property
    def cost(self) -> dict[str, Any]:
        """Model calls and seconds; the sampling of false alarms included."""
        certificates = self.run.cost["certificate_seconds"]
        return {
            "model_calls": self.run.cost["model_calls"] + int((self.benign["samples"] + 1).sum()),
            "training_seconds": self.training_seconds,
            "sampling_seconds": self.seconds - self.training_seconds - certificates,
            "certificate_seconds": certificates,
            "seconds": self.seconds,
        }


def load_texts(data: TextDataSection) -> Texts:
    """Load the texts that a configuration names.

    Raises
    ------
    ConfigError
        When it names no file.
    DataError
        For a file that cannot be read, or a broken column or cell.
    """
    if data.path is None:
        raise ConfigError("no texts given: set data.path, or pass --data PATH")
    table = read_table(Path(data.path), text=(data.text,))
    return Texts(
        *select_texts(
            table, source=data.path, text=data.text, target=data.target, deduplicate=data.deduplicate
        )
    )


def run_text(config: TextConfig, *, train: Table, test: Table, report: Report | None = None) -> TextResult:
    """Train on ``train`` with noisy copies, certify the texts of ``test`` that have the flagged label.

    Guarantee: that of `SmoothedClassifier.certify`, for each of those texts on its own.

    Raises
    ------
    ConfigError
        For an estimator that cannot be built or trained, or a label that does not occur.
    DataError
        When ``test`` lacks texts with the flagged label, or others.
    """
    started = time.perf_counter()
    certificate = config.certificate
    label = certificate.label
    if label not in set(train.y):
        known = ", ".join(sorted(map(str, train.y.unique())))
        raise ConfigError(f"certificate.label must be one of {known}, got {label!r}")
    flagged = (test.y == label).to_numpy(dtype=np.bool_)
    if flagged.all() or not flagged.any():
        lacking = "none" if not flagged.any() else "all"
        raise DataError(
            f"{lacking} of the {len(test.y)} test texts have the label {label!r}: both kinds are needed, "
            "take more test rows"
        )
    classifier = TextClassifier(
        build_text_pipeline(config), tokens=config.model.tokens, max_length=config.model.max_length
    )
    smoothed = SmoothedClassifier(classifier, noise={"text": RandomDeletion(config.noise.text.beta)})
    train_smoothed(
        smoothed,
        train,
        estimator=config.model.estimator,
        copies=config.model.noisy_copies,
        seed=certificate.seed,
        report=report,
    )
    trained = time.perf_counter()
    run = smoothed.certify(
        test.X[flagged],
        threat=THREATS[config.threat.kind](config.threat.max_d),
        samples=certificate.samples,
        alpha=certificate.alpha,
        threshold=certificate.threshold,
        seed=certificate.seed,
        label=label,
        progress=None if report is None else lambda done, total: report(f"sampling {label}", done, total),
    )
    benign = _benign(smoothed, test.X[~flagged], test.y[~flagged], config, report)
    model: Any = smoothed.classifier_
    return TextResult(
        run=run,
        benign=benign,
        model={
            "estimator": config.model.estimator,
            "vectorizer": config.model.vectorizer.estimator if config.model.vectorizer else "none",
            "sha256": hashlib.sha256(pickle.dumps(model.estimator_, protocol=5)).hexdigest(),
        },
        training_seconds=trained - started,
        seconds=time.perf_counter() - started,
    )


def build_text_pipeline(config: TextConfig) -> Any:
    """Build vectoriser and estimator as one scikit-learn pipeline on strings.

    Raises
    ------
    ConfigError
        For one that does not exist or does not take the given parameters.
    """
    model = config.model
    classifier = build_classifier(model.estimator, model.params, seed=config.certificate.seed)
    if model.vectorizer is None:
        return classifier
    return make_pipeline(build_vectorizer(model.vectorizer.estimator, model.vectorizer.params), classifier)


def write_text_run(
    directory: Path,
    found: TextResult,
    *,
    config: TextConfig,
    environment: Mapping[str, Any],
    report: Report | None = None,
) -> None:
    """Write one run directory: certificates of flagged texts, and ``benign.parquet`` beside them."""
    write_run(
        directory,
        run=found.run,
        target=np.full(len(found.run), config.certificate.label, dtype=object),
        config=config.resolved(),
        environment=environment,
        progress=None if report is None else lambda done, total: report("verifying", done, total),
    )
    found.benign.to_parquet(directory / "benign.parquet", index=False)


def _benign(
    smoothed: SmoothedClassifier, X: pd.DataFrame, y: pd.Series, config: TextConfig, report: Report | None
) -> pd.DataFrame:
    """Ask about the texts that should not be flagged; these copies choose nothing and bound no score."""
    certificate = config.certificate
    counts = smoothed.counts(
        X,
        samples=certificate.samples,
        seed=certificate.seed,
        progress=None if report is None else lambda done, total: report("sampling the rest", done, total),
    )
    base: Any = smoothed.classifier_
    classes = np.asarray(base.classes_)
    return pd.DataFrame(
        {
            "input": X.index,
            "target": y.to_numpy(),
            "clean_label": classes[base.predict_encoded(base.encode(X))],
            "hits": counts[:, np.flatnonzero(classes == certificate.label)[0]],
            "samples": certificate.samples,
        }
    )
