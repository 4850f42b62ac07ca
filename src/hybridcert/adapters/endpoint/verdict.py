"""From a completion to a label: by the log-probabilities of the first token, or by the first word.

What cannot be read is a label of its own. It is neither safe nor unsafe, so it counts against every claim.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hybridcert.certificate.ranges import check_count
from hybridcert.errors import ModelError, ParameterError

SAFE, UNSAFE, UNREADABLE = 0, 1, 2
LABELS = ("safe", "unsafe", "unreadable")
"""Labels by their index."""

UNCLAIMABLE = (LABELS[UNREADABLE],)
"""Labels about which nothing is ever claimed: they say that an answer was none."""

SPELLINGS: Mapping[str, Sequence[str]] = {"safe": ("Safe",), "unsafe": ("Unsafe",)}

MOST_TOP_LOGPROBS = 20
"""The most alternatives that the interface lets a client ask for."""

_WORD_START = " \t\r\n▁Ġ"
_WORD = re.compile(r"[^\W_]+")


@dataclasses.dataclass(frozen=True, slots=True)
class Spellings:
    """How the labels may be spelled; upper and lower case and white space around a word play no part.

    Parameters
    ----------
    safe, unsafe : tuples of str
        Not empty, and without a spelling in common.
    """

    safe: tuple[str, ...]
    unsafe: tuple[str, ...]

    @classmethod
    def of(cls, spellings: Mapping[str, Sequence[str]]) -> Spellings:
        """Return the spellings given under "safe" and "unsafe"; raise ParameterError for anything else."""
        if not isinstance(spellings, Mapping) or set(spellings) != {"safe", "unsafe"}:
            raise ParameterError(f"spellings must be given for 'safe' and 'unsafe', got {spellings!r}")
        found = {}
        for label, listed in spellings.items():
            if isinstance(listed, str) or not all(isinstance(s, str) and _folded(s) for s in listed):
                raise ParameterError(f"spellings of {label!r} must be a list of words, got {listed!r}")
            found[label] = tuple(sorted({_folded(s) for s in listed}))
            if not found[label]:
                raise ParameterError(f"spellings of {label!r} must be a list of words, got {listed!r}")
        shared = set(found["safe"]) & set(found["unsafe"])
        if shared:
            raise ParameterError(f"a spelling must belong to one label, got {min(shared)!r} for both")
        return cls(**found)

    def label(self, word: str) -> int:
        """Return the index of the label that a word spells, or `UNREADABLE`."""
        folded = _folded(word)
        return SAFE if folded in self.safe else UNSAFE if folded in self.unsafe else UNREADABLE


class Decision(Protocol):
    """A way to ask for an answer and to read it."""

    @property
    def name(self) -> str:
        """What the decision is called."""

    @property
    def spellings(self) -> Spellings:
        """How the labels may be spelled."""

    def fields(self) -> dict[str, Any]:
        """Return what a request says about it."""

    def read(self, choice: Mapping[str, Any]) -> int:
        """Return the index of the label of a completion's choice.

        Raises
        ------
        ModelError
            If the server did not do what it was asked for.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class ByLogprobs:
    """The label whose spellings have the larger summed probability as the first generated token.

    Unreadable where no spelling of either label is among the alternatives that the server lists, or where
    the sums are equal.

    Parameters
    ----------
    spellings : Spellings
    top : int in [1, 20]
        How many alternatives to ask for.
    """

    spellings: Spellings
    top: int

    def __post_init__(self) -> None:
        check_count("top_logprobs", self.top, most=MOST_TOP_LOGPROBS)

    @property
    def name(self) -> str:
        """What the decision is called."""
        return "logprobs"

    def fields(self) -> dict[str, Any]:
        """Return what a request says about it."""
        return {"max_tokens": 1, "logprobs": True, "top_logprobs": self.top}

    def read(self, choice: Mapping[str, Any]) -> int:
        """Return the index of the label; raise ModelError where log-probabilities are missing or broken."""
        if _withheld(choice):
            return UNREADABLE
        masses: tuple[list[float], ...] = ([], [], [])
        for token, logprob in self.alternatives(choice):
            masses[self.spellings.label(token)].append(math.exp(logprob))
        safe, unsafe = math.fsum(masses[SAFE]), math.fsum(masses[UNSAFE])
        return UNREADABLE if safe == unsafe else SAFE if safe > unsafe else UNSAFE

    def alternatives(self, choice: Mapping[str, Any]) -> list[tuple[str, float]]:
        """Return tokens and log-probabilities of the first position; none where nothing was generated."""
        logprobs = choice.get("logprobs")
        content: Any = logprobs.get("content") if isinstance(logprobs, Mapping) else None
        if content == [] and not _text(choice):
            return []
        try:
            listed = [(entry["token"], entry["logprob"]) for entry in content[0]["top_logprobs"]]
        except (TypeError, KeyError, IndexError):
            listed = []
        if not listed:
            raise ModelError(
                "log-probabilities were asked for and the endpoint answers without them: use "
                "decision='text', or a server that returns top_logprobs"
            )
        for token, logprob in listed:
            number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
            if not isinstance(token, str) or not number or not logprob < 1.0:
                raise ModelError(
                    f"the endpoint must answer with tokens and their log-probabilities, got {token!r} with "
                    f"{logprob!r}"
                )
        return listed


@dataclasses.dataclass(frozen=True, slots=True)
class ByText:
    """The label that the first word of the generated text spells, whatever signs stand around it.

    Parameters
    ----------
    spellings : Spellings
        Single words of letters and digits.
    max_tokens : int >= 1
        How much to generate: a word can be several tokens.
    """

    spellings: Spellings
    max_tokens: int

    def __post_init__(self) -> None:
        check_count("max_tokens", self.max_tokens)
        for spelling in (*self.spellings.safe, *self.spellings.unsafe):
            if not _WORD.fullmatch(spelling):
                raise ParameterError(
                    f"decision='text' reads one word of letters and digits, got the spelling {spelling!r}"
                )

    @property
    def name(self) -> str:
        """What the decision is called."""
        return "text"

    def fields(self) -> dict[str, Any]:
        """Return what a request says about it."""
        return {"max_tokens": self.max_tokens}

    def read(self, choice: Mapping[str, Any]) -> int:
        """Return the index of the label."""
        word = _WORD.search(_text(choice))
        return UNREADABLE if word is None or _withheld(choice) else self.spellings.label(word.group())


def decision_of(
    decision: str, *, spellings: Mapping[str, Sequence[str]] | None, top_logprobs: int, max_tokens: int
) -> Decision:
    """Return a decision by its name; raise ParameterError for an unknown one."""
    known = Spellings.of(SPELLINGS if spellings is None else spellings)
    if decision == "logprobs":
        return ByLogprobs(known, top_logprobs)
    if decision == "text":
        return ByText(known, max_tokens)
    raise ParameterError(f"decision must be 'logprobs' or 'text', got {decision!r}")


def _folded(word: str) -> str:
    return word.strip(_WORD_START).casefold()


def _text(choice: Mapping[str, Any]) -> str:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else None
    return text if isinstance(text, str) else ""


def _withheld(choice: Mapping[str, Any]) -> bool:
    """Tell whether a filter of the server's own kept the answer back."""
    return choice.get("finish_reason") == "content_filter"
