"""One step of a diffusion model as a denoiser (Carlini et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hybridcert.certificate.ranges import check_count
from hybridcert.denoising.checkpoint import Checkpoint
from hybridcert.denoising.extra import needed
from hybridcert.denoising.noise_grid import NoiseGrid
from hybridcert.errors import ModelError, ParameterError
from hybridcert.kernels.continuous import check_scale

DTYPES = ("float32", "float16", "bfloat16")


class DiffusionDenoiser:
    """Noisy images to denoised ones, by one prediction of a pretrained unconditional diffusion model.

    The noise of the certificate, with exactly its σ, is added before. This function scales the noisy image to
    the step of the model's schedule that is nearest, asks the network once, and returns the clean image that
    its answer stands for. Everything behind the noise is part of the base classifier. So the gap between
    σ and the nearest step, the scaling, a resize, and the clipping at the end can cost accuracy, never
    soundness: radii stay ℓ₂ distances in units of [0, 1], for the σ that was drawn.

    Parameters
    ----------
    path : str
        A folder or a hub name: DDPMPipeline's layout, or all files in the root. Weights in safetensors.
    sigma : float > 0
        Standard deviation of the noise that is added before, in units of [0, 1]: the ``sigma`` of the kernel.
    revision : str, optional
        Branch, tag or commit of a hub name.
    scheduler : mapping, optional
        The noise schedule, as in ``scheduler_config.json``; needed where the checkpoint has none. ``{}``
        stands for DDPM's: 1000 steps, β linear from 1e-4 to 0.02, the network predicts the noise.
    pixel_range : (low, high), default (-1, 1)
        Range of the pixels that the model was trained on. Noise σ in [0, 1] is noise (high − low) · σ there:
        2σ by default.
    size : {"resize", "keep"}
        What to do with images of another size than the model's ``sample_size``: resize them there and back
        (antialiased, bilinear), or give them to the network as they are. Resized noise is no longer
        the noise that the model knows, so a canvas of the model's size works best.
    dtype : {"float32", "float16", "bfloat16"}
        The network computes in it; scaling is done in float32.
    batch_size : int >= 1, optional
        Images that the network is given at once; default: all.

    Attributes
    ----------
    step : int
        The step t of the schedule, from 0, at which √((1 − ᾱ_t)/ᾱ_t) is nearest to (high − low) σ as a
        ratio (in the logarithm); the earlier one of two.
    step_sigma : float
        The noise of that step in units of [0, 1]; compare with ``sigma``.
    sha256 : str
        Digest of weights, network and schedule.

    Raises
    ------
    ParameterError
        For values outside these ranges; for a ``sigma`` that the schedule does not reach, with the range.
    ConfigError
        For a network or a schedule that cannot serve.

    Notes
    -----
    An instance is a description: pickles hold no weights. `load` reads them, in every process that denoises,
    and refuses weights that are not those of ``sha256``. The network moves to the device of the images.
    Gradients reach the images.

    Grey images are repeated for an RGB model and its answer is averaged; the channels of RGB images are
    denoised one by one by a grey model.

    Answers about one image can differ in their last bits with the size and make-up of a batch, as with any
    network.

    References
    ----------
    Carlini et al., "(Certified!!) Adversarial Robustness for Free!", ICLR 2023; Ho et al., "Denoising
    Diffusion Probabilistic Models", NeurIPS 2020, equations 4 and 15; Salimans & Ho 2022 for v.

    Examples
    --------
    >>> from hybridcert.denoising import DiffusionDenoiser
    >>> front = DiffusionDenoiser("google/ddpm-cifar10-32", sigma=0.25)  # doctest: +SKIP
    >>> front.step, front.step_sigma  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str,
        sigma: float,
        *,
        revision: str | None = None,
        scheduler: Mapping[str, Any] | None = None,
        pixel_range: tuple[float, float] = (-1.0, 1.0),
        size: Literal["resize", "keep"] = "resize",
        dtype: str = "float32",
        batch_size: int | None = None,
    ) -> None:
        check_scale("sigma", sigma)
        low, high = pixel_range
        if not -float("inf") < low < high < float("inf"):
            raise ParameterError(f"pixel_range must be (low, high) with low < high, got {pixel_range!r}")
        if size not in ("resize", "keep"):
            raise ParameterError(f"size must be 'resize' or 'keep', got {size!r}")
        if dtype not in DTYPES:
            raise ParameterError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        if batch_size is not None:
            check_count("batch_size", batch_size)
        for library in ("torch", "diffusers"):
            needed(library)
        self.path = str(path)
        self.sigma = float(sigma)
        self.revision = revision
        self.scheduler = None if scheduler is None else dict(scheduler)
        self.pixel_range = (float(low), float(high))
        self.size = size
        self.dtype = dtype
        self.batch_size = batch_size
        found = self._checkpoint()
        self.sha256 = found.digest()
        self._grid = NoiseGrid.of(found.scheduler)
        self.step = self._grid.nearest(self.sigma, scale=high - low)
        self.step_sigma = float(self._grid.levels[self.step]) / (high - low)
        self._channels = int(found.unet.get("in_channels", 3))
        self._sample_size = _sides(found.unet.get("sample_size"))
        # every block but the last halves both sides; an odd side does not fit back together
        self._multiple = 2 ** (len(found.unet.get("down_block_types", [None] * 4)) - 1)
        self._network: Any = None

    def load(self) -> None:
        """Read the weights; once is enough.

        Raises
        ------
        ModelError
            When the checkpoint is not the one that was described, or damaged.
        """
        if self._network is not None:
            return
        found = self._checkpoint()
        if found.digest() != self.sha256:
            raise ModelError(
                f"the denoiser {self.path!r} has changed since it was described: sha256 must be "
                f"{self.sha256}, got {found.digest()}; describe it again"
            )
        with needed("torch").inference_mode(False):  # gradients may be wanted later
            self._network = found.network(self.dtype)

    def __call__(self, images: Any) -> Any:
        """Return denoised images.

        Parameters
        ----------
        images : floating tensor (n, C, H, W), C 1 or 3
            Noisy, in units of [0, 1], not clipped.

        Returns
        -------
        images : tensor of the same shape, type and device
            In [0, 1].

        Raises
        ------
        ParameterError
            For another shape, or with ``size="keep"`` for a size that the network cannot take.
        """
        torch = needed("torch")
        functional = torch.nn.functional
        if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.is_floating_point():
            raise ParameterError(
                "images must be a floating tensor of shape (n, 1 or 3, H, W), got "
                f"{tuple(images.shape)} of {images.dtype}"
            )
        self.load()
        if self._network.device != images.device:
            with torch.inference_mode(False):
                self._network.to(images.device)
        channels, size = images.shape[1], tuple(images.shape[2:])
        target = self._target(size)
        low, high = self.pixel_range
        pixels = images.to(torch.float32) * (high - low) + low
        if target != size:
            pixels = functional.interpolate(pixels, target, mode="bilinear", antialias=True)
        if channels > self._channels:
            pixels = pixels.flatten(0, 1).unsqueeze(1)
        elif channels < self._channels:
            pixels = pixels.expand(-1, self._channels, -1, -1)
        chunk = self.batch_size or max(1, len(pixels))
        clean = torch.cat([self._step(part) for part in pixels.split(chunk)])
        if channels > self._channels:
            clean = clean.reshape(-1, channels, *target)
        elif channels < self._channels:
            clean = clean.mean(dim=1, keepdim=True)
        if target != size:
            clean = functional.interpolate(clean, size, mode="bilinear", antialias=True)
        return ((clean - low) / (high - low)).clamp(0.0, 1.0).to(images.dtype)

    def described(self) -> dict[str, Any]:
        """Return what a report says about the denoiser, as plain values."""
        return {
            "path": self.path,
            "revision": self.revision,
            "sha256": self.sha256,
            "sigma": self.sigma,
            "step": self.step,
            "step_sigma": self.step_sigma,
            "prediction": self._grid.prediction,
            "size": self.size,
            "dtype": self.dtype,
        }

    def __getstate__(self) -> dict[str, Any]:
        """Return the description, without weights."""
        return self.__dict__ | {"_network": None}

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint.find(self.path, revision=self.revision, scheduler=self.scheduler)

    def _target(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size at which images of a size are denoised."""
        if self.size == "resize" and self._sample_size is not None:
            return self._sample_size
        if any(side % self._multiple for side in size):
            raise ParameterError(
                f"images must have sides that are multiples of {self._multiple} for this denoiser, got "
                f"{size[0]}×{size[1]}: change the canvas"
            )
        return size

    def _step(self, pixels: Any) -> Any:
        """Denoise images of the model's channels and range, float32."""
        signal, _ = self._grid.mix(self.step)
        noisy = signal * pixels
        output = self._network(noisy.to(self._network.dtype), self.step).sample[:, : self._channels]
        return self._grid.clean(output.to(noisy.dtype), noisy, self.step)


def _sides(size: Any) -> tuple[int, int] | None:
    """Return a configured ``sample_size`` as height and width."""
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)
