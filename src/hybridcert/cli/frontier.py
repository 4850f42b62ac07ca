"""`hybridcert frontier`: the radius at every discrete budget."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from hybridcert.cli import options
from hybridcert.cli.answers import Point, frontier
from hybridcert.cli.console import print_json, results, shown_down
from hybridcert.cli.query import Counts, Query, read_query

EXAMPLE = (
    "Example: hybridcert frontier --beta 0.25 --alphabet 50000 --d-max 8 --sigma 0.5 --threshold 4.6e-5 "
    "--successes 9990 --samples 10000 --alpha 0.01"
)

_LONG = 1_000  # budgets from which on progress is shown


def command(
    kernel: options.Kernel = None,
    beta: options.Beta = None,
    alphabet: options.Alphabet = None,
    sizes: options.Sizes = None,
    threat: options.Threat = None,
    d_max: Annotated[
        str | None, typer.Option("--d-max", metavar="D", help="Largest discrete budget, >= 0.")
    ] = None,
    sigma: options.Sigma = None,
    threshold: options.Threshold = None,
    p_lower: options.PLower = None,
    successes: options.Successes = None,
    samples: options.Samples = None,
    alpha: options.Alpha = None,
    as_json: options.Json = False,
) -> None:
    """Certify from numbers alone at every discrete budget 0, 1, ... D.

    All points hold together: they follow from the one bound p-lower.
    """
    query = read_query(
        {
            "kernel": kernel,
            "beta": beta,
            "alphabet": alphabet,
            "sizes": sizes,
            "threat": threat,
            "d_max": d_max,
            "sigma": sigma,
            "threshold": threshold,
            "p_lower": p_lower,
            "successes": successes,
            "samples": samples,
            "alpha": alpha,
        },
        budget="d_max",
    )
    points = _solve(query)
    held = [point.d for point in points if point.certified]
    if as_json:
        print_json(
            {
                "points": [dataclasses.asdict(point) for point in points],
                "d_max_certified": held[-1] if held else None,
                **_echoed(query),
            }
        )
    else:
        _explain(query, points)


def _solve(query: Query) -> list[Point]:
    if query.d < _LONG:
        return frontier(query)
    from hybridcert.cli.progress import ProgressLine

    with ProgressLine() as progress:
        return frontier(query, progress)


def _echoed(query: Query) -> dict[str, object]:
    values = query.channel.described() | {
        "d_max": query.d,
        "sigma": query.sigma,
        "threshold": query.threshold,
        "p_lower": query.p_lower(),
    }
    if isinstance(query.evidence, Counts):
        values |= dataclasses.asdict(query.evidence)
    return values


def _explain(query: Query, points: list[Point]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("d", justify="right")
    table.add_column("certified")
    table.add_column("radius", justify="right")
    shown = [point for point in points if point.certified]
    failed = points[len(shown) :]
    for point in shown + failed[:1]:
        r = "-" if point.radius is None else shown_down(point.radius)
        table.add_row(str(point.d), "yes" if point.certified else "no", r)
    console = results()
    console.print(table)
    if len(failed) > 1:
        console.print(f"not certified from d = {failed[0].d} on")
    console.print(
        f"radius: l2, in the units of --sigma, rounded towards zero; p_lower {shown_down(query.p_lower())}, "
        f"threshold {query.threshold!r}, threat {query.channel.threat}"
    )
