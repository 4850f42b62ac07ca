"""Position kernels: the options of the adversary at one position, as exact pairs of laws."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flint import fmpq

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.matrix import Options, matrix_options
from hybridcert.verify.memory import Kept
from hybridcert.verify.meter import Meter
from hybridcert.verify.pairs import Pair
from hybridcert.verify.reals import count, items, real_in, section, shown, text


@dataclass(frozen=True, slots=True)
class PositionClass:
    """Positions that are alike: the options of the adversary at each, and how many positions there are.

    ``bit`` is the clean bit under the kernel ``flips`` and None under the others.
    """

    options: tuple[Pair, ...]
    positions: int
    bit: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PositionLaw:
    """A discrete modality whose positions are corrupted independently; compared by identity, being large."""

    modality: str
    kernel: str
    classes: tuple[PositionClass, ...]
    work: int
    symbols: str | None = None


@dataclass(frozen=True, slots=True)
class DeletionLaw:
    """A sequence whose symbols are deleted independently with probability ``beta``."""

    modality: str
    beta: fmpq
    length: int | None
    symbols: str | None = None


DiscreteLaw = PositionLaw | DeletionLaw


def discrete_law(value: object, where: str) -> DiscreteLaw:
    """Read one entry of ``law.discrete``."""
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: expected an object, got {shown(value)}")
    canonical = json.dumps(value, sort_keys=True)
    return _LAWS.get((canonical, where), lambda: _discrete_law(canonical, where), lambda _: len(canonical))


_LAWS: Final[Kept[DiscreteLaw]] = Kept(limits.KEPT_CHARACTERS)


def _discrete_law(canonical: str, where: str) -> DiscreteLaw:
    value = json.loads(canonical)
    kernel = value.get("kernel")
    if kernel == "deletion":
        law = section(value, where, required=("modality", "kernel", "beta", "length"), optional=("symbols",))
        most = limits.SYMBOLS
        length = None if law["length"] is None else count(law["length"], f"{where}.length", most=most)
        name = text(law["modality"], f"{where}.modality")
        return DeletionLaw(name, _rate(law["beta"], where), length, _symbols(law, where))
    if not isinstance(kernel, str) or kernel not in _KERNELS:
        known = ", ".join((*_KERNELS, "deletion"))
        raise DataError(f"{where}.kernel: unknown kernel {shown(kernel)}; known: {known}")
    parameters, reader = _KERNELS[kernel]
    required = ("modality", "kernel", "positions", *parameters)
    law = section(value, where, required=required, optional=("symbols",))
    name, symbols = text(law["modality"], f"{where}.modality"), _symbols(law, where)
    meter = Meter(limits.LAW_WORK)
    options = reader(law, where, meter)
    classes, total = [], 0
    for index, entry in enumerate(items(law["positions"], f"{where}.positions", most=limits.OPTIONS)):
        at = f"{where}.positions[{index}]"
        found = items(entry, at, most=2)
        if len(found) != 2:
            raise DataError(f"{at}: expected [class, count], got {len(found)} entries")
        positions = count(found[1], f"{at}[1]", most=limits.SYMBOLS)
        pairs = options(found[0], f"{at}[0]")
        total += len(pairs)
        meter.spend(_CLASS_UNITS + _OPTION_UNITS * len(pairs))
        if total > limits.OPTIONS:
            raise DataError(f"{where}: more than {limits.OPTIONS} options")
        bit = found[0] if kernel == "flips" and isinstance(found[0], int) else None
        classes.append(PositionClass(pairs, positions, bit))
    return PositionLaw(name, kernel, tuple(classes), meter.spent, symbols)


_CLASS_UNITS: Final = 200  # work for a class, and for an option of it
_OPTION_UNITS: Final = 200


def _symbols(law: Mapping[str, object], where: str) -> str | None:
    """Read what a symbol is, where the document says so."""
    if law.get("symbols") is None:
        return None
    symbols, most = text(law["symbols"], f"{where}.symbols"), limits.SYMBOL_CHARACTERS
    if len(symbols) > most:
        raise DataError(f"{where}.symbols: at most {most} characters, got {len(symbols)}")
    return symbols


def _rate(value: object, where: str) -> fmpq:
    return real_in(value, f"{where}.beta", "0", "1", brackets="(]")


def _replacement(size: int, beta: fmpq) -> tuple[Pair, ...]:
    """Keep the symbol with probability 1 − β, else take one of the other ``size`` − 1."""
    stay, move = 1 - beta, beta / (size - 1)
    others = (size - 2) * move
    return (Pair.of(((stay, move), (move, stay), (others, others))),)


def _uniform(law: Mapping[str, object], where: str, _: Meter) -> Options:
    beta = _rate(law["beta"], where)
    return lambda size, at: _replacement(count(size, at, least=2, most=limits.SYMBOLS), beta)


def _fields(law: Mapping[str, object], where: str, _: Meter) -> Options:
    def options(value: object, at: str) -> tuple[Pair, ...]:
        field = section(value, at, required=("size", "beta"))
        size = count(field["size"], f"{at}.size", least=2, most=limits.SYMBOLS)
        return _replacement(size, _rate(field["beta"], at))

    return options


def _randomized_response(law: Mapping[str, object], where: str, _: Meter) -> Options:
    ratio = real_in(law["ratio"], f"{where}.ratio", "0", "inf", brackets="()")

    def options(value: object, at: str) -> tuple[Pair, ...]:
        size = count(value, at, least=2, most=limits.SYMBOLS)
        return _replacement(size, (size - 1) / (size - 1 + ratio))

    return options


def _absorbing(law: Mapping[str, object], where: str, _: Meter) -> Options:
    beta = _rate(law["beta"], where)
    pairs = (Pair.of(((beta, beta), (1 - beta, fmpq(0)), (fmpq(0), 1 - beta))),)

    def options(value: object, at: str) -> tuple[Pair, ...]:
        if value != "symbol":
            raise DataError(f"{at}: the class of kernel 'absorbing' is 'symbol', got {shown(value)}")
        return pairs

    return options


def _flips(law: Mapping[str, object], where: str, _: Meter) -> Options:
    plus = real_in(law["p_plus"], f"{where}.p_plus", "0", "1", brackets="[)")
    minus = real_in(law["p_minus"], f"{where}.p_minus", "0", "1", brackets="[)")
    pairs = (
        (Pair.of(((plus, 1 - minus), (1 - plus, minus))),),
        (Pair.of(((minus, 1 - plus), (1 - minus, plus))),),
    )
    return lambda bit, at: pairs[count(bit, at, most=1)]


def _synonyms(law: Mapping[str, object], where: str, _: Meter) -> Options:
    def options(value: object, at: str) -> tuple[Pair, ...]:
        found = items(value, at, most=2)
        if len(found) != 2:
            raise DataError(f"{at}: expected [K, [[K', n], …]], got {len(found)} entries")
        size = count(found[0], f"{at}[0]", least=1, most=limits.SYMBOLS)
        pairs = []
        for index, entry in enumerate(items(found[1], f"{at}[1]", most=limits.OPTIONS)):
            here = f"{at}[1][{index}]"
            sizes = items(entry, here, most=2)
            if len(sizes) != 2:
                raise DataError(f"{here}: expected [K', n], got {len(sizes)} entries")
            other = count(sizes[0], f"{here}[0]", least=1, most=limits.SYMBOLS)
            pairs.append(_overlap(size, other, count(sizes[1], f"{here}[1]", most=min(size, other))))
        return tuple(pairs)

    return options


@functools.lru_cache(maxsize=65536)
def _overlap(size: int, other: int, both: int) -> Pair:
    """Uniform on ``size`` words against uniform on ``other`` words, ``both`` of them shared."""
    shared = (fmpq(both, size), fmpq(both, other))
    return Pair.of((shared, (fmpq(size - both, size), fmpq(0)), (fmpq(0), fmpq(other - both, other))))


_KERNELS: Final[dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, object], str, Meter], Options]]]] = {
    "uniform": (("beta",), _uniform),
    "fields": ((), _fields),
    "randomized-response": (("ratio",), _randomized_response),
    "absorbing": (("beta",), _absorbing),
    "flips": (("p_plus", "p_minus"), _flips),
    "synonyms": ((), _synonyms),
    "matrix": (("rows", "substitutions"), matrix_options),
}
