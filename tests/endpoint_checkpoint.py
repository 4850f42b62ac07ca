"""A tiny checkpoint of LLaVA-OneVision's architecture for servers: it calls bright images unsafe.

Its weights are random except for the two rows that write Safe and Unsafe, which are set to tell bright
images from dark ones. Run as a script it writes the checkpoint and becomes `transformers serve`, which loads
any folder that a request names as its model.

Without torchvision `LlavaOnevisionProcessor` cannot be loaded: it insists on a video processor, which has no
other implementation. `LlavaNextProcessor` has none, and counts the same image tokens as long as an image has
no more tiles than "anyres_max_9" allows; so processor_config.json names that one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from endpoint_server import free_port, wait_for

PROMPT = "is the picture"
"""What is asked about an image; all words are in the vocabulary."""

SERVE_NEEDS = ("torch", "transformers", "accelerate", "PIL", "fastapi", "uvicorn", "openai")

_SPECIAL = ("<pad>", "<unk>", "<eos>", "<image>", "<video>", "<|user|>", "<|assistant|>")
_WORDS = ("Safe", "Unsafe", *PROMPT.split(), "safe", "?")
_SIDE, _PATCH = 28, 14

_TEMPLATE = (
    "{% for message in messages %}<|user|> "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %} "
    "{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclasses.dataclass(frozen=True)
class ServeProcess:
    """A `transformers serve` process, and the folder of the checkpoint."""

    process: subprocess.Popen[bytes]
    port: int
    model: str
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def wait(self) -> None:
        """Wait until it listens; show its log if it does not."""
        try:
            wait_for(self.port, self.process, 120.0)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.log.read_text()[-2000:]}") from error


@contextlib.contextmanager
def serve_process(folder: Path) -> Iterator[ServeProcess]:
    """Start a process that writes the checkpoint and serves it; kill it in the end."""
    port, model, log = free_port(), folder / "checkpoint", folder / "log"
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        command = [sys.executable, __file__, str(model), str(port)]
        with subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=offline) as process:
            try:
                yield ServeProcess(process, port, str(model), log)
            finally:
                process.kill()


def write_checkpoint(folder: Path) -> None:
    """Write configuration, weights, tokenizer and processors."""
    import torch
    from transformers import LlavaNextProcessor, LlavaOnevisionImageProcessorPil

    tokenizer = _tokenizer()
    tokenizer.chat_template = _TEMPLATE
    images = LlavaOnevisionImageProcessorPil(
        size={"height": _SIDE, "width": _SIDE}, image_grid_pinpoints=[[_SIDE, _SIDE]]
    )
    processor = LlavaNextProcessor(
        images, tokenizer, patch_size=_PATCH, vision_feature_select_strategy="full"
    )
    torch.manual_seed(0)
    model = _model(tokenizer)
    _teach(model, processor)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    images.save_pretrained(folder)
    name_processor(folder)


def name_processor(folder: Path) -> None:
    """Let a checkpoint with SigLIP's 14-pixel patches be loaded without torchvision."""
    named = {
        "processor_class": "LlavaNextProcessor",
        "patch_size": _PATCH,
        "vision_feature_select_strategy": "full",
    }
    (folder / "processor_config.json").write_text(json.dumps(named))


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    codes = {token: code for code, token in enumerate((*_SPECIAL, *_WORDS))}
    words = Tokenizer(models.WordLevel(codes, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<eos>",
        additional_special_tokens=["<image>", "<video>", "<|user|>", "<|assistant|>"],
    )


def _model(tokenizer: Any) -> Any:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        Qwen2Config,
        SiglipVisionConfig,
    )

    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        num_key_value_heads=2,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        **shape,
    )
    config = LlavaOnevisionConfig(
        text_config=text,
        vision_config=SiglipVisionConfig(image_size=_SIDE, patch_size=_PATCH, **shape),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[_SIDE, _SIDE]],
        tie_word_embeddings=False,
    )
    return LlavaOnevisionForConditionalGeneration(config).eval()


def _teach(model: Any, processor: Any) -> None:
    """Set the rows that write the labels: the direction in which bright and dark images differ."""
    import numpy as np
    import torch
    from PIL import Image

    states = []
    for level in (230, 25):
        image = Image.fromarray(np.full((8, 8, 3), level, dtype=np.uint8))
        text = f"<|user|> <image> {PROMPT} <|assistant|>"
        inputs = processor(images=image, text=text, return_tensors="pt")
        with torch.inference_mode():
            states.append(model.model(**inputs).last_hidden_state[0, -1])
    bright, dark = states
    apart, middle = bright - dark, (bright + dark) / 2
    apart = apart - middle * (apart @ middle) / (middle @ middle)
    rows = torch.zeros_like(model.lm_head.weight)
    rows[processor.tokenizer.convert_tokens_to_ids("Unsafe")] = apart
    rows[processor.tokenizer.convert_tokens_to_ids("Safe")] = -apart
    model.lm_head.weight.data = rows * 10.0 / apart.norm()


if __name__ == "__main__":
    from transformers.cli.transformers import main

    write_checkpoint(Path(sys.argv[1]))
    sys.argv = ["transformers", "serve", "--host", "127.0.0.1", "--port", sys.argv[2]]
    main()
