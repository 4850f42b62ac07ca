"""One pass of the network over a batch of prompts and images of one size, and the verdicts that come out."""

from __future__ import annotations

from typing import Any

import torch
from pixels import pixel_values
from prompts import Batch


def patches(model: Any, grey: torch.Tensor) -> torch.Tensor:
    """Return what the projector makes of each patch of 8x8 images; shape (m, 4, WIDTH)."""
    seen = model.model.vision_tower(pixel_values(grey), output_hidden_states=True)
    return model.model.multi_modal_projector(seen.hidden_states[model.config.vision_feature_layer])


def image_tokens(model: Any, grey: torch.Tensor) -> torch.Tensor:
    """Return the image tokens: the whole image, then its one tile, which looks the same, line by line.

    The network's own ``get_image_features`` gives the same, an image at a time.
    """
    whole = patches(model, grey)
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    newline = model.model.image_newline.expand(len(grey), side, 1, -1)
    tile = torch.cat([whole.unflatten(1, (side, side)), newline], dim=2).flatten(1, 2)
    return torch.cat([whole, tile], dim=1)


def hidden(model: Any, batch: Batch, grey: torch.Tensor) -> torch.Tensor:
    """Return the last hidden states; shape (m, longest, WIDTH)."""
    words = model.get_input_embeddings()(batch.ids)
    place = (batch.ids == model.config.image_token_id)[..., None]
    inputs = words.masked_scatter(place, image_tokens(model, grey))
    return model.model.language_model(
        inputs_embeds=inputs, attention_mask=batch.mask, use_cache=False
    ).last_hidden_state


def logits(model: Any, batch: Batch, grey: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Return the logits over the vocabulary at positions (m, k) of each prompt; shape (m, k, words)."""
    rows = torch.arange(len(batch.ids))
    return model.lm_head(hidden(model, batch, grey)[rows[:, None], position])
