"""Spectra of the package beside the changes that they have to answer for."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from adversaries import MOST_ATOMS
from dual_oracle import Change, Pair, atom_count
from hypothesis import strategies as st
from noise_cases import PARTS, Part

import hybridcert as hc
from strategies import probability_vectors


@dataclasses.dataclass(frozen=True)
class Instance:
    """Spectra among which the package finds the worst one, and changes for which its numbers must hold."""

    spectra: list[hc.LikelihoodSpectrum]
    changes: list[Change]


def attack(part: Part, d: int) -> Any:
    """What the package takes for the worst cases of one modality at budget d."""
    return part.kernel.candidates(part.threat, d, part.exposure)


def joined(parts: Sequence[Part], budgets: Sequence[int], stream: random.Random, *, most: int) -> Instance:
    """Modalities are independent: spectra compose, and changes are made together."""
    spectra, changes = [hc.LikelihoodSpectrum.identity()], [()]
    for part, d in zip(parts, budgets, strict=True):
        spectra = [a.compose(b) for a in spectra for b in attack(part, d).spectra]
        changes = [(*a, *b) for a in changes for b in part.adversary.changes(d, stream, most=most)]
    fitting = [change for change in changes if atom_count(change) <= MOST_ATOMS]
    return Instance(spectra, fitting if len(fitting) <= most else stream.sample(fitting, most))


@st.composite
def kernel_instances(draw: st.DrawFn, names: Sequence[str] = tuple(PARTS), *, most: int = 12) -> Instance:
    """One modality at its largest budget."""
    part = draw(PARTS[draw(st.sampled_from(list(names)))])
    stream = random.Random(draw(st.integers(0, 2**32)))
    return joined([part], [part.threat.max_d], stream, most=most)


@st.composite
def product_instances(draw: st.DrawFn, *, most: int = 8) -> Instance:
    """Two or three modalities, each with a small budget."""
    parts = [draw(PARTS[draw(st.sampled_from(sorted(PARTS)))]) for _ in range(draw(st.integers(2, 3)))]
    stream = random.Random(draw(st.integers(0, 2**32)))
    budgets = [min(part.threat.max_d, draw(st.integers(0, 2))) for part in parts]
    return joined(parts, budgets, stream, most=most)


@st.composite
def free_pairs(draw: st.DrawFn, *, outcomes: int = 6) -> Pair:
    """Two arbitrary laws on a few outcomes, one of which only the adversary produces."""
    n = draw(st.integers(1, outcomes))
    clean, adversarial = draw(probability_vectors(n)), draw(probability_vectors(n + 1))
    return tuple(zip([*clean, Fraction(0)], adversarial, strict=True))
