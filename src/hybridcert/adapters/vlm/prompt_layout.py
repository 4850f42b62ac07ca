"""The policy as tokens: the pieces around image, prompt and suffix, in their order."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hybridcert.adapters.policy import ANSWER, IMAGE, SUFFIX, TEXT, Policy
from hybridcert.adapters.vlm.token_alphabet import tokenized
from hybridcert.errors import ModelError
from hybridcert.sampling.blocks import described

Ids = list[int]

_MARKS = {IMAGE: "image", TEXT: "text", SUFFIX: "suffix"}
_PLACES = re.compile("|".join(map(re.escape, _MARKS)))


@dataclasses.dataclass(frozen=True, slots=True)
class PromptLayout:
    """Token ids of the fixed pieces, and what stands between them.

    The policy goes through the checkpoint's chat template as the content of one user message, followed by the
    beginning of the answer. The resulting string is cut at the placeholders, and each piece is tokenised by
    itself: so the ids of a text never depend on what stands next to it.

    Attributes
    ----------
    pieces : tuple of tuple of int
    places : tuple of str
        "image", "text" or "suffix": one fewer than pieces.
    """

    pieces: tuple[tuple[int, ...], ...]
    places: tuple[str, ...]

    @staticmethod
    def of(policy: Policy, tokenizer: Any, *, template: str | None) -> PromptLayout:
        """Cut a policy into pieces.

        Parameters
        ----------
        policy : Policy
        tokenizer : tokenizer of transformers
        template : str or None
            The checkpoint's chat template; without one the policy is put to the model as it is.

        Raises
        ------
        ModelError
            If the checkpoint's chat template fails on it.
        """
        content, _, answer = policy.text.partition(ANSWER)
        expected = [_MARKS[mark] for mark in _PLACES.findall(content)]
        prompt = _through_template(tokenizer, template, content.strip()) + answer.strip("\n")
        places = tuple(_MARKS[mark] for mark in _PLACES.findall(prompt))
        if list(places) != expected:
            raise ModelError(
                f"the checkpoint's chat template does not hand the policy on as it is: its places "
                f"{', '.join(expected)} came out as {', '.join(places) or 'none'}"
            )
        pieces = tuple(tuple(tokenized(tokenizer, piece)) for piece in _PLACES.split(prompt))
        return PromptLayout(pieces, places)

    def filled(self, values: Mapping[str, Sequence[int]], *, start: int = 0, stop: int | None = None) -> Ids:
        """Return the ids from piece ``start`` up to, and without, what stands in place ``stop``."""
        last = len(self.places) if stop is None else stop
        ids: Ids = list(self.pieces[start])
        for place in range(start, last):
            ids += values.get(self.places[place], ())
            ids += self.pieces[place + 1]
        return ids

    def place(self, name: str) -> int:
        """Return the number of a place."""
        return self.places.index(name)

    @property
    def length(self) -> int:
        """Tokens of all pieces."""
        return sum(map(len, self.pieces))


def _through_template(tokenizer: Any, template: str | None, content: str) -> str:
    """Return a user message in the chat template, followed by the beginning of the answer."""
    if template is None:
        return content
    parts = [{"type": "text", "text": content}]
    prompts = []
    for message in (parts, content):  # templates take a list of parts, a string, or both
        try:
            prompts.append(
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": message}],
                    chat_template=template,
                    tokenize=False,
                    add_generation_prompt=True,
                )
            )
        except Exception as error:  # templates raise whatever their authors chose
            failed = error
    whole = [prompt for prompt in prompts if content in prompt]
    if not prompts:
        raise ModelError(
            f"the checkpoint's chat template fails on the policy: {described(failed)}"
        ) from failed
    return str((whole or prompts)[0])
