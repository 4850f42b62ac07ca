"""The smoothed model and the certificates of a run directory, as an attack needs them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridcert.documents.claims import Claim, ScoreAbove, claim_of
from hybridcert.documents.issue import FILE_NAME
from hybridcert.errors import DataError
from hybridcert.experiments.attack.belonging import belonging, check_model
from hybridcert.experiments.attack.certified import CertifiedInput, certified_by, one_row
from hybridcert.experiments.attack.plan import Subject
from hybridcert.experiments.config_pairs import PairsConfig
from hybridcert.experiments.config_tabular import TabularConfig
from hybridcert.experiments.config_text import TextConfig
from hybridcert.experiments.pairs import prepared_pairs
from hybridcert.experiments.prepared import Prepared
from hybridcert.experiments.runs import Run
from hybridcert.experiments.tabular import prepared_tabular
from hybridcert.experiments.text import prepared_text
from hybridcert.experiments.training import Report
from hybridcert.sampling.streams import RowStreams
from hybridcert.verify import verify_document


def prepared_as_in(run: Run, directory: Path, *, report: Report | None = None) -> tuple[Run, Prepared]:
    """Return the run of a directory and its smoothed model: trained again, or loaded; whoever asks closes it.

    Guarantee: the model is the one that was certified, by its digest.

    Raises
    ------
    RunMismatchError
        When configuration, data or model are not those of the directory.
    ConfigError, DataError, ModelError
        See `prepared_tabular`, `prepared_text` and `prepared_pairs`.
    """
    there = belonging(run, directory)
    match there.config:
        case PairsConfig():
            prepared = prepared_pairs(there.config)
        case TextConfig():
            prepared = prepared_text(there.config, train=there.split()[0], report=report)
        case TabularConfig():
            prepared = prepared_tabular(there.config, train=there.split()[0], report=report)
    try:
        check_model(directory, prepared.described)
    except BaseException:
        prepared.close()
        raise
    return there, prepared


def subject_of(run: Run, prepared: Prepared, directory: Path) -> Subject:
    """Return what is attacked: the inputs that the certificates in a run directory are about.

    The certificates are not verified yet; see `check_certificates`.

    Parameters
    ----------
    run : Run
        As `prepared_as_in` returned it.

    Raises
    ------
    DataError
        For certificates that cannot be read, or are about other inputs, another claim, noise or threat.
    """
    classifier, joint = prepared.classifier, prepared.joint
    inputs = classifier.encode(_inputs(run))
    digests = [key.hex() for key in RowStreams(0).keys(inputs)]
    rows = {digest: row for row, digest in reversed(list(enumerate(digests)))}
    claim = _claim(run, len(classifier.classes_))
    certified = []
    path, classes, modalities = directory / FILE_NAME, list(classifier.classes_), tuple(joint.threats)
    for number, line in enumerate(_lines(path), start=1):
        try:
            found = certified_by(json.loads(line), rows=rows, classes=classes, modalities=modalities)
        except DataError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise DataError(f"{path}, line {number}, is no certificate: certify again") from error
        if found is not None:
            certified.append(found)
    return Subject(classifier, joint, claim, inputs, certified)


def check_certificates(subject: Subject, certified: Sequence[CertifiedInput]) -> None:
    """Raise DataError unless the certificates hold by themselves and speak of what is attacked.

    Each is verified from its document alone, and its claim, noise and threat are compared with those of the
    subject: what an attack then finds is a fault of the certificate, and not of reading it.
    """
    for one in certified:
        assert one.document is not None
        verdict = verify_document(one.document)
        if not verdict.ok:
            raise DataError(
                f"the certificate of input {one.name!r} does not verify ({verdict.reasons[0]}): see "
                "hybridcert verify, and certify again"
            )
        [exposures], _ = subject.joint.exposures(one_row(subject.inputs, one.row))
        setting = subject.joint.setting(subject.claim, exposures)
        wanted = json.loads(json.dumps({"law": setting.law, "threat": setting.threat}))
        for section in ("law", "threat"):
            if one.document[section] != wanted[section]:
                raise DataError(
                    f"the certificate of input {one.name!r} is about another {section} than that of the "
                    "configuration: certify again"
                )
        if _claimed(one.document["claim"]) != subject.claim:
            raise DataError(
                f"the certificate of input {one.name!r} is about another claim than that of the "
                "configuration: certify again"
            )


def _inputs(run: Run) -> Any:
    """Return the inputs that were certified; for texts the others as well, which lend their words."""
    if isinstance(run.config, PairsConfig):
        pairs = run.chosen()
        return pairs.rows(pairs.flagged).frame()
    return run.split()[1].X


def _claim(run: Run, classes: int) -> Claim:
    certificate: Any = run.config.certificate
    return claim_of(certificate.threshold, getattr(certificate, "top_k", None), classes)


def _claimed(section: Mapping[str, Any]) -> Claim:
    if section["kind"] == ScoreAbove.kind:
        return ScoreAbove(float.fromhex(section["threshold"]))
    return claim_of(None, section["k"], section["classes"])


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise DataError(f"{path} cannot be read: {reason}") from error
