"""Position kernels: the options of the adversary at one position, as exact pairs of laws."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flint import fmpq

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.memory import Kept
from hybridcert.verify.meter import Meter
from hybridcert.verify.pairs import Pair
from hybridcert.verify.reals import count, items, real, real_in, section, shown, text

_ONE: Final = fmpq(1)


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


@dataclass(frozen=True, slots=True)
class DeletionLaw:
    """A sequence whose symbols are deleted independently with probability ``beta``."""

    modality: str
    beta: fmpq
    length: int | None


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
        law = section(value, where, required=("modality", "kernel", "beta", "length"))
        most = limits.SYMBOLS
        length = None if law["length"] is None else count(law["length"], f"{where}.length", most=most)
        return DeletionLaw(text(law["modality"], f"{where}.modality"), _rate(law["beta"], where), length)
    if not isinstance(kernel, str) or kernel not in _KERNELS:
        known = ", ".join((*_KERNELS, "deletion"))
        raise DataError(f"{where}.kernel: unknown kernel {shown(kernel)}; known: {known}")
    parameters, reader = _KERNELS[kernel]
    law = section(value, where, required=("modality", "kernel", "positions", *parameters))
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
    return PositionLaw(text(law["modality"], f"{where}.modality"), kernel, tuple(classes), meter.spent)


_CLASS_UNITS: Final = 200  # work for a class, an option of it, and an outcome of a matrix
_OPTION_UNITS: Final = 200
_OUTCOME_UNITS: Final = 50

Options = Callable[[object, str], tuple[Pair, ...]]


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


def _matrix(law: Mapping[str, object], where: str, meter: Meter) -> Options:
    rows = _rows(law["rows"], f"{where}.rows")
    allowed = _substitutes(law["substitutions"], f"{where}.substitutions", len(rows))
    found: dict[int, tuple[Pair, ...]] = {}  # the classes of one law, each computed once
    widest = max(int(weight.q).bit_length() for row in rows for weight in row)

    def options(value: object, at: str) -> tuple[Pair, ...]:
        symbol = count(value, at, most=len(rows) - 1)
        if symbol not in found:
            meter.spend(_OUTCOME_UNITS * len(allowed(symbol)) * len(rows) * (1 + widest // 500))
            found[symbol] = tuple(
                Pair.of(zip(rows[symbol], rows[substitute], strict=True)) for substitute in allowed(symbol)
            )
        return found[symbol]

    return options


def _rows(value: object, where: str) -> tuple[tuple[fmpq, ...], ...]:
    """Read a square matrix of weights and divide every row by its sum."""
    size = len(items(value, where, most=limits.MATRIX_ROWS))
    rows = []
    for index, entry in enumerate(items(value, where, most=limits.MATRIX_ROWS)):
        weights = [
            real(weight, f"{where}[{index}][{column}]")
            for column, weight in enumerate(items(entry, f"{where}[{index}]", most=limits.MATRIX_ROWS))
        ]
        total = fmpq(0)
        for weight in weights:
            total = total + weight
            if int(total.q).bit_length() > limits.MATRIX_BITS:
                raise DataError(f"{where}[{index}]: the sum has more than {limits.MATRIX_BITS} bits")
        if len(weights) != size or min(weights) < 0 or total == 0:
            raise DataError(f"{where}[{index}]: expected {size} weights >= 0 that are not all 0")
        rows.append(tuple(weight / total for weight in weights))
    if not rows:
        raise DataError(f"{where}: expected at least one row")
    return tuple(rows)


def _substitutes(value: object, where: str, size: int) -> Callable[[int], Sequence[int]]:
    """Read which symbols may replace which, as a function from a symbol to its substitutes in order."""
    if value == "all":
        return lambda symbol: [other for other in range(size) if other != symbol]
    allowed: dict[int, set[int]] = {}
    for index, entry in enumerate(items(value, where, most=size * size)):
        at = f"{where}[{index}]"
        found = items(entry, at, most=2)
        if len(found) != 2:
            raise DataError(f"{at}: expected [x, x'], got {len(found)} entries")
        clean, other = (count(symbol, f"{at}[{side}]", most=size - 1) for side, symbol in enumerate(found))
        if clean == other:
            raise DataError(f"{at}: a symbol is no substitute for itself, got {clean}")
        if other in allowed.setdefault(clean, set()):
            raise DataError(f"{at}: the substitution [{clean}, {other}] occurs twice")
        allowed[clean].add(other)
    return lambda symbol: sorted(allowed.get(symbol, ()))


_KERNELS: Final[dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, object], str, Meter], Options]]]] = {
    "uniform": (("beta",), _uniform),
    "fields": ((), _fields),
    "randomized-response": (("ratio",), _randomized_response),
    "absorbing": (("beta",), _absorbing),
    "flips": (("p_plus", "p_minus"), _flips),
    "synonyms": ((), _synonyms),
    "matrix": (("rows", "substitutions"), _matrix),
}
