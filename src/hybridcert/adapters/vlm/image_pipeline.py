"""From noisy images to a vision tower's input, in batches, on the device, without PIL.

Equal to rounding each image to 8 bit, making a PIL image of it and calling the checkpoint's own processor.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from hybridcert.adapters.vlm.image_plan import Chain, ImagePlan, read_plan
from hybridcert.adapters.vlm.image_tokens import onevision_image_tokens
from hybridcert.errors import ModelError, ParameterError

if TYPE_CHECKING:
    import torch

    from hybridcert.adapters.canvas import Canvas

# Values per step worked on at once: what a core's cache holds, and a fraction of an accelerator's memory.
_VALUES_CPU = 1 << 19
_VALUES_DEVICE = 1 << 25


def to_levels(images: torch.Tensor, canvas: Canvas) -> torch.Tensor:
    """Return images as 8-bit levels.

    Parameters
    ----------
    images : tensor of floats, shape (n, C, H, W)
        Any values, in units of [0, 1], on any device.
    canvas : Canvas
        The canvas that they must be on.

    Returns
    -------
    tensor of float32 (float64 for float64 images), shape (n, C, H, W)
        Whole numbers k from 0 to 255, for the values k/255: values are clipped to [0, 1] and rounded to the
        nearest level, ties to the even one. An image that came from 8 bit is given back exactly
        (bfloat16 is too coarse for that).

    Raises
    ------
    ParameterError
        For images of another shape or type.
    """
    import torch

    shape = (canvas.channels, canvas.height, canvas.width)
    if images.ndim != 4 or tuple(images.shape[1:]) != shape or not images.is_floating_point():
        raise ParameterError(
            f"images must be floats of shape (n, {', '.join(map(str, shape))}), got {images.dtype} of shape "
            f"{tuple(images.shape)}"
        )
    images = images.detach()
    if images.dtype != torch.float64:
        images = images.to(torch.float32)
    return images.clamp(0.0, 1.0).mul_(255.0).round_()


@dataclasses.dataclass(frozen=True, slots=True)
class ImagePipeline:
    """A checkpoint's image processor for images on one canvas, in torch, for whole batches.

    What ``of`` returns gives exactly the processor's ``pixel_values`` for images of 8 bit, bit for bit, with
    the processor's PIL backend. With the torchvision backend images are resized as with PIL, from which
    torchvision's resizing differs by up to two levels, in about one value of a hundred. All views and tiles
    of an image come from the same levels, so noise that was added to an image once is the same in all of
    them. Gradients end here: rounding to levels has none; `straight_through` leaves rounding out of them.

    Parameters
    ----------
    canvas : Canvas
        What images are on before the processor; grey ones are repeated to RGB.
    plan : ImagePlan
        The processor's steps.

    Examples
    --------
    >>> import torch, transformers
    >>> from hybridcert.adapters.canvas import Canvas
    >>> own = transformers.SiglipImageProcessorPil()
    >>> ImagePipeline.of(own, canvas=Canvas(28, 28, channels=1))(torch.rand(16, 1, 28, 28)).shape
    torch.Size([16, 3, 224, 224])
    """

    canvas: Canvas
    plan: ImagePlan

    @staticmethod
    def of(image_processor: Any, *, canvas: Canvas) -> ImagePipeline:
        """Return the pipeline that does what an image processor of transformers does.

        Parameters
        ----------
        image_processor : LlavaOnevisionImageProcessor, SiglipImageProcessor, CLIPImageProcessor, ...
            With either backend; also every class that only resizes, centre-crops, rescales and normalises.
        canvas : Canvas
            The images' size and channels.

        Raises
        ------
        ModelError
            For another class or setting. ``ProcessorPipeline`` calls such a processor itself.
        """
        return ImagePipeline(canvas, read_plan(image_processor, canvas))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the model takes as ``pixel_values``.

        Parameters
        ----------
        images : tensor of floats, shape (n, C, H, W)
            Noisy images in units of [0, 1], on any device; values outside are clipped (see ``to_levels``).

        Returns
        -------
        tensor of float32, shape (n, 3, height, width), or (n, views, 3, height, width) with tiles
            On the images' device.

        Raises
        ------
        ParameterError
            For images of another shape or type.
        """
        import torch

        if images.device.type == "mps":  # has no float64
            result: torch.Tensor = self(images.cpu()).to(images.device)
            return result
        plan = self.plan
        shape = (len(images), len(plan.order), 3, *plan.size)
        out = images.new_empty(shape, dtype=torch.float32)
        step = self._images_at_once(images.device.type)
        for start in range(0, max(len(images), 1), step):
            self._fill(out[start : start + step], images[start : start + step])
        return out if plan.tiled else out[:, 0]

    def extras(self, n: int, device: Any) -> dict[str, torch.Tensor]:
        """Return what the model takes besides ``pixel_values`` for n images.

        Returns
        -------
        dict
            With tiles ``image_sizes``, int64 of shape (n, 2), height and width of the canvas; else nothing.
        """
        import torch

        if not self.plan.tiled:
            return {}
        size = torch.tensor([[self.canvas.height, self.canvas.width]], device=device)
        return {"image_sizes": size.repeat(n, 1)}

    def image_tokens(self, config: Any) -> int:
        """Return how many image tokens a text needs for one image of the canvas.

        Parameters
        ----------
        config : LlavaOnevisionConfig
            The model's configuration.

        Raises
        ------
        ModelError
            For a processor without tiles, where the model's own processor class decides, or a configuration
            that disagrees with the image processor.
        """
        if not self.plan.tiled:
            raise ModelError(
                "without tiles the number of image tokens is the model's choice: ask its processor"
            )
        return onevision_image_tokens(
            config, canvas=self.canvas, tile_grid=self.plan.tile_grid, tile=self.plan.size
        )

    def _images_at_once(self, device: str) -> int:
        """Return how many images are worked on together."""
        sizes = [self.canvas.height * self.canvas.width * self.canvas.channels]
        sizes.append(self.plan.size[0] * self.plan.size[1] * 3)
        values = _VALUES_CPU if device == "cpu" else _VALUES_DEVICE
        return max(values // max(sizes), 1)

    def _fill(self, out: torch.Tensor, images: torch.Tensor) -> None:
        """Write the views (n, views, 3, height, width) of a few images."""
        done: dict[Chain, torch.Tensor] = {(): to_levels(images, self.canvas).double()}
        if not len(images):
            return
        for chain in self.plan.views:
            for length in range(1, len(chain) + 1):
                if chain[:length] not in done:
                    done[chain[:length]] = chain[length - 1](done[chain[: length - 1]])
        first: dict[int, int] = {}
        for position, view in enumerate(self.plan.order):
            if view in first:
                out[:, position] = out[:, first[view]]
            else:
                self._normalise(done[self.plan.views[view]], out[:, position])
                first[view] = position

    def _normalise(self, levels: torch.Tensor, out: torch.Tensor) -> None:
        """Write levels (n, C, height, width) as the processor rescales and normalises them.

        The processor multiplies in float64 and subtracts and divides in float32; so does this.
        """
        import torch

        plan = self.plan
        values = (levels if plan.scale is None else levels * plan.scale).to(torch.float32)
        if plan.mean is None or plan.std is None:
            out.copy_(values.expand_as(out))
            return
        mean, std = (out.new_tensor(three).view(3, 1, 1) for three in (plan.mean, plan.std))
        torch.sub(values, mean, out=out).div_(std)
