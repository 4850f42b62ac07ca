"""An error probability shared among several looks at the same growing sample.

Clopper–Pearson at look i errs with probability at most α_i; with Σ α_i ≤ α all looks together err with
probability at most α, whatever decides at which of them the sampling stops (union bound; the shares are
an alpha-spending function of Lan & DeMets 1983 used without its correlation between looks).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy.typing as npt

from hybridcert.certificate.binomial import MAX_SAMPLES
from hybridcert.certificate.confidence import clopper_pearson_lower
from hybridcert.certificate.directed import Floats
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.errors import ParameterError


@dataclass(frozen=True, slots=True)
class AlphaBudget:
    """Looks at a growing sample, each with its share of the error probability.

    Attributes
    ----------
    looks : tuple of int
        Copies drawn up to each look, strictly increasing.
    alphas : tuple of float in (0, 1)
        One for each look; their exact sum is at most ``alpha``.
    alpha : float in (0, 1)

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """

    looks: tuple[int, ...]
    alphas: tuple[float, ...]
    alpha: float

    def __post_init__(self) -> None:
        check_looks(self.looks)
        check_open("alpha", self.alpha)
        if len(self.alphas) != len(self.looks):
            raise ParameterError(
                f"alphas must have one entry for each of {len(self.looks)} looks, got {len(self.alphas)}"
            )
        for share in self.alphas:
            check_open("each of alphas", share)
        if sum(map(Fraction, self.alphas)) > Fraction(self.alpha):
            raise ParameterError(
                f"alphas must add up to at most alpha = {self.alpha!r}, got {math.fsum(self.alphas)!r}: "
                "let alpha_budget share it out"
            )

    def lower(self, successes: npt.ArrayLike, *, look: int) -> Floats:
        """Return the lower confidence bound on the success probability at a look, rounded down.

        Guarantee: with probability at least 1 − ``alpha``, the bounds of all looks are at most the true
        probability; so is the one at which the sampling stops, whatever stops it.

        Parameters
        ----------
        successes : int array, any shape, 0 <= successes <= looks[look]
        look : int in [0, len(looks))

        Raises
        ------
        ParameterError
            For values outside these ranges.
        """
        check_look(look, self.looks)
        return clopper_pearson_lower(successes, self.looks[look], self.alphas[look])


def alpha_budget(looks: Sequence[int], alpha: float, *, shares: Sequence[float] | None = None) -> AlphaBudget:
    """Share an error probability among looks, rounding every share down.

    Parameters
    ----------
    looks : sequence of int
        Copies drawn up to each look, strictly increasing.
    alpha : float in (0, 1)
    shares : sequence of positive floats, optional
        In which proportion the looks share ``alpha``; by default as the copies that each adds.

    Raises
    ------
    ParameterError
        For values outside these ranges, and where a share of ``alpha`` is too small for a float.

    Examples
    --------
    >>> from hybridcert.certificate.alpha_budget import alpha_budget
    >>> alpha_budget((100, 1000, 10_000), 0.01).alphas
    (0.0001, 0.0009, 0.009)
    """
    copies = check_looks(looks)
    check_open("alpha", alpha)
    if shares is None:
        parts = [Fraction(n - before) for before, n in itertools.pairwise((0, *copies))]
    else:
        parts = [_checked_share(share) for share in shares]
        if len(parts) != len(copies):
            raise ParameterError(
                f"shares must have one entry for each of {len(copies)} looks, got {len(parts)}"
            )
    total = sum(parts)
    alphas = tuple(_rounded_down(Fraction(alpha) * part / total) for part in parts)
    if min(alphas) <= 0.0:
        raise ParameterError(
            f"alpha must leave every look a positive share, got {alpha!r} for {len(copies)} looks"
        )
    return AlphaBudget(copies, alphas, float(alpha))


def check_looks(looks: Sequence[int]) -> tuple[int, ...]:
    """Return ``looks`` as plain integers; raise ParameterError unless they are counts that increase."""
    if len(looks) == 0:
        raise ParameterError("looks must hold at least one number of copies, got none")
    for n in looks:
        check_count("each of looks", n, most=MAX_SAMPLES)
    for before, n in itertools.pairwise(looks):
        if n <= before:
            raise ParameterError(f"looks must increase strictly, got {n} after {before}")
    return tuple(int(n) for n in looks)


def check_look(look: int, looks: Sequence[int]) -> None:
    """Raise ParameterError unless ``look`` is an index of ``looks``."""
    if isinstance(look, bool) or not 0 <= look < len(looks):
        raise ParameterError(f"look must be in [0, {len(looks) - 1}], got {look!r}")


def _checked_share(share: float) -> Fraction:
    if not (math.isfinite(share) and share > 0.0):
        raise ParameterError(f"each of shares must be a positive number, got {share!r}")
    return Fraction(share)


def _rounded_down(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, 0.0)
