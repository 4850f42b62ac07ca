"""Files, lists, run directories and processes; the command line; and a world without NumPy and SciPy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_refusals import FOLDER, specimen, text_of

from hybridcert.cli.main import main
from hybridcert.errors import DataError
from hybridcert.verify import limits, verify_paths
from hybridcert.verify.__main__ import main as stand_alone

WITHOUT = "import sys\nsys.modules['numpy'] = sys.modules['scipy'] = None\n"


def line(name: str, **changes: Any) -> str:
    return json.dumps(specimen(name) | changes)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(text + "\n" for text in lines), encoding="utf-8")
    return path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hybridcert", "verify", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_lines_lists_and_run_directories(tmp_path: Path):
    lines = write(tmp_path / "run" / "certificates.jsonl", line("given"), "", line("flips"))
    write(tmp_path / "sweep" / "a" / "certificates.jsonl", line("edit"))
    write(tmp_path / "sweep" / "b" / "certificates.jsonl", line("uniform"), "{")
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps([specimen("matrix"), 1]), encoding="utf-8")
    checked = verify_paths([lines.parent, tmp_path / "sweep", listed, FOLDER / "top-k.json"])
    assert [(Path(c.path).name, c.place, c.verdict.ok) for c in checked] == [
        ("certificates.jsonl", "line 1", True),
        ("certificates.jsonl", "line 3", True),
        ("certificates.jsonl", "line 1", True),
        ("certificates.jsonl", "line 1", True),
        ("certificates.jsonl", "line 2", False),
        ("list.json", "entry 0", True),
        ("list.json", "entry 1", False),
        ("top-k.json", "", True),
    ]
    assert checked[4].verdict.reasons == (
        "document: not JSON: Expecting property name enclosed in double quotes at character 2",
    )
    assert checked[4].name == f"{tmp_path}/sweep/b/certificates.jsonl, line 2"


def test_paths_that_hold_nothing(tmp_path: Path):
    empty = write(tmp_path / "empty.jsonl")
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")
    for path, expected in (
        (tmp_path / "none", "is not a file or directory"),
        (tmp_path, "holds no certificates.jsonl"),
        (empty, "holds no certificates"),
        (tmp_path / "list.json", "holds no certificates"),
    ):
        with pytest.raises(DataError, match=expected):
            verify_paths([path])


def test_overlong_lines_are_skipped_not_kept(tmp_path: Path):
    path = tmp_path / "long.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        stream.write('"' + "x" * (17 * 2**20) + '"\n')
        stream.write(line("given") + "\n")
    first, second = verify_paths([path])
    assert first.verdict.reasons == ("document: longer than 16777216 bytes",)
    assert (second.place, second.verdict.ok) == ("line 2", True)


def test_lists_of_too_many_documents_are_one_refusal(tmp_path: Path):
    path = tmp_path / "list.json"
    path.write_text(f"[{','.join(['0'] * (limits.ENTRIES + 1))}]", encoding="utf-8")
    (found,) = verify_paths([path])
    assert found.verdict.reasons == (
        "document: a list has at most 100000 certificates, got 100001; use a *.jsonl file",
    )


def test_lines_that_hold_nothing_share_their_verdict(tmp_path: Path):
    checked = verify_paths([write(tmp_path / "nothing.jsonl", *["0"] * 300)], jobs=2)
    assert {id(found.verdict) for found in checked} == {id(checked[0].verdict)}
    assert checked[-1].place == "line 300"


@pytest.mark.slow
def test_files_without_end_are_refused(tmp_path: Path):
    path = tmp_path / "many.jsonl"
    path.write_text("0\n" * (limits.DOCUMENTS + 1), encoding="utf-8")
    with pytest.raises(DataError, match="more than 1000000 certificates"):
        verify_paths([path])


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("command", [["hybridcert", "verify", "--explain"], ["hybridcert.verify"]])
def test_any_standard_output_will_do(tmp_path: Path, encoding: str, command: list[str]):
    named = {**specimen("mahalanobis"), "input": {"index": "ключ"}}
    path = write(tmp_path / "some.jsonl", json.dumps(named), line("given", ключ=1))
    done = subprocess.run(
        [sys.executable, "-m", *command, str(path)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert rb"document: unknown key '\u043a" in done.stdout
    assert done.stdout.splitlines()[-1] == b"1 of 2 certificates hold"


def test_unreadable_files_are_refused_not_raised(tmp_path: Path):
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe")
    (found,) = verify_paths([binary])
    assert found.verdict.reasons == ("document: not UTF-8 at byte 0",)


def test_many_certificates_in_processes_come_back_in_order(tmp_path: Path):
    names = ["given", "flips", "edit", "uniform"]
    lines = [line(names[i % 4], input={"index": str(i)}) for i in range(400)]
    lines[123] = lines[123].replace('"certified": true', '"certified": 1')
    path = write(tmp_path / "many.jsonl", *lines)
    steps: list[tuple[int, int]] = []
    checked = verify_paths([path], jobs=2, progress=lambda _, done, total: steps.append((done, total)))
    assert [c.place for c in checked if not c.verdict.ok] == ["line 124"]
    assert [c.verdict.summary.index for c in checked if c.verdict.summary] == [
        str(i) for i in range(400) if i != 123
    ]
    assert steps[-1] == (400, 400)
    assert verify_paths([path], jobs=1) == checked


def test_the_command_lists_what_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad = specimen("uniform")
    bad["frontier"][1]["radius"] = "1000"
    path = write(tmp_path / "some.jsonl", line("given"), *[json.dumps(bad)] * 25)
    assert main(["verify", str(path)]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    reason = "frontier[1].radius: D > threshold does not hold for witnesses[0] at d = 1"
    assert lines[0] == f"{path}, line 2: {reason}"
    assert len(lines) == 22
    assert lines[-2:] == ["… and 5 more that fail", "1 of 26 certificates hold"]


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good = str(FOLDER / "given.json")
    assert main(["verify", good]) == 0
    assert capsys.readouterr().out == "1 of 1 certificates hold\n"
    assert main(["verify", good, str(tmp_path / "none.json")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert main(["verify", good, "--jobs", "0"]) == 2
    assert main(["verify"]) == 2
    capsys.readouterr()


def test_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path / "some.jsonl", line("given"), "{}")
    assert main(["verify", str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["valid"], found["failed"]) == (1, 1)
    first, second = found["certificates"]
    assert first == {
        "file": str(path),
        "place": "line 1",
        "ok": True,
        "reasons": [],
        "index": "17",
        "label": "unsafe",
        "claim": "score",
        "method": "given",
        "points": 1,
        "certified_points": 1,
    }
    assert second["ok"] is False
    assert second["label"] is None
    assert main(["verify", str(path), "--json", "--explain"]) == 1
    explained = json.loads(capsys.readouterr().out)["certificates"]
    assert any("asserted by whoever issued" in text for text in explained[0]["explanation"])
    assert explained[1]["explanation"][0].startswith("NOT VALID")


def test_explanations_of_good_and_bad_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad = specimen("two-modalities")
    bad["frontier"][0]["radius"] = "1000"
    bad["claim"]["label"] = "x\x1b[31m\n"
    path = write(tmp_path / "some.jsonl", line("two-modalities"), json.dumps(bad), "{")
    assert main(["verify", str(path), "--explain"]) == 1
    out = capsys.readouterr().out
    good, broken, unreadable, _ = out.split("\n\n")
    assert "Guaranteed at every certified budget: the smoothed score of 'unsafe' stays above 0.0001" in good
    assert "d1 = 1, d2 = 1: certified up to radius 1.55415" in good
    assert "'calm': no change at all." in good
    assert "in 'pixels in [0, 1]'" in good
    assert "With confidence 0.99 over the draw of 10000 noisy samples" in good
    assert "NOT VALID" in broken
    assert "why: frontier[0].radius" in broken
    assert "Claimed, not proven" in broken
    assert "Guaranteed" not in broken
    assert "\x1b" not in out
    assert "cannot be read" in unreadable


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]):
    assert main(["verify", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Example: hybridcert verify" in text
    assert "--explain" in text


def test_the_real_command():
    done = run(str(FOLDER / "given.json"), str(FOLDER / "uniform.json"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 of 2 certificates hold\n", "")


def test_the_verifier_works_without_numpy_and_scipy(tmp_path: Path):
    path = write(tmp_path / "some.jsonl", *[line("given", input={"index": str(i)}) for i in range(3)], "{")
    code = (
        f"{WITHOUT}from hybridcert.verify.__main__ import main\n"
        f"code = main([{str(path)!r}, {str(FOLDER / 'uniform.json')!r}])\n"
        "heavy = {'pandas', 'sklearn', 'typer', 'rich', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[-1] == "4 of 5 certificates hold"


def test_the_stand_alone_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert stand_alone([str(FOLDER / "given.json")]) == 0
    assert stand_alone([str(write(tmp_path / "bad.jsonl", *["{}"] * 30))]) == 1
    out = capsys.readouterr().out
    assert "… and 10 more" in out
    assert stand_alone([str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    with pytest.raises(SystemExit) as stopped:
        stand_alone([])
    assert stopped.value.code == 2


def test_nothing_but_the_standard_library_and_flint_is_imported():
    code = (
        "import sys\nbefore = set(sys.modules)\nimport hybridcert.verify\n"
        "names = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "names = {name for name in names if not name.startswith('_') and 'cython' not in name}\n"
        "print(sorted(names - set(sys.stdlib_module_names)))\n"
        "print(sorted(n for n in sys.modules if n.startswith('hybridcert.') and '.verify' not in n))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, ours = done.stdout.splitlines()
    assert set(json.loads(names.replace("'", '"'))) <= {"flint", "hybridcert", "lazy_loader", "packaging"}
    assert ours == "['hybridcert.errors']"


@pytest.mark.slow
def test_ten_thousand_certificates_take_less_than_a_minute(tmp_path: Path):
    documents = []
    for i in range(10_000):
        document = json.loads(text_of("uniform" if i % 2 else "fields-enumerated"))
        document["input"]["index"] = str(i)
        p_lower = float.fromhex(document["estimate"]["p_lower"])
        document["estimate"]["p_lower"] = (p_lower * (1 - 1e-9 * (i + 1))).hex()
        for point in document["frontier"]:
            for key in ("radius", "p_adv"):
                point[key] = (float.fromhex(point[key]) * (0.9 + 1e-6 * i)).hex()
        documents.append(json.dumps(document))
    path = write(tmp_path / "many.jsonl", *documents)
    started = time.monotonic()
    checked = verify_paths([path], jobs=min(2, os.cpu_count() or 1))
    assert all(found.verdict.ok for found in checked)
    assert time.monotonic() - started < 60.0
