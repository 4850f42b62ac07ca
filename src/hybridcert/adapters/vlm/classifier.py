"""A vision–language model as a classifier of pairs: safe, unsafe, or unreadable."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import IMAGE, SUFFIX, ImageTextInputs, Region, check_region
from hybridcert.adapters.policy import Policy
from hybridcert.adapters.vlm.checkpoint import Checkpoint
from hybridcert.adapters.vlm.image_noise import noisy_images
from hybridcert.adapters.vlm.image_pipeline import ImagePipeline
from hybridcert.adapters.vlm.label_tokens import CLASSES, UNREADABLE, LabelTokens, parsed
from hybridcert.adapters.vlm.loaded import Loaded
from hybridcert.adapters.vlm.options import (
    check_batches,
    check_decision,
    check_front,
    check_probabilities,
)
from hybridcert.adapters.vlm.prompt_rows import PromptRows
from hybridcert.adapters.vlm.sensitivity import PromptGradient
from hybridcert.adapters.vlm.suffix_tree import groups, packed
from hybridcert.adapters.vlm.token_alphabet import TokenAlphabet
from hybridcert.errors import ParameterError
from hybridcert.sampling.classifier import Batch, Loadable
from hybridcert.sampling.copies import Copies
from hybridcert.sampling.scores import Sensitivity
from hybridcert.threats import Surface

if TYPE_CHECKING:
    import torch

Answers = npt.NDArray[np.intp]
Front = Callable[[Any], Any]


class VisionLanguageClassifier:
    """Any image–text-to-text model of transformers that is asked whether a pair is safe.

    Classes are "safe", "unsafe" and "unreadable"; the last is an answer that is neither, counts against
    either claim, and cannot be claimed itself. What is certified is this function of pixels and tokens:
    policy, chat template, resizing, tiling and precision are part of it. Floating-point sums may depend on
    how rows are grouped into batches, so answers next to a tie can; the grouping is fixed by ``batch_size``
    and ``block_copies``, which belong to the description.

    Parameters
    ----------
    checkpoint : Checkpoint, str or Path
    region : SuffixSlots or WholePrompt
        Which tokens have noise and may be attacked.
    canvas : Canvas
        What images are resized to, and ε is measured on.
    policy : str or Path, optional
        Text (str) or file (Path) with the places {image}, {text} and {suffix}; what stands behind {answer}
        begins the model's answer. Default: the one that ships with the package. What comes before the first
        place is computed once, so it should hold everything that is constant.
    decision : {"probability", "text"}
        By the summed probability of the single tokens that spell each label at the first position of the
        answer, or by generating ``answer_tokens`` tokens and reading the first word.
    least_mass : float in [0, 1]
        With "probability": unreadable where all spellings together have less.
    answer_tokens : int >= 1
    tokens, mask : optional
        The alphabet; see `TokenAlphabet`.
    front : object with __call__, optional
        Images (n, C, H, W) to images, in [0, 1] units, on the model's device, behind the noise and before
        everything else: a denoiser. Picklable; no plain function, whose content no digest covers.
    batch_size : int >= 1
        Copies in one forward pass.
    block_copies : int >= 1
        Copies in one task: what is lost when a worker dies.
    noise_on : {"host", "device"}
        Where Gaussian noise on images is drawn: "host" is the same on every machine, "device" saves the
        transfer to a GPU (and is "host" on a CPU).
    threads : int >= 1, optional
        Of torch, set when the model is loaded. Default: as it is.

    Raises
    ------
    ParameterError
        For values outside these ranges.
    ModelError
        If the checkpoint cannot be read, or has no single tokens for the labels.
    """

    classes_ = np.array(CLASSES)
    unclaimable = (UNREADABLE,)
    not_in_digest = ("checkpoint", "threads")  # where the files lie; what they hold is in ``sha256``

    def __init__(
        self,
        checkpoint: Checkpoint | str | Path,
        *,
        region: Region,
        canvas: Canvas,
        policy: str | Path | None = None,
        decision: Literal["probability", "text"] = "probability",
        least_mass: float = 0.5,
        answer_tokens: int = 8,
        tokens: Sequence[str | int] | None = None,
        mask: str | None = None,
        front: Front | None = None,
        batch_size: int = 64,
        block_copies: int = 512,
        noise_on: Literal["host", "device"] = "host",
        threads: int | None = None,
    ) -> None:
        given = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(str(checkpoint))
        self.checkpoint = given.pinned()
        self.region = check_region(region)
        if not isinstance(canvas, Canvas):
            raise ParameterError(f"canvas must be Canvas(height, width, channels), got {canvas!r}")
        self.canvas = canvas
        self.policy = Policy.of(policy)
        check_decision(decision, least_mass=least_mass, answer_tokens=answer_tokens)
        check_batches(batch_size, block_copies=block_copies, noise_on=noise_on, threads=threads)
        check_front(front)
        self.decision = decision
        self.least_mass = least_mass
        self.answer_tokens = answer_tokens
        self.tokens = None if tokens is None else tuple(tokens)
        self.mask = mask
        self.front = front
        self.batch_size = batch_size
        self.block_copies = block_copies
        self.noise_on = noise_on
        self.threads = threads
        self.sha256 = self.checkpoint.digest()
        self.loading = self.checkpoint.loading
        self.policy.check_inputs(self.inputs)

    # the seam -----------------------------------------------------------------------------------------

    def surfaces(self) -> dict[str, Surface]:
        """What tokens and pixels are made of and where noise and adversary act."""
        return self.inputs.surfaces()

    def encode(self, X: Any) -> dict[str, npt.NDArray[Any]]:
        """Check pairs and return their arrays; see `ImageTextInputs.encode`.

        Raises
        ------
        DataError
            Naming the row: a missing or damaged image, a token outside the alphabet, a control token in a
            prompt, or more tokens than the model's window holds.
        """
        arrays = self.inputs.encode(X)
        names = list(X.index if isinstance(X, pd.DataFrame) else range(len(arrays[IMAGE])))
        self._prompts.check_window(arrays, names)
        return arrays

    def load(self) -> None:
        """Load the model, in the process that will ask it."""
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        self._loaded.network  # noqa: B018
        if isinstance(self.front, Loadable):
            self.front.load()

    def predict_encoded(self, batch: Batch) -> Answers:
        """Return an index into ``classes_`` for every row, noisy or clean."""
        found = [self._verdicts(self._lines(batch, part), images) for part, images in self._parts(batch)]
        return np.concatenate(found) if found else np.empty(0, dtype=np.intp)

    def predict_copies(self, copies: Copies) -> Answers:
        """Return an index into ``classes_`` for every copy, batch by batch."""
        fixed = self._prompts.fixed(copies.inputs, copies.row)
        symbols = copies.drawn(self._prompts.modality)
        found = []
        for start, images in self._images(copies):
            rows = [self._prompts.whole(fixed, s) for s in symbols[start : start + len(images)]]
            found.append(self._verdicts(rows, images))
        return np.concatenate(found)

    def predict_variants(
        self, copies: Copies, modality: str, variants: npt.NDArray[np.int64], owner: npt.NDArray[np.intp]
    ) -> Answers:
        """Return an index into ``classes_`` for every suffix, each with the image of its copy.

        Where the suffix is the last thing that varies in the prompt, everything before is computed once for
        each copy, and the suffixes of a copy share what they have in common.
        """
        fixed = self._prompts.fixed(copies.inputs, copies.row)
        found = []
        for start, images in self._images(copies):
            low, high = np.searchsorted(owner, [start, start + len(images)])
            part, mine = variants[low:high], owner[low:high] - start
            if modality == SUFFIX and self._loaded.can_share and self.decision == "probability":
                found.append(self._endings(fixed, images, part, mine))
            else:
                found.append(self._one_by_one(fixed, images, part, mine))
        return np.concatenate(found)

    @property
    def tells_margins(self) -> bool:
        """Whether `margins` works: where verdicts are read off probabilities."""
        return self.decision == "probability"

    @property
    def tells_sensitivity(self) -> bool:
        """Whether `sensitivity` works: where the steps of the image processor are known as well."""
        return self.tells_margins and isinstance(self._loaded.pipeline, ImagePipeline)

    def margins(self, batch: Batch, label: int) -> npt.NDArray[np.float64]:
        """Return how far each row is from losing a label, as log probabilities; see `LabelTokens.margins`.

        Raises
        ------
        ModelError
            With ``decision="text"``.
        """
        import torch

        check_probabilities(self.decision)
        found = [np.empty(0)]
        for part, images in self._parts(batch):
            with torch.inference_mode():
                margins = self._labels.margins(self._logits(self._lines(batch, part), images), label)
            found.append(margins.cpu().double().numpy())
        return np.concatenate(found)

    def sensitivity(
        self, batch: Batch, label: int, origin: Mapping[str, npt.NDArray[np.intp]]
    ) -> Sensitivity:
        """Return the derivatives of the mean margin; see `DifferentiableClassifier` and `PromptGradient`.

        NaN for the empty slot. A front without derivatives is taken as the identity.

        Raises
        ------
        ModelError
            With ``decision="text"``, or for a model that cannot be differentiated, with the reason.
        """
        check_probabilities(self.decision)
        margins = functools.partial(self._labels.margins, label=label)
        gradient = PromptGradient(self._loaded, self._prompts, self.front, margins)
        return gradient.mean(batch, origin, self._parts(batch))

    def described(self) -> dict[str, Any]:
        """Return what answers depend on besides the input, as certificates state it.

        Checkpoint and its digest, policy, how answers are read, alphabet, precision, device and versions.
        """
        front = getattr(self.front, "described", None)
        return {
            "class": type(self).__name__,
            "checkpoint": self.checkpoint.name,
            "sha256": self.sha256,
            "policy": self.policy.text,
            "chat_template": "none" if self._loaded.chat_template is None else "the checkpoint's",
            "decision": self.decision,
            "least_mass": self.least_mass,
            "answer_tokens": self.answer_tokens,
            "region": repr(self.region),
            "canvas": repr(self.canvas),
            "alphabet": self._alphabet.described(),
            "front": "none" if self.front is None else (front() if front else type(self.front).__name__),
            **self.loading,
            "device": self.checkpoint.device,
            "noise_on": self.noise_on,
            "batch_size": self.batch_size,
            "block_copies": self.block_copies,
        }

    # asking -------------------------------------------------------------------------------------------

    def _verdicts(self, rows: Sequence[Sequence[int]], images: torch.Tensor) -> Answers:
        import torch

        loaded = self._loaded
        with torch.inference_mode():
            if self.decision == "text":
                written = loaded.network.generated(rows, self._pixels(images), tokens=self.answer_tokens)
                answers = loaded.tokenizer.batch_decode(written, skip_special_tokens=True)
                return np.array([parsed(answer) for answer in answers], dtype=np.intp)
            return _indices(self._labels.verdicts(self._logits(rows, images)))

    def _logits(self, rows: Sequence[Sequence[int]], images: torch.Tensor) -> torch.Tensor:
        """Return the logits at the first position of the answer."""
        behind = [self._prompts.behind_head(row) for row in rows]
        return self._loaded.network.last_logits(behind, self._pixels(images), self._loaded.head)

    def _pixels(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return self._loaded.pixels(images if self.front is None else self.front(images))

    def _endings(
        self,
        fixed: list[int],
        images: torch.Tensor,
        variants: npt.NDArray[np.int64],
        owner: npt.NDArray[np.intp],
    ) -> Answers:
        """Ask about the suffixes of a batch of images, going on from the beginnings that they share."""
        import torch

        loaded = self._loaded
        tail = self._prompts.behind_suffix(fixed)
        tokens = self._alphabet.token_table()[variants]
        found = np.empty(len(owner), dtype=np.intp)
        with torch.inference_mode():
            pixels = self._pixels(images)
            start = self._prompts.behind_head(self._prompts.before_suffix(fixed))
            beginnings = loaded.network.beginnings(start, pixels, loaded.head, len(images))
            for group in groups(np.bincount(owner, minlength=len(images))):
                mine = np.flatnonzero(np.isin(owner, group))
                row = np.searchsorted(group, owner[mine])
                endings = packed(tokens[mine], row, tail)
                logits = loaded.network.ending_logits(beginnings, group, endings)
                found[mine] = _indices(self._labels.verdicts(logits))
        return found

    def _one_by_one(
        self,
        fixed: list[int],
        images: torch.Tensor,
        variants: npt.NDArray[np.int64],
        owner: npt.NDArray[np.intp],
    ) -> Answers:
        """Ask about every suffix as a prompt of its own."""
        found = []
        for start in range(0, len(owner), self.batch_size):
            part = slice(start, start + self.batch_size)
            rows = [self._prompts.whole(fixed, symbols) for symbols in variants[part]]
            found.append(self._verdicts(rows, images[owner[part].tolist()]))
        return np.concatenate(found)

    def _parts(self, batch: Batch) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield rows of a batch, ``batch_size`` at a time, and their images on the device."""
        import torch

        for start in range(0, len(batch[IMAGE]), self.batch_size):
            part = slice(start, min(start + self.batch_size, len(batch[IMAGE])))
            values = np.array(batch[IMAGE][part], dtype=np.float64)
            yield part, torch.from_numpy(self.canvas.planes(values)).to(self._loaded.network.device)

    def _lines(self, batch: Batch, part: slice) -> list[list[int]]:
        """Return the prompts of some rows as tokens."""
        symbols = batch[self._prompts.modality]
        rows = range(part.start, part.stop)
        return [self._prompts.whole(self._prompts.fixed(batch, row), symbols[row]) for row in rows]

    def _images(self, copies: Copies) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield batches of noisy images, each with the number of its first copy."""
        start = 0
        for images in noisy_images(
            copies,
            self.canvas,
            size=self.batch_size,
            device=self._loaded.network.device,
            on_device=self.noise_on == "device",
        ):
            yield start, images
            start += len(images)

    # parts that are made when they are needed ---------------------------------------------------------

    @functools.cached_property
    def inputs(self) -> ImageTextInputs:
        """How pairs become arrays."""
        return ImageTextInputs(self.region, self._alphabet, self.canvas)

    @functools.cached_property
    def _alphabet(self) -> TokenAlphabet:
        return TokenAlphabet(self._loaded.tokenizer, tokens=self.tokens, mask=self.mask)

    @functools.cached_property
    def _prompts(self) -> PromptRows:
        return PromptRows(self._loaded, self.region, self._alphabet)

    @functools.cached_property
    def _labels(self) -> LabelTokens:
        return LabelTokens.of(self._loaded.tokenizer, least_mass=self.least_mass)

    @functools.cached_property
    def _loaded(self) -> Loaded:
        return Loaded(self.checkpoint, self.policy, self.canvas, sha256=self.sha256)

    def __getstate__(self) -> dict[str, Any]:
        """Return the description: parameters and the digest of the checkpoint, nothing that was loaded."""
        made = ("inputs", "_alphabet", "_labels", "_loaded", "_prompts")
        return {name: value for name, value in vars(self).items() if name not in made}


def _indices(verdicts: torch.Tensor) -> Answers:
    found: Answers = verdicts.cpu().numpy().astype(np.intp)
    return found
