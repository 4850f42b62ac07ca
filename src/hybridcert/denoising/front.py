"""Any function of images in front of any classifier that reads images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.adapters.canvas import Canvas
from hybridcert.certificate.ranges import check_count
from hybridcert.denoising.extra import needed
from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.classifier import Batch, Classifier, Loadable
from hybridcert.sampling.wrapped import Wrapped

Front = Callable[[Any], Any]
"""Floating tensor (n, C, H, W) in units of [0, 1], not clipped → tensor of the same shape."""


def denoised(
    classifier: Classifier,
    front: Front,
    *,
    canvas: Canvas,
    modality: str = "image",
    device: str = "cpu",
    batch_size: int = 256,
) -> Denoised:
    """Return a classifier whose images pass through a function first; the rest stays as it is.

    For classifiers that have no ``front`` of their own: tables, endpoints, anything on arrays. Those that
    compute in torch take the function themselves, without a copy between device and host.

    Parameters
    ----------
    classifier : Classifier
        Reads images of ``canvas`` as one of its modalities.
    front : callable
        A picklable function of tensors (n, C, H, W), for instance a `DiffusionDenoiser`. What it does to
        an image must not depend on the rest of the batch. If it has a method ``load``, that is called in
        each worker.
    canvas : Canvas
        Turns the modality's flat rows into images.
    modality : str
        Name of the images among the modalities.
    device : str
        Where ``front`` computes.
    batch_size : int >= 1
        Images at a time.

    Raises
    ------
    ParameterError
        When the classifier has no such modality, or one of another size.
    """
    return Denoised(classifier, front, canvas, modality, device, batch_size)


@dataclasses.dataclass(frozen=True, slots=True)
class Denoised(Wrapped):
    """See `denoised`."""

    classifier: Classifier
    front: Front
    canvas: Canvas
    modality: str
    device: str
    batch_size: int

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)
        surface = self.classifier.surfaces().get(self.modality)
        found = getattr(surface, "features", None)
        if found != self.canvas.features:
            raise ParameterError(
                f"modality {self.modality!r} must have the {self.canvas.features} features of the canvas, "
                f"got {found}: name another modality or canvas"
            )

    def load(self) -> None:
        """Load the function and the classifier, as far as they have something to load."""
        if isinstance(self.front, Loadable):
            self.front.load()
        Wrapped.load(self)

    def predict_encoded(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Return the classifier's answers about the rows with their images passed through the function."""
        torch = needed("torch")
        images = self.canvas.planes(batch[self.modality])
        passed = np.empty(images.shape, dtype=np.float64)
        with torch.inference_mode():
            for start in range(0, len(images), self.batch_size):
                part = torch.as_tensor(images[start : start + self.batch_size], dtype=torch.float32)
                result = self.front(part.to(self.device))
                if tuple(result.shape) != tuple(part.shape):
                    raise ModelError(
                        f"front must return images of shape {tuple(part.shape)}, got {tuple(result.shape)}"
                    )
                passed[start : start + len(part)] = result.float().cpu().numpy()
        rows = passed.reshape(len(images), self.canvas.features)
        return self.classifier.predict_encoded({**batch, self.modality: rows})
