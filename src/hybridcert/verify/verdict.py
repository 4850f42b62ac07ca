"""The answer to one document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hybridcert.errors import DataError
from hybridcert.verify import document as documents
from hybridcert.verify import limits, v1
from hybridcert.verify.certificate import Certificate
from hybridcert.verify.estimate import check_estimate
from hybridcert.verify.frontier import check_point
from hybridcert.verify.meter import Meter
from hybridcert.verify.reals import shown

READERS: Final[Mapping[str, Callable[[Mapping[str, object]], Certificate]]] = {v1.SCHEMA: v1.read}
"""Readers by schema. A version that was ever issued stays in here."""

_REASONS = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """What a readable document is about; it is no statement that any of it holds."""

    schema: str
    index: str | None
    label: str
    claim: str
    method: str
    points: int
    certified: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether everything holds that a document claims, and what does not.

    ``reasons`` is empty exactly if ``ok``; each is one line that starts with its place in the document.
    ``summary`` is None if the document could not be read.
    """

    ok: bool
    reasons: tuple[str, ...]
    summary: Summary | None


def verify_document(document: Mapping[str, object]) -> Verdict:
    """Verify one certificate, given as parsed JSON.

    Everything is recomputed from the document alone, in exact rationals and in balls that hold the exact
    values; nothing is searched for. A document that is malformed, or beyond the limits of
    `hybridcert.verify.limits`, or whose claim stays undecided at the last precision, is refused. No document
    makes this raise.

    Parameters
    ----------
    document
        A JSON object: dicts, lists, strings, integers, booleans and None.
    """
    try:
        found = documents.plain(document)
        certificate = _read(found)
        reasons = _check(certificate)
        summary = _summary(found, certificate)
    except DataError as error:
        return Verdict(False, (_one_line(str(error)),), None)
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError, MemoryError) as error:
        # fail closed: what the checks do not foresee is refused, not passed on as a traceback
        return Verdict(False, (f"document: the check broke down ({type(error).__name__})",), None)
    return Verdict(not reasons, tuple(reasons), summary)


def verify_text(text: str | bytes) -> Verdict:
    """Verify one certificate, given as JSON text; see `verify_document`."""
    try:
        document = documents.parse(text)
    except DataError as error:
        return Verdict(False, (_one_line(f"document: {error}"),), None)
    return verify_document(document)  # type: ignore[arg-type]


def read_certificate(document: Mapping[str, object]) -> Certificate:
    """Read a document without checking what it claims.

    Raises
    ------
    DataError
        If it is malformed, or of a schema that is not known.
    """
    return _read(documents.plain(document))


def _read(document: object) -> Certificate:
    if not isinstance(document, dict):
        raise DataError(f"document: expected an object, got {shown(document)}")
    schema = document.get("schema")
    if not isinstance(schema, str) or schema not in READERS:
        raise DataError(f"schema: unknown version {shown(schema)}; this verifier knows {', '.join(READERS)}")
    return READERS[schema](document)


def _check(certificate: Certificate) -> list[str]:
    meter = Meter(limits.WORK)
    try:
        reasons = check_estimate(certificate, meter)
    except DataError as error:
        return [_one_line(f"estimate: {error}")]
    failed = 0
    for index in range(len(certificate.points)):
        try:
            found = check_point(certificate, index, meter)
        except DataError as error:  # beyond a limit: the rest is not looked at
            return [_one_line(reason) for reason in (*reasons, str(error))]
        failed += bool(found)
        if len(reasons) < _REASONS:
            reasons += found
    if failed > _REASONS:
        reasons.append(f"frontier: {failed} of {len(certificate.points)} points fail")
    return [_one_line(reason) for reason in reasons]


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _summary(document: object, certificate: Certificate) -> Summary:
    assert isinstance(document, dict)
    index = document["input"].get("index")
    return Summary(
        document["schema"],
        index if isinstance(index, str) else None,
        certificate.claim.label,
        certificate.claim.kind,
        certificate.estimate.method,
        len(certificate.points),
        sum(point.radius is not None for point in certificate.points),
    )
