"""The configuration of a tabular run: what a YAML file may say, and one clear line where it is wrong."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pydantic
import yaml
from pydantic import BeforeValidator, Field

from hybridcert.certificate.confidence import MAX_SAMPLES
from hybridcert.errors import ConfigError


def _ranged(read: Callable[[Any], Any], accepts: Callable[[Any], bool], allowed: str) -> BeforeValidator:
    """Validate a number and name its range; YAML 1.1 reads 1e-3 as text, so text is read too."""

    def validate(raw: Any) -> Any:
        try:
            value = read(raw)
            accepted = not isinstance(raw, bool) and (value == raw or isinstance(raw, str)) and accepts(value)
        except (TypeError, ValueError, OverflowError):
            accepted = False
        if not accepted:
            raise ValueError(f"must be {allowed}, got {raw!r}")
        return value

    return BeforeValidator(validate)


Rate = Annotated[float, _ranged(float, lambda v: 0.0 < v <= 1.0, "in (0, 1]")]
Open = Annotated[float, _ranged(float, lambda v: 0.0 < v < 1.0, "in (0, 1)")]
Positive = Annotated[float, _ranged(float, lambda v: 0.0 < v < math.inf, "a finite number > 0")]
Distance = Annotated[float, _ranged(float, lambda v: 0.0 <= v < math.inf, "a finite number >= 0")]
Count = Annotated[int, _ranged(int, lambda v: v >= 1, "an integer >= 1")]
Samples = Annotated[int, _ranged(int, lambda v: 1 <= v <= MAX_SAMPLES, f"an integer in [1, {MAX_SAMPLES}]")]
Copies = Annotated[int, _ranged(int, lambda v: 1 <= v <= 1000, "an integer in [1, 1000]")]
Natural = Annotated[int, _ranged(int, lambda v: v >= 0, "an integer >= 0")]


class Section(pydantic.BaseModel):
    """A mapping of known keys; anything else is refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


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


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; ``base: FILE`` in it supplies what it leaves out.

    Raises
    ------
    ConfigError
        For a file that cannot be read, is empty, is not a mapping, or repeats a key.
    """
    content = _read_yaml(path)
    if "base" not in content:
        return content
    name = content.pop("base")
    if not isinstance(name, str):
        raise ConfigError(f"{path}: base must be the name of a file, got {name!r}")
    base = _read_yaml(path.parent / name)
    if "base" in base:
        raise ConfigError(f"{path.parent / name}: a base has no base of its own, got {base['base']!r}")
    return _merged(base, content)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} cannot be read: it is not UTF-8 text") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        raise ConfigError(f"{path} is empty: expected a mapping with the keys {_keys(TabularConfig)}")
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a mapping with the keys {_keys(TabularConfig)}")
    return content


def _merged(base: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in content.items():
        inner = base.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            value = _merged(inner, value)
        merged[key] = value
    return merged


def parse_config(raw: dict[str, Any], *, source: str) -> TabularConfig:
    """Check a mapping; ``source`` names it in messages. Raises ConfigError with one line."""
    try:
        return TabularConfig.model_validate(raw)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{source}: {_first_line(error)}") from error


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; the standard loader would keep the last of equal keys."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for at, key in enumerate(keys):
            if key in keys[:at]:
                line = node.value[at][0].start_mark.line + 1
                raise yaml.YAMLError(f"key {key!r} occurs twice (line {line})")
        return super().construct_mapping(node, deep)


def _first_line(error: pydantic.ValidationError) -> str:
    details = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")[0]
    where = [part for part in details["loc"] if isinstance(part, str | int)]
    name = ".".join(map(str, where))
    match details["type"]:
        case "extra_forbidden":
            parent = ".".join(map(str, where[:-1]))
            place = f" in {parent}" if parent else ""
            return f"unknown key {where[-1]!r}{place}: {_suggestion(str(where[-1]), where[:-1])}"
        case "missing":
            return f"{name} is required"
        case "model_type" | "model_attributes_type" | "dict_type":
            section = section_at([str(part) for part in where])
            keys = f" with the keys {_keys(section)}" if section else ""
            return f"{name} must be a mapping{keys}, got {details['input']!r}"
        case "value_error":
            message = str(details["ctx"]["error"])
            return f"{name} {message}" if name else message
        case _:
            reason = details["msg"].removeprefix("Input should be ")
            return f"{name} must be {reason}, got {details['input']!r}"


def _suggestion(key: str, where: list[Any]) -> str:
    section = section_at([str(part) for part in where])
    known = list(section.model_fields) if section else []
    if section is TabularConfig:
        known += ["base", "sweep"]
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]}?" if close else "known are " + ", ".join(known)


def section_at(where: list[str]) -> type[Section] | None:
    """Return the section that a path of keys leads to, if it does."""
    section: type[Section] = TabularConfig
    for part in where:
        field = section.model_fields.get(part)
        inner = next(_sections(field.annotation), None) if field else None
        if inner is None:
            return None
        section = inner
    return section


def _sections(annotation: Any) -> Iterator[type[Section]]:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            yield candidate


def _keys(section: type[Section]) -> str:
    return ", ".join(section.model_fields)
