"""Noise on the first slots of a region, and what copies with noise on all slots say about it.

A position kernel draws every slot on its own. So its copies that came out unchanged behind slot d are, given
how many there are, independent copies with noise on the first d slots only (``docs/sample-reuse.md``). Here
they are told apart: answers are counted by the last changed slot.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ParameterError
from hybridcert.kernels.fields import FieldReplacement
from hybridcert.kernels.positions import PositionKernel
from hybridcert.sampling.blocks import block_copies, checked_answers
from hybridcert.sampling.classifier import Batch, Classifier
from hybridcert.sampling.copies import Copies, DrawingClassifier, VariantClassifier
from hybridcert.sampling.noise import Kernel, SmoothingNoise
from hybridcert.sampling.wrapped import Wrapped
from hybridcert.threats import DiscreteSurface, Surface

Counts = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class _PerSlot:
    """Has a count for every class and 0 … slots.

    Attributes
    ----------
    modality : str
    columns : tuple of int
        The slots: positions of the modality, in order.
    """

    modality: str
    columns: tuple[int, ...]

    def cells(self, classes: int) -> int:
        """Return the number of counts: classes for each of 0 … slots."""
        return (len(self.columns) + 1) * classes


@dataclasses.dataclass(frozen=True, slots=True)
class BySlot(_PerSlot):
    """Counts answers by (last changed slot, class); slot 0 stands for "no slot changed"."""

    def __call__(
        self, answers: npt.NDArray[np.intp], drawn: Batch, clean: Mapping[str, Any], *, classes: int
    ) -> Counts:
        """Return the counts of one block, shape ((slots + 1) · classes,)."""
        noisy, symbols = drawn[self.modality], clean[self.modality]
        last = np.zeros(len(answers), dtype=np.intp)
        for slot, column in enumerate(self.columns, start=1):
            last[noisy[:, column] != symbols[column]] = slot
        return np.bincount(last * classes + answers, minlength=self.cells(classes)).astype(np.int64)


@dataclasses.dataclass(frozen=True, slots=True)
class Completed(_PerSlot):
    """Asks about every copy with noise on its first 0, 1, … slots only, and counts by (slots, class).

    For each number d of slots the copy keeps its first d slots as they were drawn, and the others as they
    are in the input: over copies, independent draws of the noise on d slots. Beginnings that come out alike
    are asked about once.
    """

    def ask(self, classifier: Classifier, copies: Copies) -> Counts:
        """Return the counts of one block, shape ((slots + 1) · classes,)."""
        classes = len(classifier.classes_)
        variants, owner, which = self._variants(copies)
        if isinstance(classifier, VariantClassifier):
            found = classifier.predict_variants(copies, self.modality, variants, owner)
        else:
            found = self._one_by_one(classifier, copies, variants, owner)
        answers = checked_answers(found, classes, len(owner))[which]
        cell = np.arange(len(self.columns) + 1) * classes + answers
        return np.bincount(cell.ravel(), minlength=self.cells(classes)).astype(np.int64)

    def _one_by_one(
        self,
        classifier: Classifier,
        copies: Copies,
        variants: npt.NDArray[np.int64],
        owner: npt.NDArray[np.intp],
    ) -> npt.NDArray[np.intp]:
        """Ask about every variant as an input of its own, no more at once than the classifier takes."""
        others = {name: copies.drawn(name) for name in copies.inputs if name != self.modality}
        most, found = block_copies(classifier), []
        for start in range(0, len(owner), most):
            part = slice(start, start + most)
            batch = {name: values[owner[part]] for name, values in others.items()}
            answers = classifier.predict_encoded({**batch, self.modality: variants[part]})
            found.append(checked_answers(answers, len(classifier.classes_), len(owner[part])))
        return np.concatenate(found)

    def _variants(
        self, copies: Copies
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return different beginnings, the copy of each, and the number of that of (copy, slots)."""
        drawn, clean = copies.drawn(self.modality), copies.clean(self.modality)
        columns = np.array(self.columns, dtype=np.intp)
        changed = drawn[:, columns] != clean[columns]
        first = np.zeros((copies.count, 1), dtype=np.bool_)
        rank = np.concatenate([first, changed], axis=1).cumsum(axis=1)
        start = np.concatenate([[0], (rank[:, -1] + 1).cumsum()])
        which = rank + start[:-1, None]
        variants = np.tile(clean, (start[-1], 1))
        owner = np.repeat(np.arange(copies.count), np.diff(start))
        for slots in range(1, len(columns) + 1):
            new = np.flatnonzero(changed[:, slots - 1])
            kept = columns[:slots]
            variants[np.ix_(which[new, slots], kept)] = drawn[np.ix_(new, kept)]
        return variants, owner, which


def counts_of_completed(cells: Counts, classes: int) -> Counts:
    """Return what `Completed` counted for every number of slots, shape (slots + 1, rows, classes)."""
    return np.ascontiguousarray(cells.reshape(len(cells), -1, classes).swapaxes(0, 1))


def counts_of_first(cells: Counts, classes: int) -> Counts:
    """Return the answers of the copies that are unchanged behind slot d, for every d.

    Parameters
    ----------
    cells : int array, shape (rows, (slots + 1) · classes)
        As `BySlot` counts them.
    classes : int

    Returns
    -------
    int array, shape (slots + 1, rows, classes)
        Entry d sums to the number n_d of these copies, which is random. Given n_d they are independent draws
        of the noise on the first d slots.
    """
    by_slot = cells.reshape(len(cells), -1, classes)
    return np.ascontiguousarray(np.cumsum(by_slot, axis=1).swapaxes(0, 1))


def slot_columns(noise: SmoothingNoise, modality: str) -> tuple[int, ...]:
    """Return the slots of a modality, its eligible positions in order.

    Raises
    ------
    ParameterError
        Unless the modality has noise that treats its positions independently.
    """
    surface, kernel = noise.surfaces.get(modality), noise.kernels.get(modality)
    if not isinstance(surface, DiscreteSurface) or kernel is None:
        names = [n for n in sorted(noise.kernels) if isinstance(noise.surfaces[n], DiscreteSurface)]
        raise ParameterError(
            f"modality must be one of the discrete modalities with noise ({', '.join(names) or 'none'}), "
            f"got {modality!r}"
        )
    if not isinstance(kernel, PositionKernel):
        raise ParameterError(
            f"modality {modality!r}: the {kernel.name} kernel moves symbols, so no slot can be told to be "
            "unchanged: use a kernel on fixed positions, such as UniformReplacement"
        )
    if surface.sequence:
        raise ParameterError(
            f"modality {modality!r} is a sequence, whose rows have lengths of their own: slots are a fixed "
            "number of positions"
        )
    return surface.eligible


def check_slots(slots: int, most: int) -> None:
    """Raise ParameterError unless ``slots`` is an integer from 0 to ``most``."""
    if isinstance(slots, bool) or not isinstance(slots, numbers.Integral) or not 0 <= slots <= most:
        raise ParameterError(f"slots must be an integer in [0, {most}], got {slots!r}")


def kernel_of_first(kernel: Kernel, slots: int) -> Kernel:
    """Return the noise that a position kernel puts on its first slots."""
    return FieldReplacement(kernel.betas[:slots]) if isinstance(kernel, FieldReplacement) else kernel


def noise_on_first(noise: SmoothingNoise, modality: str, slots: int) -> SmoothingNoise:
    """Return the same noise, but on the first ``slots`` slots of a modality only."""
    columns = slot_columns(noise, modality)
    check_slots(slots, len(columns))
    return SmoothingNoise(
        {**noise.kernels, modality: kernel_of_first(noise.kernels[modality], slots)},
        _with_first(noise.surfaces, modality, slots),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class FirstSlots(Wrapped):
    """A classifier of which noise and adversary reach only the first slots of one modality.

    Parameters
    ----------
    classifier : Classifier
    modality : str
        One of its discrete modalities.
    slots : int >= 0
        The first so many of its eligible positions stay eligible.
    """

    classifier: Classifier
    modality: str
    slots: int

    def surfaces(self) -> dict[str, Surface]:
        """Return the classifier's surfaces, with fewer eligible positions."""
        return _with_first(self.classifier.surfaces(), self.modality, self.slots)

    def predict_encoded(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Answer as the classifier does."""
        return self.classifier.predict_encoded(batch)


@dataclasses.dataclass(frozen=True, slots=True)
class DrawingFirstSlots(FirstSlots):
    """The same of a classifier that draws its copies itself."""

    def predict_copies(self, copies: Copies) -> npt.NDArray[np.intp]:
        """Let the classifier draw and answer; the noise is that of the copies."""
        assert isinstance(self.classifier, DrawingClassifier)
        return self.classifier.predict_copies(copies)


def on_first(classifier: Classifier, modality: str, slots: int) -> FirstSlots:
    """Return a classifier of which noise and adversary reach only the first slots."""
    kind = DrawingFirstSlots if isinstance(classifier, DrawingClassifier) else FirstSlots
    return kind(classifier, modality, slots)


def _with_first(surfaces: Mapping[str, Surface], modality: str, slots: int) -> dict[str, Surface]:
    surface = surfaces[modality]
    assert isinstance(surface, DiscreteSurface)
    return {**surfaces, modality: dataclasses.replace(surface, eligible=surface.eligible[:slots])}
