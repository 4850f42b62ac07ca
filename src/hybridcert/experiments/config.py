"""The configuration of a run: a table, texts or pairs, and one clear line where it is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pydantic

from hybridcert.errors import ConfigError
from hybridcert.experiments.config_fields import Section
from hybridcert.experiments.config_files import read_mapping as read_mapping
from hybridcert.experiments.config_pairs import PairsConfig, is_pairs
from hybridcert.experiments.config_tabular import TabularConfig
from hybridcert.experiments.config_text import TextConfig

Config = TabularConfig | TextConfig | PairsConfig
"""What `certify` can run."""


def kind_of(raw: Mapping[str, Any]) -> type[Config]:
    """Return the kind of configuration that a mapping is meant to be.

    Pairs have a guard as their model, a canvas or a region; texts are named under data or noise.
    """
    if is_pairs(raw):
        return PairsConfig
    sections = (raw.get("data"), raw.get("noise"))
    texts = any(isinstance(section, dict) and "text" in section for section in sections)
    return TextConfig if texts else TabularConfig


def parse_config(raw: dict[str, Any], *, source: str) -> Config:
    """Check a mapping; ``source`` names it in messages. Raises ConfigError with one line."""
    kind = kind_of(raw)
    try:
        return kind.model_validate(raw)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{source}: {_first_line(error, kind)}") from error


def section_at(where: list[str], kind: type[Config]) -> type[Section] | None:
    """Return the section that a path of keys leads to, if it does."""
    section: type[Section] = kind
    for part in where:
        if part.isdigit():  # of a list: its items are sections of one kind
            continue
        field = section.model_fields.get(part)
        inner = next(_sections(field.annotation), None) if field else None
        if inner is None:
            return None
        section = inner
    return section


def _first_line(error: pydantic.ValidationError, kind: type[Config]) -> str:
    details = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")[0]
    where = [part for part in details["loc"] if isinstance(part, str | int)]
    name = ".".join(map(str, where))
    match details["type"]:
        case "extra_forbidden":
            parent = ".".join(map(str, where[:-1]))
            place = f" in {parent}" if parent else ""
            return f"unknown key {where[-1]!r}{place}: {_suggestion(str(where[-1]), where[:-1], kind)}"
        case "missing":
            return f"{name} is required"
        case "model_type" | "model_attributes_type" | "dict_type":
            section = section_at([str(part) for part in where], kind)
            keys = f" with the keys {_keys(section)}" if section else ""
            return f"{name} must be a mapping{keys}, got {details['input']!r}"
        case "value_error":
            message = str(details["ctx"]["error"])
            return f"{name} {message}" if name else message
        case _:
            reason = details["msg"].removeprefix("Input should be ")
            return f"{name} must be {reason}, got {details['input']!r}"


def _suggestion(key: str, where: list[Any], kind: type[Config]) -> str:
    section = section_at([str(part) for part in where], kind)
    known = list(section.model_fields) if section else []
    if section is kind:
        known += ["base", "sweep"]
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]}?" if close else "known are " + ", ".join(known)


def _sections(annotation: Any) -> Iterator[type[Section]]:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            yield candidate


def _keys(section: type[Section]) -> str:
    return ", ".join(section.model_fields)
