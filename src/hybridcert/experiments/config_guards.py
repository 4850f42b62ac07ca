"""The model section of a run on pairs: a checkpoint of a vision-language model, or an endpoint."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hybridcert.experiments.config_fields import Count, Natural, Positive, Section, Share


def _symbols(raw: Any) -> Any:
    """Accept a list of symbols, or the name of a file with one a line."""
    listed = isinstance(raw, list | tuple) and raw
    if raw is None or isinstance(raw, str) or (listed and all(_is_symbol(symbol) for symbol in raw)):
        return raw
    raise ValueError(f"must be a list of symbols, or the name of a file with one a line, got {raw!r}")


def _is_symbol(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _words(raw: Any) -> Any:
    if isinstance(raw, list | tuple) and not all(isinstance(word, str) for word in raw):
        raise ValueError(f"must list words as strings, got {raw!r}")
    return _symbols(raw)


def _named(raw: Any) -> Any:
    """Accept a checkpoint's name alone."""
    return {"path": raw} if isinstance(raw, str) else raw


class DenoiserSection(Section):
    """A diffusion model in front of the guard; the noise that it expects is that of the run.

    ``path`` is a folder, or a name on the hub.
    """

    path: str
    revision: str | None = None
    size: Literal["resize", "keep"] = "resize"
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    batch_size: Count | None = None


class CheckpointSection(Section):
    """A checkpoint of an image-text-to-text model, and how it is asked; see `VisionLanguageClassifier`.

    ``path`` is a folder, a name on the hub, or ``tiny-guard``, which ships. ``policy`` names a file; without
    it the ``policy.txt`` in the checkpoint's folder is taken, and where there is none the one that ships.
    ``tokens`` lists tokens, or names a file with one a line.
    """

    path: str
    revision: str | None = None
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: str = "auto"
    attention: str | None = None
    quantization: Literal["4bit"] | None = None
    policy: str | None = None
    decision: Literal["probability", "text"] = "probability"
    least_mass: Share = 0.5
    answer_tokens: Count = 8
    tokens: Annotated[tuple[str | int, ...] | str | None, BeforeValidator(_symbols)] = None
    mask: str | None = None
    denoiser: DenoiserSection | None = None
    batch_size: Count = 64
    block_copies: Count = 512
    noise_on: Literal["host", "device"] = "host"
    threads: Count | None = None


class SpellingsSection(Section):
    """How the model may spell each label."""

    safe: tuple[str, ...] = ("Safe",)
    unsafe: tuple[str, ...] = ("Unsafe",)


class EndpointSection(Section):
    """A model behind an OpenAI-compatible endpoint, and how it is asked; see `EndpointClassifier`.

    ``words`` lists the words that noise draws and the attacker writes, or names a file with one a line;
    without them any word may occur. ``api_key_variable`` names an environment variable.
    """

    base_url: str
    model: str
    policy: str | None = None
    decision: Literal["logprobs", "text"] = "logprobs"
    spellings: SpellingsSection | None = None
    top_logprobs: Count = 20
    max_tokens: Count = 8
    seed: Natural = 0
    extra: dict[str, Any] = Field(default_factory=dict)
    words: Annotated[tuple[str, ...] | str | None, BeforeValidator(_words)] = None
    mask: str | None = None
    api_key_variable: str | None = None
    concurrency: Count = 16
    attempts: Count = 5
    timeout: Positive = 60.0
    block_copies: Count = 64


class GuardSection(Section):
    """A checkpoint or an endpoint. ``checkpoint: NAME`` is short for one with defaults."""

    checkpoint: Annotated[CheckpointSection | None, BeforeValidator(_named)] = None
    endpoint: EndpointSection | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.checkpoint is None) == (self.endpoint is None):
            got = "neither" if self.checkpoint is None else "both"
            raise ValueError(f"needs one of checkpoint and endpoint, got {got}")
        return self

    @property
    def kind(self) -> Literal["checkpoint", "endpoint"]:
        """Which of the two it is: the key of its section."""
        return "endpoint" if self.checkpoint is None else "checkpoint"

    @property
    def has_mask(self) -> bool:
        """Whether there is a symbol to mask with."""
        section = self.checkpoint or self.endpoint
        return section is not None and section.mask is not None

    @property
    def is_open(self) -> bool:
        """Whether any symbol may occur, so that none can be drawn from them."""
        return self.endpoint is not None and self.endpoint.words is None
