"""The files of a finding: the table, the comparison, and all that a page is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridcert.experiments.reproduction.finding import Finding
from hybridcert.experiments.reproduction.paper import SOURCE
from hybridcert.experiments.run_directory import COMPLETE
from hybridcert.experiments.run_files import write_json

FINDING_FILE = "finding.json"
INDEX_FILE = "reproduction.json"
COMPARISON_FILE = "comparison.md"


def write_finding(directory: Path, artefact: str, finding: Finding, environment: Mapping[str, Any]) -> None:
    """Write ``table.csv``, ``comparison.md``, ``finding.json`` and ``environment.json``."""
    finding.table.to_csv(directory / "table.csv", index=False)
    (directory / COMPARISON_FILE).write_text(as_markdown(finding), encoding="utf-8")
    write_json(
        directory / FINDING_FILE,
        {
            "id": artefact,
            "title": finding.title,
            "source": SOURCE,
            "shown": [list(row) for row in finding.shown],
            "paragraphs": list(finding.paragraphs),
            "panels": [dataclasses.asdict(panel) for panel in finding.panels],
            "facts": dict(finding.facts),
        },
    )
    write_json(directory / COMPLETE, dict(environment))


def write_index(
    directory: Path,
    findings: Sequence[Mapping[str, Any]],
    environment: Mapping[str, Any],
    *,
    comparisons: Sequence[str],
) -> None:
    """Write ``reproduction.json``, which says what lies where, all comparisons, and ``environment.json``."""
    (directory / COMPARISON_FILE).write_text("\n".join(comparisons), encoding="utf-8")
    write_json(directory / INDEX_FILE, {"source": SOURCE, "findings": [dict(one) for one in findings]})
    write_json(directory / COMPLETE, dict(environment))


def as_markdown(finding: Finding) -> str:
    """Return title, comparison and table as Markdown."""
    head, *rows = finding.shown
    lines = [f"# {finding.title}", ""]
    for paragraph in finding.paragraphs:
        lines += [paragraph, ""]
    lines += [_line(head), _line(["---"] * len(head)), *map(_line, rows), ""]
    lines.append(f"The paper: {SOURCE}. Bounds are rounded down; table.csv has all digits.")
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
