"""The configuration of a tabular run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import pydantic
from pydantic import Field

from hybridcert.experiments.attack.section import AttackSection
from hybridcert.experiments.config_fields import (
    Copies,
    Count,
    Distance,
    LogRatio,
    Natural,
    Open,
    Positive,
    Rate,
    Samples,
    Section,
)
from hybridcert.experiments.config_stopping import Bound, StoppingSection, check_stopping, check_target


class OpenMLSource(Section):
    """A table that scikit-learn fetches from OpenML when no file is given."""

    name: str
    version: Count


class DataSection(Section):
    """Where the table is and what its columns are."""

    path: str | None = None
    openml: OpenMLSource | None = None
    target: str
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()
    levels: dict[str, tuple[str | int | float | bool, ...]] = Field(default_factory=dict)
    drop_columns: tuple[str, ...] = ()
    test_rows: Count
    split_seed: Natural

    @pydantic.model_validator(mode="after")
    def _roles_are_disjoint(self) -> Self:
        roles = [*self.numeric, *self.categorical, *self.drop_columns, self.target]
        for name in roles:
            if roles.count(name) > 1:
                raise ValueError(f"names column {name!r} more than once")
        if not (self.numeric or self.categorical):
            raise ValueError("needs at least one numeric or categorical column, got none")
        for name in self.immutable:
            if name not in self.numeric and name not in self.categorical:
                raise ValueError(
                    f"lists immutable column {name!r}, which is neither under numeric nor categorical"
                )
        for name, values in self.levels.items():
            if name not in self.categorical:
                raise ValueError(f"declares levels of column {name!r}, which is not under categorical")
            if len(set(values)) < max(2, len(values)):
                raise ValueError(f"needs two or more distinct levels of column {name!r}, got {list(values)}")
        return self


class ModelSection(Section):
    """A scikit-learn compatible classifier and how it is trained."""

    estimator: str
    params: dict[str, Any] = Field(default_factory=dict)
    encoding: Literal["onehot", "ordinal"] = "onehot"
    noisy_copies: Copies = 1


class KernelSection(Section):
    """A kernel and its parameters: those of other kernels are refused, and one of its own is needed."""

    takes: ClassVar[Mapping[str, tuple[str, ...]]]
    kernel: str

    @pydantic.model_validator(mode="after")
    def _parameters_fit(self) -> Self:
        own = self.takes[self.kernel]
        given = [name for names in self.takes.values() for name in names if getattr(self, name) is not None]
        for name in given:
            if name not in own:
                owner = next(kernel for kernel, names in self.takes.items() if name in names)
                raise ValueError(
                    f"takes {' or '.join(own)} for kernel {self.kernel!r}, got {name}, which belongs to "
                    f"kernel {owner!r}"
                )
        if not given:
            raise ValueError(f"needs {' or '.join(own)} for kernel {self.kernel!r}")
        if len(given) > 1:
            raise ValueError(f"needs one of {' and '.join(own)}, got both")
        return self

    @pydantic.model_serializer(mode="wrap")
    def _only_what_is_given(self, serialize: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in serialize(self).items() if value is not None}


class CategoricalNoise(KernelSection):
    """Random replacement of categories: at one rate, at a rate per column, or with one ratio of odds."""

    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "uniform": ("beta",),
        "fields": ("betas",),
        "randomized-response": ("ratio", "log_ratio"),
    }
    kernel: Literal["uniform", "fields", "randomized-response"] = "uniform"
    beta: Rate | None = None
    betas: dict[str, Rate] | None = None
    ratio: Positive | None = None
    log_ratio: LogRatio | None = None


class NumericNoise(KernelSection):
    """Noise on numbers, in standard deviations of the training columns; ``sigmas`` has one per column."""

    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {"gaussian": ("sigma", "sigmas"), "laplace": ("scale",)}
    kernel: Literal["gaussian", "laplace"] = "gaussian"
    sigma: Positive | None = None
    sigmas: dict[str, Positive] | None = None
    scale: Positive | None = None


class NoiseSection(Section):
    """Noise per kind of column; columns of a kind without noise have to stay as they are."""

    categorical: CategoricalNoise | None = None
    numeric: NumericNoise | None = None

    @pydantic.model_validator(mode="after")
    def _some_noise(self) -> Self:
        if self.categorical is None and self.numeric is None:
            raise ValueError("must name categorical, numeric or both, got neither")
        return self


class ThreatSection(Section):
    """Largest number of categorical fields that change."""

    max_d: Natural


class CertificateSection(Section):
    """What carries the guarantee; none of it has a default. The claim is a threshold or a top_k."""

    samples: Samples
    alpha: Open
    threshold: Open | None = None
    top_k: Count | None = None
    seed: Natural
    selection_samples: Samples = 100
    label: str | int | None = None
    stopping: StoppingSection | None = None
    bound: Bound | None = None
    budget: Count | None = None

    @pydantic.model_validator(mode="after")
    def _one_claim(self) -> Self:
        if (self.threshold is None) == (self.top_k is None):
            got = "neither" if self.threshold is None else "both"
            raise ValueError(f"needs one of threshold and top_k, got {got}")
        check_stopping(self.stopping, self.bound, self.budget, score=self.threshold is not None)
        return self


class ReportSection(Section):
    """Grid of ε for tables (curves are exact and need none), and whether the page shows the inputs."""

    eps: tuple[Distance, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
    inputs: bool = True


class TabularConfig(Section):
    """One certification of a table."""

    data: DataSection
    model: ModelSection
    noise: NoiseSection
    threat: ThreatSection
    certificate: CertificateSection
    report: ReportSection = Field(default_factory=ReportSection)
    attack: AttackSection | None = None

    @pydantic.model_validator(mode="after")
    def _noise_and_threat_fit_the_columns(self) -> Self:
        noise, fields = self.noise, self.mutable("categorical")
        allowed = len(fields) if noise.categorical is not None else 0
        if self.threat.max_d > allowed:
            raise ValueError(
                f"threat.max_d must be at most the number of mutable categorical columns with noise, "
                f"{allowed}, got {self.threat.max_d}"
            )
        for kind, section in (("categorical", noise.categorical), ("numeric", noise.numeric)):
            if section is not None and not getattr(self.data, kind):
                raise ValueError(f"noise.{kind} has no columns: list some under data.{kind} or drop it")
        check_target(self.certificate.stopping, max_d=self.threat.max_d, shifts=noise.numeric is not None)
        if noise.categorical is not None and noise.categorical.betas is not None:
            _one_for_each("noise.categorical.betas", noise.categorical.betas, fields, "categorical")
        if noise.numeric is not None and noise.numeric.sigmas is not None:
            numbers = self.mutable("numeric")
            _one_for_each("noise.numeric.sigmas", noise.numeric.sigmas, numbers, "numeric")
        return self

    def mutable(self, kind: Literal["categorical", "numeric"]) -> list[str]:
        """Return the columns of a kind that the adversary can change, in their order."""
        columns: tuple[str, ...] = getattr(self.data, kind)
        return [name for name in columns if name not in self.data.immutable]

    def resolved(self) -> dict[str, Any]:
        """Plain values, defaults included, that load back to an equal certification.

        The section ``attack`` is no part of it: a run is the same however it is attacked later.
        """
        return self.model_dump(mode="json", exclude={"attack"})


def _one_for_each(key: str, values: Mapping[str, float], columns: list[str], kind: str) -> None:
    known = ", ".join(columns) or "none"
    for name in values:
        if name not in columns:
            raise ValueError(
                f"{key} names column {name!r}, which is not a mutable {kind} column: these are {known}"
            )
    lacking = [name for name in columns if name not in values]
    if lacking:
        raise ValueError(
            f"{key} must have a number for each mutable {kind} column, {lacking[0]!r} is missing"
        )
    if not columns:
        raise ValueError(f"{key} has no columns to serve: every {kind} column is immutable")
