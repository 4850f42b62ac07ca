"""Randomised ablation: a classifier that sees k of the n features of an input, whatever their kind.

The features of all modalities are pooled: fields and numbers of a table, tokens and pixels. k of them are
drawn without replacement, the others are ablated: they take a value of their own, or any fixed filler. An
adversary who changes d features is not seen in a share C(n − d, k)/C(n, k) of the views, so a score of p
stays at least p − (1 − C(n − d, k)/C(n, k)): an ℓ₀ certificate over discrete and numeric features alike,
without an ε.

A filler that is also a real value (0 for standardised numbers, the most frequent level) is as sound as one of
its own: what is shown is a function of the features that were drawn. A value of its own tells the classifier
what it was not shown, which makes the clean score larger.

References
----------
Levine & Feizi 2020, "Robustness certificates for sparse adversarial attacks by randomized ablation", Theorem
1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hybridcert.baselines.certified import Baseline, LargestBudget, Need, check_changes, largest_budget
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
from hybridcert.errors import DataError, ParameterError
from hybridcert.sampling.blocks import Work
from hybridcert.sampling.classifier import Classifier

BASELINE = Baseline(
    name="randomised ablation",
    source="Levine & Feizi 2020",
    sound=True,
    certifies="d changed features, discrete and numeric ones together; no ε of its own",
    needs=(Need.ORDER_KEPT,),
    calls="N",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Ablation:
    """Which features there are, and how many of them are shown.

    Parameters
    ----------
    features : mapping of modality name to Elements
        `Columns` or `Patches`. What is in no modality, or no column, is always shown and must stay as it is.
    keep : int >= 1

    Raises
    ------
    ParameterError
        Where no modality is named, for `keep` below 1, and for sequences, whose length may change.
    """

    features: Mapping[str, Elements]
    keep: int

    def __post_init__(self) -> None:
        check_names(self.features)
        check_count("keep", self.keep)
        for name, elements in self.features.items():
            if isinstance(elements, Tokens):
                raise ParameterError(
                    f"modality {name!r} is a sequence: ablation needs fixed positions, use Subsampling"
                )
        object.__setattr__(self, "features", dict(sorted(self.features.items())))

    @property
    def elements(self) -> Mapping[str, Elements]:
        """Elements of each modality that is shown in part."""
        return self.features

    def draw(self, counts: Mapping[str, int], views: int, stream: np.random.Generator) -> dict[str, Bools]:
        """Return which features each view keeps: ``keep`` of all together, all subsets alike."""
        kept = subsets(sum(counts.values()), self.keep, views, stream)
        ends = np.cumsum(list(counts.values()))
        return dict(zip(counts, np.split(kept, ends[:-1], axis=1), strict=True))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Ablated:
    """Certificates of many inputs from k of their n features.

    With probability at least 1 − alpha for each input, they hold for every d together.

    Attributes
    ----------
    scores : Scores
    ablation : Ablation
    features : int
        n, of every input.
    """

    scores: Scores
    ablation: Ablation
    features: int
    baseline: ClassVar[Baseline] = BASELINE

    @property
    def p_hat(self) -> Floats:
        """Share of views about which the label was the answer, shape (m,)."""
        return self.scores.p_hat

    @property
    def p_lower(self) -> Floats:
        """Lower confidence bound on the score of the label, shape (m,)."""
        return self.scores.p_lower

    def worst_score(self, d: int) -> Floats:
        """Return a lower bound on the score after ``d`` changed features, shape (m,), rounded down."""
        overlap = ablation_overlap(self.features, self.ablation.keep, d)
        return np.array([rounded_down(worst_score(p, [overlap])) for p in self.p_lower.tolist()])

    def certified(self, d: int, *, threshold: float) -> Bools:
        """Whether the score stays above the threshold after ``d`` changed features; decided exactly."""
        check_open("threshold", threshold)
        overlap = ablation_overlap(self.features, self.ablation.keep, d)
        return np.array(
            [worst_score(p, [overlap]) > threshold for p in self.p_lower.tolist()], dtype=np.bool_
        )

    def largest(self, *, threshold: float) -> LargestBudget:
        """Return the most changed features that are certified for each input."""
        return largest_budget(lambda d: self.certified(d, threshold=threshold), self.features)


def ablation_overlap(features: int, keep: int, d: int) -> Overlap:
    """Return the share C(n − d, k)/C(n, k) of views that ``d`` changed features leave as they are.

    Parameters
    ----------
    features : int >= 1
    keep : int in [1, features]
    d : int >= 0
        More than there are features: all of them.

    Raises
    ------
    ParameterError
        For values outside these ranges.

    Examples
    --------
    >>> from hybridcert.baselines.ablation import ablation_overlap
    >>> ablation_overlap(4, 2, 1).clean  # three of the six pairs
    Fraction(1, 2)
    """
    check_count("features", features)
    check_count("keep", keep, most=features)
    check_changes("d", d)
    return Overlap.of(
        elements=features,
        kept=keep,
        common=max(0, features - d),
        attacked=features,
        attacked_kept=keep,
    )


def ablated(classifier: Classifier, X: Any, *, ablation: Ablation, label: Any, draws: Draws) -> Ablated:
    """Count how often the label is the answer about k features of each input.

    Parameters
    ----------
    classifier : Classifier
        Asked about ablated inputs, for which it should be trained (`partial_views.views`).
    X : inputs as the classifier takes them
    ablation : Ablation
    label : one of the classifier's classes
    draws : Draws

    Raises
    ------
    ParameterError, DataError
        For values out of range, modalities that do not fit, and more kept features than there are.
    ModelError
        When the classifier breaks its contract, or fails on every input.
    """
    check_surfaces(ablation, classifier.surfaces())
    inputs = classifier.encode(X)
    counts: npt.NDArray[np.int64] = np.sum(list(sizes(ablation, inputs).values()), axis=0)
    if not counts.size:
        raise DataError("at least one input is needed, got none")
    features = int(counts[0])  # positions are fixed: the same for all
    check_count("keep", ablation.keep, most=features)
    work = Work(classifier, Unsmoothed(classifier.surfaces()), PartialViews(ablation))
    return Ablated(draws.scored(work, inputs, label=label), ablation, features)
