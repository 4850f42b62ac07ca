"""The numbers that the paper reports, as data."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

THRESHOLD = 4.6e-5
"""The paper's τ: the upper bound on a false-positive rate after 100 000 clean draws (Chen et al. 2025)."""

SOURCE = "Delattre et al., ICML 2026"


def reported(artefact: str) -> Mapping[str, Any]:
    """Return what the paper says in a table or figure, and where."""
    found: Mapping[str, Any] = _all()[artefact]
    return found


@functools.cache
def _all() -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load(
        Path(__file__).with_name("paper.yaml").read_text(encoding="utf-8")
    )
    return content
