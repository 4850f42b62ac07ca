"""A Hugging Face checkpoint: where it is, how it is loaded, and a digest of what it holds."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import textwrap
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.blocks import described

_CHUNK = 1 << 22
_DTYPES = ("auto", "float32", "float16", "bfloat16")


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """An image–text-to-text checkpoint, as a picklable description.

    Parameters
    ----------
    path : str
        A folder, or a name on the hub, which is downloaded once.
    revision : str, optional
        Of a hub name: branch, tag or commit.
    dtype : {"auto", "float32", "float16", "bfloat16"}
        "auto" is what the checkpoint was saved in.
    device : str
        "auto" takes a GPU where there is one; else as torch names it, e.g. "cpu" or "cuda:1".
    attention : str, optional
        Attention implementation, as transformers names it. Answers about several suffixes at once need "sdpa"
        (the usual default) or "eager".
    quantization : {"4bit"}, optional
        Loads weights in 4 bit with bitsandbytes, on a GPU.

    Raises
    ------
    ParameterError
        For another dtype or quantization.
    """

    path: str
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    attention: str | None = None
    quantization: Literal["4bit"] | None = None

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise ParameterError(f"dtype must be one of {', '.join(_DTYPES)}, got {self.dtype!r}")
        if self.quantization not in (None, "4bit"):
            raise ParameterError(f'quantization must be "4bit" or None, got {self.quantization!r}')

    @property
    def name(self) -> str:
        """What to call it: a folder by its last part, a hub name as it is, with its revision."""
        local = Path(self.path)
        if local.is_dir():
            return local.resolve().name
        return self.path if self.revision is None else f"{self.path}@{self.revision}"

    def pinned(self) -> Checkpoint:
        """Return the same with its place settled: a hub name at the commit that it stands for now.

        A path is made absolute, and "auto" becomes the device that there is.

        Raises
        ------
        ModelError
            See `folder`.
        """
        folder = self.folder()
        device = self.torch_device()
        if Path(self.path).is_dir():
            return dataclasses.replace(self, path=str(folder), device=str(device))
        return dataclasses.replace(self, revision=folder.name, device=str(device))

    @property
    def loading(self) -> dict[str, str]:
        """How the files become a model: precision, kind of device, attention, versions."""
        saved = getattr(self.config(), "dtype", None) if self.dtype == "auto" else self.dtype
        return {
            "dtype": str(saved or "auto").removeprefix("torch."),
            "device": self.device.partition(":")[0],
            "attention": self.attention or "default",
            "quantization": self.quantization or "none",
            **{package: version(package) for package in ("torch", "transformers")},
        }

    def folder(self) -> Path:
        """Return the folder that holds the checkpoint; a hub name is downloaded unless it is there already.

        Raises
        ------
        ModelError
            If there is no such folder and the hub does not give it.
        """
        return _folder(self.path, self.revision)

    def digest(self) -> str:
        """Return the SHA-256 over names and contents of all files but hidden ones, in hexadecimal."""
        return _digest(self.folder())

    def tokenizer(self) -> Any:
        """Return the tokenizer.

        Raises
        ------
        ModelError
            If it cannot be loaded.
        """
        transformers = _transformers()
        with self._loading("tokenizer"):
            return transformers.AutoTokenizer.from_pretrained(self.folder())

    def image_processor(self) -> Any:
        """Return the image processor; the PIL-backed one, which needs no torchvision."""
        transformers = _transformers()
        with self._loading("image processor"):
            return transformers.AutoImageProcessor.from_pretrained(self.folder(), backend="pil")

    def processor(self) -> Any:
        """Return the processor of texts and images together."""
        transformers = _transformers()
        with self._loading("processor"):
            return transformers.AutoProcessor.from_pretrained(self.folder())

    def chat_template(self) -> str | None:
        """Return the chat template that is kept for the processor alone, as older checkpoints do."""
        for file in ("chat_template.json", "processor_config.json"):
            path = self.folder() / file
            if path.is_file():
                with self._loading("chat template"):
                    found = json.loads(path.read_text(encoding="utf-8")).get("chat_template")
                if isinstance(found, str):
                    return found
        path = self.folder() / "chat_template.jinja"
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def config(self) -> Any:
        """Return the model's configuration."""
        transformers = _transformers()
        with self._loading("configuration"):
            return transformers.AutoConfig.from_pretrained(self.folder())

    def torch_device(self) -> Any:
        """Return the device that the model goes to; raise ParameterError for one that there is not."""
        import torch

        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
        except RuntimeError as error:
            raise ParameterError(
                f'device must be "auto" or a device of torch, such as cpu or cuda:1, got {self.device!r}'
            ) from error
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ParameterError(
                f"device must be one that is here, got {self.device!r}: torch sees "
                f'{torch.cuda.device_count()} of that kind, use "auto" or "cpu"'
            )
        return device

    def model(self) -> Any:
        """Return the model, on its device, ready to answer. Weights that it does not use are left alone.

        Raises
        ------
        ModelError
            If it cannot be loaded, or weights are missing.
        """
        import torch

        transformers = _transformers()
        device = self.torch_device()
        options: dict[str, Any] = {
            "dtype": self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
        }
        if self.attention is not None:
            options["attn_implementation"] = self.attention
        if self.quantization == "4bit":
            options["quantization_config"] = transformers.BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16
            )
            options["device_map"] = {"": device}
        with self._loading("model"):
            model, found = transformers.AutoModelForImageTextToText.from_pretrained(
                self.folder(), output_loading_info=True, **options
            )
            if self.quantization is None:
                model = model.to(device)
        lacking = sorted([*found["missing_keys"], *(key[0] for key in found["mismatched_keys"])])
        if lacking:
            raise ModelError(
                f"checkpoint {self.path!r} lacks {len(lacking)} weights of its model, or has them in other "
                f"shapes, the first of them {lacking[0]}: they would be random numbers"
            )
        return model.eval().requires_grad_(requires_grad=False)

    @contextlib.contextmanager
    def _loading(self, what: str) -> Iterator[None]:
        """Load without progress bars and reports; turn what that raises into one line."""
        logging: Any = _transformers().utils.logging
        shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity(logging.CRITICAL)
        try:
            yield
        except Exception as error:  # loaders raise whatever their authors chose
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 300, placeholder=" ...")
            raise ModelError(f"the {what} of checkpoint {self.path!r} cannot be loaded: {reason}") from error
        finally:
            logging.set_verbosity(verbosity)
            if shown:
                logging.enable_progress_bar()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ParameterError(
            "vision-language models need the extra vlm: pip install 'hybridcert[vlm]'"
        ) from error
    return transformers


@functools.lru_cache(maxsize=32)
def _folder(path: str, revision: str | None) -> Path:
    local = Path(path)
    if local.is_dir():
        if not (local / "config.json").is_file():
            raise ModelError(f"{path!r} is no checkpoint: it has no config.json")
        return local.resolve()
    if local.exists() or path.startswith((".", "/", "~")):
        raise ModelError(f"there is no checkpoint folder {path!r}")
    _transformers()
    import huggingface_hub

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Path(huggingface_hub.snapshot_download(path, revision=revision))
    except Exception as error:  # the hub raises many kinds: network, missing, gated, malformed names
        raise ModelError(
            f"checkpoint {path!r} is no folder, and the hub does not give it: {described(error)}"
        ) from error


def _digest(folder: Path) -> str:
    """Return a digest of all files in a folder; files that did not change since are not read again."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            stat = file.stat()
            content = _content(file, stat.st_size, stat.st_mtime_ns)
            total.update(f"{name}\0{content}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


@functools.lru_cache(maxsize=4096)
def _content(file: Path, size: int, changed: int) -> str:
    """Return the SHA-256 of a file of this size that was changed at this time."""
    del size, changed
    content = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            content.update(chunk)
    return content.hexdigest()
