"""Options that `radius` and `frontier` share. Values stay text here; `rules` says how they are read."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import typer

from hybridcert.cli.rules import KERNELS, NOISES, option_name
from hybridcert.threats import THREATS

Json = Annotated[bool, typer.Option("--json", help="Print JSON with all digits.")]

_NOISE = "Discrete noise"
_THREAT = "Discrete changes"
_CONTINUOUS = "Continuous noise"
_CLAIM = "Claim: --threshold, or --top-k"
_EVIDENCE = "Evidence: --p-lower, or the counts"
_ISSUE = "Issued certificate"


def _option(name: str, metavar: str, text: str, panel: str) -> Any:
    return Annotated[str | None, typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel)]


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}"


SHARED: dict[str, Any] = {
    "kernel": _option("--kernel", "NAME", f"{_listed(KERNELS)} (d = 0 only). Default: uniform.", _NOISE),
    "beta": _option(
        "--beta",
        "B",
        "uniform, absorbing, deletion, fields: corruption rate, in (0, 1]. fields: also one rate for each "
        "field, such as 0.2,0.3,0.25.",
        _NOISE,
    ),
    "alphabet": _option("--alphabet", "V", "uniform: alphabet size, >= 2.", _NOISE),
    "positions": _option(
        "--positions", "N", "uniform, absorbing: eligible positions. Default: as many as changes.", _NOISE
    ),
    "length": _option(
        "--length", "L", "deletion: symbols of the clean sequence. Default: any number.", _NOISE
    ),
    "sizes": _option(
        "--sizes",
        "9,16,7",
        "fields, randomized-response: sizes of all fields; the adversary picks which d of them change.",
        _NOISE,
    ),
    "ratio": _option(
        "--ratio",
        "RHO",
        "randomized-response: how many times likelier the true symbol is than any other one, > 0.",
        _NOISE,
    ),
    "log_ratio": _option("--log-ratio", "L", "randomized-response: the logarithm of that ratio.", _NOISE),
    "p_plus": _option("--p-plus", "P", "flips: probability that noise turns 0 into 1, in [0, 1).", _NOISE),
    "p_minus": _option("--p-minus", "P", "flips: probability that noise turns 1 into 0, in [0, 1).", _NOISE),
    "ones": _option("--ones", "N1", "flips: bits of the input that are 1.", _NOISE),
    "zeros": _option("--zeros", "N0", "flips: bits of the input that are 0.", _NOISE),
    "synonyms": _option(
        "--synonyms", "TABLE.json", "synonyms: what may replace each word, {word: [synonym, ...]}.", _NOISE
    ),
    "words": _option("--words", "a,b,c", "synonyms: words of the input.", _NOISE),
    "matrix": _option(
        "--matrix", "FILE", "matrix: law of the noisy symbol, one row per clean one; JSON or CSV.", _NOISE
    ),
    "symbols": _option("--symbols", "0,1,1", "matrix: symbols of the input, as row numbers.", _NOISE),
    "substitutions": _option(
        "--substitutions",
        "FILE|all",
        "matrix: what the adversary may replace by what, as pairs of row numbers; JSON or CSV. Default: all.",
        _NOISE,
    ),
    "threat": _option(
        "--threat",
        "NAME",
        f"What one discrete change is: {_listed(THREATS)}. Default: insertion for deletion, fields for "
        "fields and randomized-response, flips for flips, else substitution.",
        _THREAT,
    ),
    "max_additions": _option(
        "--max-additions", "N", "flips: so many of the changes may turn 0 into 1.", _THREAT
    ),
    "max_removals": _option(
        "--max-removals", "N", "flips: so many of the changes may turn 1 into 0.", _THREAT
    ),
    "d": _option("--d", "D", "Discrete budget, >= 0.", _THREAT),
    "d_max": _option("--d-max", "D", "Largest discrete budget, >= 0.", _THREAT),
    "noise": _option(
        "--noise",
        "NAME",
        f"{_listed(NOISES)} (nothing continuous changes). Default: gaussian.",
        _CONTINUOUS,
    ),
    "sigma": _option(
        "--sigma",
        "S",
        "Standard deviation of Gaussian noise, > 0, or scale of Laplace noise. Several, such as 0.5,0.25: "
        "one for each continuous modality; the radius then bounds the root of the sum of (eps/sigma)^2.",
        _CONTINUOUS,
    ),
    "scale": _option("--scale", "B", "Scale of Laplace noise, > 0: the same as --sigma.", _CONTINUOUS),
    "eps": _option(
        "--eps",
        "E",
        "Also give the worst-case score at this distance (l2; l1 for Laplace noise; one for each sigma); "
        "default 0.",
        _CONTINUOUS,
    ),
    "threshold": _option("--threshold", "TAU", "Score that has to be exceeded, in (0, 1).", _CLAIM),
    "top_k": _option("--top-k", "K", "The label stays among the K of largest score, K >= 1.", _CLAIM),
    "classes": _option("--classes", "C", "Number of labels; default: as many as --counts.", _CLAIM),
    "p_lower": _option("--p-lower", "P", "Lower confidence bound on the clean score, in [0, 1).", _EVIDENCE),
    "p_upper": _option(
        "--p-upper",
        "Q",
        "Upper bound on the score of the K-th strongest other label, in (0, 1]; claims the first place "
        "unless --top-k says otherwise.",
        _EVIDENCE,
    ),
    "successes": _option("--successes", "K", "Noisy copies with the event.", _EVIDENCE),
    "counts": _option("--counts", "n0,n1,...", "Answers for each label (--top-k).", _EVIDENCE),
    "label_index": _option(
        "--label-index", "I", "Which of --counts is the claimed label; default 0, the first.", _EVIDENCE
    ),
    "samples": _option(
        "--samples", "N", "Noisy copies drawn, >= 1; default with --counts: their sum.", _EVIDENCE
    ),
    "alpha": _option("--alpha", "A", "The bounds may fail with this probability, in (0, 1).", _EVIDENCE),
    "issue": _option("--issue", "FILE", "Write the issued certificate, verified, to this file.", _ISSUE),
    "label": _option("--label", "TEXT", "Name of the claimed label; default: claimed label.", _ISSUE),
    "unit": _option("--unit", "TEXT", "Unit of sigma and radius, such as 'pixels in [0, 1]'.", _ISSUE),
    "features": _option(
        "--features",
        "N",
        "Continuous features; one number for each sigma where there are several. Default 1.",
        _ISSUE,
    ),
}
"""Options by key, in the order of the help text."""

_FILES = ("synonyms", "matrix", "substitutions")
_ISSUED = ("issue", "label", "unit", "features")


def taking(*, without: tuple[str, ...]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command every shared option but some, as one mapping in its first argument.

    The command keeps its other options. Values are text, or None where an option is not given.
    """
    keys = [key for key in SHARED if key not in without]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=SHARED[key])
            for key in keys
        ]
        everything = [*shared, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own)]

        @functools.wraps(function)
        def command(**values: Any) -> None:
            function({key: values.pop(key) for key in keys}, **values)

        command.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in everything}
        return command

    return decorate


def as_typed(command: str, raw: Mapping[str, str | None]) -> str:
    """Return a command line that asks the same; tables are left out, files have no meaning elsewhere."""
    given = {key: value for key, value in raw.items() if value is not None and key not in _FILES}
    return shlex.join(
        [command, *(part for key, value in given.items() for part in (option_name(key), value))]
    )


def split_issue(raw: Mapping[str, str | None]) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Separate what is asked from how the certificate is to be issued."""
    return (
        {key: value for key, value in raw.items() if key not in _ISSUED},
        {key: raw[key] for key in _ISSUED},
    )
