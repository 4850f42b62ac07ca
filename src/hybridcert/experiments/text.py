"""The text experiment: train a filter on noisy copies, certify what it should flag, count false alarms."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import make_pipeline

from hybridcert.adapters.text import TextClassifier
from hybridcert.certification import CertificationRun
from hybridcert.datasets.tables import Table, read_table
from hybridcert.datasets.texts import select_texts
from hybridcert.errors import ConfigError, DataError
from hybridcert.experiments.config_stopping import question
from hybridcert.experiments.config_text import TextCertificateSection, TextConfig, TextDataSection
from hybridcert.experiments.estimators import build_classifier, build_vectorizer
from hybridcert.experiments.execution import Execution, describe_executor
from hybridcert.experiments.prepared import Prepared
from hybridcert.experiments.training import Report, digest_of, told, train_smoothed
from hybridcert.kernels.deletion import RandomDeletion
from hybridcert.sampling.outcome import Sampling
from hybridcert.sampling.store import RunStore
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
        that were given the flagged label), ``samples``. A text that failed counts as flagged by all copies.
    benign_failures : mapping of input to reason
    model : mapping
        Estimator, vectoriser, and the SHA-256 of the trained model.
    benign_calls : mapping of str to int
        Model calls about the other test texts, by the keys of a run's cost.
    execution : mapping
        Name and number of workers of the executor.
    training_seconds, seconds : float
    """

    run: CertificationRun
    benign: pd.DataFrame
    benign_failures: dict[str, str]
    model: dict[str, str]
    benign_calls: dict[str, int]
    execution: dict[str, Any]
    training_seconds: float
    seconds: float

    @property
    def target(self) -> npt.NDArray[Any]:
        """True labels of the certified texts: the flagged label, all of them."""
        return np.full(len(self.run), self.run.settings["label"], dtype=object)

    @property
    def cost(self) -> dict[str, Any]:
        """Model calls, seconds and workers; the sampling of false alarms included."""
        run = self.run.cost
        return {
            **run,
            **{key: run[key] + calls for key, calls in self.benign_calls.items()},
            "sampling_seconds": self.seconds - self.training_seconds - run["certificate_seconds"],
            "training_seconds": self.training_seconds,
            "seconds": self.seconds,
            **self.execution,
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


def run_text(
    config: TextConfig,
    *,
    train: Table,
    test: Table,
    execution: Execution | None = None,
    open_store: Callable[[str], RunStore] | None = None,
    report: Report | None = None,
) -> TextResult:
    """Train on ``train`` with noisy copies, certify the texts of ``test`` that have the flagged label.

    Guarantee: that of `SmoothedClassifier.certify`, for each of those texts on its own.

    Parameters
    ----------
    execution : Execution, optional
        Where model calls are made; the results do not depend on it.
    open_store : callable(digest of the trained model), optional
        Opens the store that keeps the counts.

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
    prepared = prepared_text(config, train=train, report=report)
    smoothed = prepared.smoothed
    trained = time.perf_counter()
    execution = Execution() if execution is None else execution
    executor = execution.executor_for(len(test.X) * certificate.samples, cheap=False)
    store = None if open_store is None else open_store(prepared.described["sha256"])
    run = smoothed.certify(
        test.X[flagged],
        threat=prepared.threat,
        samples=certificate.samples,
        alpha=certificate.alpha,
        threshold=certificate.threshold,
        seed=certificate.seed,
        label=label,
        stopping=question(certificate.stopping),
        bound=certificate.bound,
        budget=certificate.budget,
        executor=executor,
        retries=execution.retries,
        store=store,
        progress=told(report, f"sampling {label}"),
    )
    rest = smoothed.explore(  # these copies choose nothing and bound no score
        test.X[~flagged],
        samples=certificate.samples,
        seed=certificate.seed,
        executor=executor,
        retries=execution.retries,
        store=store,
        progress=told(report, "sampling the rest"),
    )
    answers = smoothed.ask(
        test.X[~flagged],
        seed=certificate.seed,
        executor=executor,
        retries=execution.retries,
        store=store,
    )
    return TextResult(
        run=run,
        benign=_benign(smoothed.classes_, test.y[~flagged], answers, rest, config.certificate),
        benign_failures={
            str(test.X.index[~flagged][row]): why for row, why in (answers.failures | rest.failures).items()
        },
        model=dict(prepared.described),
        benign_calls={
            "model_calls": rest.calls + answers.calls,
            "model_calls_from_store": rest.calls_from_store + answers.calls_from_store,
            "model_calls_repeated": rest.calls_repeated + answers.calls_repeated,
        },
        execution=describe_executor(executor),
        training_seconds=trained - started,
        seconds=time.perf_counter() - started,
    )


def prepared_text(config: TextConfig, *, train: Table, report: Report | None = None) -> Prepared:
    """Train on ``train`` with noisy copies; equal configurations and rows give equal models.

    Raises
    ------
    ConfigError
        For an estimator that cannot be built or trained.
    """
    model = config.model
    classifier = TextClassifier(build_text_pipeline(config), tokens=model.tokens, max_length=model.max_length)
    smoothed = SmoothedClassifier(classifier, noise={"text": RandomDeletion(config.noise.text.beta)})
    train_smoothed(
        smoothed,
        train,
        estimator=model.estimator,
        copies=model.noisy_copies,
        seed=config.certificate.seed,
        report=report,
    )
    trained: Any = smoothed.classifier_
    digest = digest_of(trained.estimator_, estimator=model.estimator)
    return Prepared(
        smoothed,
        THREATS[config.threat.kind](config.threat.max_d),
        described={
            "estimator": model.estimator,
            "vectorizer": model.vectorizer.estimator if model.vectorizer else "none",
            "sha256": digest,
        },
        identity={"sha256": digest},
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


def write_benign(directory: Path, found: TextResult) -> None:
    """Write ``benign.parquet``: the answers about texts that should not be flagged."""
    found.benign.to_parquet(directory / "benign.parquet", index=False)


def _benign(
    classes: npt.NDArray[Any],
    y: pd.Series,
    answers: Sampling,
    noisy: Sampling,
    certificate: TextCertificateSection,
) -> pd.DataFrame:
    """Tabulate the answers about texts that should not be flagged; what failed counts as flagged."""
    flag = int(np.flatnonzero(classes == certificate.label)[0])
    hits, clean = noisy.counts[:, flag].copy(), answers.counts.argmax(axis=1)
    hits[list(noisy.failures)] = certificate.samples
    clean[list(answers.failures)] = flag
    return pd.DataFrame(
        {
            "input": y.index,
            "target": y.to_numpy(),
            "clean_label": classes[clean],
            "hits": hits,
            "samples": certificate.samples,
        }
    )
