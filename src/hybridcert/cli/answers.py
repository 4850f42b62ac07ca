"""Certificates from numbers alone, many at a time: queries that share a worst case are solved together."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from hybridcert.certificate.directed import Floats
from hybridcert.certificate.frontier import Radii, Radius, adversarial_value, radius
from hybridcert.certificate.multiclass import TopRadii, TopRadius, radius_top
from hybridcert.cli.query import Query
from hybridcert.documents.claims import ScoreAbove
from hybridcert.documents.evidence import JointAttack


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The certificate at the budget of a query, and ``p_adv`` at its eps; both are lower bounds."""

    found: Radius | TopRadius
    p_adv: float


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """The certificate at one discrete budget, as `frontier` prints it."""

    d: int
    certified: bool
    radius: float | None
    log_t: float | tuple[float, float] | None


Report = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all)."""

_CHUNK = 20_000  # queries solved between two reports of progress


def answer(queries: Sequence[Query], report: Report | None = None) -> list[Answer]:
    """Return the certificate of every query, in order."""
    answers: dict[int, Answer] = {}
    for rows in _chunks(_grouped((q.channel, q.d, q.shift, q.claim.kind) for q in queries)):
        part = [queries[row] for row in rows]
        attack = part[0].channel.attack(part[0].d)
        shift = part[0].shift
        radii = _radii(part, attack)
        values, _ = adversarial_value(
            p_lower=[q.bounds().p_lower for q in part],
            spectrum=[candidate.spectrum for candidate in attack.candidates],
            sigma=shift.budget.scale,
            epsilon=np.array([shift.distance(q.eps) for q in part]),
            noise=shift.budget.noise,
        )
        answers |= {int(row): Answer(radii[i], float(values[i])) for i, row in enumerate(rows)}
        if report is not None:
            report("certificates", len(answers), len(queries))
    return [answers[row] for row in range(len(queries))]


def frontier(query: Query, report: Report | None = None) -> list[Point]:
    """Return the certificates at d = 0 … ``query.d``.

    Certified values fall with d, so nothing is certified beyond the first budget that fails.
    """
    points: list[Point] = []
    failed = False
    for d in range(query.d + 1):
        if failed:
            points.append(Point(d, False, None, None))
            continue
        found = _radii([query], query.channel.attack(d))[0]
        points.append(Point(d, found.certified, found.radius, found.log_t))
        failed = not found.certified
        if report is not None:
            report("budgets", d + 1, query.d + 1)
    return points


def _radii(queries: Sequence[Query], attack: JointAttack) -> Radii | TopRadii:
    """Solve queries that share channel, budget, noise and kind of claim."""
    shift, bounds = queries[0].shift, [query.bounds() for query in queries]
    shared: dict[str, Any] = {
        "p_lower": [b.p_lower for b in bounds],
        "spectrum": [candidate.spectrum for candidate in attack.candidates],
        "sigma": shift.budget.scale,
        "noise": shift.budget.noise,
    }
    found: Radii | TopRadii
    if isinstance(queries[0].claim, ScoreAbove):
        found = radius(**shared, threshold=_thresholds(queries))
    else:
        found = radius_top(**shared, p_upper=[1.0 if b.p_upper is None else b.p_upper for b in bounds])
    return found.without_radius() if shift.budget.norm == "none" else found


def _thresholds(queries: Sequence[Query]) -> Floats:
    return np.array([q.claim.threshold for q in queries if isinstance(q.claim, ScoreAbove)])


def _chunks(groups: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for rows in groups:
        yield from np.array_split(rows, -(-rows.size // _CHUNK))


def _grouped(keys: Iterable[Hashable]) -> list[np.ndarray]:
    """Return the indices of equal keys, group by group."""
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    return [np.array(indices, dtype=np.intp) for indices in groups.values()]
