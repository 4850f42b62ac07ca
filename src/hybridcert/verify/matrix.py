"""The kernel ``matrix``: each symbol is drawn from its row, and a list says which may replace which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from flint import fmpq

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.meter import Meter, rational_units
from hybridcert.verify.pairs import Pair
from hybridcert.verify.reals import count, items, real

_OUTCOME_UNITS: Final = 50  # work for an outcome of an option, and the operations on its masses
_OUTCOME_OPERATIONS: Final = 8

Options = Callable[[object, str], tuple[Pair, ...]]


def matrix_options(law: Mapping[str, object], where: str, meter: Meter) -> Options:
    """Read the parameters of kernel ``matrix``, as a function from a clean symbol to its options."""
    rows = _rows(law["rows"], f"{where}.rows", meter)
    allowed = _substitutes(law["substitutions"], f"{where}.substitutions", len(rows))
    found: dict[int, tuple[Pair, ...]] = {}  # the classes of one law, each computed once
    widest = max(int(weight.q).bit_length() for row in rows for weight in row)
    units = _OUTCOME_UNITS + _OUTCOME_OPERATIONS * rational_units(widest)

    def options(value: object, at: str) -> tuple[Pair, ...]:
        symbol = count(value, at, most=len(rows) - 1)
        if symbol not in found:
            meter.spend(len(allowed(symbol)) * len(rows) * units)
            found[symbol] = tuple(
                Pair.of(zip(rows[symbol], rows[substitute], strict=True)) for substitute in allowed(symbol)
            )
        return found[symbol]

    return options


def _rows(value: object, where: str, meter: Meter) -> tuple[tuple[fmpq, ...], ...]:
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
        longest = max(int(part).bit_length() for part in (total.p, total.q))
        meter.spend(2 * size * rational_units(longest))  # every mass takes on its digits, in memory too
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
