"""Which keys of a configuration say where something is, rather than what it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FILES = (
    "data.path",
    "data.images",
    "data.benign.path",
    "data.benign.images",
    "model.checkpoint.policy",
    "model.checkpoint.tokens",
    "model.endpoint.policy",
    "model.endpoint.words",
)
_FILES_OR_NAMES = ("model.checkpoint", "model.checkpoint.path", "model.checkpoint.denoiser.path")
"""Folders, or names on the hub."""

_DELIVERY = (
    "model.checkpoint.device",
    "model.endpoint.base_url",
    "model.endpoint.api_key_variable",
    "model.endpoint.concurrency",
    "model.endpoint.attempts",
    "model.endpoint.timeout",
)
"""How answers are fetched. What kind of device computes them is part of the model's own identity, and so is
the address of an endpoint that does not prove what it is."""


def locate(raw: dict[str, Any], folder: Path) -> None:
    """Make relative paths absolute, from the folder of the configuration; in a sweep as well.

    What may be a hub name is one unless the folder holds something of that name, or it begins with a dot.
    """
    sweep = raw.get("sweep")
    for key in (*_FILES, *_FILES_OR_NAMES):
        section, last = _parent(raw, key)
        if isinstance(section.get(last), str):
            section[last] = _located(section[last], folder, key)
        if isinstance(sweep, dict) and isinstance(sweep.get(key), list):
            sweep[key] = [_located(v, folder, key) if isinstance(v, str) else v for v in sweep[key]]


def without_places(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without what only says where things are or how they are fetched.

    What they hold has a digest, by which it is known; a list in place of a file is content, and stays.
    """
    kept = copy.deepcopy(dict(configuration))
    for key in (*_FILES, *_FILES_OR_NAMES, *_DELIVERY):
        section, last = _parent(kept, key)
        if not isinstance(section.get(last), Mapping | list | tuple):
            section.pop(last, None)
    return kept


def _parent(raw: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """Return the section that holds a dotted key (an empty one where there is none), and its last part."""
    *parents, last = key.split(".")
    section: Any = raw
    for part in parents:
        section = section.get(part) if isinstance(section, dict) else None
    return (section if isinstance(section, dict) else {}), last


def _located(path: str, folder: Path, key: str) -> str:
    if key in _FILES_OR_NAMES and not path.startswith(".") and not (folder / path).exists():
        return path
    return str((folder / path).resolve())
