"""What a classifier makes of its checkpoint: tokenizer and layout at once, the model when it is asked."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import IMAGE, SUFFIX
from hybridcert.adapters.policy import Policy
from hybridcert.adapters.vlm.checkpoint import Checkpoint
from hybridcert.adapters.vlm.image_pipeline import ImagePipeline
from hybridcert.adapters.vlm.image_processor import ProcessorPipeline
from hybridcert.adapters.vlm.network import Layers, Network
from hybridcert.adapters.vlm.prompt_layout import PromptLayout
from hybridcert.adapters.vlm.token_alphabet import forbidden_ids
from hybridcert.errors import ModelError
from hybridcert.sampling.blocks import described

if TYPE_CHECKING:
    import torch


class Loaded:
    """A checkpoint taken apart; each part is read when it is first needed.

    Parameters
    ----------
    checkpoint : Checkpoint
    policy : Policy
    canvas : Canvas
    sha256 : str
        What the checkpoint's digest has to be when the model is loaded.
    """

    def __init__(self, checkpoint: Checkpoint, policy: Policy, canvas: Canvas, *, sha256: str) -> None:
        self._sha256 = sha256
        self._checkpoint = checkpoint
        self._policy = policy
        self._canvas = canvas

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return self._checkpoint.tokenizer()

    @functools.cached_property
    def config(self) -> Any:
        """The model's configuration."""
        return self._checkpoint.config()

    @functools.cached_property
    def chat_template(self) -> str | None:
        """The checkpoint's chat template; None where it has none."""
        return self.tokenizer.chat_template or self._checkpoint.chat_template()

    @functools.cached_property
    def layout(self) -> PromptLayout:
        """The policy as tokens."""
        return PromptLayout.of(self._policy, self.tokenizer, template=self.chat_template)

    @functools.cached_property
    def forbidden(self) -> set[int]:
        """Tokens that no prompt may hold."""
        unknown = {self.tokenizer.unk_token_id} if self.tokenizer.unk_token_id is not None else set()
        return forbidden_ids(self.tokenizer) - unknown

    @functools.cached_property
    def pipeline(self) -> ImagePipeline | ProcessorPipeline:
        """What turns images on the canvas into pixel values."""
        processor = self._checkpoint.image_processor()
        try:
            return ImagePipeline.of(processor, canvas=self._canvas)
        except ModelError:  # a class that the pipeline does not know
            return ProcessorPipeline.of(processor, canvas=self._canvas)

    @functools.cached_property
    def image_token(self) -> int:
        """The token that stands for a piece of an image."""
        for name in ("image_token_id", "image_token_index"):
            if getattr(self.config, name, None) is not None:
                return int(getattr(self.config, name))
        raise ModelError(f"checkpoint {self._checkpoint.path!r} names no image token in its configuration")

    @functools.cached_property
    def image_tokens(self) -> int:
        """How many of them one image takes."""
        try:
            return self.pipeline.image_tokens(self.config)
        except ModelError:  # only some image processors know
            pass
        try:
            return self._counted_by_the_processor()
        except ModelError:  # as where it insists on parts that are not installed
            return self._counted_by_the_model()

    @functools.cached_property
    def window(self) -> int | None:
        """Tokens that the model can read; None where it does not say."""
        window = getattr(self.config.get_text_config(), "max_position_embeddings", None)
        return None if window is None else int(window)

    @functools.cached_property
    def network(self) -> Network:
        """The model; ModelError where the files are no longer those that were described."""
        if self._checkpoint.digest() != self._sha256:
            raise ModelError(
                f"checkpoint {self._checkpoint.name!r} was changed since it was described: build the "
                f"classifier "
                "anew"
            )
        padding = self.tokenizer.pad_token_id
        import torch

        with torch.inference_mode(mode=False):  # weights that are made in it have no derivatives behind them
            model = self._checkpoint.model()
        return Network(model, padding=0 if padding is None else padding, image_token=self.image_token)

    @functools.cached_property
    def head(self) -> Layers:
        """Keys and values of the policy up to the first place."""
        return self.network.head(self.layout.pieces[0])

    @property
    def can_share(self) -> bool:
        """Whether several suffixes can go on from one beginning: it holds the image, and a tail follows."""
        places = self.layout.places
        if SUFFIX not in places or IMAGE not in places:
            return False
        behind = self.layout.filled({}, start=self.layout.place(SUFFIX) + 1)
        return self.network.shares and places.index(IMAGE) < places.index(SUFFIX) and bool(behind)

    def pixels(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what the model takes for images (n, C, H, W), in its own precision."""
        return self.of_values(self.pipeline(images), len(images))

    def of_values(self, values: torch.Tensor, images: int) -> dict[str, torch.Tensor]:
        """Return what the model takes for the pixel values of so many images, in its own precision."""
        device = self.network.device
        extras = self.pipeline.extras(images, device)
        return {"pixel_values": values.to(device, self.network.model.dtype), **extras}

    def _counted_by_the_processor(self) -> int:
        """Let the checkpoint's processor put an image into a text, and count its tokens."""
        from PIL import Image

        processor = self._checkpoint.processor()
        mark = self.tokenizer.convert_ids_to_tokens(self.image_token)
        blank = Image.new("RGB", (self._canvas.width, self._canvas.height))
        try:
            ids = processor(text=[mark], images=[blank])["input_ids"][0]
        except Exception as error:  # processors raise whatever their authors chose
            raise ModelError(
                f"the processor of checkpoint {self._checkpoint.path!r} fails on a text with an image: "
                f"{described(error)}"
            ) from error
        return sum(int(token) == self.image_token for token in ids)

    def _counted_by_the_model(self) -> int:
        """Let the model's vision tower see a blank image, and count what it hands on."""
        import torch

        shape = (1, self._canvas.channels, self._canvas.height, self._canvas.width)
        try:
            with torch.inference_mode():
                blank = torch.full(shape, 0.5, dtype=torch.float64, device=self.network.device)
                found = self.network.model.get_image_features(**self.pixels(blank))
                features = getattr(found, "pooler_output", found)
                first = features[0] if isinstance(features, list | tuple) else features
                return int(first.reshape(-1, first.shape[-1]).shape[0])
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"neither processor nor model of checkpoint {self._checkpoint.path!r} tells how many tokens "
                f"an image takes: {described(error)}"
            ) from error
