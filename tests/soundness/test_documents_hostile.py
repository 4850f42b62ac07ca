"""What a stranger may send: broken, cut, huge and nested documents get one clear line and no acceptance."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from document_cases import documents
from document_truth import refuted
from hostile_values import HOSTILE, mutated, nested, paths, texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridcert.cli.main import main
from hybridcert.verify import Verdict, verify_document, verify_text

Json = Any
SECONDS = 5.0  # for one document, on a busy machine
CARRY_NO_GUARANTEE = ("input", "scope", "assumptions", "provenance")


@pytest.fixture(scope="module")
def specimens() -> list[Json]:
    """Issued documents, one for each kernel."""
    found: dict[str, Json] = {}

    @given(documents())
    @settings(max_examples=120, suppress_health_check=list(HealthCheck))
    def collect(document: Json) -> None:
        kernels = [law["kernel"] for law in document["law"]["discrete"]] or ["continuous only"]
        if any(point["certified"] for point in document["frontier"]):
            found.setdefault(" and ".join(kernels) + document["claim"]["kind"], document)

    collect()
    assert len(found) >= 8
    return list(found.values())


def assert_clear(verdict: Verdict) -> None:
    """Either everything holds, or there are reasons, each one line that says where."""
    assert verdict.ok == (not verdict.reasons)
    for reason in verdict.reasons:
        assert reason
        assert len(reason) < 1000
        assert reason.isprintable()
        assert "broke down" not in reason, reason  # caught, but nobody has thought of it


def verified(document: Json) -> Verdict:
    began = time.process_time()
    verdict = verify_document(document)
    assert time.process_time() - began < SECONDS
    assert_clear(verdict)
    return verdict


def verified_text(text: str | bytes) -> Verdict:
    began = time.process_time()
    verdict = verify_text(text)
    assert time.process_time() - began < SECONDS
    assert_clear(verdict)
    return verdict


def guarded(document: Json) -> Json:
    """What carries the guarantee; a stated confidence is part of it."""
    scope = document["scope"].get("confidence")
    return scope, {key: value for key, value in document.items() if key not in CARRY_NO_GUARANTEE}


def assert_refused_or_true(document: Json, issued: Json) -> None:
    """What is accepted says what was issued, or is true by the bench's own arithmetic."""
    if verified(document).ok and guarded(document) != guarded(issued):
        assert refuted(document, most=6) is None, json.dumps(document)


def test_mutated_structures_are_refused_or_still_true(specimens: list[Json]) -> None:
    stream = random.Random(5)
    for _ in range(2500):
        issued = stream.choice(specimens)
        assert_refused_or_true(mutated(issued, stream), issued)


@pytest.mark.slow
def test_many_mutated_structures_are_refused_or_still_true(specimens: list[Json]) -> None:
    stream = random.Random(6)
    for _ in range(60_000):
        issued = stream.choice(specimens)
        assert_refused_or_true(mutated(issued, stream), issued)


def test_every_hostile_value_at_every_place_is_refused_or_changes_nothing(specimens: list[Json]) -> None:
    """All places of one document, all values; what is accepted carries no guarantee, or is still true."""
    document = min(specimens, key=lambda specimen: len(paths(specimen)))
    for *way, last in (path for path in paths(document) if path):
        for value in [*HOSTILE, nested(5000)]:
            moved = copy.deepcopy(document)
            section = moved
            for step in way:
                section = section[step]
            section[last] = value
            assert_refused_or_true(moved, document)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.integers(0, len(HOSTILE) - 1).map(lambda index: HOSTILE[index]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(JUNK)
@settings(max_examples=300)
def test_values_that_are_no_certificate_are_refused(value: Json) -> None:
    assert not verified(value).ok


@given(st.binary(max_size=400))
@settings(max_examples=500)
def test_random_bytes_are_refused(text: bytes) -> None:
    assert not verified_text(text).ok


def test_a_document_cut_anywhere_is_refused(specimens: list[Json]) -> None:
    text = json.dumps(
        min(specimens, key=lambda specimen: len(json.dumps(specimen))), ensure_ascii=False
    ).encode()
    for end in range(len(text)):
        assert not verified_text(text[:end]).ok
        assert not verified_text(text[end + 1 :]).ok


def test_flipped_bytes_are_refused_or_change_nothing(specimens: list[Json]) -> None:
    stream = random.Random(8)
    for _ in range(2500):
        issued = stream.choice(specimens)
        text = bytearray(json.dumps(issued).encode())
        for _ in range(stream.choice([1, 1, 2, 5])):
            text[stream.randrange(len(text))] = (
                stream.randrange(256)
                if stream.random() < 0.5
                else ord(stream.choice('0123456789abcdef".,[]{}-+x/ ntfl'))
            )
        if verified_text(bytes(text)).ok:
            assert_refused_or_true(json.loads(text), issued)


def test_texts_that_break_readers_are_refused(specimens: list[Json]) -> None:
    for name, text in texts(specimens[0]).items():
        assert not verified_text(text).ok, name
        encoded = text.encode("utf-8", "surrogatepass")
        assert not verified_text(encoded).ok, name


def run(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """`hybridcert verify` on one file: exit code, and lines on standard output."""
    code = main(["verify", str(path)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    return code, shown.out.splitlines()


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_the_command_line_gives_one_line_for_each_document_that_fails(
    specimens: list[Json], suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"certificates{suffix}"
    for name, text in texts(specimens[0]).items():
        if not text.strip("\0 \n"):
            continue
        one_line = text.replace("\n", " ") if suffix == ".jsonl" else text
        file.write_bytes(one_line.encode("utf-8", "surrogatepass"))
        code, lines = run(file, capsys)
        assert code == 1, name
        assert len(lines) == 2, (name, lines)
        assert lines[0].startswith(str(file)), name
        assert len(lines[0]) < 500, name
        assert lines[1] == "0 of 1 certificates hold", name


def test_the_command_line_accepts_what_was_issued_and_names_the_broken_line(
    specimens: list[Json], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "certificates.jsonl"
    lines = [json.dumps(document) for document in specimens]
    file.write_text("\n".join(lines) + "\n")
    assert run(file, capsys) == (0, [f"{len(lines)} of {len(lines)} certificates hold"])
    lines[3] = lines[3][:-2]
    file.write_text("\n".join(lines) + "\n")
    code, shown = run(file, capsys)
    assert code == 1
    assert shown[0].startswith(f"{file}, line 4: ")
    assert shown[-1] == f"{len(lines) - 1} of {len(lines)} certificates hold"
    as_list = tmp_path / "several.json"
    as_list.write_text(json.dumps(specimens))
    assert run(as_list, capsys)[0] == 0
    assert run(tmp_path, capsys)[0] == 1


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b"\0" * 100, b"[]", b"[" * 100_000])
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".txt"])
def test_the_command_line_survives_files_without_a_certificate(
    content: bytes, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"broken{suffix}"
    file.write_bytes(content)
    code = main(["verify", str(file)])
    shown = capsys.readouterr()
    assert code in (1, 2)
    if code == 2:
        assert shown.err.startswith("error: ")
        assert shown.err.count("\n") == 1
        assert not shown.out


def test_a_process_of_its_own_leaves_with_exit_code_one(specimens: list[Json], tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(specimens[0]))
    bad.write_text("[" * 100_000)
    for module in ("hybridcert", "hybridcert.verify"):
        command = [sys.executable, "-m", module, *(["verify"] if module == "hybridcert" else [])]
        assert subprocess.run([*command, str(good)], capture_output=True, timeout=60).returncode == 0
        done = subprocess.run([*command, str(bad)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert "Traceback" not in done.stdout + done.stderr
