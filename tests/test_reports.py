"""Reports: exact counts, rounding, and files that stand alone."""

from __future__ import annotations

import dataclasses
import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import hybridcert as hc
from hybridcert.cli.main import main
from hybridcert.errors import DataError
from hybridcert.experiments.multimodal import DemoSettings, run_demo
from hybridcert.experiments.multimodal_report import write_demo
from hybridcert.reports import figures, page, stopping, tables, wording
from hybridcert.reports.parameters import parameters
from hybridcert.reports.reproduction_page import write_reproduction
from hybridcert.reports.run_data import RunData, SweepData, read_run
from hybridcert.reports.write import write_report
from tabular_data import small_table

SETTINGS = {
    "samples": 100,
    "alpha": 0.01,
    "threshold": 0.5,
    "unit": "metres",
    "seed": 1,
    "noise": {"fields": {"kernel": "uniform", "beta": 0.25}, "numbers": {"kernel": "gaussian", "sigma": 0.5}},
    "threat": {"fields": {"kind": "fields", "max_d": 2}},
}


def make_run(folder: Path, *, extras: tuple[dict[str, object], ...] = ()) -> RunData:
    """Three inputs: right with radii 0.5 and 0.3, wrong with 0.9; only the first survives d = 1."""
    radii = {0: [0.5, 0.3, 0.9], 1: [0.1, np.nan, np.nan], 2: [np.nan] * 3}
    parts = []
    for d, radius in radii.items():
        parts.append(
            pd.DataFrame(
                {
                    "input": [10, 11, 12],
                    "target": ["a", "b", "a"],
                    "label": ["a", "b", "b"],
                    "clean_label": ["a", "a", "a"],
                    "successes": [100, 97, 99],
                    "samples": 100,
                    "p_lower": [0.954992586, 0.9, 0.94],
                    "threshold": 0.5,
                    "d": d,
                    "certified": ~np.isnan(radius),
                    "radius": pd.array(radius, dtype="Float64"),
                    "p_adv": [0.4 if d == 2 else 0.6] * 3,
                }
            )
        )
    return RunData(folder, pd.concat(parts, ignore_index=True), SETTINGS, {}, (0.0, 0.3, 0.5), extras)


def write(run: RunData, folder: Path) -> None:
    run.results.to_parquet(folder / "results.parquet")
    (folder / "run.json").write_text(json.dumps(dict(run.settings)))


def test_certified_accuracy_counts_inputs_that_are_right_and_certified(tmp_path: Path):
    found = tables.certified_accuracy(make_run(tmp_path))
    counts = {(row.d, row.eps): row.certified for row in found.itertuples()}
    assert counts == {
        (0, 0.0): 2,
        (0, 0.3): 2,
        (0, 0.5): 1,
        (1, 0.0): 1,
        (1, 0.3): 0,
        (1, 0.5): 0,
        (2, 0.0): 0,
        (2, 0.3): 0,
        (2, 0.5): 0,
    }
    assert set(found["inputs"]) == {3}
    assert found["percent"].iloc[0] == "66.6"


def test_headline_counts(tmp_path: Path):
    found = tables.headline(make_run(tmp_path))
    assert (found.inputs, found.clean_right, found.right, found.abstained) == (3, 2, 2, 0)


def test_bounds_in_tables_never_exceed_the_exact_values(tmp_path: Path):
    run = make_run(tmp_path)
    table = tables.radii(run)
    for column in ("p_lower", "radius"):
        for shown, exact in zip(table[column], run.results[column], strict=True):
            assert shown == "" if pd.isna(exact) else 0 <= exact - float(shown) < 2e-9


@pytest.mark.parametrize(
    ("count", "inputs", "expected"),
    [(2, 3, "66.6"), (0, 7, "0.0"), (7, 7, "100.0"), (999, 1000, "99.9"), (9999, 10_000, "99.9")],
)
def test_percentages_round_down(count: int, inputs: int, expected: str):
    assert tables.percent(count, inputs) == expected


def test_curves_step_exactly_at_the_radii(tmp_path: Path):
    x, y = figures.corners(tables.reached(make_run(tmp_path), (0,)), 3)
    assert x.tolist() == [0.0, 0.3, 0.5, 0.5]
    assert y.tolist() == pytest.approx([200 / 3, 200 / 3, 100 / 3, 0.0])


def test_sentences_say_what_was_found(tmp_path: Path):
    text = wording.result(make_run(tmp_path))
    assert text.startswith("2 of 3 inputs (66.6 %) are answered rightly and provably stay so")
    assert "an ℓ₂ shift of up to 0.3 (metres)" in text
    assert "Nothing is certified at d = 2: there the best proven score is 0.4000" in text
    assert "although all 100 copies of an input agreed" in text
    assert "probability at most 0.01" in wording.meaning(make_run(tmp_path))
    assert any("floating point" in sentence for sentence in wording.assumptions(make_run(tmp_path)))


def test_what_was_asked_of_the_copies_is_said(tmp_path: Path):
    run = make_run(tmp_path)
    assert stopping.sentences(run) == []
    assert stopping.target_of(run) is None
    asked = {"stopping": {"target": {"d": 0, "eps": 0.4}}, "bound": "exact", "samples": 1000}
    run = dataclasses.replace(run, settings=SETTINGS | asked)
    first, second, third = stopping.sentences(run)
    assert first.startswith("Asked of each input: certified at d = 0, ε = 0.4. 2 of 3 are.")
    assert second.endswith("nothing at all is certified.")
    assert third == "300 copies of 3 inputs were drawn, of 3,000 at most."
    assert "over the draw of its at most 1000 noisy copies" in wording.meaning(run)
    assert "n ≤ 1\u2009000" in parameters(run.settings)
    assert "n = 100" in parameters(SETTINGS)
    [*_, last] = wording.guarantees(run)
    assert "whatever ended the sampling" in last


def test_inputs_without_copies_have_no_certificate_and_no_line(tmp_path: Path):
    run = make_run(tmp_path)
    run.results.loc[run.results["input"] == 11, ["samples", "successes"]] = 0
    (tmp_path / "certificates.jsonl").write_text("{}\n{}\n")
    lines = tables.radii(run)["certificate_line"]
    assert lines.fillna(0).tolist() == [1, 0, 2] * 3
    run = dataclasses.replace(run, settings=SETTINGS | {"failures": {"11": "it broke"}})
    assert stopping.failed(run) == 1
    [sentence] = stopping.sentences(run)
    assert sentence.startswith("1 of the inputs failed: ")


def test_swept_keys_that_are_columns_already_keep_their_whole_names(tmp_path: Path):
    run = make_run(tmp_path)
    key = "certificate.stopping.target.d"
    sweep = SweepData(tmp_path, "s", (key,), ((1,), (2,)), (run, run))
    table = tables.combined(sweep, tables.certified_accuracy)
    assert list(table.columns[:2]) == [key, "d"]


@pytest.mark.parametrize("store", [True, False])
def test_unfinished_runs_are_not_read(store: bool, tmp_path: Path):
    (tmp_path / "config.yaml").write_text("a: 1\n")
    if store:
        write(make_run(tmp_path), tmp_path)
        (tmp_path / "run.sqlite").touch()
    with pytest.raises(DataError, match="holds an unfinished run: finish it with hybridcert certify"):
        write_report(tmp_path)


@pytest.mark.parametrize(("ids", "name"), [(["table2"], "table2"), (["table1", "table2"], "all")])
def test_an_unfinished_reproduction_is_finished_by_its_own_command(ids: list[str], name: str, tmp_path: Path):
    (tmp_path / "config.yaml").write_text(json.dumps({"reproduce": ids}))
    (tmp_path / "run.sqlite").touch()
    with pytest.raises(DataError, match=f"finish it with hybridcert reproduce {name} --out"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("finding.json", '{"x": 1}'),
        ("finding.json", "[]"),
        ("finding.json", '{"panels": [], "shown": []}'),
        ("reproduction.json", '{"source": "x", "findings": 3}'),
    ],
)
def test_a_broken_reproduction_is_named(name: str, content: str, tmp_path: Path):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=f"{name} is not what `hybridcert reproduce` writes"):
        write_reproduction(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_nothing_certified_is_reported_as_a_result(tmp_path: Path):
    run = make_run(tmp_path)
    run.results["certified"] = False
    run.results["radius"] = pd.array([np.nan] * 9, dtype="Float64")
    write(run, tmp_path)
    said = wording.result(read_run(tmp_path))
    assert said.startswith("None of the 3 inputs could be certified")
    assert said.endswith("the proven bounds on their scores do not suffice.")
    write_report(tmp_path)
    assert (tmp_path / "certified_accuracy.png").stat().st_size > 5_000


def test_certified_with_wrong_labels_is_not_called_uncertified(tmp_path: Path):
    run = make_run(tmp_path)
    run.results["target"] = "c"
    said = wording.result(run)
    assert said == (
        "None of the 3 inputs is certified with its true label, not even without any change; 3 are certified "
        "with a wrong one."
    )
    run = make_run(tmp_path)
    run.results.loc[run.results["input"] == 10, "target"] = "b"  # what holds at d = 1 is wrong
    assert "Nothing is certified at d = 2" in wording.result(run)


def test_failures_are_no_want_of_proof(tmp_path: Path):
    run = make_run(tmp_path)
    run.results["certified"] = False
    run.results["stopped"] = "failed"
    assert wording.result(run).endswith("without any change: the classifier failed on all of them.")


class _Checker(html.parser.HTMLParser):
    """Collects references and checks that tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "srcset", "href")]
        if tag not in ("meta", "img", "source", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone(tmp_path: Path):
    extra = {
        "title": "Rivals <&>",
        "text": "beside",
        "columns": ["", "d"],
        "rows": [["one", 1], ["none", None]],
    }
    run = make_run(tmp_path, extras=(extra,))
    light = figures.run_figure(run)
    text = page.run_page(run, light=light, dark=figures.run_figure(run, figures.DARK))
    checker = _Checker()
    checker.feed(text)
    assert checker.open == []
    assert sum(reference.startswith("data:image/png;base64,") for reference in checker.references) == 2
    assert all(reference.startswith(("data:image/png;base64,", "#")) for reference in checker.references)
    assert "prefers-color-scheme: dark" in text
    assert "default-src 'none'" in text
    assert "Rivals &lt;&amp;&gt;" in text
    assert len(text) < 500_000


def test_report_writes_tables_figure_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write(make_run(tmp_path), tmp_path)
    assert main(["report", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    names = ["certified_accuracy.csv", "radii.csv", "summary.csv", "unsound_naive_product.csv"]
    assert [Path(t).name for t in printed["tables"]] == names
    with Image.open(printed["figure"]) as image:
        assert image.width > 900
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 20
    first = Path(printed["report"]).read_bytes()
    assert main(["report", str(tmp_path)]) == 0
    assert Path(printed["report"]).read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "certified_accuracy.png",
        "report.html",
        "results.parquet",
        "run.json",
        "tables",
    ]


def test_a_run_saved_by_the_library_can_be_reported(tmp_path: Path):
    table = small_table()
    X, y = table[["colour", "shape"]], table["outcome"]
    base = hc.DataFrameClassifier(make_pipeline(OneHotEncoder(), LogisticRegression()), X)
    smoothed = hc.SmoothedClassifier(base, noise={"categorical": hc.UniformReplacement(0.5)}).fit(
        X, y, seed=1
    )
    run = smoothed.certify(X.head(20), threat=hc.Fields(1), samples=100, alpha=0.01, threshold=0.5, seed=1)
    run.save(tmp_path)
    written = write_report(tmp_path)
    counts = pd.read_csv(written.tables[0])
    certified = run.frame().groupby("d")["certified"].sum()
    assert counts.loc[counts["eps"] == 0.0].set_index("d")["certified"].tolist() == certified.tolist()
    assert "provably keep their answer" in written.page.read_text(encoding="utf-8")


def test_several_discrete_modalities_have_a_budget_each(tmp_path: Path):
    run = make_run(tmp_path)
    results = run.results.rename(columns={"d": "d_text"}).assign(d_tags=0)
    both = RunData(tmp_path, results, SETTINGS, {}, (0.0, 0.3), ())
    assert both.budgets == [(0, 0), (1, 0), (2, 0)]
    assert both.name_of((1, 0)) == "d(text) = 1, d(tags) = 0"
    assert list(tables.certified_accuracy(both).columns[:2]) == ["d_text", "d_tags"]
    assert "d(text) = 1, d(tags) = 0" in page.run_page(both, light=b"", dark=b"")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("results.parquet", b"junk", "results.parquet cannot be read"),
        ("run.json", b"{", "run.json is not JSON"),
        ("sweep.json", b"{}", "does not describe a sweep"),
    ],
)
def test_broken_run_directories(name: str, content: bytes, expected: str, tmp_path: Path):
    write(make_run(tmp_path), tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=expected):
        write_report(tmp_path)


def test_directories_without_a_run(tmp_path: Path):
    with pytest.raises(DataError, match=re.escape("holds no results.parquet")):
        write_report(tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "results.parquet")
    with pytest.raises(DataError, match="it has no column 'label'"):
        write_report(tmp_path)


def test_the_multimodal_demo_reports_its_rivals(tmp_path: Path):
    result = run_demo(DemoSettings(samples=200, inputs=40, noisy_copies=1))
    write_demo(tmp_path, result)
    written = write_report(tmp_path)
    text = written.page.read_text(encoding="utf-8")
    for phrase in (
        "drop the suffix",
        "Accuracy and false alarms",
        "replaced symbol",
        "image-text filter",
        "UNSOUND – not a certificate: the naive product",
    ):
        assert phrase in text
    counts = pd.read_csv(written.tables[0]).pivot_table(index="d", columns="eps", values="certified")
    np.testing.assert_array_equal(counts.to_numpy(), result.frontier().to_numpy())
