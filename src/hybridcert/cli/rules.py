"""How each option of `radius` and `frontier` is read, and the range it must lie in.

Every value is checked here, once, so that a message can name the option (or key), the value and the range.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hybridcert.certificate.confidence import MAX_SAMPLES
from hybridcert.cli.tables import (
    TableError,
    integer_list,
    matrix_rows,
    substitutions,
    synonym_table,
    word_list,
)
from hybridcert.errors import ParameterError
from hybridcert.threats import THREATS

MAX_BUDGET = 1_000_000
"""Largest discrete budget that the commands accept."""

MAX_WORKERS = 10_000
"""Most workers that a run accepts."""

MAX_GPUS = 10_000
"""Most GPUs that a run accepts."""

MAX_ATTEMPTS = 1_000
"""Most times that a run tries one model call."""

KERNELS = (
    "uniform",
    "absorbing",
    "deletion",
    "fields",
    "randomized-response",
    "flips",
    "synonyms",
    "matrix",
    "none",
)
"""Kernels by their command-line names."""

NOISES = ("gaussian", "laplace", "none")
"""Continuous noise by its command-line name."""

Spell = Callable[[str], str]
"""How a message spells a key: as an option, or as the key itself."""

Given = Mapping[str, Any]
"""Checked values by key."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """How one option is read and what it may be."""

    read: Callable[[object], Any]
    accepts: Callable[[Any], bool]
    allowed: str


def number(raw: object) -> float:
    """Read a number, or text that is one."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError  # noqa: TRY004 - reported as a wrong value like any other
    return float(raw)


def numbers(raw: object) -> float | tuple[float, ...]:
    """Read a number, or several separated by commas."""
    parts = raw.split(",") if isinstance(raw, str) and "," in raw else raw
    if isinstance(parts, list | tuple):
        if not parts:
            raise ValueError
        return tuple(number(part) for part in parts)
    return number(parts)


def integer(raw: object) -> int:
    """Read an integer; 3.0 is one."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        try:
            return int(raw)
        except ValueError:
            pass
    value = number(raw)
    if not value.is_integer():
        raise ValueError
    return int(value)


def integers(raw: object) -> tuple[int, ...]:
    """Read integers separated by commas, or a list of them."""
    return integer_list(raw, integer)


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError  # noqa: TRY004 - reported as a wrong value like any other
    return raw


def _one_of(names: Iterable[str]) -> Rule:
    known = tuple(names)
    return Rule(_text, known.__contains__, "one of " + ", ".join(known))


def _at_least(least: int) -> Rule:
    return Rule(integer, lambda v: v >= least, f"an integer >= {least}")


def _each(accepts: Callable[[float], bool]) -> Callable[[Any], bool]:
    return lambda v: all(map(accepts, v)) if isinstance(v, tuple) else accepts(v)


def _always(value: object) -> bool:
    del value
    return True


_OPEN = Rule(number, lambda v: 0.0 < v < 1.0, "in (0, 1)")
_HALF_OPEN = Rule(number, lambda v: 0.0 <= v < 1.0, "in [0, 1)")
_BUDGET = Rule(integer, lambda v: 0 <= v <= MAX_BUDGET, f"an integer in [0, {MAX_BUDGET}]")
_NOISE_SCALE = Rule(numbers, _each(lambda v: 0.0 < v < math.inf), "a finite number > 0")
_SIZES = Rule(integers, lambda v: bool(v) and min(v) >= 2, "a list of integers >= 2 such as 9,16,7")
_COUNTS = Rule(integers, lambda v: len(v) >= 2 and min(v) >= 0, "a list of integers >= 0 such as 95,3,2")
_SYMBOLS = Rule(integers, lambda v: bool(v) and min(v) >= 0, "a list of integers >= 0 such as 0,1,1")

RULES: dict[str, Rule] = {
    "kernel": _one_of(KERNELS),
    "beta": Rule(numbers, _each(lambda v: 0.0 < v <= 1.0), "in (0, 1]"),
    "alphabet": _at_least(2),
    "positions": _BUDGET,
    "sizes": _SIZES,
    "length": _at_least(0),
    "ratio": Rule(number, lambda v: 0.0 < v < math.inf, "a finite number > 0"),
    "log_ratio": Rule(number, lambda v: -700.0 <= v <= 700.0, "in [-700, 700]"),
    "p_plus": _HALF_OPEN,
    "p_minus": _HALF_OPEN,
    "ones": _BUDGET,
    "zeros": _BUDGET,
    "synonyms": Rule(synonym_table, _always, 'a JSON file such as {"film": ["movie"]}'),
    "words": Rule(word_list, bool, "a list of words such as good,film"),
    "matrix": Rule(matrix_rows, _always, "a JSON or CSV file of a square matrix"),
    "symbols": _SYMBOLS,
    "substitutions": Rule(substitutions, _always, "'all', or a JSON or CSV file of pairs of row numbers"),
    "threat": _one_of(THREATS),
    "max_additions": _at_least(0),
    "max_removals": _at_least(0),
    "d": _BUDGET,
    "d_max": _BUDGET,
    "noise": _one_of(NOISES),
    "sigma": _NOISE_SCALE,
    "scale": Rule(number, lambda v: 0.0 < v < math.inf, "a finite number > 0"),
    "eps": Rule(numbers, _each(lambda v: 0.0 <= v < math.inf), "a finite number >= 0"),
    "threshold": _OPEN,
    "top_k": _at_least(1),
    "classes": _at_least(2),
    "p_lower": _HALF_OPEN,
    "p_upper": Rule(number, lambda v: 0.0 < v <= 1.0, "in (0, 1]"),
    "successes": _at_least(0),
    "counts": _COUNTS,
    "label_index": _at_least(0),
    "samples": Rule(integer, lambda v: 1 <= v <= MAX_SAMPLES, f"an integer in [1, {MAX_SAMPLES}]"),
    "alpha": _OPEN,
    "features": Rule(integers, lambda v: bool(v) and min(v) >= 1, "a list of integers >= 1 such as 784"),
    "copies": _at_least(1),
    "miss": _OPEN,
    "limit": _at_least(1),
    "executor": _one_of(("processes", "serial", "ray")),
    "workers": Rule(integer, lambda v: 1 <= v <= MAX_WORKERS, f"an integer in [1, {MAX_WORKERS}]"),
    "num_gpus": Rule(number, lambda v: 0.0 <= v <= MAX_GPUS, f"a number in [0, {MAX_GPUS}]"),
    "timeout": Rule(number, lambda v: 0.0 < v < math.inf, "a finite number of seconds > 0"),
    "attempts": Rule(integer, lambda v: 1 <= v <= MAX_ATTEMPTS, f"an integer in [1, {MAX_ATTEMPTS}]"),
}
"""Every option that is checked, by its key."""


def option_name(key: str) -> str:
    """Spell a key as it stands on the command line."""
    return "--" + key.replace("_", "-")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a "did you mean" for a name that is not known, or a list of what is."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "known are " + ", ".join(known)


def read_value(key: str, raw: object, spell: Spell = option_name) -> Any:
    """Read and check one value; raise ParameterError with its range."""
    rule = RULES[key]
    try:
        value = rule.read(raw)
        accepted = rule.accepts(value)
    except TableError as error:
        raise ParameterError(f"{spell(key)}: {error}") from error
    except (ValueError, OverflowError):
        accepted = False
    if not accepted:
        raise ParameterError(f"{spell(key)} must be {rule.allowed}, got {_shown(raw)}")
    return value


def required(key: str, context: str, spell: Spell) -> ParameterError:
    """Return the error for an option that is missing; ``context`` says with what it is needed."""
    return ParameterError(f"{spell(key)} is required{context}: {RULES[key].allowed}")


def _shown(raw: object) -> str:
    text = raw if isinstance(raw, str) else repr(raw)
    text = " ".join(text.split()) or "nothing"
    return text if len(text) <= 60 else text[:57] + "..."
