"""Every discrete noise of the format page with random parameters, inputs and adversaries.

A `Part` is one modality of one input: the package's kernel and threat, and beside them the adversary from the
definition. Changes are enumerated from the latter, never asked of the package.
"""

from __future__ import annotations

import dataclasses
import random
from fractions import Fraction
from typing import Any

import numpy as np
from adversaries import Positions, Sequences, drawn_from, flip, masking, replacement, rows_pair
from hypothesis import strategies as st

import hybridcert as hc
from hybridcert.threats import DiscreteSurface
from strategies import LAST_SCORE, rates


@dataclasses.dataclass(frozen=True)
class Part:
    """One modality of one input: the package's kernel and threat, and the adversary from the definition."""

    kernel: Any
    threat: Any
    codes: tuple[int, ...]
    sizes: tuple[int, ...]
    adversary: Positions | Sequences

    @property
    def exposure(self) -> Any:
        """What the package looks at."""
        if isinstance(self.adversary, Sequences) and self.adversary.length is None:
            return None
        return self.kernel.exposure(np.array(self.codes, dtype=np.int64), self.sizes)

    @property
    def surface(self) -> DiscreteSurface:
        """How a classifier would declare the modality."""
        every = tuple(range(len(self.sizes)))
        sequence = isinstance(self.adversary, Sequences)
        return DiscreteSurface(self.sizes, every, mask=self.kernel.name == "absorbing", sequence=sequence)


# -- random parts ------------------------------------------------------------------------------------------

ALPHABETS = st.sampled_from([2, 2, 3, 4, 5, 7, 9, 256, 50_000, 2**60])


@st.composite
def lengths(draw: st.DrawFn, *, longest: int = 120) -> int:
    """Mostly few positions, so that all changes can be enumerated; sometimes many."""
    return draw(st.one_of(st.integers(0, 4), st.integers(1, 6), st.integers(7, longest)))


def budget(draw: st.DrawFn, most: int, *, largest: int = 60) -> int:
    """All positions where they are few, a few changes, or any number."""
    return min(most, draw(st.one_of(st.just(largest), st.integers(0, 3), st.integers(0, largest))))


def position_threat(draw: st.DrawFn, d: int) -> Any:
    return draw(st.sampled_from([hc.Substitution, hc.Fields]))(d)


@st.composite
def uniform_parts(draw: st.DrawFn) -> Part:
    n = draw(lengths())
    alphabets = st.just([draw(ALPHABETS)] * n) if n > 6 else st.lists(ALPHABETS, min_size=n, max_size=n)
    sizes, beta = tuple(draw(alphabets)), draw(rates())
    options = tuple((replacement(size, Fraction(beta)),) for size in sizes)
    threat = position_threat(draw, budget(draw, n))
    return Part(hc.UniformReplacement(beta), threat, (0,) * n, sizes, Positions(options))


@st.composite
def fields_parts(draw: st.DrawFn) -> Part:
    n = draw(st.integers(0, 5))
    sizes = tuple(draw(st.lists(ALPHABETS, min_size=n, max_size=n)))
    betas = draw(st.lists(rates(), min_size=n, max_size=n))
    options = tuple((replacement(k, Fraction(b)),) for k, b in zip(sizes, betas, strict=True))
    threat = position_threat(draw, budget(draw, n))
    return Part(hc.FieldReplacement(betas), threat, (0,) * n, sizes, Positions(options))


@st.composite
def response_parts(draw: st.DrawFn) -> Part:
    n = draw(lengths(longest=60))
    few = draw(st.lists(ALPHABETS, min_size=1, max_size=3))
    sizes = tuple(few[i % len(few)] for i in range(n))
    ratio = draw(
        st.one_of(
            st.floats(0.01, 1e4), st.floats(-300, 300).map(lambda e: 10.0**e), st.sampled_from([1.0, 3.0])
        )
    )
    rho = Fraction(ratio)
    options = tuple((replacement(k, Fraction(k - 1) / (k - 1 + rho)),) for k in sizes)
    threat = position_threat(draw, budget(draw, n, largest=30))
    return Part(hc.RandomizedResponse(ratio), threat, (0,) * n, sizes, Positions(options))


@st.composite
def absorbing_parts(draw: st.DrawFn) -> Part:
    n, beta = draw(lengths(longest=400)), draw(rates())
    options = ((masking(Fraction(beta)),),) * n
    threat = position_threat(draw, budget(draw, n, largest=400))
    return Part(hc.Absorbing(beta), threat, (0,) * n, (draw(ALPHABETS),) * n, Positions(options))


@st.composite
def flips_parts(draw: st.DrawFn) -> Part:
    n = draw(lengths(longest=60))
    codes = tuple(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    probability = st.one_of(
        st.floats(0.0, LAST_SCORE), st.sampled_from([0.0, 0.5, 0.01, 5e-324, 1e-300, 1e-20, LAST_SCORE])
    )
    plus, minus = draw(probability), draw(probability)
    d = budget(draw, n, largest=20)
    kind = draw(st.sampled_from(["flips", "capped", "additions", "removals"]))
    every = {bit: frozenset(i for i, code in enumerate(codes) if code == bit) for bit in (0, 1)}
    caps: tuple[tuple[frozenset[int], int], ...] = ()
    threat: Any
    if kind == "additions":
        threat, caps = hc.Additions(d), ((every[1], 0),)
    elif kind == "removals":
        threat, caps = hc.Removals(d), ((every[0], 0),)
    elif kind == "flips":
        threat = hc.Flips(d)
    else:
        up, down = draw(st.integers(0, 4)), draw(st.one_of(st.none(), st.integers(0, 4)))
        threat = hc.Flips(d, max_additions=up, max_removals=down)
        caps = ((every[0], up), *(() if down is None else ((every[1], down),)))
    options = tuple((flip(code, Fraction(plus), Fraction(minus)),) for code in codes)
    return Part(hc.SparseFlips(plus, minus), threat, codes, (2,) * n, Positions(options, caps))


@st.composite
def synonym_parts(draw: st.DrawFn) -> Part:
    words = draw(st.integers(1, 6))
    some = st.sets(st.integers(0, words - 1), max_size=words)
    table = {w: draw(some) - {w} for w in range(words) if draw(st.booleans())}
    sets = None
    if draw(st.booleans()):
        sets = {w: draw(some) | {w} for w in range(words) if draw(st.booleans())}
    drawn = sets if sets is not None else {w: {w, *others} for w, others in table.items()}
    n = draw(st.integers(0, 5))
    codes = tuple(draw(st.lists(st.integers(0, words - 1), min_size=n, max_size=n)))

    def noise_set(word: int) -> list[int]:
        return sorted(drawn.get(word, {word}))

    options = tuple(
        tuple(sorted({drawn_from(noise_set(w), noise_set(other)) for other in table.get(w, ())}))
        for w in codes
    )
    kernel = hc.SynonymReplacement(table, noise_sets=sets)
    return Part(kernel, position_threat(draw, budget(draw, n)), codes, (words,) * n, Positions(options))


@st.composite
def matrix_parts(draw: st.DrawFn) -> Part:
    symbols = draw(st.integers(2, 5))
    weight = st.one_of(
        st.integers(0, 5).map(Fraction),
        st.floats(0.0, 1.0).map(Fraction),
        st.sampled_from([Fraction(5e-324), Fraction(10) ** -60, Fraction(1, 3)]),
    )
    row = st.lists(weight, min_size=symbols, max_size=symbols).filter(any)
    rows = draw(st.lists(row, min_size=symbols, max_size=symbols))
    every = [(x, other) for x in range(symbols) for other in range(symbols) if x != other]
    allowed = every if draw(st.booleans()) else draw(st.lists(st.sampled_from(every), unique=True))
    kernel = hc.MatrixKernel(rows, substitutions="all" if allowed is every else allowed, weights=True)
    n = draw(st.one_of(st.integers(0, 3), st.integers(0, 9)))
    codes = tuple(draw(st.lists(st.integers(0, symbols - 1), min_size=n, max_size=n)))
    options = tuple(
        tuple(sorted({rows_pair(rows[x], rows[other]) for symbol, other in allowed if symbol == x}))
        for x in codes
    )
    threat = position_threat(draw, budget(draw, n, largest=9))
    return Part(kernel, threat, codes, (symbols,) * n, Positions(options))


@st.composite
def wide_matrix_parts(draw: st.DrawFn) -> Part:
    """More incomparable changes than an enumeration takes."""
    stream = random.Random(draw(st.integers(0, 2**32)))
    symbols, n = 6, draw(st.integers(5, 7))
    rows = [[Fraction(stream.randint(1, 60)) for _ in range(symbols)] for _ in range(symbols)]
    for x in range(symbols):
        rows[x][x] += draw(st.sampled_from([0, 50, 1000]))
    codes = tuple(i % symbols for i in range(n))
    options = tuple(tuple(rows_pair(rows[x], rows[y]) for y in range(symbols) if y != x) for x in codes)
    kernel = hc.MatrixKernel(rows, weights=True)
    threat = position_threat(draw, 4)
    return Part(kernel, threat, codes, (symbols,) * n, Positions(options))


@st.composite
def deletion_parts(draw: st.DrawFn) -> Part:
    beta, known = draw(rates()), draw(st.booleans())
    n = draw(st.one_of(st.integers(0, 4), st.integers(0, 300)))
    kind = draw(st.sampled_from([hc.Insertion, hc.Deletion, hc.Indel, hc.Edit, hc.Substitution]))
    d = draw(st.one_of(st.integers(0, 4), st.integers(0, 40 if kind is hc.Indel else 300)))
    adversary = Sequences(Fraction(beta), kind.name, n if known else None)
    return Part(hc.RandomDeletion(beta), kind(d), (0,) * n, (30_000,) * n, adversary)


PARTS = {
    "uniform": uniform_parts(),
    "fields": fields_parts(),
    "randomized-response": response_parts(),
    "absorbing": absorbing_parts(),
    "flips": flips_parts(),
    "synonyms": synonym_parts(),
    "matrix": matrix_parts(),
    "wide matrix": wide_matrix_parts(),
    "deletion": deletion_parts(),
}
