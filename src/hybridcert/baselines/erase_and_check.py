"""Erase-and-check against added text, together with Gaussian smoothing of the image.

The filter asks about the prompt and about every prompt that is left when up to d symbols are erased in an
allowed way, and flags when any of them is flagged (Kumar et al. 2024). Text that was added in that way is
erased in one of them, which then is the original prompt x₁.

With noise N on the image x₂, the smoothed score of this filter at an attacked pair (x₁ ⊕ s, x₂′) is

    g_ec(x₁ ⊕ s, x₂′) = P(some erased version of x₁ ⊕ s is flagged with image x₂′ + N)
                      ≥ P(x₁ is flagged with image x₂′ + N) ≥ Φ(Φ⁻¹(p) − ε/σ),

because x₁ itself is one of the versions, and because the last probability is the plain image-smoothed score
of x₁, at distance ε from an image at which it is at least p. So p is counted on the plain filter with noise
on the image alone; no version is erased for the certificate, only in deployment. Every d up to the largest is
covered at the same radius. What it costs: a call for each version of each copy, and the false alarms of all
versions together, which `false_alarms` counts.

References
----------
Kumar et al. 2024, "Certifying LLM safety against adversarial prompting". Their insertion of one run of tokens
is "block" here, their infusion of tokens anywhere is "insertion".
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import numbers
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from hybridcert.baselines.certified import Baseline, Need, check_budgets, check_changes
from hybridcert.baselines.draws import AnswersOf, Draws, check_continuous, claimed_label
from hybridcert.certificate.directed import Bools
from hybridcert.certificate.frontier import Radii
from hybridcert.certification import CertificationRun
from hybridcert.errors import ParameterError
from hybridcert.kernels.deletion import PADDING
from hybridcert.sampling.blocks import ByLabel, Work
from hybridcert.sampling.classifier import Batch, Classifier
from hybridcert.sampling.noise import Kernel, SmoothingNoise
from hybridcert.sampling.streams import Stage
from hybridcert.sampling.wrapped import Wrapped
from hybridcert.threats import DiscreteSurface

BASELINE = Baseline(
    name="erase-and-check with image smoothing",
    source="Kumar et al. 2024",
    sound=True,
    certifies="up to d symbols added as a suffix, a block or anywhere, every ε up to the image-only radius",
    needs=(Need.ERASABLE,),
    calls="N · versions: d + 1 for suffixes, about n·d for blocks, Σ C(n, i) for insertions anywhere",
)

Mode = Literal["suffix", "block", "insertion"]
Counts = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Erasing:
    """Which versions of a prompt are checked besides the prompt itself.

    Parameters
    ----------
    mode : {"suffix", "block", "insertion"}
        Up to ``max_d`` of the last symbols, one run of up to so many symbols, or any so many.
    max_d : int >= 0

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """

    mode: Mode
    max_d: int

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ParameterError(f"mode must be suffix, block or insertion, got {self.mode!r}")
        check_changes("max_d", self.max_d)

    def kept(self, length: int) -> Iterator[tuple[int, ...]]:
        """Yield the positions that each version of a prompt of so many symbols keeps, all of them first."""
        everything = tuple(range(length))
        yield everything
        for erased in range(1, min(self.max_d, length) + 1):
            if self.mode == "suffix":
                yield everything[: length - erased]
            elif self.mode == "block":
                for start in range(length - erased + 1):
                    yield everything[:start] + everything[start + erased :]
            else:
                yield from itertools.combinations(everything, length - erased)

    def versions(self, length: int) -> int:
        """Return the number of versions: model calls about one copy that is never flagged."""
        most = min(self.max_d, length)
        if self.mode == "suffix":
            return most + 1
        if self.mode == "block":
            return 1 + sum(length - erased + 1 for erased in range(1, most + 1))
        return sum(math.comb(length, erased) for erased in range(most + 1))


@dataclasses.dataclass(frozen=True, slots=True)
class EraseAndCheck(Wrapped):
    """The deployed filter: flags a row when the classifier flags it or any erased version of it.

    Versions are asked about one after the other, and a row no more once it is flagged. Otherwise the answer
    is the classifier's about the row itself.

    Parameters
    ----------
    classifier : Classifier
    modality : str
        A sequence, or slots: the eligible positions, filled from the left, all with one alphabet. What stands
        behind an erased symbol closes up.
    flag : label
        The class that flags.
    erasing : Erasing
    empty : int
        Code of "no symbol": `PADDING` for sequences, the code of an empty slot for slots. A prompt ends
        with its last other symbol; an empty slot before that is a symbol like any other.

    Raises
    ------
    ParameterError
        For a modality that is not discrete, slots with different alphabets, such as the fields of a table,
        a flag that is no class, or a code that cannot mean "empty".
    """

    classifier: Classifier
    modality: str
    flag: Any
    erasing: Erasing
    empty: int

    def __post_init__(self) -> None:
        claimed_label(self.classifier, self.flag)
        if not isinstance(self.erasing, Erasing):
            raise ParameterError(f"erasing must be Erasing(mode, max_d), got {self.erasing!r}")
        surface = self.classifier.surfaces().get(self.modality)
        if not isinstance(surface, DiscreteSurface):
            raise ParameterError(f"modality must be a discrete one, got {self.modality!r}")
        symbols = min(surface.eligible_sizes, default=1)
        code = isinstance(self.empty, numbers.Integral) and 0 <= self.empty < symbols
        if not surface.sequence and not code:
            raise ParameterError(
                f"empty must be the code of an empty slot, in [0, {symbols - 1}], got {self.empty!r}"
            )
        if not surface.sequence and len(set(surface.eligible_sizes)) > 1:
            raise ParameterError(
                f"modality {self.modality!r} must have one alphabet for all slots, since erasing moves "
                f"symbols, got sizes {sorted(set(surface.eligible_sizes))}"
            )
        if surface.sequence and self.empty != PADDING:
            raise ParameterError(f"empty must be {PADDING} for a sequence, got {self.empty!r}")

    def predict_encoded(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Return the index of the flag where any version is flagged, else the classifier's own answer."""
        flag = claimed_label(self.classifier, self.flag)
        answers = np.array(self.classifier.predict_encoded(batch), dtype=np.intp)
        lengths = self.lengths(batch)
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero((lengths == length) & (answers != flag))
            for kept in itertools.islice(self.erasing.kept(length), 1, None):
                if not rows.size:
                    break
                found = np.asarray(self.classifier.predict_encoded(self._erased(batch, rows, kept)))
                answers[rows[found == flag]] = flag
                rows = rows[found != flag]
        return answers

    def lengths(self, batch: Batch) -> Counts:
        """Return the number of symbols of every prompt, up to its last one, shape (rows,)."""
        symbols = batch[self.modality][:, self._columns(batch)] != self.empty
        width = symbols.shape[1]
        if not width:
            return np.zeros(len(symbols), dtype=np.int64)
        return np.where(symbols.any(axis=1), width - symbols[:, ::-1].argmax(axis=1), 0).astype(np.int64)

    def _columns(self, batch: Batch) -> list[int]:
        surface = self.classifier.surfaces()[self.modality]
        assert isinstance(surface, DiscreteSurface)
        return list(range(batch[self.modality].shape[1])) if surface.sequence else list(surface.eligible)

    def _erased(
        self, batch: Batch, rows: npt.NDArray[np.intp], kept: tuple[int, ...]
    ) -> dict[str, npt.NDArray[Any]]:
        """Return some rows with the kept symbols of their prompts closed up, and nothing behind them."""
        part = {name: values[rows] for name, values in batch.items()}
        columns = self._columns(batch)
        symbols = part[self.modality]
        left = symbols[:, [columns[position] for position in kept]]
        symbols[:, columns] = self.empty
        symbols[:, columns[: len(kept)]] = left
        return part


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Erased:
    """Certificates of the erase-and-check filter.

    With probability at least 1 − alpha for each input: after any addition of up to ``erasing.max_d`` symbols
    of its mode, and a shift of the continuous part by at most the radius, the filter's smoothed score of the
    flag is above the threshold.

    In slots, an addition moves what stands behind it one slot on, and a slot that it leaves empty before its
    last symbol counts as added. Writing into an empty slot between two symbols is a substitution, which is
    not covered.

    Attributes
    ----------
    run : CertificationRun
        Of the plain filter with noise on the continuous part alone.
    erasing : Erasing
    versions : int array, shape (m,)
        Model calls about one copy of each input itself; an attacked one is longer, see `Erasing.versions`.
    """

    run: CertificationRun
    erasing: Erasing
    versions: Counts
    baseline: ClassVar[Baseline] = BASELINE

    @property
    def radii(self) -> Radii:
        """Certified radii in the units of the noise, rounded down: the same for every d."""
        radii = self.run.point(0).radii
        assert isinstance(radii, Radii)
        return radii

    def claims(self, *, d: int, eps: float) -> Bools:
        """Whether ``d`` added symbols and a shift of ``eps`` are certified, shape (m,)."""
        check_budgets(d, eps)
        return self.radii.certified & (self.radii.radius >= eps) & (d <= self.erasing.max_d)


def erase_and_check(
    classifier: Classifier,
    X: Any,
    *,
    modality: str,
    erasing: Erasing,
    empty: int,
    noise: Mapping[str, Kernel],
    label: Any,
    threshold: float,
    draws: Draws,
) -> Erased:
    """Certify every input for the filter `EraseAndCheck`, from copies that the plain filter is asked about.

    Parameters
    ----------
    classifier : Classifier
        The plain filter.
    X : inputs as the classifier takes them
    modality, erasing, empty
        See `EraseAndCheck`.
    noise : mapping of continuous modality to kernel
    label : the class that flags
    threshold : float in (0, 1)
    draws : Draws

    Raises
    ------
    ParameterError
        For values out of range, noise on a discrete modality, and sequences that leave no room for an
        attacker's symbols.
    DataError, ModelError
        See `SmoothedClassifier.certify`.
    """
    check_continuous(noise)
    deployed = EraseAndCheck(classifier, modality, label, erasing, empty)
    lengths = deployed.lengths(classifier.encode(X))
    _check_room(classifier, modality, int(lengths.max(initial=0)) + erasing.max_d)
    run = draws.certified(classifier, X, noise=noise, threat=None, label=label, threshold=threshold)
    return Erased(run, erasing, np.array([erasing.versions(n) for n in lengths.tolist()], dtype=np.int64))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FalseAlarms:
    """How often copies of benign inputs are flagged.

    Attributes
    ----------
    hits, plain_hits : int array, shape (m,)
        Flagged copies, by the erase-and-check filter and by the plain one, of the same ``samples``.
    samples : int
    calls_at_most : int
        Model calls of the erase-and-check filter, had it asked about every version of every copy.
    """

    hits: Counts
    plain_hits: Counts
    samples: int
    calls_at_most: int


def false_alarms(
    deployed: EraseAndCheck, X: Any, *, noise: Mapping[str, Kernel], draws: Draws
) -> FalseAlarms:
    """Count the flagged copies of benign inputs, with erased versions and without; every call is made.

    The copies are those of `SmoothedClassifier.explore`: no certificate rests on them.

    Parameters
    ----------
    deployed : EraseAndCheck
    X : inputs as the classifier takes them
    noise : mapping of continuous modality to kernel
    draws : Draws

    Raises
    ------
    ParameterError
        For noise on a discrete modality.
    DataError, ModelError
        For broken inputs, and a classifier that fails on one.
    """
    check_continuous(noise)
    plain, flag = deployed.classifier, claimed_label(deployed.classifier, deployed.flag)
    inputs = plain.encode(X)
    law = SmoothingNoise(noise, plain.surfaces())
    name = f"{deployed.erasing!r} on {deployed.modality}, empty {deployed.empty}, flag {deployed.flag!r}"
    hits, plain_hits = (
        draws.counted(work, inputs, stage=Stage.EXPLORE).complete()[:, flag]
        for work in (Work(deployed, law, AnswersOf(name)), Work(plain, law, ByLabel()))
    )
    versions = sum(deployed.erasing.versions(n) for n in deployed.lengths(inputs).tolist())
    return FalseAlarms(hits, plain_hits, draws.samples, draws.samples * versions)


def _check_room(classifier: Classifier, modality: str, longest: int) -> None:
    surface = classifier.surfaces()[modality]
    assert isinstance(surface, DiscreteSurface)
    if surface.sequence and longest > len(surface.alphabet_sizes):
        raise ParameterError(
            f"modality {modality!r}: symbols added to the longest input make {longest}, and the classifier "
            f"takes at most {len(surface.alphabet_sizes)}: let it take more, it has to answer"
        )
