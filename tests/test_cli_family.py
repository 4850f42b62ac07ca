"""`radius` and `frontier` for every kernel, every continuous noise and every kind of claim."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hybridcert as hc
from hybridcert.certificate.confidence import label_bounds
from hybridcert.cli.main import main
from hybridcert.threats import DiscreteThreat

Run = Callable[..., Any]

REST = ["--sigma", "0.5", "--threshold", "0.5", "--p-lower", "0.999"]
FIELDS = ["--kernel", "fields", "--sizes", "9,16,7"]
FLIPS = ["--kernel", "flips", "--p-plus", "0.05", "--p-minus", "0.6", "--ones", "2", "--zeros", "9"]
NOTHING_DISCRETE = ["--kernel", "none", "--sigma", "0.5"]
ROWS = [["0.9", "0.05", "0.05"], ["0.1", "0.8", "0.1"], ["0.2", "0.3", "0.5"]]
SYNONYMS = {"film": ["movie", "picture"], "movie": ["film"], "good": ["great", "fine"]}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command that succeeds with ``--json``, and return what it printed."""

    def answered(*arguments: str) -> Any:
        code = main([*arguments, "--json"])
        out, err = capsys.readouterr()
        assert (code, err) == (0, ""), err
        return json.loads(out)

    return answered


def refused(arguments: Iterable[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that has to fail with exit code 2 and one line, and return the line."""
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def expected(kernel: Any, exposure: Any, threat: DiscreteThreat) -> list[float | None]:
    """Return the radii of the library where the command line is asked with `REST`."""
    spectra = [kernel.candidates(threat, d, exposure).spectra for d in range(threat.max_d + 1)]
    return [hc.radius(p_lower=0.999, spectrum=s, sigma=0.5, threshold=0.5)[0].radius for s in spectra]


def shown(found: Any) -> list[float | None]:
    return [point["radius"] for point in found["points"]]


@pytest.fixture
def matrix(tmp_path: Path) -> str:
    file = tmp_path / "matrix.json"
    file.write_text("[" + ",".join(f"[{','.join(row)}]" for row in ROWS) + "]", encoding="utf-8")
    return str(file)


@pytest.fixture
def synonyms(tmp_path: Path) -> str:
    file = tmp_path / "synonyms.json"
    file.write_text(json.dumps(SYNONYMS), encoding="utf-8")
    return str(file)


def test_a_rate_for_each_field(run: Run):
    found = run("frontier", *FIELDS, "--beta", "0.5,0.6,0.7", "--d-max", "3", *REST)
    kernel = hc.FieldReplacement([0.5, 0.6, 0.7])
    assert shown(found) == expected(kernel, kernel.exposure_of_sizes([9, 16, 7]), hc.Fields(3))
    assert found["beta"] == [0.5, 0.6, 0.7]
    equal = run("frontier", *FIELDS, "--beta", "0.5,0.5,0.5", "--d-max", "3", *REST)
    assert shown(equal) == pytest.approx(
        shown(run("frontier", *FIELDS, "--beta", "0.5", "--d-max", "3", *REST))
    )


def test_randomized_response_by_ratio_and_by_its_logarithm(run: Run):
    ask = ["frontier", "--kernel", "randomized-response", "--sizes", "9,16,7", "--d-max", "3", *REST]
    kernel = hc.RandomizedResponse(3.0)
    radii = expected(kernel, kernel.exposure_of_sizes([9, 16, 7]), hc.Fields(3))
    assert shown(run(*ask, "--ratio", "3")) == radii
    assert shown(run(*ask, "--log-ratio", str(math.log(3)))) == pytest.approx(radii, rel=1e-9)


@pytest.mark.parametrize(
    ("options", "threat"),
    [
        ([], hc.Flips(4)),
        (["--threat", "additions"], hc.Additions(4)),
        (["--threat", "removals"], hc.Removals(4)),
        (["--max-additions", "1", "--max-removals", "2"], hc.Flips(4, max_additions=1, max_removals=2)),
    ],
)
def test_flips(run: Run, options: list[str], threat: DiscreteThreat):
    found = run("frontier", *FLIPS, "--d-max", "4", *REST, *options)
    assert shown(found) == expected(hc.SparseFlips(0.05, 0.6), ((0, 9), (1, 2)), threat)
    assert found["threat"] == threat.name
    assert {key: found[key] for key in ("ones", "zeros", "p_plus", "p_minus")} == {
        "ones": 2,
        "zeros": 9,
        "p_plus": 0.05,
        "p_minus": 0.6,
    }


def test_synonyms(run: Run, synonyms: str):
    ask = ["--kernel", "synonyms", "--synonyms", synonyms, "--words", "good,film,indeed"]
    found = run("frontier", *ask, "--d-max", "3", *REST)
    film, movie, picture, good, great, fine, indeed = range(7)
    kernel = hc.SynonymReplacement({film: [movie, picture], movie: [film], good: [great, fine]})
    exposure = kernel.exposure(np.array([good, film, indeed]), [7] * 3)
    assert shown(found) == expected(kernel, exposure, hc.Substitution(3))
    assert shown(found)[2] == shown(found)[3]  # nothing replaces "indeed"
    assert found["words"] == ["good", "film", "indeed"]


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("pairs", [None, [(0, 1), (1, 0), (1, 2)]])
def test_matrix(run: Run, form: str, pairs: list[tuple[int, int]] | None, tmp_path: Path, matrix: str):
    """Decimals are meant as they are written: the rows sum to one exactly."""
    ask = ["--kernel", "matrix", "--symbols", "0,1,1,2", "--matrix", matrix]
    if form == "csv":
        ask[-1] = str(tmp_path / "rows.csv")
        Path(ask[-1]).write_text("".join(",".join(row) + "\n" for row in ROWS), encoding="utf-8")
    if pairs is not None:
        file = tmp_path / f"pairs.{form}"
        as_csv = "".join(f"{x},{y}\n" for x, y in pairs)
        file.write_text(json.dumps(pairs) if form == "json" else as_csv, encoding="utf-8")
        ask += ["--substitutions", str(file)]
    found = run("frontier", *ask, "--d-max", "3", *REST)
    rows = [[Fraction(entry) for entry in row] for row in ROWS]
    kernel = hc.MatrixKernel(rows, substitutions="all" if pairs is None else pairs)
    assert shown(found) == expected(kernel, ((0, 1), (1, 2), (2, 1)), hc.Substitution(3))


@pytest.mark.parametrize("threat", [hc.Deletion, hc.Indel, hc.Edit, hc.Substitution])
def test_sequences_of_known_length(run: Run, threat: type[DiscreteThreat]):
    ask = [
        "frontier",
        "--kernel",
        "deletion",
        "--beta",
        "0.9",
        "--threat",
        threat.name,
        "--d-max",
        "4",
        *REST,
    ]
    kernel = hc.RandomDeletion(0.9)
    assert shown(run(*ask)) == expected(kernel, None, threat(4))
    assert shown(run(*ask, "--length", "2")) == expected(kernel, 2, threat(4))


def test_how_many_positions_there_are_changes_nothing(run: Run):
    for kernel in (["--alphabet", "50"], ["--kernel", "absorbing"]):
        ask = ["frontier", *kernel, "--beta", "0.9", "--d-max", "3", *REST]
        assert shown(run(*ask)) == shown(run(*ask, "--positions", "100"))


def test_batch_keys_are_the_options(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], matrix: str
):
    rest = {"d": 2, "sigma": 0.5, "threshold": 0.5, "p_lower": 0.999}
    asked: list[tuple[dict[str, object], Sequence[str]]] = [
        (
            {"kernel": "fields", "sizes": [9, 16, 7], "beta": [0.5, 0.6, 0.7]},
            [*FIELDS, "--beta", "0.5,0.6,0.7"],
        ),
        (
            {"kernel": "flips", "p_plus": 0.05, "p_minus": 0.6, "ones": 2, "zeros": 9, "max_additions": 1},
            [*FLIPS, "--max-additions", "1"],
        ),
        (
            {"kernel": "matrix", "matrix": [[float(e) for e in row] for row in ROWS], "symbols": [0, 1, 1]},
            ["--kernel", "matrix", "--matrix", matrix, "--symbols", "0,1,1"],
        ),
        (
            {"kernel": "deletion", "beta": 0.9, "length": 7, "threat": "indel", "noise": "laplace"},
            [
                "--kernel",
                "deletion",
                "--beta",
                "0.9",
                "--length",
                "7",
                "--threat",
                "indel",
                "--noise",
                "laplace",
            ],
        ),
    ]
    lines = [json.dumps(entry | rest) + "\n" for entry, _ in asked]
    top = {"kernel": "none", "sigma": [1, 2], "eps": [0.1, 0], "top_k": 1, "counts": [90, 8], "alpha": 0.01}
    table = {"kernel": "synonyms", "synonyms": {"good": ["great"]}, "words": ["good", "good"]}
    file = tmp_path / "queries.jsonl"
    file.write_text("".join([*lines, json.dumps(top) + "\n", json.dumps(table | rest)]), encoding="utf-8")
    assert main(["radius", "--batch", str(file)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[:4] == [run("radius", *options, "--d", "2", *REST) for _, options in asked]
    assert found[4] == run(
        *["radius", "--kernel", "none", "--sigma", "1,2", "--eps", "0.1,0"],
        *["--top-k", "1", "--counts", "90,8", "--alpha", "0.01"],
    )
    assert found[5]["certified"]


def test_laplace_noise_has_its_closed_form(run: Run):
    """Teng et al. 2019: r = −b·log(2(1−p)) against the threshold ½."""
    for spelled in ("--sigma", "--scale"):
        ask = [
            "--kernel",
            "none",
            "--noise",
            "laplace",
            spelled,
            "0.25",
            "--threshold",
            "0.5",
            "--p-lower",
            "0.99",
        ]
        found = run("radius", *ask, "--eps", "0.1")
        exact = -0.25 * math.log(2 * (1 - 0.99))
        assert exact * (1 - 1e-9) <= found["radius"] <= exact * (1 + 1e-15)
        assert (found["sigma"], found["noise"], found["norm"]) == (0.25, "laplace", "l1")
        assert found["p_adv"] == pytest.approx(1 - 0.01 * math.exp(0.1 / 0.25), rel=1e-9)


def test_several_sigmas_are_one_budget_in_multiples_of_the_noise(
    run: Run, capsys: pytest.CaptureFixture[str]
):
    ask = ["--beta", "0.5", "--alphabet", "9", "--d", "1", "--threshold", "0.3", "--p-lower", "0.99"]
    both = run("radius", *ask, "--sigma", "0.5,0.25", "--eps", "0.1,0.2")
    unit = run("radius", *ask, "--sigma", "1", "--eps", str(hc.combined_shift([0.1, 0.2], [0.5, 0.25])))
    assert (both["radius"], both["p_adv"], both["log_t"]) == (unit["radius"], unit["p_adv"], unit["log_t"])
    assert (both["sigma"], both["eps"], both["norm"]) == ([0.5, 0.25], [0.1, 0.2], "mahalanobis")
    assert main(["radius", *ask, "--sigma", "0.5,0.25"]) == 0
    assert "scale 1: the root of the sum of (eps/sigma)^2" in capsys.readouterr().out


def test_without_continuous_noise_there_is_a_claim_but_no_radius(run: Run):
    ask = ["--beta", "0.9", "--alphabet", "9", "--threshold", "0.5", "--p-lower", "0.99", "--noise", "none"]
    found = run("frontier", *ask, "--d-max", "9")
    joint = run("frontier", *ask[:-2], "--sigma", "1", "--d-max", "9")
    assert [p["certified"] for p in found["points"]] == [p["certified"] for p in joint["points"]]
    assert {p["radius"] for p in found["points"]} <= {0.0, None}
    assert (found["sigma"], found["norm"]) == (None, "none")


def test_top_label_against_the_runner_up(run: Run):
    """Cohen et al. 2019, Theorem 1: r = σ/2 · (Φ⁻¹(p_A) − Φ⁻¹(p_B))."""
    found = run("radius", *NOTHING_DISCRETE, "--p-lower", "0.7", "--p-upper", "0.2")
    exact = 0.25 * (0.5244005127080407 + 0.8416212335729143)
    assert exact * (1 - 1e-9) <= found["radius"] <= exact * (1 + 1e-15)
    assert (found["threshold"], found["top_k"], found["p_upper"], len(found["log_t"])) == (None, 1, 0.2, 2)
    lost = run("radius", *NOTHING_DISCRETE, "--p-lower", "0.2", "--p-upper", "0.7")
    assert (lost["certified"], lost["radius"], lost["log_t"]) == (False, None, None)


@pytest.mark.parametrize(("k", "index"), [(1, 0), (2, 1)])
def test_top_k_from_counts(run: Run, k: int, index: int):
    counts = ["--counts", "500,300,150,50", "--label-index", str(index), "--alpha", "0.01"]
    found = run("radius", *FIELDS, "--beta", "0.8", "--d", "1", "--sigma", "0.5", "--top-k", str(k), *counts)
    bounds = label_bounds(
        np.array([[500, 300, 150, 50]]), claimed=np.array([index]), k=k, alpha=0.01, samples=1000
    )
    exposure = hc.UniformReplacement(0.8).exposure_of_sizes([9, 16, 7])
    spectra = hc.UniformReplacement(0.8).candidates(hc.Fields(1), 1, exposure).spectra
    radius = hc.radius_top(p_lower=bounds.p_lower, p_upper=bounds.p_upper, spectrum=spectra, sigma=0.5)[0]
    assert (found["certified"], found["radius"]) == (radius.certified, radius.radius)
    assert (found["p_lower"], found["p_upper"]) == (bounds.p_lower[0], bounds.p_upper[0])
    counts[1] = "500,300,150,50,1000"  # answers that are none of the labels, as a label of their own
    fewer = run("radius", *NOTHING_DISCRETE, "--top-k", str(k), *counts, "--samples", "2000")
    assert fewer["p_lower"] < found["p_lower"]
    assert fewer["p_upper"] > 0.25


def test_two_labels_are_a_threshold_of_one_half(run: Run):
    one = ["--successes", "950", "--samples", "1000", "--alpha", "0.01"]
    two = ["--counts", "950,50", "--alpha", "0.01"]
    score = run(
        "frontier", *FIELDS, "--beta", "0.9", "--sigma", "1", "--d-max", "3", "--threshold", "0.5", *one
    )
    for evidence in (one, two):
        found = run(
            "frontier", *FIELDS, "--beta", "0.9", "--sigma", "1", "--d-max", "3", "--top-k", "1", *evidence
        )
        assert found["p_lower"] == score["p_lower"]
        assert shown(found) == pytest.approx(shown(score), rel=1e-9)
        assert found["d_max_certified"] == score["d_max_certified"]


def test_human_output_says_what_is_claimed(capsys: pytest.CaptureFixture[str]):
    assert (
        main(["radius", *NOTHING_DISCRETE, "--top-k", "2", "--counts", "500,300,20,10", "--alpha", "0.01"])
        == 0
    )
    out = capsys.readouterr().out
    assert "keeps the label among the first 2" in out
    assert "p_upper" in out
    assert main(["radius", *NOTHING_DISCRETE, "--p-lower", "0.4", "--p-upper", "0.5"]) == 0
    assert "may cost the label its place" in capsys.readouterr().out
    assert main(["frontier", *NOTHING_DISCRETE, "--d-max", "0", "--p-lower", "0.6", "--p-upper", "0.5"]) == 0
    assert "p_upper 0.5, top 1, threat none" in capsys.readouterr().out


COMPLETE = ["--d", "1", "--sigma", "1", "--threshold", "0.5", "--p-lower", "0.9"]
MATRIX = ["--kernel", "matrix", "--symbols", "0"]
WRONG = [
    (
        [*FIELDS, "--beta", "0.5,0.6"],
        "--beta must be one rate, or one for each of the 3 fields in --sizes, got 2",
    ),
    (
        ["--alphabet", "9", "--beta", "0.5,0.6"],
        "--beta must be one number with --kernel uniform, got 2 of them",
    ),
    ([*FIELDS, "--beta", "0.5,1.5,0.6"], "--beta must be in (0, 1], got 0.5,1.5,0.6"),
    ([*FIELDS, "--beta", "0.5", "--ratio", "2"], "use randomized-response"),
    (
        ["--kernel", "randomized-response", "--sizes", "9"],
        "--ratio is required (or --log-ratio) with --kernel",
    ),
    (
        ["--kernel", "randomized-response", "--sizes", "9", "--ratio", "2", "--log-ratio", "1"],
        "--ratio and --log-ratio exclude each other",
    ),
    (["--kernel", "randomized-response", "--ratio", "0"], "--ratio must be a finite number > 0, got 0"),
    (["--kernel", "flips", "--p-plus", "1"], "--p-plus must be in [0, 1), got 1"),
    ([*FLIPS[:-2], *COMPLETE], "--zeros is required with --kernel flips: an integer in"),
    ([*FLIPS, "--d", "12"], "--d must be at most the number of bits in --ones and --zeros, 11, got 12"),
    (
        [*FLIPS, "--threat", "substitution", *COMPLETE],
        "the flips kernel certifies against flips or additions",
    ),
    (
        [*FLIPS, "--threat", "additions", "--max-removals", "1"],
        "--max-removals does not apply to --threat additions",
    ),
    (["--kernel", "synonyms", "--words", "a", *COMPLETE], "--synonyms is required with --kernel synonyms"),
    (
        ["--kernel", "synonyms", "--words", "a,,b"],
        "--words must be a list of words such as good,film, got a,,b",
    ),
    (
        ["--kernel", "synonyms", "--synonyms", "none.json"],
        "--synonyms: none.json cannot be read: No such file",
    ),
    (
        ["--kernel", "matrix", "--symbols", "0,-1"],
        "--symbols must be a list of integers >= 0 such as 0,1,1, got",
    ),
    (
        ["--alphabet", "9", "--beta", "0.5", "--positions", "2", "--d", "3"],
        "positions in --positions, 2, got 3",
    ),
    (["--kernel", "deletion", "--beta", "0.5", "--length", "-1"], "--length must be an integer >= 0, got -1"),
    (["--kernel", "none", "--d", "1"], "--d must be 0 with --kernel none"),
    (["--kernel", "none", "--beta", "0.5"], "--beta does not apply to --kernel none"),
    (["--kernel", "none", "--threat", "edit"], "--threat does not apply to --kernel none"),
    ([*NOTHING_DISCRETE, "--noise", "none"], "--sigma does not apply to --noise none"),
    ([*NOTHING_DISCRETE, "--scale", "1"], "--scale does not apply to --noise gaussian: use --sigma"),
    ([*NOTHING_DISCRETE, "--noise", "laplace", "--scale", "1"], "--sigma and --scale exclude each other"),
    (
        ["--kernel", "none", "--noise", "laplace", "--sigma", "1,2"],
        "--sigma must be one number with --noise laplace",
    ),
    (
        ["--kernel", "none", "--noise", "uniform"],
        "--noise must be one of gaussian, laplace, none, got uniform",
    ),
    (["--kernel", "none", "--sigma", "1,0"], "--sigma must be a finite number > 0, got 1,0"),
    (["--kernel", "none", *COMPLETE[2:], "--eps", "1,2"], "--eps must be one number, got 2 of them"),
    (
        ["--kernel", "none", "--sigma", "1,2", "--threshold", "0.5", "--eps", "1"],
        "--eps must list 2 numbers, one for each --sigma, got 1.0",
    ),
    (NOTHING_DISCRETE, "--threshold is required: in (0, 1), or --top-k"),
    ([*NOTHING_DISCRETE, "--threshold", "0.5", "--top-k", "1"], "--threshold and --top-k exclude each other"),
    (
        [*NOTHING_DISCRETE, "--threshold", "0.5", "--p-lower", "0.9", "--p-upper", "0.1"],
        "--threshold and --p-upper exclude each other",
    ),
    ([*NOTHING_DISCRETE, "--threshold", "0.5", "--counts", "1,2"], "--counts does not apply to --threshold"),
    ([*NOTHING_DISCRETE, "--p-upper", "0.5"], "--p-lower is required with --p-upper"),
    ([*NOTHING_DISCRETE, "--p-lower", "0.5", "--p-upper", "0"], "--p-upper must be in (0, 1], got 0"),
    ([*NOTHING_DISCRETE, "--top-k", "1"], "--counts and --alpha are required with --top-k, or --p-lower and"),
    (
        [*NOTHING_DISCRETE, "--top-k", "1", "--p-lower", "0.9"],
        "--p-upper is required with --top-k and --p-lower",
    ),
    (
        [*NOTHING_DISCRETE, "--top-k", "2", "--counts", "5,3"],
        "--top-k must be less than the number of classes, 2",
    ),
    (
        [*NOTHING_DISCRETE, "--top-k", "1", "--classes", "3", "--counts", "5,3"],
        "--counts must list one number for each of --classes = 3, got 2",
    ),
    ([*NOTHING_DISCRETE, "--top-k", "1", "--counts", "5,3"], "--alpha is required with --counts"),
    (
        [*NOTHING_DISCRETE, "--top-k", "1", "--counts", "5"],
        "--counts must be a list of integers >= 0 such as 95,3",
    ),
    (
        [*NOTHING_DISCRETE, "--top-k", "1", "--counts", "5,3", "--alpha", "0.1", "--label-index", "2"],
        "--label-index must be in [0, 1], got 2",
    ),
    (
        [*NOTHING_DISCRETE, "--top-k", "1", "--counts", "5,3", "--alpha", "0.1", "--samples", "7"],
        "--counts must add up to --samples = 7, got 8",
    ),
    (
        [*NOTHING_DISCRETE, "--top-k", "1", "--counts", "0,0", "--alpha", "0.1"],
        "--counts must add up to an integer in [1, 10000000000], got 0",
    ),
    (
        [*NOTHING_DISCRETE, "--top-k", "2", "--successes", "5", "--samples", "9", "--alpha", "0.1"],
        "--counts is required with --top-k 2",
    ),
    (
        [*NOTHING_DISCRETE, "--top-k", "1", "--successes", "5", "--counts", "5,4", "--alpha", "0.1"],
        "--successes and --counts exclude each other",
    ),
    (
        [*NOTHING_DISCRETE, "--p-lower", "0.9", "--p-upper", "0.1", "--counts", "5,4"],
        "--p-lower and --counts exclude each other",
    ),
]


@pytest.mark.parametrize(("options", "line"), WRONG)
def test_what_does_not_go_together_gets_one_line(
    options: list[str], line: str, capsys: pytest.CaptureFixture[str]
):
    assert line in refused(["radius", *options], capsys)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[[0.5, 0.5]]", "--matrix: row 0 must have 1 entries, one per row, got 2"),
        ("[[0.5, 0.4], [0, 1]]", "--matrix: row 0 must sum to 1, got 0.9"),
        ("[[1.5, -0.5], [0, 1]]", "--matrix: row 0, column 1 must be a number >= 0, got -0.5"),
        (
            "[[true, 0], [0, 1]]",
            "--matrix: row 0, column 0 must be a number >= 0 such as 0.25 or 1/4, got True",
        ),
        (
            "[[NaN, 0], [0, 1]]",
            "--matrix: row 0, column 0 must be a number >= 0 such as 0.25 or 1/4, got nan",
        ),
        ("[[1e999999999, 0], [0, 1]]", "--matrix: row 0, column 0 must be a number >= 0"),
        ("[[1/0, 0], [0, 1]]", "is not JSON"),
        ("1/0,0\n0,1\n", "--matrix: row 0, column 0 must be a number >= 0 such as 0.25 or 1/4, got 1/0"),
        ("{}", "--matrix: expected a list of rows, got an object"),
        ("", "--matrix: expected a list of rows, got a list"),
        ("[[1, 0], [0, 1]]", "--symbols must be row numbers of --matrix, in [0, 1], got 2"),
    ],
)
def test_broken_matrices(content: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "matrix"
    file.write_text(content, encoding="utf-8")
    options = ["--kernel", "matrix", "--symbols", "2", "--matrix", str(file)]
    assert line in refused(["radius", *options, *COMPLETE], capsys)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[]", 'expected an object such as {"film": ["movie"]}, got a list'),
        ('{"a": "b"}', "the entry of 'a' must be a list of words, got text"),
        ('{"a": ["b"], "a": ["c"]}', "key 'a' occurs twice"),
        ('{"a": [""]}', "the entry of 'a' must be a list of words, got a list"),
    ],
)
def test_broken_synonyms(content: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "synonyms.json"
    file.write_text(content, encoding="utf-8")
    options = ["--kernel", "synonyms", "--words", "a", "--synonyms", str(file)]
    assert line in refused(["radius", *options, *COMPLETE], capsys)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[[0, 1, 2]]", "--substitutions: entry 0 must be a pair such as [0, 1], got a list"),
        ("0,1\n0,x\n", "--substitutions: entry 1 must consist of row numbers >= 0, got x"),
        ("0,7\n", "substitutions must be pairs of different symbols in [0, 2], got (0, 7)"),
        ('{"0": 1}', "--substitutions: expected a list of pairs"),
    ],
)
def test_broken_substitutions(
    content: str, line: str, tmp_path: Path, matrix: str, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "pairs"
    file.write_text(content, encoding="utf-8")
    options = ["--kernel", "matrix", "--symbols", "0", "--matrix", matrix, "--substitutions", str(file)]
    assert line in refused(["radius", *options, *COMPLETE], capsys)


def test_bad_values_in_a_batch_name_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    base = {"kernel": "matrix", "symbols": [0], "d": 1, "sigma": 1, "threshold": 0.5, "p_lower": 0.9}
    file = tmp_path / "bad.jsonl"
    for change, line in (
        ({"matrix": [[0.5]]}, "line 1: matrix: row 0 must sum to 1, got 0.5"),
        ({"matrix": 3}, "line 1: matrix: expected a list of rows, got 3"),
        ({"issue": "x"}, "line 1: unknown key 'issue'"),
        ({"features": 3}, "line 1: unknown key 'features'"),
    ):
        file.write_text(json.dumps(base | change), encoding="utf-8")
        assert line in refused(["radius", "--batch", str(file)], capsys)


@pytest.mark.parametrize("command", ["radius", "frontier"])
def test_help_lists_every_kernel_threat_and_noise(command: str, capsys: pytest.CaptureFixture[str]):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    for name in ("randomized-response", "synonyms", "matrix", "indel", "removals", "laplace", "--issue"):
        assert name in text
