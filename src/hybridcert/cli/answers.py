"""Certificates from numbers alone, many at a time: queries that share a spectrum are solved together."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import numpy as np

from hybridcert.certificate.confidence import clopper_pearson_lower
from hybridcert.certificate.directed import Floats
from hybridcert.certificate.frontier import adversarial_value, radius
from hybridcert.cli.query import Counts, Query


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """One certificate as `radius` prints it; ``p_lower``, ``p_adv`` and ``radius`` are lower bounds."""

    certified: bool
    radius: float | None
    d: int
    sigma: float
    threshold: float
    p_lower: float
    p_adv: float
    eps: float
    log_t: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """The certificate at one discrete budget, as `frontier` prints it."""

    d: int
    certified: bool
    radius: float | None
    log_t: float | None


Report = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all)."""

_CHUNK = 20_000  # queries solved between two reports of progress


def answer(queries: Sequence[Query], report: Report | None = None) -> list[Answer]:
    """Return the certificate of every query, in order."""
    p = _p_lower(queries)
    threshold = np.array([q.threshold for q in queries])
    certified = np.zeros(len(queries), dtype=np.bool_)
    r, log_t, p_adv = (np.zeros(len(queries)) for _ in range(3))
    done = 0
    for rows in _chunks(_grouped((q.channel, q.d, q.sigma) for q in queries)):
        first = queries[rows[0]]
        spectra = first.channel.spectra(first.d)
        radii = radius(p_lower=p[rows], spectrum=spectra, sigma=first.sigma, threshold=threshold[rows])
        certified[rows], r[rows], log_t[rows] = radii.certified, radii.radius, radii.log_t
        eps = np.array([queries[i].eps for i in rows])
        p_adv[rows], _ = adversarial_value(p_lower=p[rows], spectrum=spectra, sigma=first.sigma, epsilon=eps)
        done += rows.size
        if report is not None:
            report("certificates", done, len(queries))
    return [
        Answer(
            certified=bool(certified[i]),
            radius=float(r[i]) if certified[i] else None,
            d=q.d,
            sigma=q.sigma,
            threshold=q.threshold,
            p_lower=float(p[i]),
            p_adv=float(p_adv[i]),
            eps=q.eps,
            log_t=float(log_t[i]) if certified[i] else None,
        )
        for i, q in enumerate(queries)
    ]


def frontier(query: Query, report: Report | None = None) -> list[Point]:
    """Return the certificates at d = 0 … ``query.d``.

    Certified values fall with d, so nothing is certified beyond the first budget that fails.
    """
    points: list[Point] = []
    p = query.p_lower()
    failed = False
    for d in range(query.d + 1):
        if failed:
            points.append(Point(d, False, None, None))
            continue
        found = radius(
            p_lower=p, spectrum=query.channel.spectra(d), sigma=query.sigma, threshold=query.threshold
        )[0]
        points.append(Point(d, found.certified, found.radius, found.log_t))
        failed = not found.certified
        if report is not None:
            report("budgets", d + 1, query.d + 1)
    return points


def _p_lower(queries: Sequence[Query]) -> Floats:
    p = np.array([0.0 if isinstance(q.evidence, Counts) else q.evidence for q in queries])
    counted = [i for i, q in enumerate(queries) if isinstance(q.evidence, Counts)]
    counts = [q.evidence for q in queries if isinstance(q.evidence, Counts)]
    for part in _grouped((c.samples, c.alpha) for c in counts):
        successes = np.array([counts[j].successes for j in part])
        samples, alpha = counts[part[0]].samples, counts[part[0]].alpha
        p[[counted[j] for j in part]] = clopper_pearson_lower(successes, samples, alpha)
    return p


def _chunks(groups: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for rows in groups:
        yield from np.array_split(rows, -(-rows.size // _CHUNK))


def _grouped(keys: Iterable[Hashable]) -> list[np.ndarray]:
    """Return the indices of equal keys, group by group."""
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    return [np.array(indices, dtype=np.intp) for indices in groups.values()]
