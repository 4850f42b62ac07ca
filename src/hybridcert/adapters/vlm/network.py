"""One model asked in batches: about whole prompts, and about several endings after one beginning."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridcert.adapters.vlm.suffix_tree import PackedEndings, additive

if TYPE_CHECKING:
    import torch

Layers = tuple[tuple[Any, Any], ...]
"""Keys and values of every layer."""


class Network:
    """A loaded image–text-to-text model behind three questions.

    Parameters
    ----------
    model : model of transformers, in evaluation mode
    padding : int
        A token id to fill batches with; nothing sees it.
    image_token : int
        The token id that stands for a piece of an image.
    """

    def __init__(self, model: Any, *, padding: int, image_token: int) -> None:
        self.model = model
        self._padding = padding
        self._image_token = image_token
        names = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in names else "past_key_values"
        self._kept = {"logits_to_keep": 1} if "logits_to_keep" in names else {}
        self._tells_images = "mm_token_type_ids" in names
        self.shares = _plain_positions(model.config)

    @property
    def device(self) -> Any:
        """Where the model is."""
        return self.model.device

    def head(self, ids: Sequence[int]) -> Layers:
        """Return keys and values of a text without images that many prompts begin with; none if it is empty.

        None also where the model keeps other things than keys and values of all tokens, or counts positions
        in more than one way: then nothing is shared.
        """
        if not ids or not self.shares:
            return ()
        cache = self._new_cache(())
        self._forward(self._tensor([list(ids)]), {}, cache, **self._kept)
        layers = _layers(cache)
        self.shares = bool(layers)
        return layers

    def last_logits(
        self, rows: Sequence[Sequence[int]], images: Mapping[str, torch.Tensor], head: Layers = ()
    ) -> torch.Tensor:
        """Return the logits behind each prompt, shape (rows, vocabulary).

        Parameters
        ----------
        rows : token ids behind the head, each with the tokens of its image
        images : what the model takes for the images, one for each row
        head : what `head` returned
        """
        import torch

        ids, mask = self._padded(rows)
        if not self.shares:
            kinds = {"mm_token_type_ids": (ids == self._image_token).long()} if self._tells_images else {}
            logits = self._forward(ids, images, None, attention_mask=mask, **kinds, **self._kept)
            return logits[:, -1]
        before = head[0][0].shape[2] if head else 0
        seen = torch.cat([mask.new_ones((len(mask), before)), mask], dim=1)
        position = before + (mask.cumsum(dim=1) - 1).clamp(min=0)
        cache = self._new_cache(_expanded(head, len(mask))) if head else None
        logits = self._forward(ids, images, cache, attention_mask=seen, position_ids=position, **self._kept)
        return logits[:, -1]

    def beginnings(
        self, row: Sequence[int], images: Mapping[str, torch.Tensor], head: Layers, count: int
    ) -> Layers:
        """Return keys and values of ``count`` beginnings that differ in their images only, head included."""
        import torch

        ids = self._tensor([list(row)]).expand(count, -1)
        before = head[0][0].shape[2] if head else 0
        cache = self._new_cache(_expanded(head, count))
        seen = ids.new_ones((count, before + ids.shape[1]))
        position = before + torch.arange(ids.shape[1], device=ids.device).expand(count, -1)
        self._forward(ids, images, cache, attention_mask=seen, position_ids=position, **self._kept)
        return _layers(cache)

    def ending_logits(self, beginnings: Layers, rows: Any, endings: PackedEndings) -> torch.Tensor:
        """Return the logits behind each ending, shape (variants, vocabulary).

        Parameters
        ----------
        beginnings : what `beginnings` returned
        rows : (copies,) int
            Which of them the packed rows belong to.
        endings : PackedEndings
        """
        import torch

        device, prefix = self.device, beginnings[0][0].shape[2]
        index = torch.as_tensor(rows, device=device)
        chosen = tuple((k.index_select(0, index), v.index_select(0, index)) for k, v in beginnings)
        mask = additive(torch.from_numpy(endings.sees).to(device), prefix, chosen[0][0].dtype)
        kept = {"logits_to_keep": endings.endings} if self._kept else {}
        logits = self._forward(
            torch.from_numpy(endings.ids).to(device),
            {},
            self._new_cache(chosen),
            attention_mask=mask,
            position_ids=prefix + torch.from_numpy(endings.depth).to(device),
            **kept,
        )[:, -endings.endings :]
        return logits[torch.from_numpy(endings.row).to(device), torch.from_numpy(endings.column).to(device)]

    def generated(
        self, rows: Sequence[Sequence[int]], images: Mapping[str, torch.Tensor], *, tokens: int
    ) -> Any:
        """Return the ids that the model writes behind each prompt, greedily, shape (rows, at most tokens)."""
        ids, mask = self._padded(rows)
        written = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            **images,
            max_new_tokens=tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=self._padding,
        )
        return written[:, ids.shape[1] :]

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids, padded on the left, and 1 for what is no padding."""
        import torch

        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._padding, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for number, row in enumerate(rows):
            ids[number, longest - len(row) :] = row
            mask[number, longest - len(row) :] = 1
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)

    def _tensor(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        import torch

        return torch.tensor(rows, dtype=torch.int64, device=self.device)

    def _new_cache(self, layers: Layers) -> Any:
        from transformers import DynamicCache

        return DynamicCache(list(layers)) if layers else DynamicCache(config=self.model.config)

    def _forward(
        self, ids: torch.Tensor, images: Mapping[str, torch.Tensor], cache: Any, **options: Any
    ) -> torch.Tensor:
        if cache is not None:
            options[self._cache_name] = cache
        logits: torch.Tensor = self.model(
            input_ids=ids, **images, use_cache=cache is not None, **options
        ).logits
        return logits


def _plain_positions(config: Any) -> bool:
    """Whether positions are counted one by one, and all layers attend to all that was before."""
    text = config.get_text_config()
    scaling = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    return "mrope_section" not in scaling and kinds == {"full_attention"}


def _layers(cache: Any) -> Layers:
    """Return keys and values of a cache; none where it keeps other things."""
    from transformers.cache_utils import DynamicLayer

    if any(type(layer) is not DynamicLayer for layer in cache.layers):
        return ()
    return tuple((layer.keys, layer.values) for layer in cache.layers)


def _expanded(layers: Layers, count: int) -> Layers:
    return tuple((k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in layers)
