"""One model asked in batches: about whole prompts, and about several endings after one beginning."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridcert.adapters.vlm.suffix_tree import PackedEndings, additive
from hybridcert.errors import ModelError

if TYPE_CHECKING:
    import torch

Layers = tuple[tuple[Any, Any], ...]
"""Keys and values of every layer."""

SHARING = {
    (model, text)
    for model in ("llava", "llava_next", "llava_onevision", "vipllava")
    for text in ("llama", "mistral", "qwen2", "qwen3")
}
"""Types of models, and of the text models in them, that read from left to right, one position a token."""

_WITH_KINDS = frozenset({"gemma3", "gemma3n"})
_WITHOUT_KINDS = frozenset({"paligemma"})
"""PaliGemma takes kinds in training only, and reads its whole prompt at once without them."""


class Network:
    """A loaded image–text-to-text model behind three questions.

    Beginnings are shared, and prompts of different lengths padded, only for architectures that are known to
    read from left to right, one position a token (`SHARING`). All others are asked in batches of
    one length, about whole prompts, as their own code does it.

    Parameters
    ----------
    model : model of transformers, in evaluation mode
    padding : int
        A token id to fill batches with; nothing sees it.
    image_token : int
        The token id that stands for a piece of an image.

    Raises
    ------
    ModelError
        For a model that has to be told kinds of tokens which are not known here.
    """

    def __init__(self, model: Any, *, padding: int, image_token: int) -> None:
        self.model = model
        self._padding = padding
        self._image_token = image_token
        names = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in names else "past_key_values"
        self._kept = {"logits_to_keep": 1} if "logits_to_keep" in names else {}
        self._kinds = _kinds_of(model.config.model_type, set(names))
        self.shares = _reads_left_to_right(model.config)

    @property
    def device(self) -> Any:
        """Where the model is."""
        return self.model.device

    def head(self, ids: Sequence[int]) -> Layers:
        """Return keys and values of a text without images that many prompts begin with.

        None where there is no such text, or the model's beginnings are not shared.
        """
        if not ids or not self.shares:
            return ()
        cache = self._new_cache(())
        self._forward(self._tensor([list(ids)]), {}, cache, **self._kept)
        return _layers(cache)

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

        if not self.shares:
            parts = self._of_one_length(rows, images)
            found = [(index, self._whole(ids, some, self._kept)) for index, ids, some in parts]
            logits = torch.cat([part for _, part in found])
            order = torch.tensor([row for index, _ in found for row in index], device=logits.device)
            return logits[order.argsort()]
        ids, mask = self._padded(rows)
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
    ) -> list[list[int]]:
        """Return the ids that the model writes behind each prompt, greedily, at most ``tokens``."""
        import torch

        written: dict[int, list[int]] = {}
        for index, ids, some in self._of_one_length(rows, images):
            found = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                **self._told(ids),
                **some,
                max_new_tokens=tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=self._padding,
            )
            written |= zip(index, found[:, ids.shape[1] :].tolist(), strict=True)
        return [written[row] for row in range(len(rows))]

    def _whole(
        self, ids: torch.Tensor, images: Mapping[str, torch.Tensor], kept: Mapping[str, Any]
    ) -> torch.Tensor:
        """Return the logits behind whole prompts of one length."""
        import torch

        mask = torch.ones_like(ids)
        return self._forward(ids, images, None, attention_mask=mask, **self._told(ids), **kept)[:, -1]

    def _told(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the kinds of tokens, where the model wants to be told."""
        return {name: (ids == self._image_token).long() for name in self._kinds}

    def _of_one_length(
        self, rows: Sequence[Sequence[int]], images: Mapping[str, torch.Tensor]
    ) -> Iterator[tuple[list[int], torch.Tensor, dict[str, torch.Tensor]]]:
        """Yield rows of one length each: their numbers, ids, and what belongs to their images."""
        lengths = np.array([len(row) for row in rows])
        for length in np.unique(lengths):
            index = np.flatnonzero(lengths == length).tolist()
            some = {name: _part(values, index, len(rows)) for name, values in images.items()}
            yield index, self._tensor([list(rows[row]) for row in index]), some

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


def _reads_left_to_right(config: Any) -> bool:
    """Whether what a model makes of a beginning does not depend on what follows, nor on padding before it."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    text = config.get_text_config()
    if (config.model_type, text.model_type) not in SHARING or getattr(
        text, "use_bidirectional_attention", False
    ):
        return False
    if getattr(config, "_attn_implementation", "sdpa") not in ("sdpa", "eager"):
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def _kinds_of(model_type: str, names: set[str]) -> tuple[str, ...]:
    """Return the arguments by which a model is told which tokens are images."""
    if "mm_token_type_ids" in names:
        return ("mm_token_type_ids",)
    if "token_type_ids" not in names or model_type in _WITHOUT_KINDS:
        return ()
    if model_type in _WITH_KINDS:
        return ("token_type_ids",)
    raise ModelError(
        f"models of type {model_type!r} have to be told kinds of tokens (token_type_ids), which is known of "
        f"{', '.join(sorted(_WITH_KINDS))} only"
    )


def _part(values: torch.Tensor, index: list[int], images: int) -> torch.Tensor:
    """Return what belongs to some of the images, each of which has as many rows of its own."""
    own = len(values) // images
    return values.reshape(images, own, *values.shape[1:])[index].reshape(-1, *values.shape[1:])


def _layers(cache: Any) -> Layers:
    return tuple((layer.keys, layer.values) for layer in cache.layers)


def _expanded(layers: Layers, count: int) -> Layers:
    return tuple((k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in layers)
