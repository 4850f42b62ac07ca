"""The parts of the tiny guard: its words, its policy, its tokenizer, its image processor and its network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    PreTrainedTokenizerFast,
)

from hybridcert.datasets.digits_captions import PAD, VOCABULARY

POLICY = "does the message name the digit shown ? image {image} message {text} <|note|> {suffix}"
"""The guard's prompt. What is constant comes first and the slots come last; a special token, which no message
can hold, parts the message from the slots."""
IMAGE, MASK, UNKNOWN, USER, ASSISTANT, NOTE, END = (
    "<image>",
    "<mask>",
    "<unk>",
    "<|user|>",
    "<|assistant|>",
    "<|note|>",
    "<|end|>",
)
SPECIAL = (PAD, UNKNOWN, IMAGE, MASK, USER, ASSISTANT, NOTE, END)
SAFE, UNSAFE = "Safe", "Unsafe"
VERDICTS = (SAFE, UNSAFE)
"""The answers, in the order of the classes: 0 is safe, 1 is unsafe."""
PLACEHOLDERS = ("{image}", "{text}", "{suffix}")
WORDS = tuple(
    dict.fromkeys(
        word for word in (*VOCABULARY, *POLICY.split(), *VERDICTS) if word not in SPECIAL + PLACEHOLDERS
    )
)
"""Every word that the guard knows, special tokens apart."""

TEMPLATE = (
    "{%- for message in messages -%}<|{{ message['role'] }}|>"
    "{%- if message['content'] is string -%}{{ ' ' + message['content'] }}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{ ' <image>' }}"
    "{%- elif part['type'] == 'text' -%}{{ ' ' + part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{ ' ' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
SIDE, PATCH, WIDTH, LAYERS, HEADS = 28, 14, 64, 2, 4
MEAN, STD = 0.5, 0.5


def new_tokenizer() -> PreTrainedTokenizerFast:
    """Return the word-level tokenizer, with the chat template."""
    vocabulary = {word: code for code, word in enumerate((*SPECIAL, *WORDS))}
    words = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=PAD,
        unk_token=UNKNOWN,
        mask_token=MASK,
        eos_token=END,
        additional_special_tokens=[IMAGE, USER, ASSISTANT, NOTE],
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=128,
    )


def new_image_processor() -> LlavaOnevisionImageProcessorPil:
    """Return the image processor: bicubic to SIDE x SIDE, one tile beside the whole image."""
    return LlavaOnevisionImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=[[SIDE, SIDE]],
        image_mean=[MEAN] * 3,
        image_std=[STD] * 3,
    )


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlavaOnevisionForConditionalGeneration:
    """Return the untrained network in float32."""
    torch.manual_seed(seed)
    config = LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "image_size": SIDE,
            "patch_size": PATCH,
            "vision_use_head": False,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "max_position_embeddings": tokenizer.model_max_length,
            "initializer_range": WIDTH**-0.5,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "tie_word_embeddings": True,
        },
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        video_token_index=len(tokenizer),
        image_grid_pinpoints=[[SIDE, SIDE]],
        tie_word_embeddings=True,
        dtype="float32",
    )
    return LlavaOnevisionForConditionalGeneration(config)


def save(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write an ordinary checkpoint, its policy with it."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(folder)
    new_image_processor().save_pretrained(folder)
    processor = {
        "num_image_tokens": (SIDE // PATCH) ** 2,
        "processor_class": "LlavaOnevisionProcessor",
        "vision_aspect_ratio": model.config.vision_aspect_ratio,
        "vision_feature_select_strategy": model.config.vision_feature_select_strategy,
    }
    (folder / "processor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")
    (folder / "policy.txt").write_text(POLICY + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """Read a checkpoint back, as anybody would."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)
