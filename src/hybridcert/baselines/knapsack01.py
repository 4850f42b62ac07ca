"""The discrete part alone, for classifiers whose answer is a function of the noisy word: 0–1 knapsack.

Such a classifier accepts a *set* of noisy words, so none is accepted in part, as the fractional knapsack of
`text_only` allows. The least adversarial mass of a set of clean mass at least p is an integer program over
groups of equally likely words (Chen et al. 2025). Its value is at least the fractional one.

What makes it sound:

* The items are single noisy words, of *all* positions that have noise: `OutcomeSpace` counts them. Items that
  only tell the changed positions apart are too coarse, because a classifier may read the others as well and
  accept a part of such an item; the value would be too high.
* Nothing else has noise. With Gaussian noise on an image beside the text, or any randomness in the model, the
  score of a noisy word is a number between 0 and 1, not 0 or 1. Then the fractional value is the tight one.
  The caller therefore has to list what else has noise (``also_noised``), and anything there is refused.

Words come in groups of (V − 1)^j, so the gain is at most the adversarial mass of one word: it shows for few
positions with small alphabets, as in tables, and vanishes for texts.

The integer program is solved by branch and bound in integers. When the limit of nodes is reached, the value
is the best lower bound that is proven so far, which is never more than the exact value.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
from collections.abc import Collection, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hybridcert.baselines.certified import Baseline, LargestBudget, Need, check_changes, largest_budget
from hybridcert.baselines.outcome_space import OutcomeSpace, check_kernel, choices
from hybridcert.certificate.directed import Bools
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.errors import ParameterError
from hybridcert.kernels.absorbing import Absorbing
from hybridcert.kernels.uniform import UniformReplacement

BASELINE = Baseline(
    name="text-only smoothing (0–1 knapsack)",
    source="Chen et al. 2025",
    sound=True,
    certifies="ε = 0, every d up to the largest",
    needs=(Need.CONTINUOUS_UNCHANGED, Need.DETERMINISTIC_CLASS),
    calls="N",
)


@dataclasses.dataclass(frozen=True, slots=True)
class ZeroOneBound:
    """Lower bound on the adversarial score of a deterministic classifier of noisy words.

    Attributes
    ----------
    value : Fraction
        At least ``fractional``, at most the exact value of the 0–1 knapsack.
    exact : bool
        Whether it is that value.
    fractional : Fraction
        Exact value of the fractional knapsack.
    """

    value: Fraction
    exact: bool
    fractional: Fraction


@dataclasses.dataclass(frozen=True, slots=True)
class _Program:
    """Minimise Σ cost·x subject to Σ gain·x >= need, 0 <= x <= count, in integers; cheapest groups first."""

    gain: tuple[int, ...]
    cost: tuple[int, ...]
    count: tuple[int, ...]
    need: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Relaxed:
    """What the fractional optimum of a node says.

    Attributes
    ----------
    bound : int
        No integer point of the node costs less.
    feasible : int
        Cost of an integer point of the node.
    group, whole : int
        The group that is taken in part, and how much of it fits as a whole; −1 where none is.
    """

    bound: int
    feasible: int
    group: int
    whole: int


def knapsack01(
    space: OutcomeSpace, p_lower: float, *, also_noised: Sequence[str], most_nodes: int = 10_000
) -> ZeroOneBound:
    """Return the least adversarial mass of a set of noisy words of clean mass at least ``p_lower``.

    Guarantee: a classifier whose answer is a function of the noisy word alone, and whose score at the clean
    input is at least ``p_lower``, scores at least ``value`` at the adversary's input. ``p_lower`` need not be
    a score that a set can have.

    Parameters
    ----------
    space : OutcomeSpace
        Of every position that has noise.
    p_lower : float in [0, 1], taken as exact
    also_noised : sequence of str
        Names of everything else that has noise, or answers at random. Anything here is refused: such a score
        is no sum over a set of words.
    most_nodes : int >= 1
        Nodes of the search that are looked at.

    Raises
    ------
    ParameterError
        For values outside these ranges.

    Examples
    --------
    >>> import hybridcert as hc
    >>> from hybridcert.baselines.knapsack01 import knapsack01
    >>> from hybridcert.baselines.outcome_space import OutcomeSpace
    >>> space = OutcomeSpace.changed(hc.UniformReplacement(0.5), [3], [0])  # words of mass ½, ¼, ¼
    >>> bound = knapsack01(space, 0.625, also_noised=())  # ½ alone is too little: ½ + ¼, at ¼ + ¼
    >>> bound.value, bound.fractional
    (Fraction(1, 2), Fraction(3, 8))
    """
    check_deterministic(also_noised)
    check_count("most_nodes", most_nodes)
    _check_score(p_lower)
    program, unit = _program(space, p_lower)
    cost, exact = _branch_and_bound(program, most_nodes)
    return ZeroOneBound(cost * unit, exact, _fractional(space, Fraction(p_lower)))


def text_only_01(
    *,
    kernel: UniformReplacement | Absorbing,
    sizes: Sequence[int],
    p_lower: npt.ArrayLike,
    threshold: float,
    max_d: int,
    also_noised: Sequence[str],
    most_nodes: int = 10_000,
) -> LargestBudget:
    """Return the largest d at which the 0–1 knapsack exceeds the threshold, for each clean score.

    Guarantee: if the classifier's answer is a function of the noisy word alone and its clean score is at
    least ``p_lower``, its score is above ``threshold`` at every input that differs in at most d of the
    positions.

    Parameters
    ----------
    kernel : UniformReplacement or Absorbing
    sizes : sequence of int >= 2
        Alphabet size of every position that has noise; the adversary may change any of them.
    p_lower : float array, shape (n,) or scalar, in [0, 1]
    threshold : float in (0, 1)
    max_d : int >= 0
        Larger budgets are not looked at; at most the number of positions.
    also_noised : sequence of str
        See `knapsack01`.
    most_nodes : int >= 1

    Raises
    ------
    ParameterError
        For values outside these ranges.
    """
    check_deterministic(also_noised)
    check_kernel(kernel)
    check_open("threshold", threshold)
    check_changes("max_d", max_d)
    p = np.atleast_1d(np.asarray(p_lower, dtype=np.float64))
    for score in p.tolist():
        _check_score(score)
    distinct, index = np.unique(p, return_inverse=True)

    def holds(d: int) -> Bools:
        spaces = [OutcomeSpace.changed(kernel, sizes, changed) for changed in choices(sizes, d)]
        safe = [
            all(_exceeds(space, score, threshold, most_nodes) for space in spaces)
            for score in distinct.tolist()
        ]
        return np.array(safe, dtype=np.bool_)[index]

    return largest_budget(holds, min(max_d, len(sizes)))


def check_deterministic(also_noised: Sequence[str]) -> None:
    """Raise ParameterError where anything besides the noisy word decides about an answer."""
    if not isinstance(also_noised, Collection) or isinstance(also_noised, str) or len(also_noised):
        raise ParameterError(
            f"also_noised must be empty for the 0–1 knapsack, got {also_noised!r}: a score averaged over "
            "other noise is no sum over a set of words, use the fractional knapsack (text_only)"
        )


def _check_score(p_lower: float) -> None:
    if not 0.0 <= p_lower <= 1.0:
        raise ParameterError(f"p_lower must be in [0, 1], got {p_lower!r}")


def _program(space: OutcomeSpace, p_lower: float) -> tuple[_Program, Fraction]:
    """Return the integer program, and what one unit of its cost is in adversarial mass."""
    over_p = math.lcm(*(p.denominator for p in space.clean))
    over_q = math.lcm(*(q.denominator for q in space.adversarial))
    program = _Program(
        tuple(int(p * over_p) for p in space.clean),
        tuple(int(q * over_q) for q in space.adversarial),
        space.count,
        math.ceil(Fraction(p_lower) * over_p),  # the clean mass of a set is a multiple of 1/over_p
    )
    return program, Fraction(1, over_q)


def _exceeds(space: OutcomeSpace, p_lower: float, threshold: float, most_nodes: int) -> bool:
    """Return whether the value is proven to be above a threshold; no search beyond that."""
    program, unit = _program(space, p_lower)
    cost, _ = _branch_and_bound(program, most_nodes, settled=math.floor(Fraction(threshold) / unit))
    return cost * unit > threshold


def _fractional(space: OutcomeSpace, score: Fraction) -> Fraction:
    value, room = Fraction(0), score
    for p, q, count in zip(space.clean, space.adversarial, space.count, strict=True):
        taken = min(room, p * count)
        value, room = value + taken * q / p, room - taken
    return value


def _branch_and_bound(program: _Program, most_nodes: int, *, settled: int | None = None) -> tuple[int, bool]:
    """Return a proven lower bound on the least cost, and whether it is the least cost; best bounds first.

    With ``settled``, the search ends once it is proven whether the least cost is above that.
    """
    low, high = (0,) * len(program.count), program.count
    root = _relaxed(program, low, high)
    assert root is not None  # all words together have mass 1
    best, number = root.feasible, itertools.count()
    heap = [(root.bound, next(number), root, low, high)]
    for _ in range(most_nodes):
        bound = heap[0][0] if heap else best
        if bound >= best or (settled is not None and (bound > settled or best <= settled)):
            break
        _, _, node, low, high = heapq.heappop(heap)
        at = node.group
        for floor, ceiling in ((low[at], node.whole), (node.whole + 1, high[at])):
            part_low = (*low[:at], floor, *low[at + 1 :])
            part_high = (*high[:at], ceiling, *high[at + 1 :])
            child = _relaxed(program, part_low, part_high)
            if child is not None:
                best = min(best, child.feasible)
                heapq.heappush(heap, (child.bound, next(number), child, part_low, part_high))
    bound = heap[0][0] if heap else best
    return min(bound, best), bound >= best


def _relaxed(program: _Program, low: Sequence[int], high: Sequence[int]) -> _Relaxed | None:
    """Return the fractional optimum of a node, its cost rounded up; None where the node has no point."""
    room = program.need - sum(gain * x for gain, x in zip(program.gain, low, strict=True))
    cost = sum(price * x for price, x in zip(program.cost, low, strict=True))
    for group, (gain, price) in enumerate(zip(program.gain, program.cost, strict=True)):
        if room <= 0:
            break
        free = high[group] - low[group]
        whole = min(free, room // gain)
        room, cost = room - whole * gain, cost + whole * price
        if whole < free and room > 0:
            part = -(-price * room // gain)
            return _Relaxed(cost + part, cost + price, group, low[group] + whole)
    return None if room > 0 else _Relaxed(cost, cost, -1, -1)
