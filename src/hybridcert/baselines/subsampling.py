"""Independent subsampling of several modalities (MMCert), as a certificate for the score of one label.

Of the n_i basic elements of modality i, k_i are drawn without replacement, independently of the other
modalities; the classifier answers about what is drawn. `overlap` has the certificate and its proof. It knows
neither noise nor ε: a change of an element is a change, however small.

Modifications, additions and deletions are the three attacks of the source; here they may be mixed. Additions
and deletions change n_i, so the number that is kept must be the same at every length within reach, as it is
with `KeepCount`. For tokens, "in
common" means that what is left as it is keeps its order (`Tokens` close up, so an added token does not move
the others in a view). For `Columns` and `Patches` it means the same position, and modifications are all there
is.

References
----------
Wang et al. 2024, "MMCert: Provable defense against adversarial attacks to multi-modal models".
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from hybridcert.baselines.certified import (
    Baseline,
    LargestBudget,
    Need,
    check_changes,
)
from hybridcert.baselines.draws import Draws, Scores
from hybridcert.baselines.elements import Elements, Tokens
from hybridcert.baselines.overlap import Overlap, rounded_down, worst_score
from hybridcert.baselines.partial_views import (
    PartialViews,
    Unsmoothed,
    check_names,
    check_surfaces,
    sizes,
    subsets,
)
from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.errors import ParameterError
from hybridcert.sampling.blocks import Work
from hybridcert.sampling.classifier import Classifier

BASELINE = Baseline(
    name="independent subsampling (MMCert)",
    source="Wang et al. 2024",
    sound=True,
    certifies="r_i modified, added or deleted elements of each modality; no ε of its own",
    needs=(Need.ORDER_KEPT,),
    calls="N",
)

Kind = Literal["modified", "added", "deleted"]


@dataclasses.dataclass(frozen=True, slots=True)
class KeepCount:
    """Keep ``count`` elements, or all where there are fewer.

    Parameters
    ----------
    count : int >= 1
    """

    count: int

    def __post_init__(self) -> None:
        check_count("count", self.count)

    def of(self, elements: int) -> int:
        """Return how many of so many elements are kept."""
        return min(self.count, elements)


@dataclasses.dataclass(frozen=True, slots=True)
class KeepShare:
    """Keep a share of the elements, rounded to the nearest number, and at least one.

    Parameters
    ----------
    share : float in (0, 1]
    """

    share: float

    def __post_init__(self) -> None:
        if not (isinstance(self.share, numbers.Real) and 0.0 < self.share <= 1.0):
            raise ParameterError(f"share must be in (0, 1], got {self.share!r}")

    def of(self, elements: int) -> int:
        """Return how many of so many elements are kept."""
        return min(elements, max(1, math.floor(self.share * elements + 0.5)))


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One modality that is shown in part: what its elements are, and how many are kept."""

    elements: Elements
    keep: KeepCount | KeepShare


@dataclasses.dataclass(frozen=True, slots=True)
class Subsampling:
    """What is kept of which modality; modalities that are not named are shown as a whole.

    Parameters
    ----------
    parts : mapping of modality name to Part

    Raises
    ------
    ParameterError
        Where no modality is named, or without a Part.
    """

    parts: Mapping[str, Part]

    def __post_init__(self) -> None:
        check_names(self.parts)
        for name, part in self.parts.items():
            if not isinstance(part, Part):
                raise ParameterError(f"part of modality {name!r} must be Part(elements, keep), got {part!r}")
        object.__setattr__(self, "parts", dict(sorted(self.parts.items())))

    @property
    def elements(self) -> dict[str, Elements]:
        """Elements of each modality that is shown in part."""
        return {name: part.elements for name, part in self.parts.items()}

    def draw(self, counts: Mapping[str, int], views: int, stream: np.random.Generator) -> dict[str, Bools]:
        """Return which elements each view keeps: independent uniform subsets of fixed sizes."""
        return {
            name: subsets(counts[name], part.keep.of(counts[name]), views, stream)
            for name, part in self.parts.items()
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Changes:
    """At most so many elements of one modality that the adversary modifies, adds and deletes.

    Parameters
    ----------
    modified, added, deleted : int >= 0
    """

    modified: int = 0
    added: int = 0
    deleted: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_changes(field.name, getattr(self, field.name))

    def overlap(self, part: Part, elements: int) -> Overlap:
        """Return what is left in common of an input with so many elements, after the worst such changes.

        Where every length within reach has as many elements kept, the value falls in each of the three
        numbers, so using them up is worst. Where one has not, going there leaves nothing in common: an
        addition that a deletion would balance can also be made alone. Of an input with fewer elements all
        are deleted or modified.
        """
        deleted = min(self.deleted, elements)
        kept = part.keep.of(elements)
        shortest, longest = part.keep.of(elements - deleted), part.keep.of(elements + self.added)
        return Overlap.of(
            elements=elements,
            kept=kept,
            common=max(0, elements - deleted - self.modified),
            attacked=elements - deleted + self.added,
            attacked_kept=longest if shortest == kept else shortest,
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Subsampled:
    """Certificates of many inputs from random parts of them.

    With probability at least 1 − alpha for each input, all of them hold together: they are functions of the
    same bound.

    Attributes
    ----------
    scores : Scores
    subsampling : Subsampling
    sizes : mapping of modality name to int array, shape (m,)
        Elements of each input.
    """

    scores: Scores
    subsampling: Subsampling
    sizes: Mapping[str, npt.NDArray[np.int64]]
    baseline: ClassVar[Baseline] = BASELINE

    @property
    def p_hat(self) -> Floats:
        """Share of views about which the label was the answer, shape (m,)."""
        return self.scores.p_hat

    @property
    def p_lower(self) -> Floats:
        """Lower confidence bound on the score of the label, shape (m,)."""
        return self.scores.p_lower

    @property
    def kept(self) -> dict[str, npt.NDArray[np.int64]]:
        """Elements that a view keeps, shape (m,) for each modality."""
        return {
            name: np.array([part.keep.of(int(n)) for n in self.sizes[name]], dtype=np.int64)
            for name, part in self.subsampling.parts.items()
        }

    def worst_score(self, changes: Mapping[str, Changes]) -> Floats:
        """Return a lower bound on the score of the label after such changes, shape (m,), rounded down.

        Parameters
        ----------
        changes : mapping of modality name to Changes
            Modalities that are not named stay as they are.

        Raises
        ------
        ParameterError
            For a modality that is shown as a whole, additions to fixed positions, or no Changes.
        """
        return np.array([rounded_down(value) for value in self._worst(changes)])

    def certified(self, changes: Mapping[str, Changes], *, threshold: float) -> Bools:
        """Whether the score stays above the threshold after such changes, shape (m,); decided exactly."""
        check_open("threshold", threshold)
        return np.array([value > threshold for value in self._worst(changes)], dtype=np.bool_)

    def largest(self, modality: str, *, kind: Kind = "modified", threshold: float) -> LargestBudget:
        """Return the most changes of one kind, in one modality alone, that are certified for each input.

        No more modified or deleted elements are counted than an input has.
        """
        if kind not in get_args(Kind):
            raise ParameterError(f"kind must be modified, added or deleted, got {kind!r}")
        if modality not in self.sizes:
            raise ParameterError(f"modality must be one of {', '.join(self.sizes)}, got {modality!r}")
        check_open("threshold", threshold)
        p, clean = self.p_lower, self.certified({}, threshold=threshold)
        most = np.zeros(len(p), dtype=np.int64)
        for row in np.flatnonzero(clean):

            def holds(count: int, row: int = int(row)) -> bool:
                if kind != "added" and count > self.sizes[modality][row]:
                    return False
                changes = {modality: Changes(**{kind: count})}
                return worst_score(float(p[row]), self._overlaps(changes, row)) > threshold

            most[row] = _last(holds)
        return LargestBudget(clean, most)

    def _worst(self, changes: Mapping[str, Changes]) -> list[Fraction]:
        return [
            worst_score(float(p), self._overlaps(changes, row)) for row, p in enumerate(self.p_lower.tolist())
        ]

    def _overlaps(self, changes: Mapping[str, Changes], row: int) -> list[Overlap]:
        overlaps = []
        for name, change in changes.items():
            part = self.subsampling.parts.get(name)
            if part is None:
                known = ", ".join(self.subsampling.parts)
                raise ParameterError(
                    f"changes must be to a modality that is shown in part, {known}, got {name!r}"
                )
            if not isinstance(change, Changes):
                raise ParameterError(f"changes of modality {name!r} must be Changes(...), got {change!r}")
            if (change.added or change.deleted) and not isinstance(part.elements, Tokens):
                raise ParameterError(
                    f"modality {name!r} has fixed positions: added and deleted must be 0, got {change}"
                )
            overlaps.append(change.overlap(part, int(self.sizes[name][row])))
        return overlaps


def subsampled(
    classifier: Classifier, X: Any, *, subsampling: Subsampling, label: Any, draws: Draws
) -> Subsampled:
    """Count how often the label is the answer about random parts of each input.

    Parameters
    ----------
    classifier : Classifier
        Asked about partial inputs, for which it should be trained (`partial_views.views`). It is asked
        through `predict_encoded`, whatever else it offers.
    X : inputs as the classifier takes them
    subsampling : Subsampling
    label : one of the classifier's classes
    draws : Draws

    Raises
    ------
    ParameterError, DataError
        For values out of range, and modalities that do not fit.
    ModelError
        When the classifier breaks its contract, or fails on every input.
    """
    check_surfaces(subsampling, classifier.surfaces())
    inputs = classifier.encode(X)
    found = sizes(subsampling, inputs)
    work = Work(classifier, Unsmoothed(classifier.surfaces()), PartialViews(subsampling))
    return Subsampled(draws.scored(work, inputs, label=label), subsampling, found)


def _last(holds: Callable[[int], bool]) -> int:
    """Return the last number that holds, of a property that 0 has and that does not come back once lost."""
    high = 1
    while holds(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
