"""How the mean margin of a torch module changes with the images, numbers and codes that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hybridcert.adapters.torch_gradients import VectorSums, derivatives, differentiable, looked_up
from hybridcert.adapters.torch_inputs import TOKENS, TensorInputs
from hybridcert.errors import ParameterError
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.scores import Sensitivity

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float64]


def lead(scores: torch.Tensor, label: int) -> torch.Tensor:
    """Return by how much the score of a label exceeds the largest of the others, finite, shape (rows,)."""
    import torch

    most = torch.finfo(scores.dtype).max / 4
    scores = scores.clamp(-most, most)
    others = torch.cat([scores[:, :label], scores[:, label + 1 :]], dim=1)
    return scores[:, label] - others.amax(dim=1)


class MeanGradient:
    """Differentiates margins by what a module reads, a batch at a time.

    Parameters
    ----------
    module : torch.nn.Module
    inputs : TensorInputs
    batch : Batch
        Noisy copies of one input.
    origin : see `DifferentiableClassifier.sensitivity`

    Raises
    ------
    ParameterError
        Where ``origin`` names something else than tokens that are there.
    """

    def __init__(
        self,
        module: Any,
        inputs: TensorInputs,
        batch: Batch,
        origin: Mapping[str, npt.NDArray[np.intp]],
    ) -> None:
        import torch

        allowed = {TOKENS} if inputs.tokens is not None else set()
        wrong = sorted(set(origin) - allowed)
        if wrong:
            raise ParameterError(f"origin must name {TOKENS!r} or nothing, got {wrong[0]!r}")
        self._inputs = inputs
        self._codes = batch[TOKENS] if TOKENS in origin else None
        self._origin = origin.get(TOKENS)
        self._embeddings = [part for part in module.modules() if isinstance(part, torch.nn.Embedding)]
        self._sums: dict[Any, VectorSums] = {}
        self._margins = np.empty(len(next(iter(batch.values()))))
        self._totals = {name: np.zeros(batch[name].shape[1]) for name in inputs.names if name != TOKENS}

    def add(
        self,
        rows: slice,
        tensors: Mapping[str, torch.Tensor],
        margins_of: Callable[[Mapping[str, torch.Tensor]], torch.Tensor],
    ) -> None:
        """Add the derivatives of some rows; tensors may hold more, which are left out.

        Raises
        ------
        ModelError
            For a module that cannot be differentiated, with the reason.
        """
        count = rows.stop - rows.start
        leaves = {name: tensors[name].detach().clone().requires_grad_() for name in self._totals}
        asked = () if self._codes is None else self._embeddings
        with differentiable(), looked_up(asked) as calls:
            # copies of the leaves, which the module may change in place
            margins = margins_of({**tensors, **{name: leaf.clone() for name, leaf in leaves.items()}})
            mine = [call for call in calls if _reads(call.codes, tensors[TOKENS])]
            by = [*leaves.values(), *(call.vectors for call in mine)]
            found = derivatives(margins[:count], by, of="the module") if by else []
        self._margins[rows] = margins.detach()[:count].numpy()
        for name, gradient in zip(leaves, found, strict=False):
            flat = gradient[:count].reshape(count, -1)
            self._totals[name] += flat.double().sum(dim=0).cpu().numpy()
        for call, gradient in zip(mine, found[len(leaves) :], strict=True):
            self._add_vectors(rows, call.embedding, gradient[:count])

    def mean(self) -> Sensitivity:
        """Return the derivatives of the mean margin."""
        rows = max(1, len(self._margins))
        words = {} if self._codes is None else {TOKENS: self._weights()}
        return Sensitivity(self._margins, {n: total / rows for n, total in self._totals.items()}, words)

    def _add_vectors(self, rows: slice, embedding: Any, gradient: torch.Tensor) -> None:
        assert self._codes is not None
        assert self._origin is not None
        if embedding not in self._sums:
            self._sums[embedding] = VectorSums(self._codes, self._origin)
        held = self._codes[rows] >= 0
        column = np.broadcast_to(np.arange(held.shape[1]), held.shape)
        self._sums[embedding].add(np.arange(rows.start, rows.stop), held, column, gradient)

    def _weights(self) -> Floats:
        """Return the derivative for each symbol at each position of the codes."""
        assert self._inputs.tokens is not None
        assert self._codes is not None
        sizes = np.array(self._inputs.tokens.alphabet_sizes)
        found = np.full((self._codes.shape[1], sizes.max()), np.nan)
        for number, (embedding, sums) in enumerate(self._sums.items()):
            codes = np.arange(min(sizes.max(), embedding.num_embeddings))
            weights = sums.weights(embedding, codes, symbols=sizes.max())
            found = weights if number == 0 else found + weights
        found[np.arange(sizes.max()) >= sizes[: len(found), None]] = np.nan
        return found


def _reads(codes: torch.Tensor, tokens: torch.Tensor) -> bool:
    """Whether an embedding was asked for the codes as they are, or for anything where there is no symbol."""
    if codes.shape != tokens.shape:
        return False
    return bool(((codes == tokens) | (tokens < 0)).all())
