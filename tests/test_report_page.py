"""The data of an interactive page: rounding, grouping, packing, and what is not there."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_pages
from hybridcert.errors import DataError
from hybridcert.reports import packed, tables
from hybridcert.reports.alarms import alarms_at
from hybridcert.reports.exact_steps import digits_for, steps_down
from hybridcert.reports.filter import Filter
from hybridcert.reports.payload import images, payload
from hybridcert.reports.run_data import RunData, read_run
from hybridcert.reports.write import write_report


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a table."""
    return report_pages.table_run(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a filter on texts, some of them hostile."""
    return report_pages.text_run(tmp_path_factory.mktemp("texts"))


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


@given(st.floats(0.0, 1e6), st.integers(0, 9))
def test_steps_never_exceed_the_value_and_miss_less_than_one(value: float, digits: int):
    step = Fraction(1, 10**digits)
    found = int(steps_down(np.array([value]), digits)[0])
    assert found * step <= Fraction(value) < (found + 1) * step


@pytest.mark.parametrize(
    ("value", "steps"), [(0.3, 299_999), (0.5, 500_000), (0.7, 699_999), (2.675, 2_674_999), (0.0, 0)]
)
def test_decimals_that_floats_miss_are_cut_off_exactly(value: float, steps: int):
    assert steps_down(np.array([value]), 6).tolist() == [steps]


@pytest.mark.parametrize(("largest", "digits"), [(0.0, 6), (2.5, 6), (1e-5, 9), (1e-12, 15), (1e10, 5)])
def test_small_radii_have_more_decimals(largest: float, digits: int):
    assert digits_for(largest) == digits
    assert largest * 10**digits < 2**53


def radius_of(found: dict[str, Any], threshold: int, budget: int) -> np.ndarray:
    return np.array(found["groups"]["radius"][threshold][budget])[found["rows"]["group"]]


def test_groups_give_back_every_radius_at_every_threshold(table: Path):
    run = read_run(table)
    found = payload(run)
    further = run.kept.further
    assert further is not None
    scale = 10 ** found["digits"]
    for number, threshold in enumerate(sorted(further["threshold"].unique())):
        assert found["thresholds"][number] == repr(float(threshold))
        for d in range(3):
            rows = further[(further["threshold"] == threshold) & (further["d"] == d)]
            for steps, row in zip(radius_of(found, number, d), rows.itertuples(), strict=True):
                if not row.certified:
                    assert steps == -1
                else:
                    assert (
                        Fraction(int(steps), scale) <= Fraction(row.radius) < Fraction(int(steps) + 1, scale)
                    )


def test_the_claimed_threshold_counts_as_the_table_does(table: Path):
    run = read_run(table)
    found = payload(run)
    assert found["thresholds"][found["own"]] == "0.5"
    right = np.array(found["rows"]["target"]) == np.array(found["rows"]["label"])
    for row in tables.certified_accuracy(run).itertuples():
        least = int(steps_down(np.array([row.eps]), found["digits"])[0])
        assert (right & (radius_of(found, found["own"], row.d) >= least)).sum() == row.certified


def test_the_sliders_start_at_the_point_of_the_headline(table: Path):
    found = payload(read_run(table))
    assert found["start"] == {"budget": 2, "epsilon": 250_000}


def test_worst_scores_of_a_group_are_those_of_its_inputs(table: Path):
    run = read_run(table)
    found = payload(run)
    for d in range(3):
        scores = np.array(found["groups"]["score"][d])[found["rows"]["group"]]
        assert scores.tolist() == steps_down(run.at((d,))["p_adv"].to_numpy(), 6).tolist()


def test_false_alarms_are_those_of_the_filter_table(texts: Path):
    run = read_run(texts)
    found = Filter.of(run)
    assert found is not None
    points = [point for point in found.points if point.threshold is not None]
    alarms = alarms_at(run, [point.threshold for point in points if point.threshold])
    assert [(a["cutoff"], a["flagged"], a["benign"]) for a in alarms] == [
        (point.cutoff, point.false_alarms, found.benign) for point in points
    ]
    assert [f"{a['upper']} %" for a in alarms] == [row[2] for row in found.rows()[: len(points)]]
    asked = payload(run)
    assert [asked["thresholds"][number] for number in asked["asked"]] == ["0.2", "0.3", "0.5"]


def test_equal_false_alarms_of_pairs_count_once(table: Path):
    run = read_run(table)
    assert alarms_at(run, [0.5]) == []
    hits = pd.DataFrame({"hits": [300, 0, 10], "samples": 300, "digest": ["a", "b", "c"]})
    counted = dataclasses.replace(run, kept=dataclasses.replace(run.kept, alarms=hits))
    [alarm] = alarms_at(counted, [0.5])
    assert (alarm["flagged"], alarm["benign"], alarm["percent"]) == (1, 3, "33.4")


def test_certificates_come_back_byte_for_byte(table: Path):
    lines = (table / "certificates.jsonl").read_text(encoding="utf-8").splitlines()
    found = unpacked(packed.packed(packed.certificates(table)))
    assert ["".join(found["pieces"][piece] for piece in made) for made in found["lines"]] == lines
    assert found["total"] == len(lines)
    assert len(found["pieces"]) < 4 * len(lines)  # a line has ten members and more; most are shared


def test_lines_in_another_hand_are_kept_whole(tmp_path: Path):
    lines = ['{"a":1}', '{"a": 1, "b": [1, "é"]}', "[]", '{"a": "\u2028"}', '{"b": "\\u00e9"}']
    (tmp_path / "certificates.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = packed.certificates(tmp_path)
    assert ["".join(found["pieces"][piece] for piece in made) for made in found["lines"]] == lines


def test_no_certificates_are_no_lines(tmp_path: Path):
    nothing = {"pieces": [], "lines": [], "total": 0}
    assert packed.certificates(tmp_path) == nothing
    (tmp_path / "certificates.jsonl").touch()
    assert packed.certificates(tmp_path) == nothing


def test_certificates_that_do_not_fit_are_left_out(table: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packed, "MOST_CERTIFICATES", 4_000)
    found = packed.certificates(table)
    assert 0 < len(found["lines"]) < found["total"] == 40
    assert len(packed.packed(found)) <= 4_000


def test_images_that_do_not_fit_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = read_run(report_pages.pairs_run(tmp_path))
    whole = images(run)
    assert len(whole) == len(run.names)
    assert base64.b64decode(whole[0]).startswith(b"\x89PNG")
    monkeypatch.setattr("hybridcert.reports.payload.MOST_IMAGES", 400)
    few = images(run)
    assert 0 < len(few) < len(whole)
    assert few == whole[: len(few)]


def test_broken_certificates_are_named(table: Path, tmp_path: Path):
    shutil.copytree(table, tmp_path / "run")
    (tmp_path / "run" / "certificates.jsonl").write_text("{\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"certificates\.jsonl is not JSON, line by line"):
        write_report(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("inputs.parquet", lambda t: t.iloc[::-1], "is about another run than results.parquet"),
        (
            "inputs.parquet",
            lambda t: t.assign(counts=t["counts"].str.replace(r"\d+", "1", regex=True)),
            "is about another run than results.parquet",
        ),
        ("inputs.parquet", lambda t: t.drop(columns="counts"), "it has no column 'counts'"),
        ("thresholds.parquet", lambda t: t.assign(input=1), "is about another run than results.parquet"),
        ("thresholds.parquet", lambda t: t.assign(radius=t["radius"] / 2), "is about another run than"),
        ("thresholds.parquet", lambda t: t[t["threshold"] != 0.5], "is about another run than"),
        ("thresholds.parquet", lambda t: t.assign(d=t["d"] + 1), "is about another run than"),
        ("thresholds.parquet", lambda t: t.drop(columns="d"), "it has no column 'd'"),
    ],
)
def test_files_that_do_not_belong_to_the_results_are_refused(
    name: str, change: Any, expected: str, table: Path, tmp_path: Path
):
    shutil.copytree(table, tmp_path / "run")
    change(pd.read_parquet(table / name)).to_parquet(tmp_path / "run" / name)
    with pytest.raises(DataError, match=expected):
        write_report(tmp_path / "run")


def test_directories_of_older_versions_have_a_page_without_slider_and_inputs(table: Path, tmp_path: Path):
    shutil.copytree(table, tmp_path / "run")
    for name in ("inputs.parquet", "thresholds.parquet", "certificates.jsonl"):
        (tmp_path / "run" / name).unlink()
    page = write_report(tmp_path / "run").page.read_text(encoding="utf-8")
    assert "This directory has no thresholds.parquet" in page
    assert 'id="tau"' not in page
    found = block(page, "data")
    assert (found["thresholds"], found["contents"]) == (["0.5"], {})
    assert "line" not in found["rows"]
    assert 'id="tau"' in (table / "report.html").read_text(encoding="utf-8")


def block(page: str, name: str) -> Any:
    start = page.split(f'<script type="application/octet-stream" id="{name}">')[1]
    return unpacked(start.split("</script>")[0])


def test_inputs_of_the_same_name_keep_their_own_radii(table: Path, tmp_path: Path):
    shutil.copytree(table, tmp_path / "run")
    for name in ("results.parquet", "inputs.parquet", "thresholds.parquet"):
        pd.read_parquet(table / name).assign(input=7).to_parquet(tmp_path / "run" / name)
    same, plain = payload(read_run(tmp_path / "run")), payload(read_run(table))
    assert same["groups"] == plain["groups"]
    assert same["rows"]["group"] == plain["rows"]["group"]


def test_so_few_copies_promise_nothing_unless_all_is_flagged(texts: Path):
    run = read_run(texts)
    (found,) = alarms_at(run, [1e-5])
    assert (found["cutoff"], found["flagged"], found["percent"]) == (0, found["benign"], "100.0")


def test_texts_that_do_not_fit_are_left_out(texts: Path, monkeypatch: pytest.MonkeyPatch):
    run = read_run(texts)
    whole = payload(run)["contents"]["text"]
    monkeypatch.setattr("hybridcert.reports.payload.MOST_TEXTS", len(whole[0]) + len(whole[1]))
    assert payload(run)["contents"]["text"] == [*whole[:2], *[None] * (len(whole) - 2)]


def test_no_text_of_an_input_stands_in_the_markup(texts: Path):
    page = (texts / "report.html").read_text(encoding="utf-8")
    contents = block(page, "data")["contents"]
    assert sum("window.broken" in text for text in contents["text"]) >= 2
    for part in ("window.broken", "example.invalid", "\u2028"):
        assert part not in page
    assert page.count("</script>") == 4  # data, images, certificates, and the page's own


def test_hostile_names_and_labels_are_escaped(table: Path, tmp_path: Path):
    shutil.copytree(table, tmp_path / "run")
    environment = json.loads((table / "environment.json").read_text(encoding="utf-8"))
    environment["title"] = "{{script}}</title><script>window.broken = 1</script>"
    (tmp_path / "run" / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    results = pd.read_parquet(table / "results.parquet").replace("yes", "<b>yes</b>")
    results.to_parquet(tmp_path / "run" / "results.parquet")
    kept = pd.read_parquet(table / "inputs.parquet")
    kept["counts"] = kept["counts"].str.replace('"yes"', '"<b>yes</b>"')
    kept.to_parquet(tmp_path / "run" / "inputs.parquet")
    page = write_report(tmp_path / "run").page.read_text(encoding="utf-8")
    assert "<script>window" not in page
    assert "<b>yes" not in page
    assert "{{script}}&lt;/title&gt;&lt;script&gt;" in page


def test_the_policy_allows_the_scripts_of_the_page_alone(table: Path):
    import hashlib

    page = (table / "report.html").read_text(encoding="utf-8")
    policy = page.split('http-equiv="Content-Security-Policy" content="')[1].split('"')[0]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind, text in (
        ("style", page.split("<style>")[1].split("</style>")[0]),
        ("script", page.split("<script>")[1].split("</script>")[0]),
    ):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_pages_are_the_same_each_time(table: Path, tmp_path: Path):
    shutil.copytree(table, tmp_path / "run")
    before = (table / "report.html").read_bytes()
    assert write_report(tmp_path / "run").page.read_bytes() == before


def test_runs_without_names_of_inputs_number_them(table: Path):
    run = read_run(table)
    nameless = RunData(
        run.directory, run.results.drop(columns="input"), run.settings, {}, run.eps, run.extras
    )
    assert payload(nameless)["rows"]["id"] == [str(number) for number in range(40)]
