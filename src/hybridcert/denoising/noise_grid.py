"""The noise levels that a diffusion model was trained on, and what its output means at each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.denoising.extra import needed
from hybridcert.errors import ConfigError, ParameterError

PREDICTIONS = ("epsilon", "v_prediction", "sample")
_VARIANCE_PRESERVING = (
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DDIMScheduler",
    "DDIMParallelScheduler",
    "PNDMScheduler",
    "GaussianDDPMScheduler",  # as the first checkpoints call DDPMScheduler
)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class NoiseGrid:
    """Steps t = 0, 1, … of a variance-preserving diffusion x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε.

    Parameters
    ----------
    alphas : float64 array, shape (steps,)
        ᾱ_t, in [0, 1].
    prediction : {"epsilon", "v_prediction", "sample"}
        What the network is asked for: ε, √ᾱ_t ε − √(1 − ᾱ_t) x₀, or x₀.
    """

    alphas: npt.NDArray[np.float64]
    prediction: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> NoiseGrid:
        """Return the grid of a ``scheduler_config.json``; what it lacks has DDPMScheduler's defaults.

        Raises
        ------
        ConfigError
            For a scheduler of another kind, a schedule or prediction type that is not known.
        """
        kind = config.get("_class_name", _VARIANCE_PRESERVING[0])
        if kind not in _VARIANCE_PRESERVING:
            raise ConfigError(
                f"the scheduler must be one of {', '.join(_VARIANCE_PRESERVING)}, got {kind!r}: pass "
                "scheduler= with the noise schedule that the checkpoint was trained on"
            )
        known = {key: value for key, value in config.items() if not key.startswith("_")}
        # names that old checkpoints use
        if "timesteps" in known:
            known.setdefault("num_train_timesteps", known["timesteps"])
        if known.get("predict_epsilon") is False:
            known.setdefault("prediction_type", "sample")
        prediction = known.get("prediction_type", PREDICTIONS[0])
        if prediction not in PREDICTIONS:
            raise ConfigError(f"prediction_type must be one of {', '.join(PREDICTIONS)}, got {prediction!r}")
        shape = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
        taken = {key: known[key] for key in (*shape, "rescale_betas_zero_snr") if key in known}
        try:
            scheduler = needed("diffusers").DDPMScheduler(**taken)
        except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"the noise schedule {taken} means nothing: {error}") from error
        alphas = scheduler.alphas_cumprod.double().numpy()
        alphas.setflags(write=False)
        return cls(alphas, prediction)

    @property
    def levels(self) -> npt.NDArray[np.float64]:
        """Noise on the scale of the clean image: √((1 − ᾱ_t) / ᾱ_t), shape (steps,); ∞ where ᾱ_t is 0."""
        with np.errstate(divide="ignore"):
            return np.sqrt((1.0 - self.alphas) / self.alphas)

    def nearest(self, sigma: float, *, scale: float) -> int:
        """Return the step whose noise is nearest to ``scale`` · ``sigma`` as a ratio (in the logarithm).

        Of two steps that are equally near the one with less noise is taken.

        Parameters
        ----------
        sigma : float
            Standard deviation of the noise, in units of [0, 1].
        scale : float > 0
            How much wider than [0, 1] the range of the model's pixels is.

        Raises
        ------
        ParameterError
            For a ``sigma`` outside the grid.
        """
        levels = self.levels
        usable = np.flatnonzero((levels > 0) & np.isfinite(levels))
        if not usable.size:
            raise ConfigError("the noise schedule has no step with some noise and some image: use another")
        low, high = float(levels[usable].min()) / scale, float(levels[usable].max()) / scale
        if not low <= sigma <= high:
            raise ParameterError(
                f"sigma must be in [{low}, {high}], the noise in units of [0, 1] that this denoiser was "
                f"trained on, got {sigma!r}"
            )
        distances = np.abs(np.log(levels[usable]) - np.log(scale * sigma))
        return int(usable[np.argmin(distances)])

    def mix(self, step: int) -> tuple[float, float]:
        """Return √ᾱ_t and √(1 − ᾱ_t)."""
        alpha = float(self.alphas[step])
        return alpha**0.5, (1.0 - alpha) ** 0.5

    def clean(self, output: Any, noisy: Any, step: int) -> Any:
        """Return the x₀ that a network's output at x_t = ``noisy`` stands for; arrays or tensors."""
        signal, noise = self.mix(step)
        if self.prediction == "epsilon":
            return (noisy - noise * output) / signal
        if self.prediction == "v_prediction":
            return signal * noisy - noise * output
        return output
