"""`hybridcert radius`: one certificate from numbers alone, or a file of them."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from hybridcert.cli import options
from hybridcert.cli.answers import Answer, Point, answer
from hybridcert.cli.batch import read_batch
from hybridcert.cli.console import print_json, results, shown_down
from hybridcert.cli.evidence import Asserted
from hybridcert.cli.issue import Order, issue, read_order
from hybridcert.cli.query import Query, read_query
from hybridcert.cli.rules import option_name
from hybridcert.documents.claims import Claim, ScoreAbove
from hybridcert.errors import ParameterError

EXAMPLE = (
    "Example: hybridcert radius --beta 0.25 --alphabet 50000 --d 2 --sigma 0.5 --threshold 4.6e-5 "
    "--p-lower 0.98"
    "\n\n"
    "Top label, issued: hybridcert radius --kernel flips --p-plus 0.01 --p-minus 0.6 --ones 20 --zeros 400 "
    "--d 2 --noise none --top-k 1 --counts 9900,60,40 --alpha 0.001 --issue certificate.json"
)


@options.taking(without=("d_max",))
def command(
    raw: dict[str, str | None],
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch",
            metavar="FILE.jsonl",
            help="One JSON object a line, keys as the long options with underscores; '-' reads standard "
            "input. Prints one JSON result a line.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Certify from numbers alone: the largest radius that holds together with D discrete changes.

    With confidence 1 - alpha in the bounds, no input within D discrete changes and within the radius has a
    score at or below the threshold (or loses its place among the K best labels). The radius is an l2 distance
    in the units of sigma, l1 with Laplace noise, and is rounded towards zero.
    """
    if batch is not None:
        extra = [option_name(key) for key, value in raw.items() if value is not None]
        if extra:
            raise ParameterError(f"{extra[0]} does not go with --batch: every line carries its own values")
        _answer_all(batch)
        return
    asked, ordered = options.split_issue(raw)
    query = read_query(asked)
    order = read_order(ordered, query)
    found = answer([query])[0]
    if order is not None:
        point = Point(query.d, found.found.certified, found.found.radius, found.found.log_t)
        issue(query, [point], order, command=options.as_typed("radius", asked))
    if as_json:
        print_json(_as_record(query, found))
    else:
        _explain(query, found, order)


def _answer_all(batch: str) -> None:
    from hybridcert.cli.progress import ProgressLine

    queries = read_batch(batch)
    with ProgressLine() as progress:
        answers = answer(queries, progress)
        lines = [json.dumps(_as_record(q, a), allow_nan=False) for q, a in zip(queries, answers, strict=True)]
    sys.stdout.write("\n".join(lines) + "\n")


def _as_record(query: Query, found: Answer) -> dict[str, object]:
    """Return the certificate for JSON; queries beyond one l2 radius and one threshold say more."""
    bounds, claim = query.bounds(), query.claim
    record = {
        "certified": found.found.certified,
        "radius": found.found.radius,
        "d": query.d,
        **query.shift.described(),
        "threshold": claim.threshold if isinstance(claim, ScoreAbove) else None,
        "p_lower": bounds.p_lower,
        "p_adv": found.p_adv,
        "eps": query.eps,
        "log_t": found.found.log_t,
    }
    if not isinstance(claim, ScoreAbove):
        record |= {"top_k": claim.k, "p_upper": bounds.p_upper}
    return record


def _explain(query: Query, answered: Answer, order: Order | None) -> None:
    console = results()
    claim, bounds, found = query.claim, query.bounds(), answered.found
    changes = f"{query.d} discrete change{'' if query.d == 1 else 's'} ({query.channel.threat_name})"
    if found.radius is not None:
        console.print(
            f"[bold green]certified[/]: radius {shown_down(found.radius)} ({query.shift.measure}) "
            f"together with {changes}",
        )
        console.print(f"  every such input {_holds(claim)}")
    elif isinstance(claim, ScoreAbove):
        console.print(
            f"[bold yellow]not certified[/]: {changes} alone may bring the score down to the threshold"
        )
        console.print(f"  threshold {claim.threshold!r}")
    else:
        console.print(f"[bold yellow]not certified[/]: {changes} alone may cost the label its place")
    given = isinstance(query.evidence, Asserted)
    console.print(f"  p_lower   {bounds.p_lower!r}" if given else f"  p_lower   {shown_down(bounds.p_lower)}")
    if bounds.p_upper is not None:
        console.print(f"  p_upper   {bounds.p_upper!r}")
    eps = query.eps if isinstance(query.eps, tuple) else (query.eps,)
    console.print(f"  p_adv     {shown_down(answered.p_adv)} at eps {','.join(map(repr, eps))}")
    if order is not None:
        console.print(f"certificate written to {order.target} and verified", markup=False)


def _holds(claim: Claim) -> str:
    if isinstance(claim, ScoreAbove):
        return f"has a score above {claim.threshold!r}"
    return "keeps the label first" if claim.k == 1 else f"keeps the label among the first {claim.k}"
