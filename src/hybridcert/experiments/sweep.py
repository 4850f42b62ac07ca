"""Sweeps: one configuration, some of its keys with several values, every combination a run of its own."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import itertools
from collections.abc import Mapping
from typing import Any

from hybridcert.errors import ConfigError
from hybridcert.experiments.config import Config, kind_of, parse_config, section_at


@dataclasses.dataclass(frozen=True, slots=True)
class SweepRun:
    """One combination: its directory, the values of the swept keys, its configuration."""

    directory: str
    values: Mapping[str, Any]
    config: Config


def expand(raw: Mapping[str, Any], *, source: str) -> list[SweepRun]:
    """Return one run per combination of the values under ``sweep``; one run without it.

    Raises
    ------
    ConfigError
        For a sweep that is not a mapping of dotted keys to lists, and for any combination that means nothing.
    """
    base = {key: value for key, value in raw.items() if key != "sweep"}
    if "sweep" not in raw:
        return [SweepRun("", {}, parse_config(base, source=source))]
    sweep = raw["sweep"]
    if not isinstance(sweep, dict) or not sweep:
        raise ConfigError(f"{source}: sweep must map dotted keys to lists of values, got {sweep!r}")
    for key, values in sweep.items():
        _check_key(str(key), source, kind_of(base))
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{source}: sweep.{key} must be a list of values, got {values!r}")
        if any(values.count(value) > 1 for value in values):
            raise ConfigError(f"{source}: sweep.{key} must not repeat a value, got {values!r}")
    runs = []
    for combination in itertools.product(*sweep.values()):
        values = dict(zip(sweep, combination, strict=True))
        resolved = copy.deepcopy(base)
        for key, value in values.items():
            _assign(resolved, key.split("."), value)
        runs.append(SweepRun(_directory(values), values, parse_config(resolved, source=source)))
    names = [run.directory for run in runs]
    if len(set(names)) < len(names):
        raise ConfigError(f"{source}: sweep has values that cannot be told apart as directory names: {names}")
    return runs


def _check_key(key: str, source: str, kind: type[Config]) -> None:
    if key == "data.path":
        raise ConfigError(f"{source}: sweep cannot vary {key!r}: certify each table on its own")
    *parents, last = key.split(".")
    section = section_at(parents, kind)
    if section is None or last not in section.model_fields or section_at([*parents, last], kind) is not None:
        close = difflib.get_close_matches(key, _leaves([], kind), n=1)
        hint = f"did you mean {close[0]}?" if close else "expected a dotted key such as noise.numeric.sigma"
        raise ConfigError(f"{source}: unknown key {key!r} in sweep: {hint}")


def _leaves(where: list[str], kind: type[Config]) -> list[str]:
    section = section_at(where, kind)
    if section is None:
        return [".".join(where)]
    return [leaf for name in section.model_fields for leaf in _leaves([*where, name], kind)]


def _assign(raw: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = raw.setdefault(part, {})
        if not isinstance(inner, dict):
            return  # the configuration is wrong at this place, which its own check reports
        raw = inner
    raw[path[-1]] = value


def _directory(values: Mapping[str, Any]) -> str:
    short = [key.rsplit(".", 1)[-1] for key in values]
    names = short if len(set(short)) == len(short) else list(values)
    text = ",".join(f"{name}={_spelled(value)}" for name, value in zip(names, values.values(), strict=True))
    return "".join(c if c.isalnum() or c in "=,.-_" else "-" for c in text)


def _spelled(value: Any) -> str:
    if isinstance(value, Mapping):
        return "-".join(f"{key}-{inner}" for key, inner in value.items())
    return str(value)
