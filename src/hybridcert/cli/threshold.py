"""`hybridcert threshold`: what a threshold means for a filter that draws N copies, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from hybridcert.certificate.deployment import copies_for, miss_probability, threshold_for
from hybridcert.cli import options
from hybridcert.cli.console import print_json, results
from hybridcert.cli.rules import read_value
from hybridcert.errors import ParameterError

EXAMPLE = "Example: hybridcert threshold --copies 100000 --miss 0.01"


def command(
    copies: Annotated[
        str | None, typer.Option("--copies", metavar="N", help="Noisy copies that the filter draws, >= 1.")
    ] = None,
    miss: Annotated[
        str | None,
        typer.Option("--miss", metavar="DELTA", help="Allowed probability of a miss, in (0, 1)."),
    ] = None,
    threshold: Annotated[
        str | None, typer.Option("--threshold", metavar="TAU", help="Threshold on the score, in (0, 1).")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Turn two of copies, miss probability and threshold into the third.

    A filter that draws N noisy copies of an input and flags it when at least one is unsafe misses an input
    with score above TAU with probability at most DELTA. The number that is computed is rounded up.
    """
    raw = {"copies": copies, "miss": miss, "threshold": threshold}
    given = {key: read_value(key, value) for key, value in raw.items() if value is not None}
    if len(given) != 2:
        raise ParameterError("give exactly two of --copies (>= 1), --miss and --threshold (both in (0, 1))")
    if "threshold" not in given:
        given["threshold"] = threshold_for(copies=given["copies"], miss=given["miss"])
    elif "copies" not in given:
        given["copies"] = copies_for(threshold=given["threshold"], miss=given["miss"])
    else:
        given["miss"] = miss_probability(copies=given["copies"], threshold=given["threshold"])
    if as_json:
        print_json({key: given[key] for key in raw})
    else:
        results().print(
            f"threshold {given['threshold']!r}: a filter that draws {given['copies']} copies misses an input "
            f"above it with probability at most {given['miss']!r}"
        )
