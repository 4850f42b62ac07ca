"""Reader of ``hybridcert/certificate/1``: what it accepts it accepts for ever, later versions get their own.

It may learn further forms, which those who do not know them refuse; no document changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from flint import fmpq

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.certificate import Certificate, Claim, Continuous, Estimate, Point, Witness
from hybridcert.verify.laws import Threatened, read_changes, threatened
from hybridcert.verify.reals import count, decimal, items, real, real_in, section, shown, text
from hybridcert.verify.v1_estimate import read_estimate

SCHEMA: Final = "hybridcert/certificate/1"

_SECTIONS: Final = (
    *("schema", "input", "claim", "law", "threat", "estimate", "frontier"),
    *("scope", "assumptions", "provenance"),
)


def read(document: Mapping[str, object]) -> Certificate:
    """Read a document of plain JSON values.

    Raises
    ------
    DataError
        At the first thing that is not as the format says, with its place.
    """
    found = section(document, "document", required=_SECTIONS)
    for name in ("input", "scope", "provenance"):
        if not isinstance(found[name], Mapping):
            raise DataError(f"{name}: expected an object, got {shown(found[name])}")
    assumptions = items(found["assumptions"], "assumptions", most=limits.OPTIONS)
    if not assumptions:
        raise DataError("assumptions: expected at least one")
    for index, assumption in enumerate(assumptions):
        text(assumption, f"assumptions[{index}]")
    law = section(found["law"], "law", required=("discrete", "continuous"))
    threat = section(found["threat"], "threat", required=("discrete", "continuous"))
    modalities = threatened(law, threat)
    claim = _claim(found["claim"])
    estimate = read_estimate(found["estimate"], claim)
    continuous = _continuous(law, threat)
    points = _points(found["frontier"], modalities, claim)
    for index, point in enumerate(points):
        if continuous.norm == "none" and point.radius:
            raise DataError(f"frontier[{index}].radius: must be 0 without a continuous threat")
    return Certificate(
        claim=claim,
        modalities=modalities,
        continuous=continuous,
        estimate=estimate,
        confidence=_confidence(found["scope"], estimate),
        points=points,
    )


def _claim(value: object) -> Claim:
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind == "score":
        found = section(value, "claim", required=("kind", "label", "threshold"))
        threshold = real_in(found["threshold"], "claim.threshold", "0", "1", brackets="()")
        return Claim("score", text(found["label"], "claim.label"), threshold)
    if kind == "top-k":
        found = section(value, "claim", required=("kind", "label", "k", "classes"))
        k = count(found["k"], "claim.k", least=1, most=limits.LABELS)
        classes = count(found["classes"], "claim.classes", least=k + 1, most=limits.LABELS)
        return Claim("top-k", text(found["label"], "claim.label"), None, k, classes)
    if not isinstance(value, Mapping):
        raise DataError(f"claim: expected an object, got {shown(value)}")
    raise DataError(f"claim.kind: expected 'score' or 'top-k', got {shown(kind)}")


def _confidence(value: object, estimate: Estimate) -> fmpq | None:
    assert isinstance(value, Mapping)
    stated = value.get("confidence")
    if estimate.alpha is None:
        if stated is not None:
            raise DataError(f"scope.confidence: must be absent with method 'given', got {shown(stated)}")
        return None
    return decimal(stated, "scope.confidence")


def _continuous(law: Mapping[str, object], threat: Mapping[str, object]) -> Continuous:
    """Read the continuous modalities and what ``radius`` means for them."""
    names = {entry["modality"] for entry in law["discrete"]}  # type: ignore[attr-defined]
    scales: list[tuple[str, fmpq | None, str]] = []
    for index, entry in enumerate(items(law["continuous"], "law.continuous", most=limits.MODALITIES)):
        where = f"law.continuous[{index}]"
        kernel = entry.get("kernel") if isinstance(entry, Mapping) else None
        if kernel not in ("gaussian", "laplace"):
            raise DataError(f"{where}.kernel: expected 'gaussian' or 'laplace', got {shown(kernel)}")
        parameter = "sigma" if kernel == "gaussian" else "scale"
        found = section(entry, where, required=("modality", "kernel", parameter, "features", "unit"))
        name = text(found["modality"], f"{where}.modality")
        if name in names:
            raise DataError(f"{where}.modality: {shown(name)} occurs twice")
        names.add(name)
        features = count(found["features"], f"{where}.features", most=limits.SYMBOLS)
        scale = _scale(found[parameter], f"{where}.{parameter}", features if kernel == "gaussian" else None)
        scales.append((kernel, scale, text(found["unit"], f"{where}.unit")))
    optional = ("unit",)
    found = section(threat["continuous"], "threat.continuous", required=("norm",), optional=optional)
    norm, unit = found["norm"], found.get("unit")
    if unit is not None:
        text(unit, "threat.continuous.unit")
    if norm == "none":
        return Continuous("none", "none", fmpq(1))
    if norm == "mahalanobis":
        if not scales or any(kernel != "gaussian" for kernel, _, _ in scales):
            raise DataError("threat.continuous.norm: 'mahalanobis' wants continuous modalities, all Gaussian")
        return Continuous("mahalanobis", "gaussian", fmpq(1))
    if norm in ("l2", "l1"):
        noise: Literal["gaussian", "laplace"] = "gaussian" if norm == "l2" else "laplace"
        if len(scales) != 1 or scales[0][0] != noise or scales[0][1] is None:
            raise DataError(
                f"threat.continuous.norm: {norm!r} wants exactly one continuous modality, {noise}, one scale"
            )
        if unit != scales[0][2]:
            raise DataError(f"threat.continuous.unit: must be that of the noise, got {shown(unit)}")
        return Continuous(norm, noise, scales[0][1])
    raise DataError(f"threat.continuous.norm: expected l2, l1, mahalanobis or none, got {shown(norm)}")


def _scale(value: object, where: str, features: int | None) -> fmpq | None:
    """Read one positive scale, or None for a list with one for each feature."""
    if features is not None and isinstance(value, list):
        if len(value) != features:
            raise DataError(f"{where}: expected one scale for each of {features} features, got {len(value)}")
        for index, entry in enumerate(value):
            real_in(entry, f"{where}[{index}]", "0", "inf", brackets="()")
        return None
    return real_in(value, where, "0", "inf", brackets="()")


def _points(value: object, modalities: Sequence[Threatened], claim: Claim) -> tuple[Point, ...]:
    points: dict[tuple[int, ...], Point] = {}
    left = limits.WITNESSES
    for index, entry in enumerate(items(value, "frontier", most=limits.POINTS)):
        where = f"frontier[{index}]"
        found = section(
            entry,
            where,
            required=("d", "certified", "radius", "p_adv", "worst_case", "witnesses"),
        )
        d = _budget(found["d"], modalities, f"{where}.d")
        if d in points:
            raise DataError(f"{where}.d: the budget {shown(found['d'])} occurs twice")
        text(found["worst_case"], f"{where}.worst_case")
        certified = found["certified"]
        if not isinstance(certified, bool):
            raise DataError(f"{where}.certified: expected true or false, got {shown(certified)}")
        radius = None
        if certified:
            radius = real_in(found["radius"], f"{where}.radius", "0", "inf", brackets="[)")
        elif found["radius"] is not None:
            raise DataError(f"{where}.radius: must be null where nothing is certified")
        witnesses = items(found["witnesses"], f"{where}.witnesses", most=left)
        left -= len(witnesses)
        points[d] = Point(
            d,
            radius,
            real_in(found["p_adv"], f"{where}.p_adv", "0", "inf", brackets="[)"),
            tuple(
                _witness(w, modalities, claim, certified, f"{where}.witnesses[{i}]")
                for i, w in enumerate(witnesses)
            ),
        )
    if not points:
        raise DataError("frontier: expected at least one point")
    return tuple(points.values())


def _budget(value: object, modalities: Sequence[Threatened], where: str) -> tuple[int, ...]:
    if not modalities:
        count(value, where, most=0)
        return ()
    entries = [value] if len(modalities) == 1 else items(value, where, most=limits.MODALITIES)
    if len(entries) != len(modalities):
        raise DataError(f"{where}: expected {len(modalities)} budgets, got {len(entries)}")
    return tuple(
        count(n, where if len(modalities) == 1 else f"{where}[{i}]", most=modality.threat.max_d)
        for i, (n, modality) in enumerate(zip(entries, modalities, strict=True))
    )


def _witness(
    value: object, modalities: Sequence[Threatened], claim: Claim, certified: bool, where: str
) -> Witness:
    found = section(value, where, required=("change", "log_t", "log_t_at_zero"))
    changes = read_changes(found["change"], modalities, f"{where}.change")
    if certified:
        log_t = _log_t(found["log_t"], claim, f"{where}.log_t")
    elif found["log_t"] is not None:
        raise DataError(f"{where}.log_t: must be null where nothing is certified")
    else:
        log_t = ()
    return Witness(changes, log_t, _log_t(found["log_t_at_zero"], claim, f"{where}.log_t_at_zero"))


def _log_t(value: object, claim: Claim, where: str) -> tuple[fmpq | None, ...]:
    expected = 1 if claim.kind == "score" else 2
    entries = items(value, where, most=2)
    if len(entries) != expected:
        raise DataError(f"{where}: expected {expected} entries for a {claim.kind} claim, got {len(entries)}")
    found = tuple(None if u is None else real(u, f"{where}[{i}]") for i, u in enumerate(entries))
    if any(u is not None and abs(u) > limits.LOG_T for u in found):
        raise DataError(f"{where}: must be at most {limits.LOG_T} in size")
    return found
