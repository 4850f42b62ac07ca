"""Any noise on single symbols: a row-stochastic matrix, and the substitutions that the adversary may make."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import numbers
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from hybridcert.certificate.channel import ChannelPair
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import Codes, Positions, real
from hybridcert.kernels.draws import Categorical
from hybridcert.kernels.positions import PositionKernel
from hybridcert.threats import DiscreteSurface

_SUM_ERROR = 1e-9  # what rounding may cost the sum of a row of probabilities

Number = float | Fraction


@dataclasses.dataclass(frozen=True, slots=True, init=False)
class MatrixKernel(PositionKernel):
    """Turn symbol x into z with probability ``rows[x][z]``, at each eligible position.

    Parameters
    ----------
    rows : square matrix of float, int or Fraction >= 0
        Every row is divided by its exact sum, so the law is rational whatever rounding went into the entries.
    substitutions : "all", or iterable of (x, x′)
        What the adversary may put in the place of what.
    weights : bool
        Whether rows are weights of any positive sum; otherwise each must sum to 1 within 1e-9.

    Raises
    ------
    ParameterError
        For a matrix that is not square, an entry that is negative or no finite number, or a wrong sum.
    """

    rows: tuple[tuple[Number, ...], ...] = dataclasses.field(compare=False, repr=False)
    substitutions: str | tuple[tuple[int, int], ...] = dataclasses.field(compare=False)
    digest: str
    _laws: tuple[tuple[Fraction, ...], ...] = dataclasses.field(compare=False, repr=False)
    _options: dict[int, tuple[ChannelPair, ...]] = dataclasses.field(compare=False, repr=False)
    _draws: dict[int, Categorical] = dataclasses.field(compare=False, repr=False)
    name: ClassVar[str] = "matrix"

    def __init__(
        self,
        rows: Sequence[Sequence[Number]],
        *,
        substitutions: str | Iterable[tuple[int, int]] = "all",
        weights: bool = False,
    ) -> None:
        exact = tuple(tuple(_number(entry) for entry in row) for row in rows)
        for x, row in enumerate(exact):
            _check_row(x, row, len(exact), weights)
        pairs = "all" if substitutions == "all" else _checked(substitutions, len(exact))
        content = json.dumps([[list(map(real, row)) for row in exact], pairs]).encode()
        object.__setattr__(self, "rows", exact)
        object.__setattr__(self, "substitutions", pairs)
        object.__setattr__(self, "digest", hashlib.blake2b(content, digest_size=16).hexdigest())
        object.__setattr__(self, "_laws", tuple(_normalised(row) for row in exact))
        object.__setattr__(self, "_options", {})
        object.__setattr__(self, "_draws", {})

    def exposure(self, codes: Codes, alphabet_sizes: Sequence[int]) -> Positions:
        """Return the exposure of one input: its symbols, counted."""
        del alphabet_sizes
        return tuple(sorted(Counter(codes.tolist()).items()))

    def options(self, position_class: Any) -> tuple[ChannelPair, ...]:
        """Return one option for each symbol that may take the place of this one, in increasing order."""
        if position_class not in self._options:
            clean = self._laws[position_class]
            self._options[position_class] = tuple(
                ChannelPair.of(zip(clean, self._laws[other], strict=True))
                for other in self._substitutes(position_class)
            )
        return self._options[position_class]

    def parameters(self) -> dict[str, object]:
        """Return what identifies the matrix as plain values by name."""
        return {"symbols": len(self.rows), "digest": self.digest}

    def law_parameters(self) -> dict[str, object]:
        """Return the parameters as an issued certificate states them."""
        pairs = self.substitutions
        return {
            "rows": [list(map(real, row)) for row in self.rows],
            "substitutions": pairs if isinstance(pairs, str) else [list(pair) for pair in pairs],
        }

    def check_surface(self, surface: DiscreteSurface) -> None:
        """Raise ParameterError unless every eligible position has one symbol for each row."""
        PositionKernel.check_surface(self, surface)
        for size in surface.eligible_sizes:
            if size != len(self.rows):
                raise ParameterError(
                    f"the matrix kernel needs alphabets of {len(self.rows)} symbols, one a row, got {size}"
                )

    def sample(self, codes: Codes, alphabet_sizes: Sequence[int], stream: np.random.Generator) -> Codes:
        """Return noisy copies of ``codes``, shape (copies, positions), drawn from ``stream``."""
        del alphabet_sizes
        noisy = codes.ravel().copy()
        for x in np.unique(codes).tolist():
            if x not in self._draws:
                self._draws[x] = Categorical.of(self._laws[x])
            places = np.flatnonzero(codes.ravel() == x)
            noisy[places] = self._draws[x].draw(places.size, stream)
        return noisy.reshape(codes.shape)

    def _substitutes(self, x: int) -> list[int]:
        if isinstance(self.substitutions, str):
            return [other for other in range(len(self.rows)) if other != x]
        return [other for symbol, other in self.substitutions if symbol == x]


def _number(entry: Any) -> Number:
    if isinstance(entry, numbers.Integral):
        return Fraction(int(entry))
    return entry if isinstance(entry, Fraction) else float(entry)


def _check_row(x: int, row: Sequence[Number], symbols: int, weights: bool) -> None:
    if len(row) != symbols:
        raise ParameterError(
            f"rows must form a square matrix, got row {x} of {len(row)} entries, not {symbols}"
        )
    for entry in row:
        if not 0 <= entry < math.inf:
            raise ParameterError(f"row {x}: entries must be finite numbers >= 0, got {entry}")
    total = sum(Fraction(entry) for entry in row)
    if total == 0:
        raise ParameterError(f"row {x}: the sum must be positive, got 0")
    if not weights and abs(total - 1) > _SUM_ERROR:
        raise ParameterError(
            f"row {x}: the sum must be 1 within {_SUM_ERROR}, got {float(total)}: for weights pass "
            "weights=True"
        )


def _normalised(row: Sequence[Number]) -> tuple[Fraction, ...]:
    exact = [Fraction(entry) for entry in row]
    total = sum(exact)
    return tuple(entry / total for entry in exact)


def _checked(substitutions: str | Iterable[tuple[int, int]], symbols: int) -> tuple[tuple[int, int], ...]:
    if isinstance(substitutions, str):
        raise ParameterError(f'substitutions must be "all" or pairs of symbols, got {substitutions!r}')
    pairs = sorted({(int(x), int(other)) for x, other in substitutions})
    for x, other in pairs:
        if x == other or not (0 <= x < symbols and 0 <= other < symbols):
            raise ParameterError(
                f"substitutions must be pairs of different symbols in [0, {symbols - 1}], got ({x}, {other})"
            )
    return tuple(pairs)
