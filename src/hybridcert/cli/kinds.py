"""The discrete kernels by their command-line names: which options each takes, and what they make of it."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Hashable

import numpy as np

from hybridcert.cli.rules import Given
from hybridcert.cli.tables import Pairs, Rows, Synonyms
from hybridcert.kernels.absorbing import Absorbing
from hybridcert.kernels.deletion import RandomDeletion
from hybridcert.kernels.discrete import DiscreteKernel
from hybridcert.kernels.fields import FieldReplacement
from hybridcert.kernels.flips import SparseFlips
from hybridcert.kernels.matrix import MatrixKernel
from hybridcert.kernels.randomized_response import RandomizedResponse
from hybridcert.kernels.synonyms import SynonymReplacement
from hybridcert.kernels.uniform import UniformReplacement

Built = tuple[DiscreteKernel, Hashable]
"""A kernel, and the exposure of the input."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What the options of one kernel are, and how they make it.

    ``needed`` holds keys, or alternatives of which exactly one is needed. ``build`` gets the given values and
    the number of positions that the budget takes at least. ``positions`` counts what may change, and
    ``counted`` says where it was counted.
    """

    needed: tuple[str | tuple[str, ...], ...]
    threat: str
    build: Callable[[Given, int], Built]
    optional: tuple[str, ...] = ()
    positions: Callable[[Given], int | None] = lambda given: given.get("positions")
    counted: str = "positions in {positions}"

    @property
    def keys(self) -> set[str]:
        """All keys that apply."""
        needed = {key for group in self.needed for key in ((group,) if isinstance(group, str) else group)}
        return needed | set(self.optional)


def _uniform(given: Given, positions: int) -> Built:
    return UniformReplacement(given["beta"]), ((given["alphabet"], given.get("positions", positions)),)


def _absorbing(given: Given, positions: int) -> Built:
    kernel = Absorbing(given["beta"])
    return kernel, kernel.exposure_of_sizes([2] * given.get("positions", positions))


def _deletion(given: Given, positions: int) -> Built:
    del positions
    return RandomDeletion(given["beta"]), given.get("length")


def _fields(given: Given, positions: int) -> Built:
    del positions
    several = isinstance(given["beta"], tuple)
    kernel = FieldReplacement(given["beta"]) if several else UniformReplacement(given["beta"])
    return kernel, kernel.exposure_of_sizes(given["sizes"])


def _randomized_response(given: Given, positions: int) -> Built:
    del positions
    if "ratio" in given:
        kernel = RandomizedResponse(given["ratio"])
    else:
        kernel = RandomizedResponse.from_log_ratio(given["log_ratio"])
    return kernel, kernel.exposure_of_sizes(given["sizes"])


def _flips(given: Given, positions: int) -> Built:
    del positions
    exposure = tuple((bit, given[key]) for bit, key in enumerate(("zeros", "ones")) if given[key])
    return SparseFlips(given["p_plus"], given["p_minus"]), exposure


def _synonyms(given: Given, positions: int) -> Built:
    del positions
    return _synonym_kernel(given["synonyms"], given["words"])


def _matrix(given: Given, positions: int) -> Built:
    del positions
    return _matrix_kernel(given["matrix"], given.get("substitutions", "all")), tuple(
        sorted(Counter(given["symbols"]).items())
    )


@functools.lru_cache(maxsize=64)
def _synonym_kernel(table: Synonyms, words: tuple[str, ...]) -> Built:
    known = sorted({word for entry, others in table for word in (entry, *others)} | set(words))
    code = {word: number for number, word in enumerate(known)}
    kernel = SynonymReplacement({code[word]: [code[other] for other in others] for word, others in table})
    codes = np.array([code[word] for word in words], dtype=np.int64)
    return kernel, kernel.exposure(codes, [len(known)] * len(words))


@functools.lru_cache(maxsize=64)
def _matrix_kernel(rows: Rows, substitutions: str | Pairs) -> DiscreteKernel:
    allowed = "all" if isinstance(substitutions, str) else list(substitutions)
    return MatrixKernel(rows, substitutions=allowed)


KINDS: dict[str, Kind] = {
    "uniform": Kind(("beta", "alphabet"), "substitution", _uniform, ("positions",)),
    "absorbing": Kind(("beta",), "substitution", _absorbing, ("positions",)),
    "deletion": Kind(("beta",), "insertion", _deletion, ("length",)),
    "fields": Kind(
        ("beta", "sizes"),
        "fields",
        _fields,
        positions=lambda given: len(given["sizes"]),
        counted="fields in {sizes}",
    ),
    "randomized-response": Kind(
        ("sizes", ("ratio", "log_ratio")),
        "fields",
        _randomized_response,
        positions=lambda given: len(given["sizes"]),
        counted="fields in {sizes}",
    ),
    "flips": Kind(
        ("p_plus", "p_minus", "ones", "zeros"),
        "flips",
        _flips,
        positions=lambda given: given["ones"] + given["zeros"],
        counted="bits in {ones} and {zeros}",
    ),
    "synonyms": Kind(
        ("synonyms", "words"),
        "substitution",
        _synonyms,
        positions=lambda given: len(given["words"]),
        counted="words in {words}",
    ),
    "matrix": Kind(
        ("matrix", "symbols"),
        "substitution",
        _matrix,
        ("substitutions",),
        positions=lambda given: len(given["symbols"]),
        counted="symbols in {symbols}",
    ),
}
