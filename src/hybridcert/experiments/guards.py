"""Guards that read prompt and image, built from the model section of a configuration."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import ImageTextInputs, Region
from hybridcert.errors import ConfigError, ParameterError
from hybridcert.experiments.config_guards import (
    CheckpointSection,
    DenoiserSection,
    EndpointSection,
    GuardSection,
)
from hybridcert.sampling.classifier import Classifier

if TYPE_CHECKING:
    from hybridcert.adapters.endpoint import EndpointClassifier
    from hybridcert.adapters.vlm.classifier import VisionLanguageClassifier
    from hybridcert.denoising import DiffusionDenoiser

TINY_GUARD = "tiny-guard"
"""The name of the checkpoint that ships."""

_POLICY = "policy.txt"
_NAMES = ("checkpoint",)
"""Of a description: what something is called, rather than what it is."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """A classifier of pairs, and what is said about it.

    Attributes
    ----------
    classifier : Classifier
    described : mapping
        What certificates and reports say: name, digests, policy, precision, device, versions, serving stack.
    identity : mapping
        What its answers depend on; counts of another identity are not used.
    """

    classifier: Classifier
    described: Mapping[str, Any]
    identity: Mapping[str, Any]

    def close(self) -> None:
        """Close what the classifier holds open, such as a connection."""
        close = getattr(self.classifier, "close", None)
        if close is not None:
            close()


def build_guard(section: GuardSection, *, region: Region, canvas: Canvas, sigma: float | None) -> Guard:
    """Build the guard that a model section names.

    A checkpoint's weights are not loaded yet; an endpoint is asked what it is.

    Parameters
    ----------
    section : GuardSection
    region : SuffixSlots or WholePrompt
    canvas : Canvas
    sigma : float or None
        Noise on the image, which a denoiser has to know.

    Raises
    ------
    ConfigError
        Naming the section, for values that do not fit the model, files that cannot be read, missing extras.
    ModelError
        For a checkpoint or an endpoint that cannot be used.
    """
    classifier: Any
    with _under(f"model.{section.kind}"):
        if section.checkpoint is not None:
            classifier = checkpoint_classifier(section.checkpoint, region=region, canvas=canvas, sigma=sigma)
            listed = classifier.tokens
        else:
            assert section.endpoint is not None
            listed = _listed(section.endpoint.words)
            classifier = endpoint_classifier(section.endpoint, region=region, canvas=canvas).pinned()
    found: dict[str, Any] = dict(classifier.described())
    if found.get("dtype") == "auto":
        saved = getattr(classifier.checkpoint.config(), "dtype", None) or "auto"
        found["dtype"] = str(saved).removeprefix("torch.")
    if listed is not None:
        found["symbols_sha256"] = hashlib.sha256("\n".join(map(str, listed)).encode()).hexdigest()
    if section.checkpoint is not None and section.checkpoint.denoiser is not None:
        denoiser = classifier.front.described()
        found["front"] = type(classifier.front).__name__
        found["denoiser"] = denoiser | {"path": _name(denoiser["path"])}
    return Guard(classifier, _without_none(found), _identity(found))


def checkpoint_classifier(
    section: CheckpointSection, *, region: Region, canvas: Canvas, sigma: float | None = None
) -> VisionLanguageClassifier:
    """Return the classifier that a checkpoint section describes.

    Parameters
    ----------
    sigma : float, optional
        Noise on the image; needed with a denoiser.

    Raises
    ------
    ParameterError, ConfigError
        For values that do not fit, a file that cannot be read, or a missing extra.
    ModelError
        For a checkpoint that cannot be read.
    """
    from hybridcert.adapters.vlm.checkpoint import Checkpoint
    from hybridcert.adapters.vlm.classifier import VisionLanguageClassifier

    _check_device(section.device)
    checkpoint = Checkpoint(
        _path_of(section.path),
        revision=section.revision,
        dtype=section.dtype,
        device=section.device,
        attention=section.attention,
        quantization=section.quantization,
    )
    own = checkpoint.folder() / _POLICY
    policy = own if section.policy is None and own.is_file() else _optional(section.policy)
    return VisionLanguageClassifier(
        checkpoint,
        region=region,
        canvas=canvas,
        policy=policy,
        decision=section.decision,
        least_mass=section.least_mass,
        answer_tokens=section.answer_tokens,
        tokens=_listed(section.tokens),
        mask=section.mask,
        front=None if section.denoiser is None else _denoiser(section.denoiser, sigma),
        batch_size=section.batch_size,
        block_copies=section.block_copies,
        noise_on=section.noise_on,
        threads=section.threads,
    )


def endpoint_classifier(section: EndpointSection, *, region: Region, canvas: Canvas) -> EndpointClassifier:
    """Return the classifier that an endpoint section describes; nothing is asked yet.

    Raises
    ------
    ParameterError, ConfigError
        For values that do not fit, a file that cannot be read, or a missing extra.
    """
    from hybridcert.adapters.endpoint import EndpointClassifier
    from hybridcert.adapters.word_alphabet import WordAlphabet

    words = _listed(section.words)
    alphabet = WordAlphabet(None if words is None else [str(word) for word in words], mask=section.mask)
    return EndpointClassifier(
        section.base_url,
        section.model,
        inputs=ImageTextInputs(region, alphabet, canvas),
        policy=_optional(section.policy),
        decision=section.decision,
        spellings=None if section.spellings is None else section.spellings.model_dump(),
        top_logprobs=section.top_logprobs,
        max_tokens=section.max_tokens,
        seed=section.seed,
        extra=section.extra,
        api_key_env=section.api_key_variable,
        concurrency=section.concurrency,
        attempts=section.attempts,
        timeout=section.timeout,
        block_copies=section.block_copies,
    )


def _denoiser(section: DenoiserSection, sigma: float | None) -> DiffusionDenoiser:
    from hybridcert.denoising import DiffusionDenoiser

    if sigma is None:
        raise ParameterError("denoiser needs noise on the image, got none")
    return DiffusionDenoiser(
        section.path,
        sigma,
        revision=section.revision,
        size=section.size,
        dtype=section.dtype,
        batch_size=section.batch_size,
    )


def _check_device(device: str) -> None:
    if device == "auto":
        return
    try:
        import torch

        torch.device(device)
    except ImportError as error:
        raise ParameterError(
            "vision-language models need the extra vlm: pip install 'hybridcert[vlm]'"
        ) from error
    except RuntimeError as error:
        raise ParameterError(
            f"device must be 'auto', or as torch names it, such as 'cpu' or 'cuda:1', got {device!r}"
        ) from error


def _path_of(name: str) -> str:
    if name != TINY_GUARD:
        return name
    from hybridcert.checkpoints import tiny_guard

    return str(tiny_guard())


def _optional(path: str | None) -> Path | None:
    return None if path is None else Path(path)


def _listed(symbols: Sequence[str | int] | str | None) -> tuple[str | int, ...] | None:
    """Return listed symbols, or the lines of a file that are not empty."""
    if not isinstance(symbols, str):
        return None if symbols is None else tuple(symbols)
    try:
        lines = Path(symbols).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"the list of symbols {symbols!r} cannot be read: {reason}") from error
    return tuple(line.rstrip("\r") for line in lines if line.strip())


def _name(path: str) -> str:
    """Return what to call a model: a folder by its last part, a hub name as it is."""
    return Path(path).name if Path(path).is_dir() else path


def _identity(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description without names and places; of a device only its kind counts.

    The address of an endpoint counts too, unless the endpoint proves by a fingerprint what answers there: the
    version of a server's software says nothing about the weights that it loaded.
    """
    found = {key: value for key, value in described.items() if key not in _NAMES}
    if "base_url" in found:
        address = str(found.pop("base_url")).rstrip("/")
        if not found["serving_stack"].get("system_fingerprint"):
            found["base_url"] = address
    if "device" in found:
        found["device"] = str(found["device"]).partition(":")[0]
    if "denoiser" in found:
        found["denoiser"] = {key: value for key, value in found["denoiser"].items() if key != "path"}
    return found


def _without_none(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description without what is not known, in inner mappings as well."""
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in described.items()
        if value is not None
    }


@contextlib.contextmanager
def _under(section: str) -> Iterator[None]:
    """Say which section of the configuration an error is about."""
    try:
        yield
    except (ParameterError, ConfigError) as error:
        raise ConfigError(f"{section}: {error}") from error
