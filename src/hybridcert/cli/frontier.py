"""`hybridcert frontier`: the radius at every discrete budget."""

from __future__ import annotations

import dataclasses

from hybridcert.cli import options
from hybridcert.cli.answers import Point, frontier
from hybridcert.cli.console import print_json, results, shown_down
from hybridcert.cli.evidence import described
from hybridcert.cli.issue import Order, issue, read_order
from hybridcert.cli.query import Query, read_query
from hybridcert.documents.claims import ScoreAbove

EXAMPLE = (
    "Example: hybridcert frontier --beta 0.25 --alphabet 50000 --d-max 8 --sigma 0.5 --threshold 4.6e-5 "
    "--successes 9990 --samples 10000 --alpha 0.01"
)

_LONG = 1_000  # budgets from which on progress is shown


@options.taking(without=("d", "eps"))
def command(raw: dict[str, str | None], as_json: options.Json = False) -> None:
    """Certify from numbers alone at every discrete budget 0, 1, ... D.

    All points hold together: they follow from the same bounds.
    """
    asked, ordered = options.split_issue(raw)
    query = read_query(asked, budget="d_max")
    order = read_order(ordered, query)
    points = _solve(query)
    if order is not None:
        issue(query, points, order, command=options.as_typed("frontier", asked))
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
        _explain(query, points, order)


def _solve(query: Query) -> list[Point]:
    if query.d < _LONG:
        return frontier(query)
    from hybridcert.cli.progress import ProgressLine

    with ProgressLine() as progress:
        return frontier(query, progress)


def _echoed(query: Query) -> dict[str, object]:
    return {
        **query.channel.said,
        "d_max": query.d,
        **query.shift.described(),
        **described(query.claim, query.evidence, query.bounds()),
    }


def _explain(query: Query, points: list[Point], order: Order | None) -> None:
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
    bounds, claim = query.bounds(), query.claim
    upper = "" if bounds.p_upper is None else f", p_upper {bounds.p_upper!r}"
    claimed = f"threshold {claim.threshold!r}" if isinstance(claim, ScoreAbove) else f"top {claim.k}"
    console.print(
        f"radius: {query.shift.measure}, rounded towards zero; p_lower {shown_down(bounds.p_lower)}{upper}, "
        f"{claimed}, threat {query.channel.threat_name}"
    )
    if order is not None:
        console.print(f"certificate written to {order.target} and verified", markup=False)
