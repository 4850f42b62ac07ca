"""The configuration of a tabular run."""

from __future__ import annotations

from typing import Any, Literal, Self

import pydantic
from pydantic import Field

from hybridcert.experiments.config_fields import (
    Copies,
    Count,
    Distance,
    Natural,
    Open,
    Positive,
    Rate,
    Samples,
    Section,
)


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


class UniformNoise(Section):
    """Uniform replacement of categories."""

    kernel: Literal["uniform"] = "uniform"
    beta: Rate


class GaussianNoise(Section):
    """Gaussian noise on numbers, in standard deviations of the training columns."""

    kernel: Literal["gaussian"] = "gaussian"
    sigma: Positive


class NoiseSection(Section):
    """Noise per kind of column; columns of a kind without noise have to stay as they are."""

    categorical: UniformNoise | None = None
    numeric: GaussianNoise | None = None

    @pydantic.model_validator(mode="after")
    def _some_noise(self) -> Self:
        if self.categorical is None and self.numeric is None:
            raise ValueError("must name categorical, numeric or both, got neither")
        return self


class ThreatSection(Section):
    """Largest number of categorical fields that change."""

    max_d: Natural


class CertificateSection(Section):
    """What carries the guarantee; none of it has a default."""

    samples: Samples
    alpha: Open
    threshold: Open
    seed: Natural
    selection_samples: Samples = 100
    label: str | int | None = None


class ReportSection(Section):
    """Grid of ε for tables; curves are exact and need none."""

    eps: tuple[Distance, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


class TabularConfig(Section):
    """One certification of a table."""

    data: DataSection
    model: ModelSection
    noise: NoiseSection
    threat: ThreatSection
    certificate: CertificateSection
    report: ReportSection = Field(default_factory=ReportSection)

    @pydantic.model_validator(mode="after")
    def _budget_fits(self) -> Self:
        mutable = [c for c in self.data.categorical if c not in self.data.immutable]
        allowed = len(mutable) if self.noise.categorical is not None else 0
        if self.threat.max_d > allowed:
            raise ValueError(
                f"threat.max_d must be at most the number of mutable categorical columns with noise, "
                f"{allowed}, got {self.threat.max_d}"
            )
        for kind, noise in (("categorical", self.noise.categorical), ("numeric", self.noise.numeric)):
            if noise is not None and not getattr(self.data, kind):
                raise ValueError(f"noise.{kind} has no columns: list some under data.{kind} or drop it")
        return self

    def resolved(self) -> dict[str, Any]:
        """Plain values, defaults included, that load back to an equal configuration."""
        return self.model_dump(mode="json")
