"""A checkpoint's image processor, called on PIL images: for every class that ImagePipeline does not know."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from hybridcert.adapters.vlm.image_pipeline import to_levels
from hybridcert.errors import ModelError

if TYPE_CHECKING:
    import torch

    from hybridcert.adapters.canvas import Canvas


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessorPipeline:
    """Any image processor of transformers, with the members of ``ImagePipeline``.

    Slow: every image is copied to the CPU, made a PIL image and processed on its own. Images are rounded to
    8 bit in the same way, so that both give the same ``pixel_values`` wherever both work.

    Parameters
    ----------
    image_processor : image processor of transformers
    canvas : Canvas
        What images are on before the processor; grey ones are repeated to RGB.
    """

    image_processor: Any
    canvas: Canvas

    @staticmethod
    def of(image_processor: Any, *, canvas: Canvas) -> ProcessorPipeline:
        """Return the pipeline that calls an image processor.

        Raises
        ------
        ModelError
            If the processor cannot be called on a blank image of the canvas, or gives no ``pixel_values``.
        """
        pipeline = ProcessorPipeline(image_processor, canvas)
        name = type(image_processor).__name__
        try:
            found = pipeline._processed(1)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"{name} fails on an image of {canvas.height}×{canvas.width}: {reason}"
            ) from error
        if "pixel_values" not in found:
            raise ModelError(f"{name} must give pixel_values, got {', '.join(sorted(found)) or 'nothing'}")
        return pipeline

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the model takes as ``pixel_values``, float32, on the images' device.

        Parameters
        ----------
        images : tensor of floats, shape (n, C, H, W)
            In units of [0, 1], on any device; values outside are clipped.

        Raises
        ------
        ParameterError
            For images of another shape or type.
        """
        import torch
        from PIL import Image

        levels = to_levels(images, self.canvas).to("cpu", torch.uint8)
        planes = levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
        found = self.image_processor([Image.fromarray(one) for one in planes], return_tensors="pt")
        pixel_values: torch.Tensor = found["pixel_values"].to(images.device, torch.float32)
        return pixel_values

    def extras(self, n: int, device: Any) -> dict[str, torch.Tensor]:
        """Return what the processor gives besides ``pixel_values`` for n images of the canvas.

        Found with blank images: the content of an image must not matter to it.
        """
        found = self._processed(n)
        return {name: found[name].to(device) for name in sorted(found) if name != "pixel_values"}

    def image_tokens(self, config: Any) -> int:
        """Raise ModelError: an image processor alone does not determine the number of image tokens."""
        raise ModelError(
            f"{type(self.image_processor).__name__} does not determine the number of image tokens of "
            f"{getattr(config, 'model_type', 'this model')}: ask the model's processor"
        )

    def _processed(self, n: int) -> dict[str, Any]:
        """Return everything that the processor gives for n blank images."""
        from PIL import Image

        blank = Image.new("RGB", (self.canvas.width, self.canvas.height), (128, 128, 128))
        return dict(self.image_processor([blank] * n, return_tensors="pt"))
