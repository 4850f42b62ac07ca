"""Reading a verdict off the first generated position: the probability of the ways to spell each label."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridcert.adapters.vlm.token_alphabet import tokenized
from hybridcert.errors import ModelError, ParameterError

if TYPE_CHECKING:
    import torch

SAFE, UNSAFE, UNREADABLE = "safe", "unsafe", "unreadable"
CLASSES = (SAFE, UNSAFE, UNREADABLE)
"""Labels of the classifier. "unreadable" is neither of the others, so it counts against either claim."""

LABELS: Mapping[str, Sequence[str]] = {SAFE: ("Safe", "safe", "SAFE"), UNSAFE: ("Unsafe", "unsafe", "UNSAFE")}
"""Words that stand for a label, with and without a space before them."""

_MOST = -math.log(float(np.finfo(np.float32).tiny))
"""Stands for infinite margins: minus the logarithm of the least normal probability in float32."""

_ROUNDED_UP = 2.0**-25
"""A probability that misses 1 by less is 1 in float32."""


@dataclasses.dataclass(frozen=True, slots=True)
class LabelTokens:
    """The single tokens that spell each label.

    Attributes
    ----------
    safe, unsafe : tuple of int
    least_mass : float in [0, 1]
        An answer is unreadable where all these tokens together have less probability.
    """

    safe: tuple[int, ...]
    unsafe: tuple[int, ...]
    least_mass: float

    @staticmethod
    def of(tokenizer: Any, *, least_mass: float) -> LabelTokens:
        """Find the spellings that are single tokens.

        Raises
        ------
        ModelError
            If a label has none.
        """
        found = {label: _single(tokenizer, words) for label, words in LABELS.items()}
        for label, ids in found.items():
            if not ids:
                words = ", ".join(map(repr, LABELS[label]))
                raise ModelError(
                    f"the tokenizer has no single token for {label!r} (tried {words}, with and without a "
                    'space before): use decision="text"'
                )
        return LabelTokens(found[SAFE], found[UNSAFE], least_mass)

    def verdicts(self, logits: torch.Tensor) -> torch.Tensor:
        """Return indices into `CLASSES` for logits over the vocabulary, shape (rows, vocabulary).

        "unsafe" where its spellings together are more likely than those of "safe"; a tie is "safe"; broken
        logits are unreadable.
        """
        import torch

        log_p = torch.log_softmax(logits.float(), dim=-1)
        safe = log_p[:, list(self.safe)].exp().sum(dim=-1)
        unsafe = log_p[:, list(self.unsafe)].exp().sum(dim=-1)
        verdict = (unsafe > safe).long()
        readable = (safe + unsafe) >= self.least_mass  # false where logits are no numbers
        return torch.where(readable, verdict, torch.full_like(verdict, CLASSES.index(UNREADABLE)))

    def margins(self, logits: torch.Tensor, label: int) -> torch.Tensor:
        """Return how far each answer is from losing a label, shape (rows,); it can be differentiated.

        By how much the log probability of the label exceeds that of the other one, or, where that is less,
        the log odds of both together exceed those of ``least_mass``. Above 0 where `verdicts` gives the
        label, up to rounding and ties. Broken logits give the least margin that there is.

        Raises
        ------
        ParameterError
            For a label that nothing can be claimed about.
        """
        import torch

        if label not in (CLASSES.index(SAFE), CLASSES.index(UNSAFE)):
            raise ParameterError(f"label must be 0 ({SAFE}) or 1 ({UNSAFE}) to have margins, got {label!r}")
        log_p = torch.log_softmax(logits.float(), dim=-1)
        spelled = list(self.safe), list(self.unsafe)
        safe, unsafe = (log_p[:, ids].logsumexp(dim=-1) for ids in spelled)
        found = unsafe - safe if CLASSES[label] == UNSAFE else safe - unsafe
        if self.least_mass > 0.0:
            others = torch.ones(log_p.shape[1], dtype=torch.bool, device=log_p.device)
            others[[*self.safe, *self.unsafe]] = False
            odds = torch.logaddexp(safe, unsafe) - log_p[:, others].logsumexp(dim=-1)
            least = self.least_mass / max(1.0 - self.least_mass, _ROUNDED_UP)
            found = torch.minimum(found, odds - math.log(least))
        return torch.nan_to_num(found, nan=-_MOST, posinf=_MOST, neginf=-_MOST)


def parsed(answer: str) -> int:
    """Return the index into `CLASSES` of a generated answer: its first word, if that is a label."""
    words = "".join(c if c.isalpha() else " " for c in answer).split()
    first = words[0].lower() if words else ""
    return CLASSES.index(first) if first in (SAFE, UNSAFE) else CLASSES.index(UNREADABLE)


def _single(tokenizer: Any, words: Sequence[str]) -> tuple[int, ...]:
    unknown = tokenizer.unk_token_id
    found: set[int] = set()
    for word in words:
        for spelling in (word, f" {word}"):
            ids = tokenized(tokenizer, spelling)
            if len(ids) == 1 and ids[0] != unknown:
                found.add(ids[0])
    return tuple(sorted(found))
