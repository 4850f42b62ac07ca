"""Pages in a real browser: what they show, how they are used, what they never do."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import browser
import report_pages
from hybridcert.cli.main import main
from hybridcert.reports.tables import percent
from hybridcert.reports.write import write_report

pytest.importorskip("selenium", reason="selenium is not installed: install the dev extra")

MAKERS = {
    "table": report_pages.table_run,
    "texts": report_pages.text_run,
    "pairs": report_pages.pairs_run,
}


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser puts what it downloads."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(downloads: Path) -> Iterator[Any]:
    """A browser for all tests of this file."""
    with browser.browser(downloads) as opened:
        yield opened


@pytest.fixture(scope="module")
def runs(driver: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run directory of each kind; none is made where no browser can open it."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: make(folder) for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def odd(driver: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs at the edges of what results can be."""
    return report_pages.odd_runs(tmp_path_factory.mktemp("odd"))


def show(
    driver: Any, directory: Path, size: tuple[int, int] = browser.DESKTOP, *, dark: bool = False
) -> None:
    browser.shape(driver, size, dark=dark)
    browser.open_page(driver, directory / "report.html")


def text_of(driver: Any, selector: str) -> str:
    return str(driver.execute_script("return document.querySelector(arguments[0]).textContent", selector))


def texts_of(driver: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
    return list(driver.execute_script(script, selector))


def cells_of(driver: Any, selector: str) -> list[list[str]]:
    script = (
        "return [...document.querySelectorAll(arguments[0])].map((e) =>"
        " [...e.children].map((c) => c.textContent))"
    )
    return list(driver.execute_script(script, selector))


def slide(driver: Any, name: str, value: int) -> None:
    driver.execute_script(
        "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
        "s.dispatchEvent(new Event('input', {bubbles: true}))",
        name,
        value,
    )


def fill(driver: Any, name: str, value: str) -> None:
    slide(driver, name, value)  # type: ignore[arg-type]


def click(driver: Any, selector: str) -> None:
    driver.execute_script("document.querySelector(arguments[0]).click()", selector)


def table(driver: Any) -> pd.DataFrame:
    """Scroll through the table of inputs and return all its rows as text."""
    driver.execute_script("document.getElementById('rows').scrollTop = 0")
    names = [name.rstrip(" ▾▴") for name in texts_of(driver, "#rows thead th")]
    found: dict[int, list[str]] = {}
    while True:
        time.sleep(0.05)
        rows, more = driver.execute_script(
            "const box = document.getElementById('rows');"
            "const rows = [...box.querySelectorAll('tbody tr[aria-rowindex]')].map((r) =>"
            " [Number(r.getAttribute('aria-rowindex')), [...r.children].map((c) => c.textContent)]);"
            "const more = box.scrollTop + box.clientHeight < box.scrollHeight - 1;"
            "box.scrollTop += 200; return [rows, more]"
        )
        found |= dict(rows)
        if not more:
            break
    return pd.DataFrame([found[index] for index in sorted(found)], columns=names)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("size", "dark"),
    [
        pytest.param(browser.DESKTOP, False, id="desktop-light"),
        pytest.param(browser.PHONE, True, id="phone-dark"),
        pytest.param(browser.PHONE, False, id="phone-light", marks=pytest.mark.slow),
        pytest.param(browser.DESKTOP, True, id="desktop-dark", marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing_wrong_and_nothing_is_wider_than_the_screen(
    driver: Any, runs: dict[str, Path], name: str, size: tuple[int, int], dark: bool
):
    show(driver, runs[name], size, dark=dark)
    assert browser.violations(driver) == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= size[0]
    click(driver, "#frontier details summary")
    click(driver, "#rows tbody button")
    if name != "pairs" or (runs[name] / "certificates.jsonl").is_file():
        click(driver, "#detail .buttons button[aria-expanded]")
        wait_for(driver, "return document.querySelector('#detail .document') !== null")
    assert browser.violations(driver) == []
    assert driver.execute_script(
        "const d = document.getElementById('detail'); return d.scrollWidth <= d.clientWidth"
    )
    assert browser.console(driver) == []


def wait_for(driver: Any, script: str, seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := driver.execute_script(script)):
        assert time.monotonic() < end, script
        time.sleep(0.05)
    return found


def test_every_kind_of_run_can_be_opened(driver: Any, odd: dict[str, Path]):
    for name, directory in odd.items():
        show(driver, directory)
        assert browser.violations(driver) == [], name
        budgets = len(
            pd.read_parquet(directory / "results.parquet").filter(regex="^d(_|$)").drop_duplicates()
        )
        for budget in range(budgets):
            slide(driver, "budget", budget)
            assert len(table(driver)) == (1 if name == "one input" else 3)
        click(driver, "#rows tbody button")
        while not driver.execute_script("return document.getElementById('detail-on').disabled"):
            click(driver, "#detail-on")
        assert browser.console(driver) == [], name
        said = text_of(driver, "#detail .body")
        assert ("nothing is claimed about it" in said) == (name == "failed input")


def test_tiny_radii_are_not_shown_as_zero(driver: Any, odd: dict[str, Path]):
    show(driver, odd["tiny radii"])
    slide(driver, "budget", 0)
    click(driver, "#rows tbody button")
    assert texts_of(driver, "#detail .narrow tbody td")[0] == "0.0000000005"
    assert table(driver)["radius at d = 0"].tolist()[0] == "0.0000000005"


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_leaves_the_page(driver: Any, runs: dict[str, Path], name: str):
    show(driver, runs[name])
    click(driver, "#rows tbody button")
    loaded = driver.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [entry for entry in loaded if not entry.startswith("data:image/png")] == []
    refused = driver.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation', (e) => done(e.blockedURI));"
        "fetch('https://example.invalid/').catch(() => {})"
    )
    assert refused.startswith("https://example.invalid")


def test_hostile_texts_are_texts(driver: Any, runs: dict[str, Path]):
    show(driver, runs["texts"])
    kept = pd.read_parquet(runs["texts"] / "inputs.parquet").set_index("input")["text"]
    assert any("onerror" in text for text in kept)
    assert driver.execute_script("return window.broken") is None
    shown = table(driver)
    for name, text in zip(shown["input"], shown["content"], strict=True):
        assert text == kept[int(name)][:120]
    hostile = next(name for name in shown["input"] if "onerror" in kept[int(name)])
    fill(driver, "search", "onerror no" + str(kept[int(hostile)]).rsplit("no", 1)[1])
    assert table(driver)["input"].tolist() == [hostile]
    click(driver, "#rows tbody button")
    assert text_of(driver, "#detail pre") == kept[int(hostile)]
    assert driver.execute_script(
        "return [window.broken, document.querySelectorAll('#detail img').length]"
    ) == [None, 0]


def test_the_table_shows_the_results_rounded_towards_zero(driver: Any, runs: dict[str, Path]):
    show(driver, runs["table"])
    for d in range(3):
        slide(driver, "budget", d)
        shown, results = table(driver), report_pages.rows_of(runs["table"], d)
        assert shown["input"].tolist() == results.index.tolist()
        for row in shown.to_dict("records"):
            truth = results.loc[row["input"]]
            assert row["true label"] == truth["target"]
            assert row["hits of 300"] == str(truth["successes"])
            assert row["score at least"] == report_pages.truncated(truth["p_lower"], 4)
            expected = report_pages.truncated(truth["radius"], 4) if truth["certified"] else "not certified"
            assert row[f"radius at d = {d}"] == expected


def test_every_threshold_counts_what_was_proven_for_it(driver: Any, runs: dict[str, Path]):
    show(driver, runs["table"])
    further = pd.read_parquet(runs["table"] / "thresholds.parquet")
    results = report_pages.rows_of(runs["table"], 0)
    right = further["input"].astype(str).map(results["label"] == results["target"])
    thresholds = sorted(further["threshold"].unique())
    counts = []
    for number, threshold in enumerate(thresholds):
        slide(driver, "tau", number)
        for d in range(3):
            slide(driver, "budget", d)
            for steps in (0, 30):
                slide(driver, "epsilon", steps)
                eps = text_of(driver, "#epsilon-value").removeprefix("ε = ")
                here = further[(further["threshold"] == threshold) & (further["d"] == d) & right]
                count = int((here["certified"] & (here["radius"].fillna(-1.0) >= float(eps))).sum())
                counts.append(count)
                said = text_of(driver, "#verdict")
                assert said.startswith(f"At τ = {threshold:g}".replace("1e-05", "1e-05"))
                assert f"{percent(count, 40)} % of the inputs ({count} of 40)" in said
                assert said.endswith(f"against d = {d} and ε = {eps} together.")
    assert len(set(counts)) > 5
    click(driver, "#tau-own")
    assert text_of(driver, "#tau-value") == "τ = 0.5 (claimed)"


def test_searching_sorting_and_filtering(driver: Any, runs: dict[str, Path]):
    show(driver, runs["table"])
    slide(driver, "budget", 0)
    results = report_pages.rows_of(runs["table"], 0)
    heads = texts_of(driver, "#rows thead th")
    at = heads.index("score at least") + 1
    click(driver, f"#rows thead th:nth-child({at}) button")
    down = table(driver)["score at least"].astype(float).tolist()
    assert down == sorted(down, reverse=True)
    assert (
        driver.find_element("css selector", f"#rows th:nth-child({at})").get_attribute("aria-sort")
        == "descending"
    )
    click(driver, f"#rows thead th:nth-child({at}) button")
    assert table(driver)["score at least"].astype(float).tolist() == sorted(down)
    click(driver, "#rows thead th:nth-child(1) button")
    assert [int(name) for name in table(driver)["input"]] == sorted(map(int, results.index))
    fill(driver, "show", "certified")
    assert set(table(driver)["input"]) == set(results.index[results["certified"]])
    fill(driver, "show", "not")
    assert set(table(driver)["input"]) == set(results.index[~results["certified"]])
    fill(driver, "show", "wrong")
    assert set(table(driver)["input"]) == set(results.index[results["label"] != results["target"]])
    fill(driver, "show", "all")
    fill(driver, "search", "colour RED shape disc")
    fields = pd.read_parquet(runs["table"] / "inputs.parquet").set_index("input")["fields"].map(json.loads)
    expected = {str(name) for name, row in fields.items() if (row["colour"], row["shape"]) == ("red", "disc")}
    assert set(table(driver)["input"]) == expected
    assert text_of(driver, "#found").startswith(f"{len(expected)} of 40 inputs")


def test_an_opened_input_shows_its_fields_counts_and_frontier(driver: Any, runs: dict[str, Path]):
    show(driver, runs["table"])
    kept = pd.read_parquet(runs["table"] / "inputs.parquet")
    click(driver, "#rows tbody button")
    for row in kept.head(3).itertuples():
        assert text_of(driver, "#detail-title") == f"Input {row.input}"
        pairs = cells_of(driver, "#detail .fields div")
        fields = json.loads(row.fields)
        assert dict(pairs).keys() == fields.keys()
        assert dict(pairs)["colour"] == fields["colour"]
        counts = cells_of(driver, "#detail table:not(.narrow) tbody tr")
        assert {name: int(count) for name, count, _ in counts} == json.loads(row.counts)
        frontier = cells_of(driver, "#detail .narrow tbody tr")
        for d, (name, radius, worst) in enumerate(frontier):
            truth = report_pages.rows_of(runs["table"], d).loc[str(row.input)]
            assert name == f"d = {d}"
            assert radius == (
                report_pages.truncated(truth["radius"], 6) if truth["certified"] else "not certified"
            )
            assert worst == report_pages.truncated(truth["p_adv"], 4)
        click(driver, "#detail-on")


def test_images_and_texts_of_pairs_are_shown(driver: Any, runs: dict[str, Path]):
    show(driver, runs["pairs"])
    kept = pd.read_parquet(runs["pairs"] / "inputs.parquet")
    click(driver, "#rows tbody button")
    size = wait_for(
        driver,
        "const i = document.querySelector('#detail .picture');"
        "return i.complete && [i.naturalWidth, i.naturalHeight]",
    )
    assert size == [8, 8]
    assert text_of(driver, "#detail pre") == kept["text"].iloc[0]


def test_a_downloaded_certificate_is_the_line_of_the_file_and_holds(
    driver: Any, runs: dict[str, Path], downloads: Path, capsys: pytest.CaptureFixture[str]
):
    show(driver, runs["table"])
    lines = (runs["table"] / "certificates.jsonl").read_text(encoding="utf-8").splitlines()
    fill(driver, "search", "")
    click(driver, "#rows tbody button")
    click(driver, "#detail-on")
    click(driver, "#detail .buttons button:not([aria-expanded]):not([id])")
    saved = downloads / "certificate-2.json"
    end = time.monotonic() + 20.0
    while not (saved.is_file() and saved.stat().st_size):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert saved.read_text(encoding="utf-8") == lines[1] + "\n"
    assert "hybridcert verify certificate-2.json" in text_of(driver, "#detail .body")
    assert main(["verify", str(saved)]) == 0
    assert "1 of 1 certificates hold" in capsys.readouterr().out


def test_values_follow_pointer_and_focus(driver: Any, runs: dict[str, Path]):
    from selenium.webdriver.common.action_chains import ActionChains

    show(driver, runs["table"])
    chart = driver.find_element("css selector", "#shares svg")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", chart)
    ActionChains(driver).move_to_element_with_offset(chart, -60, 0).perform()
    assert driver.execute_script("return document.querySelector('#shares .tip').hidden") is False
    title, *lines = texts_of(driver, "#shares .tip > *")
    eps = float(title.removeprefix("ε = "))
    assert eps > 0.0
    for d, line in enumerate(lines):
        rows = report_pages.rows_of(runs["table"], d)
        right = rows["label"] == rows["target"]
        count = int((right & rows["certified"] & (rows["radius"].fillna(-1.0) >= eps)).sum())
        assert line == f"d = {d}: {percent(count, 40)} % ({count})"
    ActionChains(driver).move_to_element_with_offset(chart, -60, 0).click().perform()
    assert text_of(driver, "#epsilon-value") == title
    ActionChains(driver).move_by_offset(0, -400).perform()
    driver.execute_script("document.getElementById('epsilon').focus()")
    ActionChains(driver).send_keys("\ue014").perform()
    said = driver.execute_script("return document.querySelector('#shares .tip b').textContent")
    assert said == text_of(driver, "#epsilon-value") != title
    assert driver.find_element("id", "epsilon").get_attribute("aria-valuetext") == said


def test_the_keyboard_alone_reaches_everything(driver: Any, runs: dict[str, Path]):
    from selenium.webdriver.common.action_chains import ActionChains

    show(driver, runs["table"])
    keys = ActionChains(driver)
    driver.execute_script("document.querySelector('#rows tbody button').focus({preventScroll: true})")
    for _ in range(25):
        keys.send_keys("\ue015")
    keys.perform()
    focused = "return document.activeElement.closest('tr')?.getAttribute('aria-rowindex')"
    assert driver.execute_script(focused) == "27"
    name = driver.execute_script("return document.activeElement.textContent")
    ActionChains(driver).send_keys("\ue007").perform()
    assert text_of(driver, "#detail-title") == f"Input {name}"
    ActionChains(driver).send_keys("\ue00c").perform()
    assert driver.execute_script("return document.getElementById('detail').open") is False
    assert driver.execute_script("return document.activeElement.textContent") == name


def test_the_theme_can_be_chosen(driver: Any, runs: dict[str, Path]):
    show(driver, runs["table"])
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = driver.execute_script(paper)
    click(driver, "#theme")
    assert (text_of(driver, "#theme"), driver.execute_script(paper)) == ("Theme: light", light)
    click(driver, "#theme")
    assert text_of(driver, "#theme") == "Theme: dark"
    assert driver.execute_script(paper) != light
    assert browser.violations(driver) == []
    click(driver, "#theme")
    assert driver.execute_script(paper) == light


def test_false_alarms_stand_beside_every_threshold(driver: Any, runs: dict[str, Path]):
    show(driver, runs["texts"])
    table = pd.read_csv(runs["texts"] / "tables" / "filter.csv").dropna(subset="threshold")
    thresholds = sorted(pd.read_parquet(runs["texts"] / "thresholds.parquet")["threshold"].unique())
    for row in table.astype({"flagged_from_hits": int}).to_dict("records"):
        slide(driver, "tau", thresholds.index(row["threshold"]))
        flagged = (
            f"{row['benign_flagged']} of {row['benign']} benign inputs ({row['benign_flagged_percent']} %)"
        )
        upper = (
            f"at most {row['benign_flagged_percent_upper']} %; flagged from {row['flagged_from_hits']} hits"
        )
        assert f": {flagged}, {upper} on." in text_of(driver, "#alarms")
        for d in range(4):
            slide(driver, "budget", d)
            assert f"({int(row[f'certified_d{d}'])} of {row['inputs']})" in text_of(driver, "#verdict")


def test_a_promise_that_needs_everything_flagged_is_named(driver: Any, runs: dict[str, Path]):
    show(driver, runs["texts"])
    slide(driver, "tau", 0)
    said = text_of(driver, "#alarms")
    assert said.startswith("False alarms at τ = 1e-05: ")
    assert said.endswith(
        "(100.0 %), at most 100.0 %; so few copies promise this only if everything is flagged."
    )


def test_texts_without_room_are_named_as_missing(
    driver: Any, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(runs["texts"], tmp_path / "run")
    first = pd.read_parquet(runs["texts"] / "inputs.parquet")["text"].iloc[0]
    monkeypatch.setattr("hybridcert.reports.payload.MOST_TEXTS", len(first))
    write_report(tmp_path / "run")
    show(driver, tmp_path / "run")
    click(driver, "#rows tbody button")
    assert text_of(driver, "#detail pre") == first
    click(driver, "#detail-on")
    assert "Its text is not in this page" in text_of(driver, "#detail .body")
    click(driver, "#detail-close")
    assert table(driver)["content"].tolist()[:2] == [first[:120], ""]
    assert browser.console(driver) == []


def test_without_scripts_figure_and_tables_remain(driver: Any, runs: dict[str, Path]):
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get((runs["table"] / "report.html").as_uri())
        text = driver.find_element("css selector", "body").text
        picture = driver.find_element("css selector", "noscript img")
        assert picture.size["width"] > 200
        assert "Certified accuracy" in text
        assert "tables/ in the run directory has a row for every input" in text
        assert not driver.find_element("css selector", ".controls").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_where_the_data_cannot_be_unpacked_the_page_says_so(driver: Any, runs: dict[str, Path]):
    old = driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": "delete globalThis.DecompressionStream"}
    )
    try:
        driver.get((runs["table"] / "report.html").as_uri())
        wait_for(driver, "return !document.getElementById('cannot').hidden")
        text = driver.find_element("css selector", "body").text
        assert "need DecompressionStream" in text
        assert "Certified accuracy" in text
        assert not driver.find_element("css selector", ".controls").is_displayed()
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", old)
        driver.get_log("browser")


def test_printed_pages_have_charts_and_tables_and_no_controls(driver: Any, runs: dict[str, Path]):
    show(driver, runs["table"])
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        shown = {
            name: driver.find_element("css selector", name).is_displayed()
            for name in (".controls", "#rows", "#theme", "#shares svg", "#tables table")
        }
        assert shown == {
            ".controls": False,
            "#rows": False,
            "#theme": False,
            "#shares svg": True,
            "#tables table": True,
        }
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


SCROLL = """
const done = arguments[0], box = document.getElementById('rows');
const frames = [], end = box.scrollHeight - box.clientHeight;
let last = performance.now(), seen = new Set();
const step = (now) => {
  frames.push(now - last); last = now;
  const rows = box.querySelectorAll('tbody tr[aria-rowindex]');
  for (const row of rows) seen.add(row.getAttribute('aria-rowindex'));
  if (box.scrollTop >= end - 1) return done({frames, nodes: rows.length, seen: seen.size});
  box.scrollTop = Math.min(end, box.scrollTop + end / 120);
  requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""
IDLE = """
const done = arguments[0], frames = []; let last = performance.now();
const step = (now) => {
  frames.push(now - last); last = now;
  frames.length < 60 ? requestAnimationFrame(step) : done(frames);
};
requestAnimationFrame(step);
"""


def test_ten_thousand_inputs_without_stutter(driver: Any, tmp_path: Path):
    """Limits on a machine with nothing else to do: 95 % of frames within 50 ms, an opened page within 3 s.

    Where more processes want to run than there are cores, everything may take longer in proportion.
    """
    directory = report_pages.large_run(tmp_path, 10_000)
    assert (directory / "report.html").stat().st_size < 10 * 2**20
    browser.shape(driver)
    driver.set_script_timeout(120)
    driver.get("about:blank")
    idle = float(np.quantile(driver.execute_async_script(IDLE), 0.95))
    slow = max(1.0, idle / 17.0, 1.5 * os.getloadavg()[0] / (os.cpu_count() or 1))
    browser.open_page(driver, directory / "report.html")
    opened = driver.execute_script("return performance.getEntriesByType('navigation')[0].duration")
    ready = driver.execute_script("return performance.now()")
    found = driver.execute_async_script(SCROLL)
    late = float(np.quantile(found["frames"][1:], 0.95))
    searched = driver.execute_script(
        "const t = performance.now(), s = document.getElementById('search'); s.value = 'middle';"
        "s.dispatchEvent(new Event('input')); return performance.now() - t"
    )
    sorted_in = driver.execute_script(
        "const t = performance.now(); document.querySelectorAll('#rows thead button')[1].click();"
        "return performance.now() - t"
    )
    moved = driver.execute_script(
        "const t = performance.now(), s = document.getElementById('tau'); s.value = 3;"
        "s.dispatchEvent(new Event('input')); return performance.now() - t"
    )
    print(  # noqa: T201
        f"opened {opened:.0f} ms, ready {ready:.0f} ms, frames p95 {late:.1f} ms (idle {idle:.1f}), search "
        f"{searched:.0f} ms, sort {sorted_in:.0f} ms, slider {moved:.0f} ms, rows drawn {found['nodes']}"
    )
    assert found["nodes"] < 60
    assert found["seen"] > 2000
    assert late < 50.0 * slow
    assert ready < 3000.0 * slow
    assert max(searched, sorted_in, moved) < 500.0 * slow
    assert browser.console(driver) == []
