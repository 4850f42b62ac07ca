"""The policy: the text that is put to the model, with places for image, prompt and suffix."""

from __future__ import annotations

import dataclasses
import importlib.resources
import re
from collections.abc import Mapping
from pathlib import Path

from hybridcert.adapters.image_text import ImageTextInputs, SuffixSlots
from hybridcert.errors import ConfigError, ParameterError

IMAGE, TEXT, SUFFIX, ANSWER = "{image}", "{text}", "{suffix}", "{answer}"

_PLACES = re.compile(r"(\{image\}|\{text\}|\{suffix\})")


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """A text with the places {image}, {text} and {suffix}, each at most once.

    What stands behind {answer}, which comes last, is no part of the message: it begins the model's answer.
    What is put into a place is not searched for placeholders.

    Parameters
    ----------
    text : str

    Raises
    ------
    ParameterError
        If {text} is missing, or a placeholder occurs twice.
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ParameterError(f"policy must be a text, the path of a file or None, got {self.text!r}")
        for place in (IMAGE, TEXT, SUFFIX, ANSWER):
            found = self.text.count(place)
            if found > 1 or (place == TEXT and not found):
                allowed = "exactly once" if place == TEXT else "at most once"
                raise ParameterError(f"policy must hold {place} {allowed}, got it {found} times")
        behind = self.text.partition(ANSWER)[2]
        if _PLACES.search(behind):
            raise ParameterError(f"policy must not hold {_PLACES.findall(behind)[0]} behind {ANSWER}")

    @classmethod
    def of(cls, policy: str | Path | None) -> Policy:
        """Return a policy from its text, from a file, or the one that ships with the package.

        Raises
        ------
        ConfigError
            For a file that cannot be read as UTF-8.
        """
        if policy is None:
            shipped = importlib.resources.files("hybridcert.adapters") / "policy.txt"
            return cls(shipped.read_text("utf-8").strip())
        if isinstance(policy, Path):
            try:
                return cls(policy.read_text("utf-8").strip())
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
                raise ConfigError(f"the policy {str(policy)!r} cannot be read: {reason}") from error
        return cls(policy)

    def check_inputs(self, inputs: ImageTextInputs) -> None:
        """Raise ParameterError where noise and adversary reach what the policy would not show the model."""
        if inputs.canvas is not None and IMAGE not in self.text:
            raise ParameterError(f"policy must say where the image goes: put {IMAGE} into it, or canvas=None")
        if isinstance(inputs.region, SuffixSlots) and SUFFIX not in self.text:
            raise ParameterError(f"policy must say where the slots go: put {SUFFIX} into it, behind {TEXT}")

    def check_asks_only(self) -> None:
        """Raise ParameterError where the policy begins the answer: a model behind an endpoint begins it."""
        if ANSWER in self.text:
            raise ParameterError(f"policy must not hold {ANSWER}: an endpoint takes no answer that is begun")

    def filled(self, values: Mapping[str, str]) -> list[str | None]:
        """Return the pieces of the text in their order, texts in their places.

        Parameters
        ----------
        values : what to put for {text} and {suffix}

        Returns
        -------
        pieces : one text, or a text, None where the image goes, and a text
            Whatever the values say, they are text.
        """
        texts = [""]
        for part in _PLACES.split(self.text):
            if part == IMAGE:
                texts.append("")
            else:
                texts[-1] += values[part] if part in (TEXT, SUFFIX) else part
        return [*texts] if len(texts) == 1 else [texts[0], None, texts[1]]
