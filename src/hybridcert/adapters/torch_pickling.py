"""torch modules as picklable objects: equal weights give equal content, in every process."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class StoredTensor:
    """A tensor's bytes on the host: torch's own pickles of tensors hold memory addresses.

    Parameters
    ----------
    values : uint8 array
    shape : tuple of int
    dtype : str
        Name of a torch type.
    parameter : bool
        Parameter or buffer.
    requires_grad : bool
    """

    values: npt.NDArray[np.uint8]
    shape: tuple[int, ...]
    dtype: str
    parameter: bool
    requires_grad: bool

    @classmethod
    def of(cls, tensor: Any) -> StoredTensor:
        """Return what a dense tensor holds."""
        import torch

        flat = tensor.detach().cpu().contiguous().reshape(-1)
        return cls(
            flat.view(torch.uint8).numpy().copy(),
            tuple(tensor.shape),
            str(tensor.dtype).removeprefix("torch."),
            isinstance(tensor, torch.nn.Parameter),
            bool(tensor.requires_grad),
        )

    def tensor(self) -> Any:
        """Return the tensor on the CPU."""
        import torch

        tensor = torch.empty(self.shape, dtype=getattr(torch, self.dtype))
        if self.values.size:
            tensor = torch.from_numpy(self.values.copy()).view(tensor.dtype).reshape(self.shape)
        if self.parameter:
            return torch.nn.Parameter(tensor, requires_grad=self.requires_grad)
        return tensor.requires_grad_(self.requires_grad)


def packed(module: Any) -> tuple[Any, list[StoredTensor]]:
    """Return a copy of a module that holds `StoredTensor` in place of tensors, in evaluation mode, and these.

    Shared weights stay shared. Tensors of special types (sparse, quantised, on no device) stay as they are.
    """
    import torch

    stored: list[StoredTensor] = []
    memo: dict[int, Any] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout is torch.strided
        if plain and tensor.device.type != "meta" and not tensor.is_quantized:
            memo[id(tensor)] = StoredTensor.of(tensor)
            stored.append(memo[id(tensor)])
    skeleton = copy.deepcopy(module, memo)
    for part in skeleton.modules():
        part.training = False
    return skeleton, stored


def unpacked(skeleton: Any, stored: list[StoredTensor]) -> Any:
    """Return the module that `packed` packed, on the CPU."""
    return copy.deepcopy(skeleton, {id(one): one.tensor() for one in stored})
