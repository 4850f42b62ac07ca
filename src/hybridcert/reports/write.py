"""Write the report of a run directory: tables, figure, page."""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from pathlib import Path

import pandas as pd

from hybridcert.errors import DataError
from hybridcert.reports import figures, filter_figures, filter_page, naive, page, tables
from hybridcert.reports.filter import Filter, filter_inputs
from hybridcert.reports.run_data import RunData, SweepData, read_directory, read_sweep


@dataclasses.dataclass(frozen=True, slots=True)
class ReportFiles:
    """What was written."""

    page: Path
    figure: Path
    tables: tuple[Path, ...]


def write_report(directory: Path) -> ReportFiles:
    """Write ``report.html``, ``certified_accuracy.png`` and ``tables/*.csv`` into a run directory.

    A sweep directory gets one figure and one combined table, and every run in it a report of its own.

    Raises
    ------
    DataError
        When the directory holds no run, or cannot be written.
    """
    found = read_directory(directory)
    try:
        if isinstance(found, SweepData):
            for run in found.runs:
                _write_run(run)
            return _write_sweep(found)
        return _write_run(found)
    except OSError as error:
        raise DataError(f"{directory} cannot be written: {error.strerror or error}") from error


def write_sweep_report(directory: Path, into: Path) -> ReportFiles:
    """Write the joint report of a sweep's runs, which have theirs, into another directory.

    Parameters
    ----------
    directory : Path
        Holds the runs.
    into : Path
        Holds ``sweep.json``, and gets page, figure and tables.

    Raises
    ------
    DataError
        When a run is missing or broken, or ``into`` cannot be written.
    """
    found = read_sweep(directory, index=into / "sweep.json")
    try:
        return _write_sweep(dataclasses.replace(found, directory=into))
    except OSError as error:
        raise DataError(f"{directory} cannot be written: {error.strerror or error}") from error


def _write_run(run: RunData) -> ReportFiles:
    found = Filter.of(run)
    if found is not None:
        return _write_filter(run, found)
    light, dark = figures.run_figure(run, figures.LIGHT), figures.run_figure(run, figures.DARK)
    contents = {
        "certified_accuracy": tables.certified_accuracy(run),
        "radii": tables.radii(run),
        "summary": tables.summary(run),
    }
    if naive.applies(run):
        contents["unsound_naive_product"] = naive.naive_product(run)
    for extra in run.extras:
        contents[_file_name(str(extra["title"]))] = pd.DataFrame(
            extra["rows"], columns=list(extra["columns"])
        )
    return _write(run.directory, page.run_page(run, light=light, dark=dark), light, contents)


def _write_filter(run: RunData, found: Filter) -> ReportFiles:
    light, dark = (filter_figures.run_figure(run, found, theme) for theme in (figures.LIGHT, figures.DARK))
    text = filter_page.run_page(run, found, light=light, dark=dark)
    return _write(run.directory, text, light, {"filter": found.frame(), "inputs": filter_inputs(run)})


def _write_filter_sweep(sweep: SweepData, found: list[Filter]) -> ReportFiles:
    names = [tables.name_of(sweep, number) for number in range(len(found))]
    light, dark = (filter_figures.sweep_figure(names, found, t) for t in (figures.LIGHT, figures.DARK))
    text = filter_page.sweep_page(sweep, found, light=light, dark=dark)
    by_run = dict(zip((run.directory for run in sweep.runs), found, strict=True))
    contents = {"filter": tables.combined(sweep, lambda run: by_run[run.directory].frame())}
    return _write(sweep.directory, text, light, contents)


def _write_sweep(sweep: SweepData) -> ReportFiles:
    filters = [found for run in sweep.runs if (found := Filter.of(run)) is not None]
    if len(filters) == len(sweep.runs):
        return _write_filter_sweep(sweep, filters)
    light, dark = figures.sweep_figure(sweep, figures.LIGHT), figures.sweep_figure(sweep, figures.DARK)
    text = page.sweep_page(sweep, light=light, dark=dark)
    contents = {"certified_accuracy": tables.combined(sweep, tables.certified_accuracy)}
    if any(map(naive.applies, sweep.runs)):
        contents["unsound_naive_product"] = tables.combined(sweep, naive.naive_product)
    return _write(sweep.directory, text, light, contents)


def _write(directory: Path, text: str, figure: bytes, contents: dict[str, pd.DataFrame]) -> ReportFiles:
    (directory / "tables").mkdir(exist_ok=True)
    written = []
    for name, table in contents.items():
        path = directory / "tables" / f"{name}.csv"
        _replace(path, table.to_csv(index=False).encode())
        written.append(path)
    picture, html = directory / "certified_accuracy.png", directory / "report.html"
    _replace(picture, figure)
    _replace(html, text.encode())
    return ReportFiles(html, picture, tuple(written))


def _file_name(title: str) -> str:
    """Return a title as the name of a file: its letters and digits, joined by underscores."""
    return "_".join(re.findall(r"[a-z0-9]+", title.lower()))


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, never a part."""
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
