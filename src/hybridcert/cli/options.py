"""Options that `radius` and `frontier` share. Values stay text here; `query` reads and checks them."""

from __future__ import annotations

from typing import Annotated

import typer

_NOISE = "Discrete noise"
_EVIDENCE = "Evidence: --p-lower, or the counts"

Kernel = Annotated[
    str | None,
    typer.Option(
        "--kernel",
        metavar="uniform|absorbing|deletion|fields",
        help="Kernel: replacement by a uniform other symbol (default), mask, deletion, "
        "or replacement in fields of different sizes.",
        rich_help_panel=_NOISE,
    ),
]
Beta = Annotated[
    str | None,
    typer.Option("--beta", metavar="B", help="Corruption rate, in (0, 1].", rich_help_panel=_NOISE),
]
Alphabet = Annotated[
    str | None,
    typer.Option("--alphabet", metavar="V", help="Alphabet size, >= 2 (uniform).", rich_help_panel=_NOISE),
]
Sizes = Annotated[
    str | None,
    typer.Option(
        "--sizes",
        metavar="9,16,7",
        help="Sizes of all fields (fields); the adversary picks which d of them change.",
        rich_help_panel=_NOISE,
    ),
]
Threat = Annotated[
    str | None,
    typer.Option(
        "--threat",
        metavar="substitution|insertion|edit|fields",
        help="What one discrete change is. Default: substitution for uniform and absorbing, insertion for "
        "deletion, fields for fields.",
        rich_help_panel=_NOISE,
    ),
]
Sigma = Annotated[
    str | None,
    typer.Option("--sigma", metavar="S", help="Standard deviation of the Gaussian noise, > 0."),
]
Threshold = Annotated[
    str | None,
    typer.Option("--threshold", metavar="TAU", help="Score that has to be exceeded, in (0, 1)."),
]
PLower = Annotated[
    str | None,
    typer.Option(
        "--p-lower",
        metavar="P",
        help="Lower confidence bound on the clean score, in [0, 1).",
        rich_help_panel=_EVIDENCE,
    ),
]
Successes = Annotated[
    str | None,
    typer.Option("--successes", metavar="K", help="Noisy copies with the event.", rich_help_panel=_EVIDENCE),
]
Samples = Annotated[
    str | None,
    typer.Option("--samples", metavar="N", help="Noisy copies drawn, >= 1.", rich_help_panel=_EVIDENCE),
]
Alpha = Annotated[
    str | None,
    typer.Option(
        "--alpha",
        metavar="A",
        help="The bound may fail with this probability, in (0, 1).",
        rich_help_panel=_EVIDENCE,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with all digits.")]
