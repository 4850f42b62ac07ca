"""Derivatives through what torch models read: images behind a front, and codes by way of embeddings."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.blocks import described

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float64]

_SYMBOLS_AT_ONCE = 4096
"""Rows of an embedding's table that are looked up together."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """One call of an embedding.

    Attributes
    ----------
    embedding : torch module
    codes : tensor of int
        What it was asked for.
    vectors : tensor of shape (*codes.shape, width)
        What it answered: a leaf, on which everything behind depends.
    """

    embedding: Any
    codes: torch.Tensor
    vectors: torch.Tensor


@contextlib.contextmanager
def looked_up(embeddings: Iterable[Any]) -> Iterator[list[Lookup]]:
    """Collect the calls of embeddings, whose answers become leaves that can be differentiated by."""
    calls: list[Lookup] = []

    def keep(embedding: Any, arguments: Any, keywords: Any, output: torch.Tensor) -> torch.Tensor:
        leaf = output.detach().requires_grad_()
        calls.append(Lookup(embedding, arguments[0] if arguments else keywords["input"], leaf))
        return leaf.clone()  # a leaf could not be changed in place by what follows

    hooks = [embedding.register_forward_hook(keep, with_kwargs=True) for embedding in embeddings]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


class VectorSums:
    """Adds up derivatives by vectors, for each position of the input that their symbols were taken over from.

    Parameters
    ----------
    symbols : (rows, width) int
        What the copies hold.
    origin : (rows, width) int
        See `DifferentiableClassifier.sensitivity`.

    Raises
    ------
    ParameterError
        Where ``origin`` has another shape.
    """

    def __init__(self, symbols: npt.NDArray[np.int64], origin: npt.NDArray[np.intp]) -> None:
        if origin.shape != symbols.shape:
            raise ParameterError(
                f"origin must have the shape {symbols.shape} of the copies, got {origin.shape}"
            )
        self._origin = origin
        self._carried = np.zeros(max(symbols.shape[1], int(origin.max(initial=-1)) + 1), dtype=np.bool_)
        self._sums: Any = None

    def add(
        self,
        rows: npt.NDArray[np.intp],
        held: npt.NDArray[np.bool_],
        column: npt.NDArray[np.intp],
        by_vector: torch.Tensor,
    ) -> None:
        """Add the derivatives of some rows.

        Parameters
        ----------
        rows : (n,) int
            Numbers of the copies.
        held : (n, width) bool
            Which of their symbols have a vector.
        column : (n, width) int
            Which one; negative numbers count from the end.
        by_vector : (n, columns, size) tensor
        """
        import torch

        origin = self._origin[rows]
        row, symbol = np.nonzero(held & (origin >= 0))
        position = origin[row, symbol]
        vectors = by_vector[row.tolist(), column[row, symbol].tolist()].cpu().double()
        if self._sums is None:
            self._sums = torch.zeros((len(self._carried), by_vector.shape[2]), dtype=torch.float64)
        self._sums.index_add_(0, torch.from_numpy(position), vectors)
        self._carried[position] = True

    def weights(self, embedding: Any, codes: npt.NDArray[np.int64], *, symbols: int) -> Floats:
        """Return the derivative of the mean for each symbol at each position, shape (positions, symbols).

        NaN at positions that no copy carries, and behind the symbols that there are vectors of.

        Parameters
        ----------
        embedding : torch module
        codes : (vectors,) int
            The symbols 0, 1, … as the embedding knows them.
        symbols : int >= vectors
        """
        import torch

        found = np.full((len(self._carried), symbols), np.nan)
        carried = np.flatnonzero(self._carried)
        if not carried.size:
            return found
        device = next(embedding.parameters()).device
        mean = (self._sums[carried] / len(self._origin)).to(device, torch.float32)
        for start in range(0, len(codes), _SYMBOLS_AT_ONCE):
            asked = torch.from_numpy(codes[start : start + _SYMBOLS_AT_ONCE]).to(device)
            with torch.no_grad():
                products = mean @ embedding(asked).float().T
            found[carried, start : start + len(asked)] = products.cpu().numpy()
        return found


def behind(front: Callable[[Any], Any] | None, images: torch.Tensor) -> torch.Tensor:
    """Return what a function makes of images; one without derivatives is differentiated as the identity."""
    if front is None:
        return images
    passed: torch.Tensor = front(images.clone())
    if passed.requires_grad:
        return passed
    return passed.clone() + (images - images.detach()).to(passed.dtype)


def derivatives(margins: torch.Tensor, leaves: Sequence[torch.Tensor], *, of: str) -> list[torch.Tensor]:
    """Return the derivatives of the sum of margins by each leaf; 0 where the margins do not depend on it.

    What is no number, as behind broken scores, is 0 as well: nothing is known of that row.

    Raises
    ------
    ModelError
        Naming the model (``of``), where it gives none.
    """
    import torch

    if not margins.requires_grad:
        raise ModelError(f"{of} gives no derivatives: its scores do not depend on its inputs for torch")
    try:
        found = torch.autograd.grad(margins.sum(), leaves, allow_unused=True)
    except RuntimeError as error:
        raise ModelError(f"{of} gives no derivatives: {described(error)}") from error
    return [
        torch.zeros_like(leaf) if one is None else torch.nan_to_num(one, nan=0.0, posinf=0.0, neginf=0.0)
        for one, leaf in zip(found, leaves, strict=True)
    ]


@contextlib.contextmanager
def differentiable() -> Iterator[None]:
    """Record operations, whatever the caller has turned off."""
    import torch

    with torch.inference_mode(mode=False), torch.enable_grad():
        yield
