"""`--issue FILE`: certificates from numbers alone that the independent verifier accepts."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridcert.cli.main import main
from hybridcert.verify import verify_text

Run = Callable[..., Any]

TABLES = {
    "matrix.csv": "0.9,0.05,0.05\n0.1,0.8,0.1\n0.2,0.3,0.5\n",
    "pairs.csv": "0,1\n1,0\n1,2\n",
    "synonyms.json": '{"film": ["movie", "picture"], "movie": ["film"], "good": ["great"]}',
}
MATRIX = "--kernel matrix --matrix matrix.csv --symbols 0,1,1"
FLIPS = "--kernel flips --p-plus 0.05 --p-minus 0.6 --ones 2 --zeros 9"
KERNELS = [
    "--alphabet 50000 --beta 0.25",
    "--alphabet 9 --beta 1 --positions 20",
    "--kernel absorbing --beta 0.9",
    "--kernel deletion --beta 0.9",
    "--kernel deletion --beta 0.9 --length 2 --threat deletion",
    "--kernel deletion --beta 0.9 --threat indel",
    "--kernel deletion --beta 0.9 --length 5 --threat edit",
    "--kernel deletion --beta 0.9 --threat substitution",
    "--kernel fields --sizes 9,16,7 --beta 0.5",
    "--kernel fields --sizes 9,2,2 --beta 0.8,0.3,0.9",
    "--kernel randomized-response --sizes 9,16,7 --ratio 3",
    "--kernel randomized-response --sizes 9,16 --log-ratio -1 --threat substitution",
    FLIPS,
    f"{FLIPS} --threat additions",
    f"{FLIPS} --threat removals",
    f"{FLIPS} --max-additions 1 --max-removals 1",
    "--kernel synonyms --synonyms synonyms.json --words good,film,indeed",
    MATRIX,
    f"{MATRIX} --substitutions pairs.csv",
]
NOISES = ["--sigma 0.5", "--noise laplace --sigma 0.5", "--sigma 0.5,0.25", "--noise none"]
CLAIMS = [
    "--threshold 0.3 --p-lower 0.99",
    "--threshold 0.3 --successes 990 --samples 1000 --alpha 0.001",
    "--top-k 1 --classes 10 --p-lower 0.9 --p-upper 0.05",
    "--top-k 2 --counts 300,600,80,20 --alpha 0.001 --label-index 1",
    "--top-k 1 --counts 980,20,10 --alpha 0.001 --samples 1010",
]
PLAIN = "--alphabet 9 --beta 0.5 --d 1 --sigma 1 --threshold 0.5 --p-lower 0.99"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in a directory with the tables; return exit code, output and error."""
    monkeypatch.chdir(tmp_path)
    for name, content in TABLES.items():
        Path(name).write_text(content, encoding="utf-8")

    def done(line: str) -> tuple[int, str, str]:
        code = main(line.split())
        return code, *capsys.readouterr()

    return done


def check(points: list[dict[str, Any]], document: dict[str, Any]) -> None:
    """The document claims what was printed, up to the last digits that its witnesses prove."""
    assert [p["d"] for p in document["frontier"]] == [p["d"] for p in points]
    for point, issued in zip(points, document["frontier"], strict=True):
        assert issued["certified"] == point["certified"]
        if point["certified"]:
            radius = float.fromhex(issued["radius"])
            assert point["radius"] <= radius
            assert radius == pytest.approx(point["radius"], rel=1e-9, abs=1e-300)
        else:
            assert issued["radius"] is None


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_with_every_noise_and_claim(kernel: str, run: Run):
    """Noises and claims rotate, so that each meets each over the kernels."""
    pairs = list(itertools.product(NOISES, CLAIMS))
    start = 3 * KERNELS.index(kernel)
    for noise, claim in (pairs[(start + i) % len(pairs)] for i in (0, 1, 2)):
        code, out, err = run(f"frontier {kernel} {noise} {claim} --d-max 2 --issue issued.json --json")
        assert (code, err) == (0, ""), err
        text = Path("issued.json").read_text(encoding="utf-8")
        verdict = verify_text(text)
        assert verdict.ok, verdict.reasons
        check(json.loads(out)["points"], json.loads(text))


@pytest.mark.parametrize("noise", NOISES[:3])
@pytest.mark.parametrize("claim", CLAIMS)
def test_without_any_discrete_noise(noise: str, claim: str, run: Run):
    code, out, err = run(f"radius --kernel none {noise} {claim} --issue issued.jsonl --json")
    assert (code, err) == (0, ""), err
    text = Path("issued.jsonl").read_text(encoding="utf-8")
    assert text.count("\n") == 1
    assert verify_text(text).ok
    check([json.loads(out)], json.loads(text))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    beta=st.floats(0.05, 1.0),
    size=st.integers(2, 60),
    sigma=st.floats(1e-3, 1e3),
    threshold=st.floats(1e-4, 0.9),
    successes=st.integers(0, 300),
    d=st.integers(0, 3),
    noise=st.sampled_from(["gaussian", "laplace"]),
)
def test_whatever_is_asked_verifies(
    run: Run, beta: float, size: int, sigma: float, threshold: float, successes: int, d: int, noise: str
):
    law = f"--alphabet {size} --beta {beta!r} --d {d} --noise {noise} --sigma {sigma!r}"
    claim = f"--threshold {threshold!r} --successes {successes} --samples 300 --alpha 0.01"
    code, out, err = run(f"radius {law} {claim} --issue issued.json --json")
    assert (code, err) == (0, ""), err
    text = Path("issued.json").read_text(encoding="utf-8")
    verdict = verify_text(text)
    assert verdict.ok, verdict.reasons
    check([json.loads(out)], json.loads(text))


def test_a_radius_moved_up_by_one_digit_is_refused(run: Run):
    assert run(f"radius {PLAIN} --issue issued.json")[0] == 0
    document = json.loads(Path("issued.json").read_text(encoding="utf-8"))
    point = document["frontier"][0]
    point["radius"] = math.nextafter(float.fromhex(point["radius"]), math.inf).hex()
    assert not verify_text(json.dumps(document)).ok


def test_what_a_certificate_says_besides_numbers(run: Run):
    named = "--label unsafe --unit pixels --features 64,3"
    ask = PLAIN.replace("--sigma 1", "--sigma 1,2")
    code, out, _ = run(f"radius {ask} --issue issued.json {named}")
    assert code == 0
    assert out.endswith("certificate written to issued.json and verified\n")
    document = json.loads(Path("issued.json").read_text(encoding="utf-8"))
    assert document["claim"]["label"] == "unsafe"
    assert [(c["features"], c["unit"]) for c in document["law"]["continuous"]] == [
        (64, "pixels"),
        (3, "pixels"),
    ]
    assert document["estimate"]["method"] == "given"
    assert document["scope"]["confidence"] is None
    assert document["provenance"]["command"] == f"radius {_in_order(ask)}"


def _in_order(ask: str) -> str:
    """Options as they are recorded: the discrete noise, changes, continuous noise, claim, evidence."""
    parts = ask.split()
    given = dict(zip(parts[::2], parts[1::2], strict=True))
    order = ["--beta", "--alphabet", "--d", "--sigma", "--threshold", "--p-lower"]
    return " ".join(f"{name} {given[name]}" for name in order)


def test_not_certified_is_issued_too(run: Run):
    code, out, _ = run(f"radius {PLAIN.replace('0.99', '0.4')} --issue issued.json")
    assert code == 0
    assert "not certified" in out
    document = json.loads(Path("issued.json").read_text(encoding="utf-8"))
    assert (document["frontier"][0]["certified"], document["frontier"][0]["radius"]) == (False, None)
    assert verify_text(json.dumps(document)).ok


def test_nothing_is_left_beside_the_file(run: Run, tmp_path: Path):
    before = {path.name for path in tmp_path.iterdir()}
    Path("issued.json").write_text("old", encoding="utf-8")
    assert run(f"radius {PLAIN} --issue issued.json")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == before | {"issued.json"}
    assert Path("issued.json").read_text(encoding="utf-8") != "old"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (f"{PLAIN} --issue .", "--issue must name a file, got the directory ."),
        (
            f"{PLAIN} --issue nowhere/c.json",
            "--issue must name a file in an existing directory, got nowhere/c.json",
        ),
        (f"{PLAIN} --label unsafe", "--label applies with --issue only"),
        (f"{PLAIN} --unit pixels", "--unit applies with --issue only"),
        (
            f"{PLAIN} --issue c.json --features 3,4",
            "--features must list one number for each --sigma, 1 in all, got 2",
        ),
        (
            f"{PLAIN} --issue c.json --features 0",
            "--features must be a list of integers >= 1 such as 784, got 0",
        ),
        (
            f"{PLAIN.replace('--sigma 1', '--noise none')} --issue c.json --unit pixels",
            "--unit does not apply to --noise none",
        ),
        (
            "--kernel none --sigma 1 --p-lower 0.9 --p-upper 0.1 --issue c.json",
            "--classes is required with --issue: an integer >= 2",
        ),
        ("--batch queries.jsonl --issue c.json", "--issue does not go with --batch"),
    ],
)
def test_orders_that_make_no_sense(options: str, line: str, run: Run):
    code, out, err = run(f"radius {options}")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert line in err
    assert not Path("c.json").exists()


def test_the_command_verify_accepts_it(run: Run):
    assert run(f"frontier {PLAIN.replace('--d 1', '--d-max 3')} --issue issued.json")[0] == 0
    assert run("verify issued.json")[0] == 0
