"""How the mean margin of noisy pairs changes with the tokens and pixels that they are copies of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hybridcert.adapters.image_text import IMAGE
from hybridcert.adapters.torch_gradients import (
    VectorSums,
    behind,
    derivatives,
    differentiable,
    looked_up,
)
from hybridcert.adapters.vlm.image_gradient import straight_through
from hybridcert.adapters.vlm.image_pipeline import ImagePipeline
from hybridcert.adapters.vlm.loaded import Loaded
from hybridcert.adapters.vlm.network import Layers
from hybridcert.adapters.vlm.prompt_rows import PromptRows
from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.scores import Sensitivity

if TYPE_CHECKING:
    import torch

Origin = npt.NDArray[np.intp]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """One prompt: its row, its tokens behind the head, and how many of these come before those in play."""

    row: int
    ids: Sequence[int]
    start: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PromptGradient:
    """Differentiates margins through a loaded model, a batch at a time.

    Parameters
    ----------
    loaded : Loaded
    prompts : PromptRows
    front : callable, optional
        See `VisionLanguageClassifier`.
    margins : callable
        Logits (rows, vocabulary) to margins (rows,), tensors.
    """

    loaded: Loaded
    prompts: PromptRows
    front: Callable[[Any], Any] | None
    margins: Callable[[Any], Any]

    def mean(
        self, batch: Batch, origin: Mapping[str, Origin], parts: Iterable[tuple[slice, torch.Tensor]]
    ) -> Sensitivity:
        """Return the derivatives of the mean margin over a batch.

        Parameters
        ----------
        batch : Batch
        origin : see `DifferentiableClassifier.sensitivity`
        parts : pairs of rows, and their images on the canvas (n, C, H, W)

        Raises
        ------
        ParameterError
            Where ``origin`` names another modality than the one in play.
        ModelError
            For a model that cannot be differentiated, with the reason.
        """
        modality = self.prompts.modality
        wrong = sorted(set(origin) - {modality})
        if wrong:
            raise ParameterError(f"origin must name {modality!r} or nothing, got {wrong[0]!r}")
        symbols = batch[modality]
        sums = VectorSums(symbols, origin[modality]) if modality in origin else None
        with differentiable():
            head = tuple((keys.clone(), values.clone()) for keys, values in self.loaded.head)
        found, pixels = np.empty(len(symbols)), np.zeros(batch[IMAGE].shape[1])
        for part, images in parts:
            lines = [self._line(batch, row) for row in range(part.start, part.stop)]
            for some in self._together(lines):
                rows = [line.row for line in some]
                mine = images[[row - part.start for row in rows]]
                margins, by_pixel, by_vector = self._differentiated(some, mine, head)
                found[rows] = margins
                pixels += by_pixel.sum(dim=0).double().cpu().numpy().ravel()
                if sums is not None:
                    self._add(sums, some, symbols, by_vector)
        words = {}
        if sums is not None:
            alphabet, embedding = self.prompts.alphabet, self.loaded.network.model.get_input_embeddings()
            words[modality] = sums.weights(embedding, alphabet.ids, symbols=alphabet.size)
        return Sensitivity(found, {IMAGE: pixels / max(1, len(found))}, words)

    def _line(self, batch: Batch, row: int) -> _Line:
        fixed = self.prompts.fixed(batch, row)
        ids = self.prompts.whole(fixed, batch[self.prompts.modality][row])
        return _Line(row, self.prompts.behind_head(ids), self.prompts.start(fixed))

    def _together(self, lines: list[_Line]) -> list[list[_Line]]:
        """Cut a batch into what the model reads in one forward pass."""
        if self.loaded.network.shares:
            return [lines]
        lengths = sorted({len(line.ids) for line in lines})
        return [[line for line in lines if len(line.ids) == length] for length in lengths]

    def _differentiated(
        self, lines: list[_Line], images: torch.Tensor, head: Layers
    ) -> tuple[npt.NDArray[np.float64], torch.Tensor, torch.Tensor]:
        """Return margins, and the derivatives of their sum by pixels and by the vectors of tokens."""
        network, pipeline = self.loaded.network, self.loaded.pipeline
        name = self.loaded.config.model_type
        if not isinstance(pipeline, ImagePipeline):
            raise ModelError(
                f"the image processor of this {name} has steps that are not known, so its pixels have no "
                "derivatives: attack it by its margins"
            )
        with differentiable(), looked_up([network.model.get_input_embeddings()]) as calls:
            leaf = images.detach().requires_grad_()
            values = straight_through(pipeline, behind(self.front, leaf))
            pixels = self.loaded.of_values(values, len(images))
            logits = network.last_logits([line.ids for line in lines], pixels, head)
            margins = self.margins(logits)
            shape = (len(lines), max(len(line.ids) for line in lines))
            if [call.vectors.shape[:2] for call in calls] != [shape]:
                raise ModelError(
                    f"a model of type {name!r} does not look its prompt up once in its input embeddings, so "
                    "its tokens have no derivatives: attack it by its margins"
                )
            by_pixel, by_vector = derivatives(margins, [leaf, calls[0].vectors], of=f"model {name!r}")
        return margins.detach().cpu().double().numpy(), by_pixel, by_vector

    def _add(
        self, sums: VectorSums, lines: list[_Line], symbols: npt.NDArray[np.int64], by_vector: torch.Tensor
    ) -> None:
        """Add the derivatives by the tokens in play to those of the positions that they come from."""
        rows = np.array([line.row for line in lines])
        held = self.prompts.alphabet.held(symbols[rows])
        from_end = np.array([line.start - len(line.ids) for line in lines])  # lines end together
        column = from_end[:, None] + held.cumsum(axis=1) - 1
        sums.add(rows, held, column, by_vector)
