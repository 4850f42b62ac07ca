"""Configuration files: YAML that holds one mapping, with one clear line where it does not."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from hybridcert.errors import ConfigError

_KEYS = (
    "data, model, noise, threat, certificate, report, attack (pairs of prompt and image: canvas and region "
    "too)"
)


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
        raise ConfigError(f"{path} is empty: expected a mapping with the keys {_KEYS}")
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a mapping with the keys {_KEYS}")
    return content


def _merged(base: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in content.items():
        inner = base.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            value = _merged(inner, value)
        merged[key] = value
    return merged


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
