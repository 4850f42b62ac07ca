"""The vision-language demo with few copies: directories, tables, resuming; in full among the slow tests."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra vlm")
pytest.importorskip("transformers", reason="needs the extra vlm")

import hybridcert as hc  # noqa: E402
from hybridcert.experiments.vlm_demo import DemoSettings  # noqa: E402
from hybridcert.experiments.vlm_demo_report import ANYWHERE, do_demo  # noqa: E402
from hybridcert.reports.run_data import read_run  # noqa: E402
from hybridcert.reports.write import write_report  # noqa: E402

FEW = DemoSettings(samples=150, unsafe=3, benign=2, max_insertions=3)


def run(settings, folder, *, resume=False, executor=None):
    do_demo(
        settings,
        folder,
        resume=resume,
        executor=hc.Serial() if executor is None else executor,
        finish=write_report,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("demo") / "run"
    run(FEW, folder)
    torch.set_num_threads(before)
    return folder


def test_both_runs_are_there_and_verify(demo):
    for folder, threshold, d_max in ((demo, 0.5, 8), (demo / ANYWHERE, 0.05, 3)):
        found = read_run(folder)
        assert found.threshold == threshold
        assert [d for (d,) in found.budgets] == list(range(d_max + 1))
        checked = list(hc.verify_paths([folder / "certificates.jsonl"]))
        assert len(checked) == 3
        assert all(one.verdict.ok for one in checked)
        assert (folder / "report.html").is_file()


def test_tables_hold_what_the_certificates_say(demo):
    joint, rivals = read_run(demo), json.loads((demo / "extras.json").read_text())
    rows = {name: cells for name, *cells in rivals[0]["rows"]}
    columns = rivals[0]["columns"][1:]
    certified = rows["suffix slots, joint, τ = 0.5"]
    for column, count in zip(columns, certified, strict=True):
        d, eps = (part.split("=")[1] for part in column.split(", "))
        at = joint.at((int(d),))
        radius = np.asarray(at["radius"].fillna(-1.0), dtype=float)
        assert count == int((at["certified"] & (radius >= float(eps))).sum())
    for name in ("image only", "text only (suffix slots)", "drop the suffix"):
        unimodal = rows[f"{name}, τ = 0.5"]
        assert all(b is None or b >= a for a, b in zip(certified, unimodal, strict=True))
    flagged = {name: cells for name, *cells in rivals[1]["rows"]}
    assert flagged["flag everything"][:2] == ["3 of 3", "2 of 2"]
    assert flagged["no noise"][:2] == ["3 of 3", "0 of 2"]


def test_a_demo_that_was_cut_short_goes_on_with_its_counts(demo, tmp_path):
    """Cut short after the first filter; the same certificates, byte for byte."""

    class EnoughError(Exception):
        pass

    class Stops:
        def sampling(self, what, progress):
            if what == "insertions anywhere":
                raise EnoughError

        def __call__(self, what, done, total):
            pass

    folder = tmp_path / "run"
    with pytest.raises(EnoughError):
        do_demo(FEW, folder, resume=False, executor=hc.Serial(), finish=write_report, report=Stops())
    assert not (folder / "environment.json").exists()
    run(FEW, folder, resume=True)
    for name in ("certificates.jsonl", f"{ANYWHERE}/certificates.jsonl"):
        ours, theirs = ((base / name).read_text().splitlines() for base in (folder, demo))
        assert ours == theirs
    with pytest.raises(hc.RunMismatchError, match="samples"):
        run(DemoSettings(samples=151, unsafe=3, benign=2, max_insertions=3), folder, resume=True)


@pytest.mark.slow
def test_the_frontier_is_not_trivial(tmp_path):
    """The demo as it ships: inputs certified at d >= 3 and ε > 0 together, and few false alarms."""
    run(DemoSettings(), tmp_path / "run", executor=hc.Processes())
    found = read_run(tmp_path / "run")
    at = found.at((3,))
    assert int((at["certified"] & (at["radius"].fillna(0.0) > 0.1)).sum()) >= 16
    flagged = {
        name: cells for name, *cells in json.loads((tmp_path / "run" / "extras.json").read_text())[1]["rows"]
    }
    assert int(flagged["suffix slots, τ = 0.5"][1].split()[0]) <= 3
