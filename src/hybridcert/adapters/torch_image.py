"""Any torch module as a base classifier: on images, numbers, tokens, or several of them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.torch_gradients import behind
from hybridcert.adapters.torch_inputs import IMAGE, NUMERIC, TOKENS, TensorInputs
from hybridcert.adapters.torch_pickling import packed, unpacked
from hybridcert.adapters.torch_sensitivity import MeanGradient, lead
from hybridcert.certificate.ranges import check_count
from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.classifier import Batch, Loadable
from hybridcert.sampling.scores import Sensitivity
from hybridcert.threats import ContinuousSurface, DiscreteSurface, Surface

DTYPES = ("float32", "float64", "float16", "bfloat16")


class TorchClassifier:
    """A trained torch module, its classes, and what it reads.

    Parameters
    ----------
    module : torch.nn.Module, or a picklable function without arguments that returns one
        A module travels to workers with its weights. A function, ``functools.partial(read,
        "weights.pt")``, is called in each of them and has to return the same weights every time; it is the
        choice for large models.
    classes : sequence of labels
        In the order of the module's outputs; at least two.
    image : Canvas, optional
        The module reads images, tensors (n, channels, height, width) of ``dtype`` in units of [0, 1],
        noisy and not clipped. Put normalisation and resizing into the module: they are part of what is
        certified.
    numeric : ContinuousSurface, optional
        It reads numbers, (n, features) of ``dtype``, in the units of the surface.
    tokens : DiscreteSurface, optional
        It reads codes, (n, positions) int64; −1 stands for "no symbol" in sequences.
    arguments : mapping of modality to argument name, optional
        How ``forward`` is called. Default: one modality by position, ``module(x)``; several by keyword,
        ``module(image=…, numeric=…, tokens=…)``. With it by keyword: ``{"tokens": "input_ids"}``.
    front : callable, optional
        Images to images, (n, channels, height, width) float32 on the device, such as a
        `hybridcert.denoising.DiffusionDenoiser`: the module sees what it returns. Picklable.
    device : str
        As torch names it: "cpu", "cuda", "cuda:1", "mps".
    dtype : {"float32", "float64", "float16", "bfloat16"}, optional
        The module is converted to it. Default: the type that its weights have.
    batch_size : int >= 1
        Rows of a forward pass.
    pad_batches : bool
        Fill the last batch up, so that all forward passes have the same shape. See the notes.
    threads : int >= 1, optional
        Threads that torch may use in this process. Two on a busy core can be many times slower than one.

    Raises
    ------
    ParameterError
        For values outside these ranges, or without the extra.

    Notes
    -----
    The module answers with scores (n, classes), or an object that has them as ``logits``; with two classes
    also with one score, (n,) or (n, 1), positive for the second. The first of the largest scores wins. NaN
    is an error, and an input whose calls keep failing is reported as failed.

    A row's answer must not depend on the other rows. Evaluation mode sees to dropout and batch
    normalisation; a module that mixes rows in another way cannot be certified with this. torch promises
    less in the last bits: kernels are chosen by shape, so the same row can have scores that differ by
    rounding in batches of another size, on another device, or with another number of threads, and a row at
    a near tie another answer. Counts are then not the same again to the last copy, for instance when a run
    is resumed. With ``pad_batches`` the shape is always the same, which removes the largest cause. Some
    CUDA operations add in a random order unless `torch.use_deterministic_algorithms` is on, which is left
    to the caller. Noise is drawn in float64; rounding it to ``dtype`` is part of the classifier.

    A module that was passed is put into evaluation mode and moved to the device, not copied, unless ``dtype``
    differs. Two classifiers with the same weights have the same digest; a function is known by its name and
    its arguments only.

    Examples
    --------
    >>> import torch
    >>> from hybridcert.adapters.canvas import Canvas
    >>> from hybridcert.adapters.torch_image import TorchClassifier
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    >>> classifier = TorchClassifier(module, classes=range(10), image=Canvas(8, 8, 1))
    """

    def __init__(
        self,
        module: Any,
        *,
        classes: Sequence[Any],
        image: Canvas | None = None,
        numeric: ContinuousSurface | None = None,
        tokens: DiscreteSurface | None = None,
        arguments: Mapping[str, str] | None = None,
        front: Callable[[Any], Any] | None = None,
        device: str = "cpu",
        dtype: str | None = None,
        batch_size: int = 256,
        pad_batches: bool = False,
        threads: int | None = None,
    ) -> None:
        nn = _torch().nn
        if not callable(module) or (isinstance(module, type) and issubclass(module, nn.Module)):
            raise ParameterError(
                f"module must be a torch.nn.Module or a function that returns one, got {module!r}"
            )
        self.classes = list(classes)
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ParameterError(f"classes must list at least two distinct labels, got {self.classes}")
        self.inputs = TensorInputs(image, numeric, tokens)
        names = set(self.inputs.names)
        if arguments is not None and set(arguments) != names:
            raise ParameterError(f"arguments must name {', '.join(sorted(names))}, got {sorted(arguments)}")
        if front is not None and image is None:
            raise ParameterError("front works on images: pass image=Canvas(height, width, channels) with it")
        if dtype is not None and dtype not in DTYPES:
            raise ParameterError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        check_count("batch_size", batch_size)
        if threads is not None:
            check_count("threads", threads)
        self.module = module
        self.arguments = None if arguments is None else dict(arguments)
        self.front = front
        self.device = str(device)
        self.dtype = dtype
        self.batch_size = batch_size
        self.pad_batches = pad_batches
        self.threads = threads
        self._loaded: Any = None

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Labels in the order of the module's outputs."""
        return np.asarray(self.classes)

    def surfaces(self) -> dict[str, Surface]:
        """What "image", "numeric" and "tokens" are made of, as far as they are there."""
        return self.inputs.surfaces()

    def encode(self, X: Any) -> dict[str, npt.NDArray[Any]]:
        """Check inputs and return their arrays; see `TensorInputs.encode`."""
        return self.inputs.encode(X)

    def load(self) -> None:
        """Get the module ready on its device; once is enough.

        Raises
        ------
        ModelError
            When a function returns no module.
        """
        if self._loaded is not None:
            return
        torch = _torch()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if isinstance(self.front, Loadable):
            self.front.load()
        module = self.module if isinstance(self.module, torch.nn.Module) else self.module()
        if not isinstance(module, torch.nn.Module):
            raise ModelError(f"module() must return a torch.nn.Module, got {type(module).__name__}")
        if self.dtype is not None and _dtype(module) is not getattr(torch, self.dtype):
            module = copy.deepcopy(module) if module is self.module else module
            module = module.to(getattr(torch, self.dtype))
        self._loaded = module.eval().to(self.device)

    def predict_encoded(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Return class indices, ``batch_size`` rows at a time.

        Raises
        ------
        ModelError
            For outputs of another shape, or NaN.
        """
        self.load()
        answers = np.empty(_rows(batch), dtype=np.intp)
        with _torch().inference_mode():
            for rows, part in self._parts(batch):
                scores = self._scores(self._tensors(part), self.front).numpy()
                answers[rows] = np.argmax(scores, axis=1)[: rows.stop - rows.start]
        return answers

    def margins(self, batch: Batch, label: int) -> npt.NDArray[np.float64]:
        """Return the lead of a label's score over the best other one, shape (rows,).

        Its sign is that of `predict_encoded`'s answers, up to ties and the rounding of scores. No guarantee
        rests on it.

        Raises
        ------
        ModelError
            For outputs of another shape, or NaN.
        """
        self.load()
        found = np.empty(_rows(batch))
        with _torch().inference_mode():
            for rows, part in self._parts(batch):
                margins = lead(self._scores(self._tensors(part), self.front), label)
                found[rows] = margins.numpy()[: rows.stop - rows.start]
        return found

    def sensitivity(
        self, batch: Batch, label: int, origin: Mapping[str, npt.NDArray[np.intp]]
    ) -> Sensitivity:
        """Return the derivatives of the mean margin; see `DifferentiableClassifier`.

        Tokens are differentiated by the vectors that embeddings (`torch.nn.Embedding`) give for the codes
        as they are, all of these together; NaN where the module reads its codes in another way. A front
        without derivatives is taken as the identity.

        Raises
        ------
        ModelError
            For a module whose scores torch cannot differentiate.
        """
        self.load()
        gradient = MeanGradient(self._loaded, self.inputs, batch, origin)
        front = None if self.front is None else functools.partial(behind, self.front)
        for rows, part in self._parts(batch):
            gradient.add(rows, self._tensors(part), lambda given: lead(self._scores(given, front), label))
        return gradient.mean()

    def __getstate__(self) -> dict[str, Any]:
        """Return the description; weights as plain arrays, equal in every process that holds the same."""
        state = self.__dict__ | {"_loaded": None, "stored": None}
        if isinstance(self.module, _torch().nn.Module):
            state["module"], state["stored"] = packed(self.module)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        stored = state.pop("stored")
        if stored is not None:
            state["module"] = unpacked(state["module"], stored)
        self.__dict__.update(state)

    def _parts(self, batch: Batch) -> Iterator[tuple[slice, Batch]]:
        """Yield rows, ``batch_size`` at a time, and what they hold, filled up if batches are to be."""
        total = _rows(batch)
        for start in range(0, total, self.batch_size):
            rows = slice(start, min(start + self.batch_size, total))
            part = {name: batch[name][rows] for name in self.inputs.names}
            if self.pad_batches and rows.stop - start < self.batch_size:
                part = {name: _filled(array, self.batch_size) for name, array in part.items()}
            yield rows, part

    def _tensors(self, part: Batch) -> dict[str, Any]:
        """Return the modalities on the device, images as the front takes them if there is one."""
        torch = _torch()
        dtype = _dtype(self._loaded)
        types = {
            IMAGE: dtype if self.front is None else torch.float32,
            NUMERIC: dtype,
            TOKENS: torch.int64,
        }
        found = {}
        for name, array in part.items():
            values = self.inputs.image.planes(array) if name == IMAGE and self.inputs.image else array
            # a copy, which the module may change in place
            found[name] = torch.tensor(values, dtype=types[name], device=self.device)
        return found

    def _scores(self, tensors: Mapping[str, Any], front: Callable[[Any], Any] | None) -> Any:
        """Return the scores of every row on the host, a float64 tensor (rows, classes)."""
        torch = _torch()
        given = dict(tensors)
        if front is not None:
            given[IMAGE] = front(given[IMAGE]).to(_dtype(self._loaded))
        if self.arguments is not None:
            output = self._loaded(**{self.arguments[name]: tensor for name, tensor in given.items()})
        elif len(given) == 1:
            output = self._loaded(*given.values())
        else:
            output = self._loaded(**given)
        output = getattr(output, "logits", output)
        if not isinstance(output, torch.Tensor):
            raise ModelError(f"the module must return scores or logits, got {type(output).__name__}")
        scores = output.cpu().double()
        rows, classes = _rows(given), len(self.classes)
        if classes == 2 and tuple(scores.shape) in ((rows,), (rows, 1)):
            positive = scores.reshape(rows)
            scores = torch.stack([torch.zeros_like(positive), positive], dim=1)
        if tuple(scores.shape) != (rows, classes):
            raise ModelError(
                f"the module must return scores of shape ({rows}, {classes}), got {tuple(scores.shape)}"
            )
        if bool(scores.isnan().any()):
            raise ModelError("the module answered with NaN: no class can be read from that")
        return scores


def _rows(batch: Mapping[str, Any]) -> int:
    return len(next(iter(batch.values())))


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ParameterError(
            f"torch modules need torch: pip install 'hybridcert[vlm]' or 'hybridcert[denoise]' ({error})"
        ) from error
    return torch


def _dtype(module: Any) -> Any:
    """Return the floating type of a module's weights; float32 where it has none."""
    torch = _torch()
    found = (tensor.dtype for tensor in (*module.parameters(), *module.buffers()))
    return next((dtype for dtype in found if dtype.is_floating_point), torch.float32)


def _filled(array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    """Return an array with its last row repeated up to a number of rows."""
    return np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])
