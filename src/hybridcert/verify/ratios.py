"""Exact keys for products of rationals: exponents over integers that have no common factor.

Two products of likelihood ratios are equal exactly if their exponents over a coprime basis are equal (coprime
integers above one are multiplicatively independent), and a basis needs greatest common divisors only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from flint import fmpq

Exponents = tuple[int, ...]


def coprime_basis(numbers: Iterable[int]) -> tuple[int, ...]:
    """Return pairwise coprime integers > 1 whose powers make up every one of these positive integers."""
    stack = []
    basis: list[int] = []
    two = False
    for number in set(numbers):
        odd = number >> _twos(number)  # denominators of floats are powers of two: take them out at once
        two = two or odd != number
        stack.append(odd)
    while stack:
        number = stack.pop()
        if number == 1:
            continue
        for index, other in enumerate(basis):
            common = math.gcd(number, other)
            if common > 1:
                del basis[index]
                stack += [number // common, other // common, common]
                break
        else:
            basis.append(number)
    return (*((2,) if two else ()), *sorted(basis))


def exponents(ratio: fmpq, basis: Sequence[int]) -> Exponents:
    """Return the exponents of a positive rational over a basis that its two parts went into."""
    return tuple(_order(int(ratio.p), base) - _order(int(ratio.q), base) for base in basis)


def _twos(number: int) -> int:
    return (number & -number).bit_length() - 1


def _order(number: int, base: int) -> int:
    if base == 2:
        return _twos(number)
    order = 0
    while number % base == 0:
        number //= base
        order += 1
    return order
