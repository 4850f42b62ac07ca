"""`--issue FILE`: the certificate of a query as a document for strangers, written whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hybridcert.cli.answers import Point
from hybridcert.cli.evidence import Asserted, answers_by_label
from hybridcert.cli.query import Query
from hybridcert.cli.rules import option_name, read_value, required
from hybridcert.documents.claims import TopK
from hybridcert.documents.evidence import Estimate, PointEvidence, Setting
from hybridcert.errors import DataError, ParameterError

_NO_UNIT = "the unit of sigma, not declared"
_MULTIPLES = "multiples of the noise: √Σ(ε_i/σ_i)²"
_FROM_NUMBERS = (
    "Issued from numbers alone: that the noise, the counts and the label are as stated is the word of who "
    "entered them. Numbers of positions and features that were not entered stand at what the budgets need."
)


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """Where a certificate goes, and what it says besides numbers."""

    target: Path
    label: str
    unit: str
    features: tuple[int, ...]


def read_order(raw: Mapping[str, str | None], query: Query) -> Order | None:
    """Check the options that go with ``--issue``; None where nothing is to be issued.

    Raises
    ------
    ParameterError
        For an option that does not apply, and for a file that could not be written.
    """
    if raw["issue"] is None:
        for key in ("label", "unit", "features"):
            if raw[key] is not None:
                raise ParameterError(f"{option_name(key)} applies with --issue only: leave it out")
        return None
    if isinstance(query.claim, TopK) and query.classes is None:
        raise required("classes", " with --issue", option_name)
    target = Path(raw["issue"])
    if target.is_dir() or not target.name:
        raise ParameterError(f"--issue must name a file, got the directory {target}")
    if not target.parent.is_dir():
        raise ParameterError(f"--issue must name a file in an existing directory, got {target}")
    kernels = query.shift.kernels
    if not kernels:
        for key in ("unit", "features"):
            if raw[key] is not None:
                raise ParameterError(f"{option_name(key)} does not apply to --noise none: leave it out")
    given = raw["features"]
    features = (1,) * len(kernels) if given is None else read_value("features", given)
    if len(features) != len(kernels):
        raise ParameterError(
            f"--features must list one number for each --sigma, {len(kernels)} in all, got {len(features)}"
        )
    return Order(target, raw["label"] or "claimed label", raw["unit"] or _NO_UNIT, features)


def issue(query: Query, points: Sequence[Point], order: Order, *, command: str) -> None:
    """Write the certificate of ``points``; an existing file stays as it was unless the new one verifies.

    Parameters
    ----------
    command : str
        The command and its options, for the record of where the certificate comes from.

    Raises
    ------
    CertificateError
        When the document does not verify.
    DataError
        When the file cannot be written.
    """
    from hybridcert.documents.frontier import frontier_section, sharpened
    from hybridcert.documents.issue import compose

    setting = _setting(query, order)
    estimate = sharpened(_estimate(query), query.claim)
    evidence = [
        PointEvidence(point.d, point.certified, point.radius or 0.0, query.channel.attack(point.d))
        for point in points
    ]
    document = compose(
        setting,
        estimate,
        frontier_section(setting, estimate, evidence),
        label=order.label,
        subject={"index": "0", "digest": "none: issued from numbers alone", "base_label": "not known"},
        provenance={"package": f"hybridcert {version('hybridcert')}", "command": command},
        remarks=[_FROM_NUMBERS],
    )
    _write(order.target, document)


def _setting(query: Query, order: Order) -> Setting:
    budget = query.shift.budget
    continuous = [
        {"modality": name, **kernel.law(features), "unit": order.unit}
        for (name, kernel), features in zip(query.shift.kernels.items(), order.features, strict=True)
    ]
    unit = {"none": "no continuous noise", "mahalanobis": _MULTIPLES}.get(budget.norm, order.unit)
    return Setting(
        query.claim,
        {"discrete": query.channel.law(), "continuous": continuous},
        {"discrete": query.channel.threats(), "continuous": {"norm": budget.norm, "unit": unit}},
        "none" if budget.norm == "none" else budget.noise,
        budget.scale,
    )


def _estimate(query: Query) -> Estimate:
    bounds, evidence = query.bounds(), query.evidence
    if isinstance(evidence, Asserted):
        return Estimate(bounds.method, bounds.p_lower, bounds.p_upper, None, None, (), 0)
    counts, index = answers_by_label(evidence)
    upper = None if bounds.method == "clopper-pearson" else bounds.p_upper
    return Estimate(bounds.method, bounds.p_lower, upper, evidence.samples, evidence.alpha, counts, index)


def _write(target: Path, document: Mapping[str, Any]) -> None:
    indent = None if target.suffix == ".jsonl" else 2
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent) + "\n"
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(target)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
