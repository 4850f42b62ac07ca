"""From encoded rows to chat messages: text parts, and images as PNG in data URLs."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import ImageTextInputs, SuffixSlots, as_text
from hybridcert.adapters.policy import SUFFIX, TEXT, Policy
from hybridcert.adapters.word_alphabet import WordAlphabet
from hybridcert.errors import ParameterError
from hybridcert.sampling.classifier import Batch


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Messages:
    """How encoded pairs are written to the model: one user message each.

    Clipping pixels to [0, 1] and rounding them to 8 bit is part of the classifier, and so is the spelling of
    a sequence of words with single spaces.

    Parameters
    ----------
    inputs : ImageTextInputs
        Its alphabet has to be able to spell: `WordAlphabet`.
    policy : Policy
    """

    inputs: ImageTextInputs
    policy: Policy

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, ImageTextInputs):
            raise ParameterError(f"inputs must be ImageTextInputs(...), got {self.inputs!r}")
        if not isinstance(self.inputs.alphabet, WordAlphabet):
            kind = type(self.inputs.alphabet).__name__
            raise ParameterError(f"an endpoint reads text: the alphabet must be a WordAlphabet, got {kind}")
        self.policy.check_inputs(self.inputs)

    def of(self, batch: Batch, row: int) -> list[dict[str, Any]]:
        """Return the messages about one row, clean or noisy, as plain values."""
        canvas = self.inputs.canvas
        if isinstance(self.inputs.region, SuffixSlots):
            values = {TEXT: as_text(batch["prompt"][row]), SUFFIX: self._spelled(batch["suffix"][row])}
        else:
            values = {TEXT: self._spelled(batch["text"][row]), SUFFIX: ""}
        return self._messages(values, None if canvas is None else data_url(batch["image"][row], canvas))

    def blank(self) -> list[dict[str, Any]]:
        """Return the messages about no text and no image."""
        canvas = self.inputs.canvas
        image = None if canvas is None else data_url(np.full(canvas.features, 0.5), canvas)
        return self._messages({TEXT: "", SUFFIX: ""}, image)

    def _spelled(self, codes: npt.NDArray[np.int64]) -> str:
        alphabet = self.inputs.alphabet
        assert isinstance(alphabet, WordAlphabet)
        return alphabet.spell(codes[codes >= 0].tolist())

    def _messages(self, values: dict[str, str], image: str | None) -> list[dict[str, Any]]:
        pieces = self.policy.filled(values)
        if image is None:
            text = "".join(piece for piece in pieces if piece is not None)
            return [{"role": "user", "content": text}]
        parts: list[dict[str, Any]] = []
        for piece in pieces:
            if piece is None:
                parts.append({"type": "image_url", "image_url": {"url": image}})
            elif piece:
                parts.append({"type": "text", "text": piece})
        return [{"role": "user", "content": parts}]


def data_url(values: npt.NDArray[np.float64], canvas: Canvas) -> str:
    """Return one image, shape (features,), as an 8-bit PNG in a data URL."""
    from PIL import Image

    planes = canvas.planes(values[None])[0]
    levels = np.rint(np.clip(planes, 0.0, 1.0) * 255.0).astype(np.uint8)
    pixels = levels[0] if canvas.channels == 1 else np.ascontiguousarray(levels.transpose(1, 2, 0))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
