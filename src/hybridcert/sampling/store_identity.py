"""What makes two runs the same run: a configuration as dotted names with JSON values, and how two differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hybridcert.errors import ParameterError, RunMismatchError

_BARE = re.compile(r"[^\W\d][\w-]*")
_SHOWN = 3
_WIDTH = 60
_ABSENT = "not given"


def flatten(identity: Mapping[str, Any]) -> dict[str, str]:
    """Return dotted names with JSON values, in order; different identities have different results.

    Parameters
    ----------
    identity : mapping
        Nested mappings of plain values: str, int, float, bool, None, and lists of these. A key that is not
        a bare word is quoted, so that ``{"a.b": 1}`` and ``{"a": {"b": 1}}`` stay apart.

    Raises
    ------
    ParameterError
        Naming the value that is not plain.
    """
    return dict(_leaves(identity, ""))


def check_same(path: Path, was: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise RunMismatchError, naming the first differences, unless two flat identities are equal.

    The order of the names plays no part.
    """
    names = list(dict.fromkeys((*was, *now)))
    different = [name for name in names if was.get(name) != now.get(name)]
    if not different:
        return
    shown = "; ".join(_difference(n, was.get(n, _ABSENT), now.get(n, _ABSENT)) for n in different[:_SHOWN])
    more = f"; and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    raise RunMismatchError(
        f"{path} belongs to another run: {shown}{more}. Choose another --out, or restore the configuration"
    )


def _leaves(value: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, part in value.items():
        name = prefix + (key if isinstance(key, str) and _BARE.fullmatch(key) else _json(key, prefix))
        if isinstance(part, Mapping) and part:
            yield from _leaves(part, f"{name}.")
        else:
            yield name, _json(part, name)


def _json(value: Any, name: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"identity {name!r} must be made of plain values (str, int, float, bool, None, lists), "
            f"got {type(value).__name__}: {error}"
        ) from error


def _difference(name: str, was: str, now: str) -> str:
    """Describe one difference; of long values, show the part where they begin to differ."""
    same = next(
        (i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now))
    )
    start = max(0, same - _WIDTH // 2) if max(len(was), len(now)) > _WIDTH else 0
    return f"{name} was {_part(was, start)}, is {_part(now, start)}"


def _part(text: str, start: int) -> str:
    if text == _ABSENT:
        return text
    end = start + _WIDTH
    return f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"
