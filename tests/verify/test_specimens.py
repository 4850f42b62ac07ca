"""Good certificates of every kind are accepted, and stay so: the files are version 1 as first issued."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from specimens import SPECIMENS

from hybridcert.verify import explain, verify_document, verify_text

FOLDER = Path(__file__).resolve().parents[1] / "data" / "certificates"
QUICK = (
    *("uniform-all-noise", "randomized-response", "flips-capped", "matrix", "given", "mahalanobis"),
    *("looks", "group-sequential", "beta-mixture"),
)


def test_every_specimen_has_its_file():
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(SPECIMENS)


@pytest.mark.parametrize("name", sorted(SPECIMENS))
def test_version_1_stays_readable_for_ever(name: str):
    text = (FOLDER / f"{name}.json").read_bytes()
    verdict = verify_text(text)
    assert verdict.ok, verdict.reasons
    assert verdict.reasons == ()
    assert verdict.summary is not None
    assert verdict.summary.points == len(json.loads(text)["frontier"])
    assert verify_document(json.loads(text)) == verdict


@pytest.mark.parametrize("name", QUICK)
def test_certificates_issued_by_hand_verify(name: str):
    assert SPECIMENS[name]() == json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SPECIMENS))
def test_every_file_is_what_issuing_by_hand_gives(name: str):
    document = SPECIMENS[name]()
    assert document == json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert verify_document(document).ok


@pytest.mark.parametrize("name", sorted(SPECIMENS))
def test_explanations_name_what_matters(name: str):
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    text = "\n".join(explain(document, verify_document(document)))
    assert repr(document["claim"]["label"]) in text
    for threat in document["threat"]["discrete"]:
        assert repr(threat["modality"]) in text
    for assumption in document["assumptions"]:
        assert assumption in text
    assert ("asserted" in text) == (document["estimate"]["method"] == "given")
    assert "Not guaranteed" in text
    assert "NOT VALID" not in text
    assert all(ord(character) >= 32 or character == "\n" for character in text)
