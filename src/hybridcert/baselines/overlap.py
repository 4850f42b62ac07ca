"""Certificates for classifiers that see a random part of the input: exact arithmetic on counts of subsets.

k of the n elements of an input are drawn without replacement, all subsets alike, and the classifier answers
about these alone. The adversary's input has n′ elements, e of them in common with the clean one. A view that
consists of common elements only has probability 1/C(n, k) here and 1/C(n′, k) there; any other view of the
clean input need not occur there at all. So the clean law has mass P = C(e, k)/C(n, k) at likelihood ratio
C(n, k)/C(n′, k) and the rest at ratio 0, and by Neyman and Pearson an event of clean score p scores at least

    max(0, p − (1 − P)) · C(n, k)/C(n′, k).

Independent draws from several modalities multiply: P = ∏ C(e_i, k_i)/C(n_i, k_i), and so do the ratios.
(Levine & Feizi 2020, Theorem 1; Wang et al. 2024, Theorem 1, which states it for the two largest labels.)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from fractions import Fraction

from hybridcert.certificate.directed import step_down


@dataclasses.dataclass(frozen=True, slots=True)
class Overlap:
    """What the clean and the adversary's law of views have in common.

    Attributes
    ----------
    clean : Fraction in [0, 1]
        Clean mass of the views that both produce.
    ratio : Fraction >= 0
        Their likelihood ratio, adversary to clean; 0 where there are none.
    """

    clean: Fraction
    ratio: Fraction

    @staticmethod
    def of(*, elements: int, kept: int, common: int, attacked: int, attacked_kept: int) -> Overlap:
        """Return the overlap of one modality.

        Parameters
        ----------
        elements, kept : int >= 0
            n and k of the clean input, k <= n.
        common : int in [0, elements]
            Elements that the adversary leaves as they are.
        attacked, attacked_kept : int >= 0
            n′, and how many of them are drawn there. Views of another size than ``kept`` are none of the
            clean input's.
        """
        if kept != attacked_kept or common < kept:
            return Overlap(Fraction(0), Fraction(0))
        here, there = math.comb(elements, kept), math.comb(attacked, kept)
        return Overlap(Fraction(math.comb(common, kept), here), Fraction(here, there))


def worst_score(p_lower: float, overlaps: Iterable[Overlap]) -> Fraction:
    """Return the least score of an event at the adversary's input, exactly.

    Guarantee: an event whose score at the clean input is at least ``p_lower`` scores at least this at every
    input with these overlaps.

    Parameters
    ----------
    p_lower : float in [0, 1], taken as exact
    overlaps : Overlap
        One for each modality that parts are drawn from; none: nothing changed.
    """
    clean = ratio = Fraction(1)
    for overlap in overlaps:
        clean, ratio = clean * overlap.clean, ratio * overlap.ratio
    return max(Fraction(0), Fraction(p_lower) - (1 - clean)) * ratio


def rounded_down(value: Fraction) -> float:
    """Return the largest float64 that is at most ``value`` in [0, 1], or the one below it."""
    nearest = value.numerator / value.denominator
    return nearest if Fraction(nearest) <= value else max(0.0, float(step_down(nearest)))
