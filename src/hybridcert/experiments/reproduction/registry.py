"""The tables and figures that can be reproduced, by ID."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any, Literal

from hybridcert.errors import ParameterError
from hybridcert.experiments.reproduction import (
    figure2,
    figure4,
    figure5,
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
)
from hybridcert.experiments.reproduction.finding import Finding

ALL = "all"


@dataclasses.dataclass(frozen=True, slots=True)
class Artefact:
    """A table or figure of the paper.

    Attributes
    ----------
    id, title : str
    about : {"table", "pairs"}
        Whether it is measured on the census table (a `Census`) or on pairs (a `Bench`).
    measure : callable(Census or Bench) -> Finding
    """

    id: str
    title: str
    about: Literal["table", "pairs"]
    measure: Callable[[Any], Finding]


ARTEFACTS: dict[str, Artefact] = {
    artefact.id: artefact
    for artefact in (  # the one that keeps no counts comes last
        Artefact("figure2", figure2.TITLE, "table", figure2.measure),
        Artefact("table1", table1.TITLE, "pairs", table1.measure),
        Artefact("table2", table2.TITLE, "pairs", table2.measure),
        Artefact("table3", table3.TITLE, "pairs", table3.measure),
        Artefact("table5", table5.TITLE, "pairs", table5.measure),
        Artefact("table6", table6.TITLE, "pairs", table6.measure),
        Artefact("figure4", figure4.TITLE, "pairs", figure4.measure),
        Artefact("figure5", figure5.TITLE, "pairs", figure5.measure),
        Artefact("table4", table4.TITLE, "pairs", table4.measure),
    )
}


def artefacts_of(name: str) -> tuple[Artefact, ...]:
    """Return the artefact with an ID, or all of them.

    Raises
    ------
    ParameterError
        For an ID that is none of them.
    """
    if name == ALL:
        return tuple(ARTEFACTS.values())
    if name in ARTEFACTS:
        return (ARTEFACTS[name],)
    close = difflib.get_close_matches(name, [*ARTEFACTS, ALL], n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(ARTEFACTS)} and {ALL}"
    raise ParameterError(f"ID must be a table or figure that can be reproduced, got {name!r}: {hint}")
