"""What the commands `radius` and `frontier` ask, read from options or from a line of a batch file.

Every value is checked here, once, so that a message can name the option (or key), the value and the range.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hybridcert.certificate.confidence import MAX_SAMPLES, clopper_pearson_lower
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError
from hybridcert.kernels.absorbing import Absorbing
from hybridcert.kernels.deletion import RandomDeletion
from hybridcert.kernels.discrete import DiscreteKernel
from hybridcert.kernels.uniform import UniformReplacement
from hybridcert.threats import THREATS

MAX_BUDGET = 1_000_000
"""Largest discrete budget that the commands accept."""

_KERNELS: dict[str, Callable[[float], DiscreteKernel]] = {
    "uniform": UniformReplacement,
    "absorbing": Absorbing,
    "deletion": RandomDeletion,
    "fields": UniformReplacement,
}
_DEFAULT_THREATS = {
    "uniform": "substitution",
    "absorbing": "substitution",
    "deletion": "insertion",
    "fields": "fields",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """How one option is read and what it may be."""

    read: Callable[[object], Any]
    accepts: Callable[[Any], bool]
    allowed: str


def _number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError  # noqa: TRY004 - reported as a wrong value like any other
    return float(raw)


def _integer(raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        try:
            return int(raw)
        except ValueError:
            pass
    value = _number(raw)
    if not value.is_integer():
        raise ValueError
    return int(value)


def _sizes(raw: object) -> tuple[int, ...]:
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list | tuple):
        raise ValueError  # noqa: TRY004 - reported as a wrong value like any other
    return tuple(_integer(part) for part in parts)


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError  # noqa: TRY004 - reported as a wrong value like any other
    return raw


def _one_of(names: Iterable[str]) -> Rule:
    known = tuple(names)
    return Rule(_text, known.__contains__, "one of " + ", ".join(known))


def _at_least(least: int) -> Rule:
    return Rule(_integer, lambda v: v >= least, f"an integer >= {least}")


_OPEN = Rule(_number, lambda v: 0.0 < v < 1.0, "in (0, 1)")
_BUDGET = Rule(_integer, lambda v: 0 <= v <= MAX_BUDGET, f"an integer in [0, {MAX_BUDGET}]")

RULES: dict[str, Rule] = {
    "kernel": _one_of(_KERNELS),
    "beta": Rule(_number, lambda v: 0.0 < v <= 1.0, "in (0, 1]"),
    "alphabet": _at_least(2),
    "sizes": Rule(
        _sizes,
        lambda v: bool(v) and min(v) >= 2,
        "a list of integers >= 2 such as 9,16,7",
    ),
    "threat": _one_of(THREATS),
    "d": _BUDGET,
    "d_max": _BUDGET,
    "sigma": Rule(_number, lambda v: 0.0 < v < math.inf, "a finite number > 0"),
    "threshold": _OPEN,
    "p_lower": Rule(_number, lambda v: 0.0 <= v < 1.0, "in [0, 1)"),
    "successes": _at_least(0),
    "samples": Rule(_integer, lambda v: 1 <= v <= MAX_SAMPLES, f"an integer in [1, {MAX_SAMPLES}]"),
    "alpha": _OPEN,
    "eps": Rule(_number, lambda v: 0.0 <= v < math.inf, "a finite number >= 0"),
    "copies": _at_least(1),
    "miss": _OPEN,
    "limit": _at_least(1),
}
"""Every option that carries a number, by its key."""


@dataclasses.dataclass(frozen=True, slots=True)
class Channel:
    """The discrete noise and the threat: all that fixes the spectra, budget aside."""

    kernel: str
    beta: float
    threat: str
    alphabet: int | None
    sizes: tuple[int, ...] | None

    def spectra(self, d: int) -> Sequence[LikelihoodSpectrum]:
        """Return the candidates of the worst case at budget ``d``."""
        return _spectra(self, d)

    def described(self) -> dict[str, object]:
        """Return the channel as JSON-ready values; what does not apply is left out."""
        values: dict[str, object] = {"kernel": self.kernel, "beta": self.beta, "threat": self.threat}
        if self.alphabet is not None:
            values["alphabet"] = self.alphabet
        if self.sizes is not None:
            values["sizes"] = list(self.sizes)
        return values


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """Successes among samples, and the level of the confidence bound."""

    successes: int
    samples: int
    alpha: float


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """One certificate to compute; ``d`` is the largest budget when a frontier is asked for."""

    channel: Channel
    d: int
    sigma: float
    threshold: float
    evidence: float | Counts
    eps: float

    def p_lower(self) -> float:
        """Return the lower bound on the clean score that the evidence gives."""
        if isinstance(self.evidence, Counts):
            counts = self.evidence
            return float(clopper_pearson_lower(counts.successes, counts.samples, counts.alpha))
        return self.evidence


def option_name(key: str) -> str:
    """Spell a key as it stands on the command line."""
    return "--" + key.replace("_", "-")


def read_query(
    raw: Mapping[str, object], *, budget: str = "d", spell: Callable[[str], str] = option_name
) -> Query:
    """Check raw values (None: not given) and build the query.

    Parameters
    ----------
    raw : mapping
        Values by key, as text or as numbers.
    budget : {"d", "d_max"}
        The key that holds the discrete budget.
    spell : callable
        How a message spells a key.

    Raises
    ------
    ParameterError
        For a value outside its range, a missing one, or one that does not apply.
    """
    given = {key: read_value(key, value, spell) for key, value in raw.items() if value is not None}
    channel = _read_channel(given, spell)
    for key in (budget, "sigma", "threshold"):
        if key not in given:
            raise ParameterError(f"{spell(key)} is required: {RULES[key].allowed}")
    d = given[budget]
    if channel.sizes is not None and d > len(channel.sizes):
        raise ParameterError(
            f"{spell(budget)} must be at most the number of fields in {spell('sizes')}, "
            f"{len(channel.sizes)}, got {d}"
        )
    eps = given.get("eps", 0.0)
    if not math.isfinite(eps / given["sigma"]):
        raise ParameterError(
            f"{spell('eps')} must be a finite multiple of {spell('sigma')} = {given['sigma']}, got {eps}"
        )
    return Query(channel, d, given["sigma"], given["threshold"], _read_evidence(given, spell), eps)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a "did you mean" for a name that is not known, or a list of what is."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "known are " + ", ".join(known)


def read_value(key: str, raw: object, spell: Callable[[str], str] = option_name) -> Any:
    """Read and check one value; raise ParameterError with its range."""
    rule = RULES[key]
    try:
        value = rule.read(raw)
        accepted = rule.accepts(value)
    except (ValueError, OverflowError):
        accepted = False
    if not accepted:
        raise ParameterError(f"{spell(key)} must be {rule.allowed}, got {_shown(raw)}")
    return value


def _shown(raw: object) -> str:
    text = raw if isinstance(raw, str) else repr(raw)
    text = " ".join(text.split()) or "nothing"
    return text if len(text) <= 60 else text[:57] + "..."


def _read_channel(given: Mapping[str, Any], spell: Callable[[str], str]) -> Channel:
    kernel = given.get("kernel", "uniform")
    if "beta" not in given:
        raise ParameterError(f"{spell('beta')} is required: {RULES['beta'].allowed}")
    for key, owner in (("alphabet", "uniform"), ("sizes", "fields")):
        if kernel == owner and key not in given:
            raise ParameterError(
                f"{spell(key)} is required with {spell('kernel')} {owner}: {RULES[key].allowed}"
            )
        if kernel != owner and key in given:
            raise ParameterError(
                f"{spell(key)} does not apply to {spell('kernel')} {kernel}: leave it out or use {owner}"
            )
    threat = given.get("threat", _DEFAULT_THREATS[kernel])
    channel = Channel(kernel, given["beta"], threat, given.get("alphabet"), given.get("sizes"))
    channel.spectra(0)  # refuses a threat that the kernel does not serve
    return channel


def _read_evidence(given: Mapping[str, Any], spell: Callable[[str], str]) -> float | Counts:
    keys = ("successes", "samples", "alpha")
    counted = [key for key in keys if key in given]
    missing = [key for key in keys if key not in given]
    if "p_lower" in given and counted:
        raise ParameterError(
            f"{spell('p_lower')} and {spell(counted[0])} exclude each other: give a bound or the counts"
        )
    if "p_lower" in given:
        return float(given["p_lower"])
    if not counted:
        raise ParameterError(
            f"{spell('p_lower')} in [0, 1) is required, or {spell('successes')}, {spell('samples')} "
            f"and {spell('alpha')}"
        )
    if missing:
        raise ParameterError(
            f"{spell(missing[0])} is required with {spell(counted[0])}: {RULES[missing[0]].allowed}"
        )
    counts = Counts(given["successes"], given["samples"], given["alpha"])
    if counts.successes > counts.samples:
        raise ParameterError(
            f"{spell('successes')} must be in [0, {spell('samples')} = {counts.samples}], "
            f"got {counts.successes}"
        )
    return counts


@functools.lru_cache(maxsize=1024)
def _spectra(channel: Channel, d: int) -> Sequence[LikelihoodSpectrum]:
    kernel = _KERNELS[channel.kernel](channel.beta)
    if channel.sizes is not None:
        sizes: Sequence[int] = channel.sizes
    else:
        sizes = [channel.alphabet or 2] * d
    return kernel.spectra(THREATS[channel.threat](d), d, sizes)
