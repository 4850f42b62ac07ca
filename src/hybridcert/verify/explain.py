"""What a certificate guarantees, and what it does not, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hybridcert.errors import DataError
from hybridcert.verify.certificate import Certificate, Point
from hybridcert.verify.decimals import shown_down, shown_up
from hybridcert.verify.limits import PRECISIONS
from hybridcert.verify.noise import noise_lines
from hybridcert.verify.stopping import drawn, planned, proof, stopping
from hybridcert.verify.verdict import Verdict, read_certificate
from hybridcert.verify.words import attack, cleaned, contract, counted, quoted

_NORMS: Final = {
    "l2": "l2 norm is at most the radius, in {}",
    "l1": "l1 norm is at most the radius, in {}",
    "mahalanobis": (
        "norm √Σ(δ_j/σ_j)² over all noisy features is at most the radius, measured in noise scales σ_j"
    ),
}


def explain(document: Mapping[str, object], verdict: Verdict) -> list[str]:
    """Return lines on what is guaranteed, against whom, how surely, how it was checked, and what is not.

    Parameters
    ----------
    document
        The certificate as parsed JSON.
    verdict
        What `verify_document` said of it. If it failed, the lines say so first, and what it merely claims.
    """
    lines = []
    if not verdict.ok:
        lines += ["NOT VALID: nothing below is proven.", *(f"  why: {reason}" for reason in verdict.reasons)]
    try:
        certificate = read_certificate(document)
    except DataError:
        return [*lines, "The document cannot be read, so there is nothing to explain."]
    verb = "Guaranteed at every certified budget" if verdict.ok else "Claimed, not proven"
    word = "clean score" if certificate.estimate.alpha is None else "counts"
    lines += [
        f"{verb}: {_claim(certificate)}",
        f"  for the input {_input(document)}, given the {word} and the noise that the document states.",
        "The score is smoothed with this noise:",
        *(f"  {line}" for line in noise_lines(_section(document, "law"))),
        "Against any adversary who makes all of these changes at once:",
        *_adversary(certificate, document),
    ]
    lines.append("Within these budgets:")
    lines += [f"  {_point(certificate, point)}" for point in certificate.points]
    lines.append("How surely:")
    lines += [f"  {line}" for line in _confidence(certificate, document)]
    if verdict.ok:
        lines += ["How this was checked:", *(f"  {line}" for line in _checks(certificate))]
    lines += ["Not guaranteed:", *(f"  {line}" for line in _limits(certificate))]
    lines += ["Assumptions that the document states:", *(f"  {line}" for line in _assumptions(document))]
    return lines


def _section(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = document[name]
    assert isinstance(found, Mapping)
    return found


def _input(document: Mapping[str, object]) -> str:
    found = _section(document, "input")
    digest = found.get("digest")
    named = quoted(found["index"]) if isinstance(found.get("index"), str) else "without a name"
    return f"{named} (digest {quoted(digest)})" if isinstance(digest, str) else named


def _claim(certificate: Certificate) -> str:
    claim = certificate.claim
    if claim.threshold is not None:
        return f"the smoothed score of {quoted(claim.label)} stays above {shown_down(claim.threshold)}"
    if claim.k == 1:
        return f"{quoted(claim.label)} keeps the largest smoothed score of all {claim.classes} labels"
    return (
        f"{quoted(claim.label)} stays among the {claim.k} of {claim.classes} labels with the largest scores"
    )


def _adversary(certificate: Certificate, document: Mapping[str, object]) -> list[str]:
    several = len(certificate.modalities) > 1
    lines = [
        f"  {attack(modality, f'd{number}' if several else 'd')}"
        for number, modality in enumerate(certificate.modalities, start=1)
    ]
    norm = certificate.continuous.norm
    law, threat = _section(document, "law"), _section(document, "threat")
    names = {part: [quoted(entry["modality"]) for entry in law[part]] for part in ("discrete", "continuous")}  # type: ignore[attr-defined]
    if norm != "none":
        size = _NORMS[norm].format(quoted(threat["continuous"].get("unit")))  # type: ignore[attr-defined]
        lines.append(f"  In {' and '.join(names['continuous'])} any change whose {size}.")
    threatened = {quoted(modality.law.modality) for modality in certificate.modalities}
    still = [name for name in names["discrete"] if name not in threatened]
    still += names["continuous"] if norm == "none" else []
    if still:
        lines.append(f"  {', '.join(still)}: no change at all.")
    return lines


def _point(certificate: Certificate, point: Point) -> str:
    names = (
        [f"d{number}" for number in range(1, len(point.d) + 1)] if len(point.d) > 1 else ["d"] * len(point.d)
    )
    at = ", ".join(f"{name} = {n}" for name, n in zip(names, point.d, strict=True))
    at = f"{at}: " if at else ""
    score = f"smoothed score of at least {shown_down(point.p_adv)} without a continuous change"
    if point.radius is None:
        return f"{at}not certified; {score}."
    if certificate.continuous.norm == "none":
        return f"{at}certified; {score}."
    return f"{at}certified up to radius {shown_down(point.radius)}; {score}."


def _confidence(certificate: Certificate, document: Mapping[str, object]) -> list[str]:
    estimate = certificate.estimate
    score = f"that the clean score is at least {shown_down(estimate.p_lower)}{_rival(certificate)}"
    if estimate.alpha is None:
        return [
            f"No confidence is stated: {score} is asserted by whoever issued the document.",
            "Nothing in the document proves it.",
        ]
    confidence = _section(document, "scope").get("confidence")
    return [
        f"With confidence {confidence} over the draw of {drawn(estimate)}, which proves {score}.",
        *stopping(estimate),
        "The counts are the issuer's word: verification proves what follows from them, not that they were",
        "drawn independently, from this noise, for this input, after its label and the threshold were fixed.",
        "It holds for all budgets above at once, and for this input alone: over many inputs, the expected",
        "share of such statements that are wrong is at most 1 - confidence; the share met can be larger.",
    ]


def _rival(certificate: Certificate) -> str:
    """Return what is known of the labels that the claimed one has to beat."""
    claim, estimate = certificate.claim, certificate.estimate
    if claim.kind == "score":
        return ""
    if estimate.p_upper is None:
        return f" and those of all other labels together at most {shown_up(1 - estimate.p_lower)}"
    which = "the largest one" if claim.k == 1 else f"number {claim.k}"
    return f" and {which} among those of the other labels at most {shown_up(estimate.p_upper)}"


def _checks(certificate: Certificate) -> list[str]:
    witnesses = sum(len(point.witnesses) for point in certificate.points)
    lines = [
        "Everything was recomputed from the document alone, without the code that issued it:",
        f"in exact rationals and in balls around the exact values, of up to {PRECISIONS[-1]} bits.",
        f"Every attack within the budgets is no worse than what is listed ({counted(witnesses, 'change')}).",
        "At each of these the dual bound D(log t) proves what is said, whatever the classifier.",
    ]
    if certificate.estimate.alpha is not None:
        lines.append(f"Given the counts, {proof(certificate.estimate)} proves the clean score.")
    return lines


def _limits(certificate: Certificate) -> list[str]:
    lines = [line for modality in certificate.modalities for line in contract(modality)]
    if certificate.continuous.norm != "none":
        lines.append("The continuous noise is taken to be exact, but it was drawn in floating point.")
    lines += [
        "What is served has to be what was sampled: the same model, noise, and all around them.",
        "Modalities without a threat, and all that carries no noise, must stay unchanged.",
        "Nothing is said about any other input, nor that the label is the right one.",
    ]
    if certificate.estimate.alpha is None:
        lines.append("The clean score is an assertion: if it is wrong, so is everything else.")
    else:
        lines.append("Counts that were made up, or chosen among several draws, prove nothing.")
        lines += planned(certificate.estimate)
    return lines


def _assumptions(document: Mapping[str, object]) -> list[str]:
    found = document["assumptions"]
    assert isinstance(found, (list, tuple))
    return [cleaned(assumption) for assumption in found]
