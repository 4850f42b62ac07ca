"""Where a diffusion checkpoint keeps its parts, and what it is recognised by."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridcert.denoising.extra import needed
from hybridcert.errors import ConfigError, ModelError, ParameterError

_UNET, _SCHEDULER, _WEIGHTS = "config.json", "scheduler_config.json", "diffusion_pytorch_model"
_FILES = (
    _UNET,
    _SCHEDULER,
    f"{_WEIGHTS}.safetensors",
    f"{_WEIGHTS}-*.safetensors",
    f"{_WEIGHTS}.safetensors.index.json",
)
_WANTED = (*_FILES, *(f"unet/{name}" for name in _FILES), f"scheduler/{_SCHEDULER}")


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """An unconditional UNet2DModel and its noise schedule in a folder.

    Two layouts are known: ``unet/`` and ``scheduler/`` as DDPMPipeline saves them, and all files in the
    root, as in ``google/ddpm-cifar10-32`` and as UNet2DModel saves them. Weights are safetensors: other
    formats run code when they are read.

    Parameters
    ----------
    folder : path
        Holds ``config.json`` and the weights of the network.
    unet : mapping
        The network's configuration.
    scheduler : mapping
        The noise schedule's configuration.
    """

    folder: Path
    unet: Mapping[str, Any]
    scheduler: Mapping[str, Any]

    @classmethod
    def find(
        cls, path: str, *, revision: str | None = None, scheduler: Mapping[str, Any] | None = None
    ) -> Checkpoint:
        """Return the checkpoint in a folder or under a hub name.

        Parameters
        ----------
        path : str
            A folder, or a name such as ``google/ddpm-cifar10-32``, which is downloaded into the cache.
        revision : str, optional
            Branch, tag or commit of a hub name.
        scheduler : mapping, optional
            In place of ``scheduler_config.json``.

        Raises
        ------
        ParameterError
            When there is no such folder or hub name, or a part is missing.
        ConfigError
            For a network that is not an unconditional UNet2DModel, or files that cannot be read.
        """
        root = _local(path, revision)
        folder = root / "unet" if (root / "unet" / _UNET).is_file() else root
        if not (folder / _UNET).is_file():
            raise ParameterError(
                f"path must be a folder with {_UNET} or unet/{_UNET}, as diffusers saves them, got {path!r}"
            )
        if not any(folder.glob(f"{_WEIGHTS}*.safetensors")):
            raise ParameterError(
                f"the checkpoint {path!r} must have weights in {_WEIGHTS}.safetensors: save it again with "
                "safe_serialization=True"
            )
        unet = _read(folder / _UNET)
        _check_unet(unet)
        if scheduler is None:
            places = (root / "scheduler" / _SCHEDULER, root / _SCHEDULER)
            found = next((place for place in places if place.is_file()), None)
            if found is None:
                raise ParameterError(
                    f"the checkpoint {path!r} has no {_SCHEDULER}: pass scheduler= with the noise schedule "
                    "it was trained on, for instance {'beta_schedule': 'linear'}"
                )
            scheduler = _read(found)
        return cls(folder, unet, dict(scheduler))

    def digest(self) -> str:
        """Return the SHA-256 of weights, network and schedule, in hexadecimal; the path plays no part."""
        described = json.dumps([self.unet, self.scheduler], sort_keys=True, default=str)
        digest = hashlib.sha256(described.encode())
        for file in sorted(self.folder.glob(f"{_WEIGHTS}*.safetensors")):
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    def network(self, dtype: str) -> Any:
        """Return the network in evaluation mode, on the CPU, its weights without gradients.

        Raises
        ------
        ModelError
            For weights that are damaged or do not fit the configuration.
        """
        load = needed("diffusers").UNet2DModel.from_pretrained
        try:
            network = load(self.folder, use_safetensors=True, torch_dtype=getattr(needed("torch"), dtype))
        except Exception as error:  # whatever the configuration makes of the library's own code
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"the denoiser in {str(self.folder)!r} cannot be loaded: {reason}") from error
        return network.eval().requires_grad_(False)


def _local(path: str, revision: str | None) -> Path:
    """Return the folder of a checkpoint; fetch what has a hub name."""
    if Path(path).is_dir():
        if revision is not None:
            raise ParameterError(f"revision is for hub names, and {path!r} is a folder, got {revision!r}")
        return Path(path)
    if path.startswith((".", "/", "~")):
        raise ParameterError(f"path must be a folder or the hub name of a checkpoint: there is no {path!r}")
    fetch = needed("huggingface_hub").snapshot_download
    try:
        return Path(fetch(path, revision=revision, allow_patterns=list(_WANTED)))
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ParameterError(
            f"path must be a folder or the hub name of a checkpoint, got {path!r}: {reason}"
        ) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{str(file)!r} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{str(file)!r} must hold one JSON object, got {type(content).__name__}")
    return content


def _check_unet(config: Mapping[str, Any]) -> None:
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise ConfigError(f"the network must be a UNet2DModel in pixel space, got {kind!r}")
    for key in ("class_embed_type", "num_class_embeds"):
        if config.get(key) is not None:
            raise ConfigError(f"the network must not depend on a class, got {key} = {config[key]!r}")
    taken, given = config.get("in_channels", 3), config.get("out_channels", 3)
    if taken not in (1, 3) or given not in (taken, 2 * taken):
        raise ConfigError(
            f"the network must take 1 or 3 channels and return as many (or twice as many, with a variance), "
            f"got {taken} and {given}"
        )
