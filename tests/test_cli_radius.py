"""The commands that need numbers only: radius, frontier, threshold, and what surrounds them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import hybridcert as hc

UNIFORM = ["--beta", "0.25", "--alphabet", "50000", "--sigma", "0.5", "--threshold", "4.6e-5"]
COUNTS = ["--successes", "9990", "--samples", "10000", "--alpha", "0.01"]
LINE: dict[str, Any] = {
    "kernel": "uniform",
    "beta": 0.25,
    "alphabet": 50_000,
    "d": 2,
    "sigma": 0.5,
    "threshold": 4.6e-5,
    "p_lower": 0.98,
}


def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hybridcert", *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=60,
    )


def refused(*arguments: str, stdin: str | None = None) -> str:
    """Run a command that has to fail with exit code 2 and one line; return the line."""
    done = run(*arguments, stdin=stdin)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("error: ").rstrip("\n")


def test_radius_gives_one_json_object_with_the_numbers_of_the_library():
    done = run("radius", *UNIFORM, "--d", "2", "--p-lower", "0.98", "--eps", "0.75", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert list(found) == [
        "certified",
        "radius",
        "d",
        "sigma",
        "threshold",
        "p_lower",
        "p_adv",
        "eps",
        "log_t",
    ]
    spectrum = hc.UniformReplacement(0.25).spectrum([50_000] * 2)
    expected = hc.radius(p_lower=0.98, spectrum=spectrum, sigma=0.5, threshold=4.6e-5)[0]
    value, _ = hc.adversarial_value(p_lower=0.98, spectrum=spectrum, sigma=0.5, epsilon=0.75)
    assert found == {
        "certified": True,
        "radius": expected.radius,
        "d": 2,
        "sigma": 0.5,
        "threshold": 4.6e-5,
        "p_lower": 0.98,
        "p_adv": float(value),
        "eps": 0.75,
        "log_t": expected.log_t,
    }


def test_not_certified_is_a_result():
    done = run("radius", *UNIFORM, "--d", "9", "--p-lower", "0.98", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["certified"], found["radius"], found["log_t"], found["eps"]) == (False, None, None, 0.0)
    assert 0.0 <= found["p_adv"] <= 4.6e-5
    assert "not certified" in run("radius", *UNIFORM, "--d", "9", "--p-lower", "0.98").stdout


def test_human_output_rounds_the_radius_towards_zero():
    done = run("radius", *UNIFORM, "--d", "2", "--p-lower", "0.98")
    exact = json.loads(run("radius", *UNIFORM, "--d", "2", "--p-lower", "0.98", "--json").stdout)["radius"]
    shown = next(word for word in done.stdout.split() if word[:1].isdigit())
    assert 0 <= Decimal(exact) - Decimal(shown) < Decimal("1e-6")


def test_barely_certified_differs_from_not_certified():
    kernel = ["--kernel", "absorbing", "--beta", "1", "--d", "3", "--sigma", "1", "--threshold", "0.5"]
    barely = json.loads(run("radius", *kernel, "--p-lower", "0.5000000001", "--json").stdout)
    assert barely["certified"]
    assert 0.0 <= barely["radius"] < 1e-9
    not_at_all = json.loads(run("radius", *kernel, "--p-lower", "0.5", "--json").stdout)
    assert (not_at_all["certified"], not_at_all["radius"]) == (False, None)


def test_frontier_lists_every_budget_and_echoes_what_was_asked():
    done = run("frontier", *UNIFORM, *COUNTS, "--d-max", "8", "--json")
    found = json.loads(done.stdout)
    assert [point["d"] for point in found["points"]] == list(range(9))
    assert found["d_max_certified"] == 4
    radii = [point["radius"] for point in found["points"] if point["certified"]]
    assert radii == sorted(radii, reverse=True)
    assert len(radii) == 5
    echoed = {
        "kernel": "uniform",
        "alphabet": 50_000,
        "threat": "substitution",
        "d_max": 8,
        "samples": 10_000,
    }
    assert echoed.items() <= found.items()
    assert found["p_lower"] == float(hc.clopper_pearson_lower(9990, 10_000, 0.01))
    human = run("frontier", *UNIFORM, *COUNTS, "--d-max", "8")
    assert human.returncode == 0
    assert "not certified from d = 5 on" in human.stdout


def test_frontier_without_any_certificate():
    done = run("frontier", *UNIFORM, "--p-lower", "0", "--d-max", "1000", "--json")
    found = json.loads(done.stdout)
    assert found["d_max_certified"] is None
    assert len(found["points"]) == 1_001


def test_fields_take_the_worst_choice():
    fields = ["--kernel", "fields", "--beta", "0.5", "--sizes", "9,16,7,15,6,5,2,42", "--sigma", "0.5"]
    found = json.loads(
        run("frontier", *fields, "--threshold", "0.5", "--p-lower", "0.999", "--d-max", "2", "--json").stdout
    )
    worst = hc.UniformReplacement(0.5).spectrum([16, 42])
    assert (
        found["points"][2]["radius"]
        == hc.radius(p_lower=0.999, spectrum=worst, sigma=0.5, threshold=0.5)[0].radius
    )


def test_threshold_and_back():
    tau = json.loads(run("threshold", "--copies", "100000", "--miss", "0.01", "--json").stdout)
    assert tau == {"copies": 100_000, "miss": 0.01, "threshold": hc.threshold_for(copies=100_000, miss=0.01)}
    copies = json.loads(run("threshold", "--threshold", "4.6e-5", "--miss", "0.01", "--json").stdout)
    assert copies["copies"] == hc.copies_for(threshold=4.6e-5, miss=0.01)
    miss = json.loads(run("threshold", "--threshold", "4.6e-5", "--copies", "100000", "--json").stdout)
    assert miss["miss"] == hc.miss_probability(copies=100_000, threshold=4.6e-5)
    assert "100000 copies" in run("threshold", "--copies", "100000", "--miss", "0.01").stdout


NUMBERS = ["--sigma", "1", "--threshold", "0.5", "--p-lower", "0.9", "--d", "1"]
BAD_OPTIONS = [
    (["radius", "--beta", "1.5"], "--beta must be in (0, 1], got 1.5"),
    (["radius", "--beta", "0"], "--beta must be in (0, 1], got 0"),
    (["radius", "--beta", "nan"], "--beta must be in (0, 1], got nan"),
    (["radius", "--beta", "much"], "--beta must be in (0, 1], got much"),
    (["radius", *NUMBERS], "--beta is required"),
    (["radius", "--beta", "0.5", "--alphabet", "1", *NUMBERS], "--alphabet must be an integer >= 2, got 1"),
    (["radius", "--beta", "0.5", *NUMBERS], "--alphabet is required with --kernel uniform"),
    (["radius", "--kernel", "fields", "--beta", "0.5", *NUMBERS], "--sizes is required with --kernel fields"),
    (
        ["radius", "--kernel", "fields", "--beta", "0.5", "--sizes", "3,1", *NUMBERS],
        "--sizes must be a list of integers >= 2 such as 9,16,7, got 3,1",
    ),
    (
        ["radius", "--kernel", "fields", "--beta", "0.5", "--sizes", "3,4", "--d", "3", *NUMBERS[:-2]],
        "--d must be at most the number of fields in --sizes, 2, got 3",
    ),
    (["radius", "--kernel", "deletion", "--alphabet", "9", "--beta", "0.5"], "--alphabet does not apply"),
    (
        ["radius", "--kernel", "deletion", "--threat", "fields", "--beta", "0.5"],
        "deletion kernel certifies against",
    ),
    (["radius", "--kernel", "absorb"], "--kernel must be one of uniform, absorbing, deletion, fields"),
    (["radius", *UNIFORM, "--d", "-1", "--p-lower", "0.9"], "--d must be an integer in [0, 1000000], got -1"),
    (
        ["radius", *UNIFORM, "--d", "1.5", "--p-lower", "0.9"],
        "--d must be an integer in [0, 1000000], got 1.5",
    ),
    (["radius", *UNIFORM, "--p-lower", "0.9"], "--d is required"),
    (["radius", *UNIFORM, "--d", "1", "--p-lower", "1"], "--p-lower must be in [0, 1), got 1"),
    (["radius", *UNIFORM, "--d", "1"], "--p-lower in [0, 1) is required, or --successes"),
    (
        ["radius", *UNIFORM, "--d", "1", "--p-lower", "0.9", *COUNTS],
        "--p-lower and --successes exclude each other",
    ),
    (
        ["radius", *UNIFORM, "--d", "1", "--successes", "11", "--samples", "10", "--alpha", "0.01"],
        "--successes must be in [0, --samples = 10], got 11",
    ),
    (
        ["radius", *UNIFORM, "--d", "1", "--successes", "0", "--samples", "0", "--alpha", "0.01"],
        "--samples must be an integer in [1, 10000000000], got 0",
    ),
    (["radius", *UNIFORM, "--d", "1", "--successes", "1", "--samples", "2"], "--alpha is required"),
    (["radius", "--threshold", "0"], "--threshold must be in (0, 1), got 0"),
    (["radius", "--threshold", "1"], "--threshold must be in (0, 1), got 1"),
    (["radius", "--sigma", "0"], "--sigma must be a finite number > 0, got 0"),
    (["radius", "--sigma", "inf"], "--sigma must be a finite number > 0, got inf"),
    (["radius", "--eps", "-1"], "--eps must be a finite number >= 0, got -1"),
    (["frontier", *UNIFORM, "--p-lower", "0.9"], "--d-max is required"),
    (["threshold", "--copies", "3"], "give exactly two of"),
    (["threshold", "--copies", "0", "--miss", "0.1"], "--copies must be an integer >= 1, got 0"),
    (["radius", "--bet", "0.5"], "--beta"),
    (["radios"], "radius"),
    (["radius", "--beta"], "--beta"),
    (["report", "nowhere"], "nowhere is not a directory"),
    (["demo", "vision"], "'vision'"),
]


@pytest.mark.parametrize(("arguments", "expected"), BAD_OPTIONS)
def test_bad_options_get_one_line_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
):
    from hybridcert.cli.main import main

    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err


def test_the_real_command_refuses_in_one_line_without_a_traceback():
    assert refused("radius", "--beta", "1.5") == "--beta must be in (0, 1], got 1.5"


def lines(*changes: dict[str, Any]) -> str:
    return "".join(json.dumps(LINE | change) + "\n" for change in changes)


def test_batch_answers_in_order_whatever_the_groups(tmp_path: Path):
    changes: list[dict[str, Any]] = [
        {"d": 1},
        {"d": 2, "eps": 0.25},
        {"d": 1, "p_lower": 0.9, "sigma": 2.0},
        {"p_lower": None, "successes": 99, "samples": 100, "alpha": 0.001},
        {"kernel": "deletion", "alphabet": None, "d": 3.0},
        {"kernel": "fields", "alphabet": None, "sizes": [9, 16, 7], "beta": 0.5, "threshold": 0.5},
        {"d": 1},
    ]
    file = tmp_path / "queries.jsonl"
    file.write_text(lines(*changes) + "\n", encoding="utf-8")
    done = run("radius", "--batch", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [f["d"] for f in found] == [1, 2, 1, 2, 3, 2, 1]
    assert found[0] == found[-1]
    assert found[3]["p_lower"] == float(hc.clopper_pearson_lower(99, 100, 0.001))
    piped = run("radius", "--batch", "-", "--json", stdin=file.read_text(encoding="utf-8"))
    assert piped.stdout == done.stdout


BAD_LINES = [
    ({"beta": 1.5}, "beta must be in (0, 1], got 1.5"),
    ({"beta": "0.25x"}, "beta must be in (0, 1], got 0.25x"),
    ({"beta": True}, "beta must be in (0, 1], got True"),
    ({"alphabet": 1}, "alphabet must be an integer >= 2, got 1"),
    ({"d": 1.5}, "d must be an integer"),
    ({"sizes": [3, 4]}, "sizes does not apply"),
    ({"kernel": "fields", "alphabet": None, "sizes": [3, 4], "d": 3}, "number of fields in sizes, 2, got 3"),
    ({"betta": 0.5}, "unknown key 'betta': did you mean beta?"),
    ({"d_max": 3}, "unknown key 'd_max'"),
    ({"threshold": 0}, "threshold must be in (0, 1), got 0"),
    ({"p_lower": None}, "p_lower in [0, 1) is required"),
    (
        {"p_lower": None, "successes": 3, "samples": 2, "alpha": 0.1},
        "successes must be in [0, samples = 2], got 3",
    ),
]


@pytest.mark.parametrize(("change", "expected"), BAD_LINES)
def test_a_bad_line_stops_before_anything_is_printed(
    change: dict[str, Any], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from hybridcert.cli.main import main

    file = tmp_path / "bad.jsonl"
    file.write_text(lines({}, change, {}), encoding="utf-8")
    assert main(["radius", "--batch", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"{file}, line 2: " in err
    assert expected in err


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"beta": NaN}\n', "NaN is not a number in JSON"),
        ('{"sigma": -Infinity}\n', "-Infinity is not a number in JSON"),
        ('{"beta": 0.25, "beta": 0.5}\n', "key 'beta' occurs twice"),
        ('{"beta": 0.25,\n', "not JSON"),
        ("[1]\n", "expected a JSON object"),
        ("", "is empty"),
        ("\n\n", "is empty"),
    ],
)
def test_broken_batch_files(content: str, expected: str):
    assert expected in refused("radius", "--batch", "-", stdin=content)


def test_unreadable_batch_files(tmp_path: Path):
    assert "No such file" in refused("radius", "--batch", str(tmp_path / "none.jsonl"))
    assert "cannot be read" in refused("radius", "--batch", str(tmp_path))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in refused("radius", "--batch", str(tmp_path / "binary.jsonl"))
    assert "does not go with --batch" in refused("radius", "--batch", "x", "--beta", "0.5")


def test_the_golden_records_through_the_batch(shared: Path, tmp_path: Path):
    records = json.loads((shared / "golden" / "certificates.json").read_text(encoding="utf-8"))
    numbers = ("beta", "p_lower", "threshold", "sigma", "eps")
    queries = [
        {k: float(v) if k in numbers else v for k, v in r.items() if k not in ("radius", "p_adv")}
        for r in records
    ]
    file = tmp_path / "golden.jsonl"
    file.write_text("".join(json.dumps(q) + "\n" for q in queries), encoding="utf-8")
    done = run("radius", "--batch", str(file))
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(records) == 300
    for record, got in zip(records, found, strict=True):
        assert got["certified"] == (record["radius"] is not None)
        for key in ("radius", "p_adv"):
            if record[key] is None:
                assert got[key] is None
                continue
            exact, value = Decimal(record[key]), Decimal(got[key])
            assert value <= exact * (1 + Decimal("5e-16"))  # the records have 16 to 17 digits
            assert value >= exact * (1 - Decimal("1e-9"))


@pytest.mark.slow
def test_a_hundred_thousand_lines_take_seconds(tmp_path: Path):
    file = tmp_path / "many.jsonl"
    file.write_text(lines(*({"p_lower": i / 100_000} for i in range(100_000))), encoding="utf-8")
    started = time.monotonic()
    done = run("radius", "--batch", str(file))
    assert done.stdout.count("\n") == 100_000
    assert time.monotonic() - started < 20.0  # 3 s on an idle core


def test_help_has_examples_and_stays_light():
    assert run("--version").stdout == f"hybridcert {hc.__version__}\n"
    text = run("--help").stdout
    for command in ("radius", "frontier", "threshold", "certify", "report", "demo"):
        assert command in text
    assert run().stdout == text
    code = (
        "import sys\nfrom hybridcert.cli.main import main\nassert main(['radius', '--help']) == 0\n"
        "heavy = {'pandas', 'sklearn', 'matplotlib', 'pyarrow', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "hybridcert radius --beta" in " ".join(done.stdout.split())


@pytest.mark.parametrize("command", ["radius", "frontier", "threshold", "certify", "report", "demo"])
def test_every_command_has_an_example_and_json(command: str, capsys: pytest.CaptureFixture[str]):
    from hybridcert.cli.main import main

    assert main([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"Example: hybridcert {command}" in text
    assert "--json" in text


def test_a_reader_that_stops_early_is_no_error():
    ask = f"{sys.executable} -m hybridcert frontier {' '.join(UNIFORM)} --p-lower 0.9 --d-max 100000 --json"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {ask} | head -c 10"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stderr == ""
