"""The data of an interactive page: every number a bound already rounded, nothing left to compute but counts.

Radii and scores are whole numbers of decimal steps, rounded down (`exact_steps`), and −1 where nothing is
certified. Inputs with the same bound and the same radii at all budgets and thresholds form a *group* and
share them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.certificate.directed import format_exact
from hybridcert.documents.issue import FILE_NAME
from hybridcert.reports import terms
from hybridcert.reports.alarms import alarms_at
from hybridcert.reports.exact_steps import digits_for, steps_down
from hybridcert.reports.run_data import RunData
from hybridcert.reports.tables import number_certificates
from hybridcert.reports.wording import telling_point

SCORE_DIGITS = 6
MOST_IMAGES = 3 * 2**20
"""Bytes of images that a page holds; it says so where there are more."""
MOST_TEXTS = 8 * 2**20
"""Characters of texts that a page holds; it says so where there are more."""

Whole = npt.NDArray[np.int64]


def payload(run: RunData) -> dict[str, Any]:
    """Return everything that the page needs but images and certificates."""
    thresholds, certified, radius = _radii(run)
    digits = digits_for(float(radius.max(initial=0.0)))
    steps = np.where(certified, steps_down(radius.ravel(), digits).reshape(radius.shape), -1)
    group, groups = _groups(run, steps)
    telling = telling_point(run)
    return {
        "digits": digits,
        "scoreDigits": SCORE_DIGITS,
        "continuous": run.norm != "none",
        "budgets": [run.name_of(budget) for budget in run.budgets],
        "several": len(run.budget_columns) > 1,
        "ticks": [",".join(map(str, budget)) for budget in run.budgets],
        "totals": [int(sum(budget)) for budget in run.budgets],
        "thresholds": [format_exact(threshold) for threshold in thresholds],
        "own": thresholds.index(run.threshold) if run.rank is None else 0,
        "asked": [number for number, t in enumerate(thresholds) if t in (run.threshold, *run.thresholds)]
        if run.rank is None
        else [0],
        "ranks": run.rank is not None,
        "start": {
            "budget": run.budgets.index(telling[0]),
            "epsilon": int(steps_down(np.array([telling[1]]), digits)[0]),
        },
        "alarms": alarms_at(run, thresholds) if run.rank is None else [],
        "words": _words(run),
        "groups": groups,
        "rows": _rows(run) | {"group": group.tolist()},
        "contents": _contents(run),
    }


def images(run: RunData) -> list[str]:
    """Return the images of the first inputs as base64 of PNG files, as many as a page has room for."""
    table = run.kept.inputs
    if table is None or "image" not in table:
        return []
    found, room = [], MOST_IMAGES
    for image in table["image"]:
        room -= 0 if image is None else len(image)
        if room < 0:
            break
        found.append("" if image is None else base64.b64encode(image).decode())
    return found


def _radii(run: RunData) -> tuple[list[float], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Return thresholds, and what is certified with which radius, each of shape (threshold, budget, input).

    A claim about ranks has one nameless threshold. The run's own values are those of the results.
    """
    own = 0.0 if run.rank is not None else run.threshold
    table = run.kept.further if run.rank is None else None
    thresholds = sorted({own} | (set() if table is None else set(table["threshold"])))
    shape = (len(thresholds), len(run.budgets), len(run.names))
    certified, radius = np.zeros(shape, dtype=np.bool_), np.zeros(shape)
    if table is not None:
        at = (
            pd.Index(thresholds).get_indexer(pd.Index(table["threshold"])),
            _budget_numbers(run, table),
            np.arange(len(table)) % len(run.names),
        )
        certified[at] = table["certified"].to_numpy(dtype=np.bool_)
        radius[at] = table["radius"].to_numpy(dtype=np.float64, na_value=0.0)
    for number, budget in enumerate(run.budgets):
        rows = run.at(budget)
        certified[thresholds.index(own), number] = rows["certified"].to_numpy(dtype=np.bool_)
        radius[thresholds.index(own), number] = rows["radius"].to_numpy(dtype=np.float64, na_value=0.0)
    return thresholds, certified, radius


def _budget_numbers(run: RunData, table: pd.DataFrame) -> npt.NDArray[np.intp]:
    known = {budget: number for number, budget in enumerate(run.budgets)}
    named = table[run.budget_columns].itertuples(index=False, name=None)
    return np.fromiter((known[budget] for budget in named), dtype=np.intp, count=len(table))


def _groups(run: RunData, steps: Whole) -> tuple[npt.NDArray[np.intp], dict[str, Any]]:
    """Return the group of each input, and what the inputs of a group share."""
    scores = [
        steps_down(run.at(budget)["p_adv"].to_numpy(dtype=np.float64), SCORE_DIGITS) for budget in run.budgets
    ]
    p_lower = steps_down(run.at(run.budgets[0])["p_lower"].to_numpy(dtype=np.float64), SCORE_DIGITS)
    shared = np.vstack([p_lower, *scores, steps.reshape(-1, steps.shape[-1])]).T
    _, first, group = np.unique(shared, axis=0, return_index=True, return_inverse=True)
    return group.reshape(-1), {
        "pLower": p_lower[first].tolist(),
        "score": [score[first].tolist() for score in scores],
        "radius": steps[:, :, first].tolist(),
    }


def _rows(run: RunData) -> dict[str, Any]:
    """Return a column for each thing that is known of an input; labels are numbers into a list of them."""
    table = run.at(run.budgets[0]).copy()
    if "input" not in table:
        table.insert(0, "input", run.names)
    number_certificates(run, table)
    found: dict[str, Any] = {"id": [str(name) for name in run.names]}
    known: dict[str, int] = {}
    for key, column in (("target", "target"), ("label", "label"), ("clean", "clean_label")):
        if column in table:
            found[key] = [known.setdefault(str(label), len(known)) for label in table[column]]
    found["labels"] = list(known)
    found["hits"] = table["successes"].astype(int).tolist()
    found["samples"] = table["samples"].astype(int).tolist()
    if "stopped" in table:
        found["stopped"] = _coded(table["stopped"].tolist())
    if "certificate_line" in table:
        found["line"] = table["certificate_line"].fillna(0).astype(int).tolist()
    return found


def _contents(run: RunData) -> dict[str, Any]:
    """Return counts by class, fields and texts of the inputs, as far as the directory has them."""
    table = run.kept.inputs
    found: dict[str, Any] = {}
    if table is None:
        return found
    counts = [json.loads(row) for row in table["counts"]]
    names = list(counts[0])
    found["counts"] = {"names": names, "columns": [[row[name] for row in counts] for name in names]}
    if "fields" in table:
        fields = [json.loads(row) for row in table["fields"]]
        names = list(fields[0])
        columns = [_coded([_shown(row[name]) for row in fields]) for name in names]
        found["fields"] = {"names": names, "columns": columns}
    if "text" in table:
        found["text"] = _first([str(text) for text in table["text"]], MOST_TEXTS)
    return found


def _first(texts: Sequence[str], most: int) -> list[str | None]:
    """Return the first texts, as many as there is room for, and None in place of the others."""
    ends = np.cumsum([len(text) for text in texts])
    return [text if end <= most else None for text, end in zip(texts, ends, strict=True)]


def _shown(value: Any) -> str | None:
    """Return a field as text; None where it is missing."""
    return None if value is None else format_exact(value) if isinstance(value, float) else str(value)


def _coded(values: Sequence[Any]) -> dict[str, Any]:
    """Return a column as numbers into the list of its distinct values."""
    known: dict[Any, int] = {}
    codes = [known.setdefault(value, len(known)) for value in values]
    return {"values": list(known), "codes": codes}


def _words(run: RunData) -> dict[str, str]:
    """Return what depends on claim and noise; a page without continuous noise knows no distance."""
    words = {
        "counted": terms.counted(run),
        "share": terms.share_label(run).replace("\n", " "),
        "right": " with their true label" if run.has_target else "",
        "budget": terms.budget_label(run),
    }
    if run.norm != "none":
        words |= {"epsilon": "ε", "distance": terms.distance_label(run)}
    if run.rank is None:
        words["threshold"] = "τ"
    if (run.directory / FILE_NAME).is_file():
        words["file"] = FILE_NAME
    return words
