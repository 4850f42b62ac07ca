"""Composing a certificate, and refusing to hand out one that its own verification does not accept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridcert.documents.claims import ScoreAbove
from hybridcert.documents.evidence import Estimate, SequentialPlan, Setting
from hybridcert.documents.exact import confidence_text, hexadecimal
from hybridcert.documents.wording import assumptions, statement
from hybridcert.errors import CertificateError, DataError
from hybridcert.verify import verify_document

SCHEMA = "hybridcert/certificate/1"
FILE_NAME = "certificates.jsonl"


def compose(
    setting: Setting,
    estimate: Estimate,
    frontier: list[dict[str, Any]],
    *,
    label: str,
    subject: Mapping[str, Any],
    provenance: Mapping[str, Any],
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the certificate of one input as a JSON-ready mapping, verified.

    Parameters
    ----------
    estimate : Estimate
        As `frontier_section` used it (see `sharpened`).
    frontier : list
        The section made by `frontier_section`.
    label : str
        The claimed label.
    subject : mapping
        Which input this is: index, digest, the base classifier's own answer.
    provenance : mapping
        Seed, digests of model and data, package version.
    remarks : sequence of str
        Further assumptions.

    Raises
    ------
    CertificateError
        When the document does not verify: it is not issued.
    """
    document = {
        "schema": SCHEMA,
        "input": dict(subject),
        "claim": _claim(setting, label),
        "law": dict(setting.law),
        "threat": dict(setting.threat),
        "estimate": _estimate(setting, estimate),
        "frontier": frontier,
        "scope": {
            "confidence": None if estimate.alpha is None else confidence_text(estimate.alpha),
            "holds": "per input, simultaneously over the frontier",
            "statement": statement(estimate),
        },
        "assumptions": [*assumptions(setting, estimate), *remarks],
        "provenance": dict(provenance),
    }
    verdict = verify_document(document)
    if not verdict.ok:
        raise CertificateError(
            f"the certificate of input {subject.get('index')!r} does not verify: {verdict.reasons[0]}; this "
            "is a defect, please report it"
        )
    return document


def write_certificates(path: Path, documents: Iterable[Mapping[str, Any]]) -> int:
    """Write one certificate a line and return how many there were."""
    count = 0
    try:
        with path.open("w", encoding="utf-8") as file:
            for document in documents:
                file.write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")
                count += 1
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return count


def _claim(setting: Setting, label: str) -> dict[str, Any]:
    claim = setting.claim
    if isinstance(claim, ScoreAbove):
        return {"kind": claim.kind, "label": label, "threshold": hexadecimal(claim.threshold)}
    return {"kind": claim.kind, "label": label, "k": claim.k, "classes": claim.classes}


def _estimate(setting: Setting, estimate: Estimate) -> dict[str, Any]:
    section: dict[str, Any] = {"method": estimate.method}
    if estimate.method == "given":
        section["p_lower"] = hexadecimal(estimate.p_lower)
    else:
        assert estimate.alpha is not None
        section |= {"samples": estimate.samples, "alpha": hexadecimal(estimate.alpha)}
        if estimate.method == "clopper-pearson-bonferroni":
            section |= {"counts": [int(c) for c in estimate.counts], "label_index": estimate.label_index}
        else:
            section["successes"] = int(estimate.counts[estimate.label_index])
        section |= {} if estimate.plan is None else _plan(estimate.plan)
        section["p_lower"] = hexadecimal(estimate.p_lower)
    if estimate.p_upper is not None and not isinstance(setting.claim, ScoreAbove):
        section["p_upper"] = hexadecimal(estimate.p_upper)
    return section


def _plan(plan: SequentialPlan) -> dict[str, Any]:
    """Return what the section says of how sampling could stop."""
    if plan.prior is not None:
        return {"prior": [hexadecimal(parameter) for parameter in plan.prior]}
    if plan.alphas:
        return {"looks": [[n, hexadecimal(share)] for n, share in zip(plan.looks, plan.alphas, strict=True)]}
    return {
        "looks": [[int(n), int(c)] for n, c in zip(plan.looks, plan.certify_at, strict=True)],
        "look": plan.look,
        "successes_at": [int(k) for k in plan.successes_at],
    }
