"""What was certified about an input, as an attack needs it: a label, and budgets within which it stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hybridcert.certification import CertificationRun
from hybridcert.errors import DataError
from hybridcert.sampling.classifier import Batch


@dataclasses.dataclass(frozen=True, slots=True)
class CertifiedPoint:
    """A certified budget: ``d`` changes in each threatened modality and, at the same time, ``radius``.

    Attributes
    ----------
    d : tuple of int
        One entry for each threatened modality, in their order; empty without a threat.
    radius : float >= 0
        In the run's unit; 0 where no numbers have noise.
    """

    d: tuple[int, ...]
    radius: float


@dataclasses.dataclass(frozen=True, slots=True)
class CertifiedInput:
    """One input and its certificate.

    Attributes
    ----------
    row : int
        Its row among the encoded inputs.
    name : str
        As the certificate calls it.
    label : int
        Index of the certified class.
    alpha : float
        The certificate may be wrong with this probability.
    points : tuple of CertifiedPoint
        At least one.
    document : mapping or None
        The issued certificate, where there is one.
    """

    row: int
    name: str
    label: int
    alpha: float
    points: tuple[CertifiedPoint, ...]
    document: Mapping[str, Any] | None = None

    @property
    def largest(self) -> CertifiedPoint:
        """The point (d*, r*): the largest certified d, and the radius there (paper, Table 4).

        With several threatened modalities that of the largest total; of equal totals the largest radius.
        """
        return max(self.points, key=lambda point: (sum(point.d), point.radius, point.d))

    @property
    def without_changes(self) -> CertifiedPoint | None:
        """The point at d = 0, if it is certified."""
        return next((point for point in self.points if not any(point.d)), None)


def certified_in(run: CertificationRun) -> list[CertifiedInput]:
    """Return the inputs of a run about which anything is certified, in their order."""
    found = []
    for row in range(len(run)):
        points = tuple(
            CertifiedPoint(budget_of(point.d, run.modalities), float(point.radii.radius[row]))
            for point in run.points
            if point.radii.certified[row]
        )
        if points:
            name, label = str(run.index[row]), int(run.claimed[row])
            found.append(CertifiedInput(row, name, label, float(run.alpha), points))
    return found


def certified_by(
    document: Mapping[str, Any], *, rows: Mapping[str, int], classes: Sequence[Any], modalities: Sequence[str]
) -> CertifiedInput | None:
    """Return the input of an issued certificate; None where it certifies nothing.

    Parameters
    ----------
    document : mapping
        A certificate that verifies: it is not checked here.
    rows : mapping of digest to row
        The encoded inputs, by their digests.
    classes : sequence of labels
    modalities : sequence of str
        Threatened modalities in their order.

    Raises
    ------
    DataError
        For a certificate about another input, or about a label that the classifier does not know.
    """
    subject = document["input"]
    points = tuple(
        CertifiedPoint(budget_of(point["d"], modalities), float.fromhex(point["radius"]))
        for point in document["frontier"]
        if point["certified"]
    )
    if not points:
        return None
    if subject["digest"] not in rows:
        raise DataError(
            f"the certificate of input {subject['index']!r} is about another input: its digest is "
            f"{subject['digest']}, which none of the inputs of this configuration and data has"
        )
    names = [str(label) for label in classes]
    if document["claim"]["label"] not in names:
        raise DataError(
            f"the certificate of input {subject['index']!r} claims the label {document['claim']['label']!r}, "
            f"the classifier has {', '.join(names)}"
        )
    return CertifiedInput(
        row=rows[subject["digest"]],
        name=str(subject["index"]),
        label=names.index(document["claim"]["label"]),
        alpha=float.fromhex(document["estimate"]["alpha"]),
        points=points,
        document=document,
    )


def budget_of(d: int | Sequence[int], modalities: Sequence[str]) -> tuple[int, ...]:
    """Return a discrete budget with one entry for each threatened modality; d is 0 where there is none."""
    if not modalities:
        return ()
    return tuple(d) if isinstance(d, Sequence) else (d,)


def chosen(certified: Sequence[CertifiedInput], count: int, *, seed: int) -> list[CertifiedInput]:
    """Return ``count`` of the inputs, or all if there are fewer, drawn at random; in their order."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(certified))
    return [certified[at] for at in sorted(order[:count].tolist())]


def one_row(inputs: Batch, row: int) -> dict[str, Any]:
    """Return one encoded input, as arrays of one row."""
    return {name: array[row : row + 1] for name, array in inputs.items()}
