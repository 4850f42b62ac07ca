"""`hybridcert radius`: one certificate from numbers alone, or a file of them."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated

import typer

from hybridcert.cli import options
from hybridcert.cli.answers import Answer, answer
from hybridcert.cli.batch import read_batch
from hybridcert.cli.console import print_json, results, shown_down
from hybridcert.cli.query import Counts, option_name, read_query
from hybridcert.errors import ParameterError

EXAMPLE = (
    "Example: hybridcert radius --beta 0.25 --alphabet 50000 --d 2 --sigma 0.5 --threshold 4.6e-5 "
    "--p-lower 0.98"
)


def command(
    kernel: options.Kernel = None,
    beta: options.Beta = None,
    alphabet: options.Alphabet = None,
    sizes: options.Sizes = None,
    threat: options.Threat = None,
    d: Annotated[str | None, typer.Option("--d", metavar="D", help="Discrete budget, >= 0.")] = None,
    sigma: options.Sigma = None,
    threshold: options.Threshold = None,
    eps: Annotated[
        str | None,
        typer.Option(
            "--eps", metavar="E", help="Also give the worst-case score at this l2 distance (default 0)."
        ),
    ] = None,
    p_lower: options.PLower = None,
    successes: options.Successes = None,
    samples: options.Samples = None,
    alpha: options.Alpha = None,
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
    """Certify from numbers alone: the largest l2 radius that holds together with D discrete changes.

    With confidence 1 - alpha in p-lower, no input within D discrete changes and within the radius has a
    score at or below the threshold. The radius comes in the units of sigma and is rounded towards zero.
    """
    raw = {
        "kernel": kernel,
        "beta": beta,
        "alphabet": alphabet,
        "sizes": sizes,
        "threat": threat,
        "d": d,
        "sigma": sigma,
        "threshold": threshold,
        "eps": eps,
        "p_lower": p_lower,
        "successes": successes,
        "samples": samples,
        "alpha": alpha,
    }
    if batch is not None:
        from hybridcert.cli.progress import ProgressLine

        extra = [option_name(key) for key, value in raw.items() if value is not None]
        if extra:
            raise ParameterError(f"{extra[0]} does not go with --batch: every line carries its own values")
        queries = read_batch(batch)
        with ProgressLine() as progress:
            lines = [json.dumps(_as_record(a), allow_nan=False) for a in answer(queries, progress)]
        sys.stdout.write("\n".join(lines) + "\n")
        return
    query = read_query(raw)
    found = answer([query])[0]
    if as_json:
        print_json(_as_record(found))
    else:
        _explain(found, query.channel.threat, counted=isinstance(query.evidence, Counts))


def _as_record(found: Answer) -> dict[str, object]:
    return {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}


def _explain(found: Answer, threat: str, *, counted: bool) -> None:
    console = results()
    changes = f"{found.d} discrete change{'' if found.d == 1 else 's'} ({threat})"
    if found.radius is not None:
        console.print(
            f"[bold green]certified[/]: radius {shown_down(found.radius)} (l2, in the units of --sigma) "
            f"together with {changes}"
        )
        console.print(f"  every such input has a score above {found.threshold!r}")
    else:
        console.print(
            f"[bold yellow]not certified[/]: {changes} alone may bring the score down to the threshold"
        )
        console.print(f"  threshold {found.threshold!r}")
    p_lower = shown_down(found.p_lower) if counted else repr(found.p_lower)
    console.print(f"  p_lower   {p_lower}")
    console.print(f"  p_adv     {shown_down(found.p_adv)} at eps {found.eps!r}")
