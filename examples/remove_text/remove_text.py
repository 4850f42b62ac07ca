"""Remove the text that is embedded in images, with FLUX.1-Kontext through diffusers.

A pair of text and image is unsafe *only together* when neither half says it alone. Many images of such data
sets have the decisive words written into them; this script paints them over, so that what is left of the
image can be paired with a text again. The folder of results mirrors the folder of images, names and formats
included, so that it can take its place, for instance as ``data/imgs`` of MM-SafetyBench.

    python examples/remove_text/remove_text.py data/imgs/01-Illegal_Activitiy/SD_TYPO edited --device cuda

The weights (about 58 GB; a licence has to be accepted) come from the hub, or from a folder: ``--model DIR``.
It needs diffusers (0.42 or newer), transformers and torch: ``pip install 'hybridcert[vlm,denoise]'``.

Every image has a noise seed of its own, made of ``--seed`` and its path, so that results do not depend on
what was done before. A result appears whole or not at all; what is there already is not done again, and a
folder that was begun with other settings is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

Editor = Callable[[Any, int], Any]
"""PIL image and seed → PIL image."""

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
SETTINGS = "remove_text.json"
PROMPT = (
    "Remove all text, captions, letters and watermarks from the image. Keep everything else exactly the "
    "same: people, objects, colours, background and composition."
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a result depends on, besides the image."""

    model: str = "black-forest-labs/FLUX.1-Kontext-dev"
    prompt: str = PROMPT
    seed: int = 0
    steps: int = 28
    guidance: float = 2.5
    area: int = 1024 * 1024
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise ValueError("--prompt must not be empty")
        if self.seed < 0:
            raise ValueError(f"--seed must be an integer >= 0, got {self.seed}")
        if self.steps < 1:
            raise ValueError(f"--steps must be an integer >= 1, got {self.steps}")
        if self.area < 1024:
            raise ValueError(f"--area must be an integer >= 1024, got {self.area}")
        if not 0.0 <= self.guidance < float("inf"):
            raise ValueError(f"--guidance must be a finite number >= 0, got {self.guidance}")


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the images of a folder."""

    edited: int
    found: int
    failed: Mapping[str, str]


def images_of(folder: Path) -> list[Path]:
    """Return the images below a folder, relative to it and sorted; raise ValueError where there are none."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    found = sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix.lower() in ENDINGS and not path.name.startswith(".")
    )
    if not found:
        raise ValueError(f"{folder} holds no images: it needs files ending in {', '.join(ENDINGS)}")
    return found


def begin(source: Path, target: Path, settings: Settings) -> list[Path]:
    """Note the settings in the folder of results, and return the images.

    Raises
    ------
    ValueError
        Where there are no images, the results would lie among the images, or they were begun otherwise.
    """
    images = images_of(source)
    if target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{target} lies in the folder of images: choose another folder")
    target.mkdir(parents=True, exist_ok=True)
    file = target / SETTINGS
    wanted = asdict(settings)
    if not file.exists():
        if any(target.iterdir()):
            raise ValueError(f"{target} is not empty and has no {SETTINGS}: choose another folder")
        with whole(file) as scratch:
            scratch.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
        return images
    try:
        noted = dict(json.loads(file.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file} is damaged ({error}): choose another folder") from error
    for key, value in wanted.items():
        if noted.get(key) != value:
            raise ValueError(
                f"{target} was begun with {key} {noted.get(key)!r}, got {value!r}: choose another folder"
            )
    return images


def edit_folder(
    source: Path, target: Path, edit: Editor, settings: Settings, *, say: Callable[[str], None] = print
) -> Tally:
    """Edit every image that has no result yet; an image that fails is named, and the others go on."""
    from PIL import Image

    images = begin(source, target, settings)
    edited, found, failed = 0, 0, {}
    for number, name in enumerate(images, start=1):
        result = target / name
        if result.is_file():
            found += 1
            continue
        try:
            with Image.open(source / name) as opened:
                picture, kind = opened.convert("RGB"), opened.format
            cleaned = edit(picture, seed_of(settings.seed, name))
            if cleaned.size != picture.size:
                cleaned = cleaned.resize(picture.size, Image.Resampling.BICUBIC)
            result.parent.mkdir(parents=True, exist_ok=True)
            with whole(result) as scratch:
                cleaned.save(scratch, format=kind, quality=95)
        except Exception as error:  # whatever one image does must not stop the others
            failed[name.as_posix()] = f"{type(error).__name__}: {error}"
            say(f"{number}/{len(images)} {name}: failed, {failed[name.as_posix()]}")
            continue
        edited += 1
        say(f"{number}/{len(images)} {name}")
    return Tally(edited, found, failed)


def seed_of(seed: int, name: Path) -> int:
    """Return a seed of 63 bits for one image."""
    digest = hashlib.blake2b(f"{seed}/{name.as_posix()}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextlib.contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Yield a scratch path beside ``file`` that takes its place when the block ends well."""
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield scratch
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)


def kontext_editor(settings: Settings, device: str) -> Editor:
    """Load the pipeline and return the function that edits one image with it.

    The pipeline works on about ``area`` pixels in the proportions of the image; `edit_folder` scales its
    result back to the size of the image.
    """
    import torch
    from diffusers import FluxKontextPipeline

    pipeline = FluxKontextPipeline.from_pretrained(settings.model, dtype=getattr(torch, settings.dtype))
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)

    def edit(picture: Any, seed: int) -> Any:
        return pipeline(
            image=picture,
            prompt=settings.prompt,
            height=picture.height,
            width=picture.width,
            max_area=settings.area,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            generator=torch.Generator("cpu").manual_seed(seed),
        ).images[0]

    return edit


def parse(arguments: list[str] | None) -> tuple[Path, Path, str, Settings]:
    """Return source, target, device and settings."""
    usual = Settings()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, metavar="IMAGES", help="folder of images, subfolders included")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of results, to be made or gone on with")
    parser.add_argument("--model", default=usual.model, help=f"folder or hub name (default: {usual.model})")
    parser.add_argument("--prompt", default=usual.prompt, help="what to do with each image")
    parser.add_argument("--device", default="cuda", help="torch device (default: cuda)")
    parser.add_argument("--dtype", default=usual.dtype, choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--seed", type=int, default=usual.seed, help="of the noise (default: 0)")
    parser.add_argument("--steps", type=int, default=usual.steps, help=f"default: {usual.steps}")
    parser.add_argument("--guidance", type=float, default=usual.guidance, help=f"default: {usual.guidance}")
    parser.add_argument("--area", type=int, default=usual.area, help=f"pixels (default: {usual.area})")
    given = parser.parse_args(arguments)
    try:
        settings = Settings(**{field.name: getattr(given, field.name) for field in fields(Settings)})
    except ValueError as error:
        parser.error(str(error))
    return given.images, given.out, given.device, settings


def main(arguments: list[str] | None = None) -> int:
    """Edit a folder; return 0, 1 where images failed, 2 where nothing could be begun."""
    source, target, device, settings = parse(arguments)
    try:
        images = begin(source, target, settings)
        if all((target / name).is_file() for name in images):
            print(f"0 edited, {len(images)} found, 0 failed: {target}")
            return 0
        tally = edit_folder(source, target, kontext_editor(settings, device), settings)
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2
    print(f"{tally.edited} edited, {tally.found} found, {len(tally.failed)} failed: {target}")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
