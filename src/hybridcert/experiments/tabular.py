"""The tabular experiment: train on noisy copies, smooth, certify held-out rows."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hybridcert.adapters.dataframe import DataFrameClassifier
from hybridcert.certification import CertificationRun
from hybridcert.datasets.tables import Table, fetch_openml_table, read_table, select
from hybridcert.errors import ConfigError
from hybridcert.experiments.config_stopping import question
from hybridcert.experiments.config_tabular import CategoricalNoise, DataSection, NumericNoise, TabularConfig
from hybridcert.experiments.estimators import build_classifier
from hybridcert.experiments.execution import Execution, describe_executor
from hybridcert.experiments.prepared import Prepared
from hybridcert.experiments.training import Report, digest_of, told, train_smoothed
from hybridcert.kernels.fields import FieldReplacement
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.kernels.laplace import LaplaceNoise
from hybridcert.kernels.randomized_response import RandomizedResponse
from hybridcert.kernels.uniform import UniformReplacement
from hybridcert.sampling.noise import Kernel
from hybridcert.sampling.store import RunStore
from hybridcert.smoothing import SmoothedClassifier
from hybridcert.threats import Fields


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TabularResult:
    """What one tabular run found.

    Attributes
    ----------
    run : CertificationRun
    target : array, shape (inputs,)
        True labels of the certified rows.
    model : mapping
        The estimator, how its copies were classified, and the SHA-256 of the trained model.
    execution : mapping
        Name and number of workers of the executor.
    training_seconds, seconds : float
    """

    run: CertificationRun
    target: npt.NDArray[Any]
    model: dict[str, str]
    execution: dict[str, Any]
    training_seconds: float
    seconds: float

    @property
    def cost(self) -> dict[str, Any]:
        """Model calls, seconds and workers."""
        seconds = {"training_seconds": self.training_seconds, "seconds": self.seconds}
        return {**self.run.cost, **seconds, **self.execution}


def load_table(data: DataSection) -> Table:
    """Load the table that a configuration names.

    Raises
    ------
    ConfigError
        When it names none.
    DataError
        For a table that cannot be read or has broken columns.
    """
    if data.path is not None:
        frame, source = read_table(Path(data.path)), data.path
    elif data.openml is not None:
        frame = fetch_openml_table(data.openml.name, data.openml.version)
        source = f"openml:{data.openml.name}/{data.openml.version}"
    else:
        raise ConfigError("no table given: set data.path or data.openml, or pass --data PATH")
    return select(
        frame,
        source=source,
        target=data.target,
        numeric=data.numeric,
        categorical=data.categorical,
        drop=data.drop_columns,
        levels=data.levels,
    )


def run_tabular(
    config: TabularConfig,
    *,
    train: Table,
    test: Table,
    execution: Execution | None = None,
    open_store: Callable[[str], RunStore] | None = None,
    report: Report | None = None,
) -> TabularResult:
    """Train on ``train`` with noisy copies and certify the rows of ``test``.

    Guarantee: that of `SmoothedClassifier.certify`, for each row of ``test`` on its own.

    Parameters
    ----------
    execution : Execution, optional
        Where model calls are made; the results do not depend on it.
    open_store : callable(digest of the trained model), optional
        Opens the store that keeps the counts.

    Raises
    ------
    ConfigError
        For an estimator that cannot be built or trained, or a label or top_k that does not fit the classes.
    """
    started = time.perf_counter()
    certificate = config.certificate
    prepared = prepared_tabular(config, train=train, report=report)
    smoothed, model = prepared.smoothed, prepared.described
    trained = time.perf_counter()
    execution = Execution() if execution is None else execution
    executor = execution.executor_for(len(test.X) * certificate.samples, cheap=model["path"] == "encoded")
    run = smoothed.certify(
        test.X,
        threat=prepared.threat,
        samples=certificate.samples,
        alpha=certificate.alpha,
        threshold=certificate.threshold,
        top_k=certificate.top_k,
        seed=certificate.seed,
        label=certificate.label,
        selection_samples=certificate.selection_samples,
        stopping=question(certificate.stopping),
        bound=certificate.bound,
        budget=certificate.budget,
        executor=executor,
        retries=execution.retries,
        store=None if open_store is None else open_store(model["sha256"]),
        progress=told(report, "sampling"),
    )
    return TabularResult(
        run=run,
        target=test.y.to_numpy(),
        model=dict(model),
        execution=describe_executor(executor),
        training_seconds=trained - started,
        seconds=time.perf_counter() - started,
    )


def prepared_tabular(config: TabularConfig, *, train: Table, report: Report | None = None) -> Prepared:
    """Train on ``train`` with noisy copies; equal configurations and rows give equal models.

    Raises
    ------
    ConfigError
        For an estimator that cannot be built or trained, or a label or top_k that does not fit the classes.
    """
    _check_claim(config, train)
    classifier = DataFrameClassifier(
        build_pipeline(config),
        train.X,
        numeric=config.data.numeric,
        categorical=config.data.categorical,
        immutable=config.data.immutable,
    )
    smoothed = SmoothedClassifier(classifier, noise=_noise(config, classifier))
    estimator = config.model.estimator
    train_smoothed(
        smoothed,
        train,
        estimator=estimator,
        copies=config.model.noisy_copies,
        seed=config.certificate.seed,
        report=report,
    )
    model: Any = smoothed.classifier_
    digest = digest_of(model.estimator_, estimator=estimator)
    return Prepared(
        smoothed,
        Fields(config.threat.max_d) if config.noise.categorical else None,
        described={"estimator": estimator, "path": model.path, "sha256": digest},
        identity={"sha256": digest},
    )


def _check_claim(config: TabularConfig, train: Table) -> None:
    certificate, classes = config.certificate, sorted(map(str, train.y.unique()))
    if certificate.label is not None and certificate.label not in set(train.y):
        raise ConfigError(f"certificate.label must be one of {', '.join(classes)}, got {certificate.label!r}")
    if certificate.top_k is not None and certificate.top_k >= len(classes):
        raise ConfigError(
            f"certificate.top_k must be an integer in [1, {len(classes) - 1}], one less than the number of "
            f"classes, got {certificate.top_k}"
        )


def build_pipeline(config: TabularConfig) -> Any:
    """Build encoder, scaler and estimator as one scikit-learn pipeline.

    Raises
    ------
    ConfigError
        For an estimator that does not exist or does not take the given parameters.
    """
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    if config.model.encoding == "onehot":
        encoder = OneHotEncoder(handle_unknown="ignore")
    else:
        encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
        )
    columns = make_column_transformer(
        (encoder, list(config.data.categorical)), (StandardScaler(), list(config.data.numeric))
    )
    return make_pipeline(
        columns, build_classifier(config.model.estimator, config.model.params, seed=config.certificate.seed)
    )


def _noise(config: TabularConfig, classifier: DataFrameClassifier) -> dict[str, Kernel]:
    noise: dict[str, Kernel] = {}
    surfaces = classifier.surfaces()
    if config.noise.categorical is not None:
        columns = [config.data.categorical[i] for i in surfaces["categorical"].eligible]
        noise["categorical"] = _replacement(config.noise.categorical, columns)
    if config.noise.numeric is not None:
        columns = [config.data.numeric[i] for i in surfaces["numeric"].eligible]
        noise["numeric"] = _addition(config.noise.numeric, columns)
    return noise


def _replacement(section: CategoricalNoise, columns: Sequence[str]) -> Kernel:
    if section.beta is not None:
        return UniformReplacement(section.beta)
    if section.betas is not None:  # by name: a column with a single level is not eligible
        return FieldReplacement([section.betas[name] for name in columns])
    if section.ratio is not None:
        return RandomizedResponse(section.ratio)
    assert section.log_ratio is not None
    return RandomizedResponse.from_log_ratio(section.log_ratio)


def _addition(section: NumericNoise, columns: Sequence[str]) -> Kernel:
    if section.scale is not None:
        return LaplaceNoise(section.scale)
    if section.sigmas is not None:
        return GaussianNoise([section.sigmas[name] for name in columns])
    assert section.sigma is not None
    return GaussianNoise(section.sigma)
