"""The noise behind a smoothed score, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from flint import fmpq

from hybridcert.verify.decimals import shown_near
from hybridcert.verify.reals import real
from hybridcert.verify.words import counted, quoted

Entry = Mapping[
    str, Any
]  # an entry of ``law.discrete`` or ``law.continuous`` that was read without complaint


def noise_lines(law: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each modality of the section ``law`` of a readable document."""
    lines = [
        f"{quoted(entry['modality'])}: {_DISCRETE[entry['kernel']](entry)}." for entry in law["discrete"]
    ]
    for entry in law["continuous"]:
        gaussian = entry["kernel"] == "gaussian"
        scale = entry["sigma"] if gaussian else entry["scale"]
        law_of = "Gaussian noise of standard deviation σ" if gaussian else "Laplace noise of scale"
        size = f"{law_of} = {_range(scale if isinstance(scale, (list, tuple)) else [scale])}"
        features = counted(entry["features"], "feature")
        lines.append(f"{quoted(entry['modality'])}: {size} on {features}, in {quoted(entry['unit'])}.")
    return lines or ["There is none."]


def _range(reals: Iterable[object]) -> str:
    """Return one number, or the smallest and the largest of several, rounded to six digits."""
    found = sorted({_exact(text) for text in reals})
    if not found:
        return "(none)"
    ends = [shown_near(value) for value in (found[0], found[-1])]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _exact(value: object) -> fmpq:
    return real(value, "law")


def _sizes(sizes: Iterable[int]) -> str:
    found = sorted(set(sizes))
    if not found:
        return "(none)"
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _uniform(entry: Entry) -> str:
    return (
        f"with probability β = {_range([entry['beta']])} each symbol gives way to another one of its "
        f"alphabet, of {_sizes(size for size, _ in entry['positions'])} symbols"
    )


def _fields(entry: Entry) -> str:
    kinds = [kind for kind, _ in entry["positions"]]
    return (
        f"with probability β = {_range(kind['beta'] for kind in kinds)} each field takes another one of its "
        f"{_sizes(kind['size'] for kind in kinds)} categories"
    )


def _randomized_response(entry: Entry) -> str:
    return (
        f"each symbol is ρ = {_range([entry['ratio']])} times as likely to stay as to become any given "
        f"other one of its alphabet, of {_sizes(size for size, _ in entry['positions'])} symbols"
    )


def _absorbing(entry: Entry) -> str:
    return f"each symbol is masked with probability β = {_range([entry['beta']])}"


def _flips(entry: Entry) -> str:
    plus, minus = _range([entry["p_plus"]]), _range([entry["p_minus"]])
    return (
        f"each 0 is turned on with probability p₊ = {plus}, each 1 turned off with probability p₋ = {minus}"
    )


def _synonyms(entry: Entry) -> str:
    sizes = (
        size for (size, others), _ in entry["positions"] for size in (size, *(other for other, _ in others))
    )
    return f"each word is drawn evenly from its own noise set, of {_sizes(sizes)} words"


def _matrix(entry: Entry) -> str:
    listed = entry["substitutions"]
    allowed = "any symbol by any other" if listed == "all" else counted(len(listed), "pair")
    size = counted(len(entry["rows"]), "symbol")
    return f"each symbol is drawn from its row of a transition matrix over {size} (substitutions: {allowed})"


def _deletion(entry: Entry) -> str:
    return f"each symbol is deleted with probability β = {_range([entry['beta']])}, the rest closes up"


_DISCRETE: Final[Mapping[str, Callable[[Entry], str]]] = {
    "uniform": _uniform,
    "fields": _fields,
    "randomized-response": _randomized_response,
    "absorbing": _absorbing,
    "flips": _flips,
    "synonyms": _synonyms,
    "matrix": _matrix,
    "deletion": _deletion,
}
