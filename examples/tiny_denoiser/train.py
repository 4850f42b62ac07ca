"""Train a tiny diffusion model on scikit-learn's digits and save it as DDPMPipeline does.

    python examples/tiny_denoiser/train.py runs/tiny_denoiser              # minutes on one core
    python examples/tiny_denoiser/train.py runs/tiny_denoiser --steps 200 --width 16  # seconds, and worse

What comes out stands in front of a classifier of 8×8 grey images:

    DiffusionDenoiser("runs/tiny_denoiser", sigma=0.5)

Needs `pip install 'hybridcert[denoise]'`.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from sklearn.datasets import load_digits

HELD_OUT = 397
"""Images at the end of the data set, by other writers, that training does not see."""


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Return training and held-out digits, shape (m, 1, 8, 8), in [0, 1]."""
    pixels = torch.from_numpy((load_digits().images / 16.0).astype(np.float32))[:, None]
    return pixels[:-HELD_OUT], pixels[-HELD_OUT:]


def train(
    folder: Path, *, steps: int, batch: int, width: int, seed: int, prediction: str = "epsilon"
) -> float:
    """Train, save, and return the mean loss of the last tenth of the steps."""
    torch.manual_seed(seed)
    network = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(width, 2 * width),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        add_attention=False,
    )
    scheduler = DDPMScheduler(prediction_type=prediction)
    clean = images()[0] * 2 - 1
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    losses = []
    for _ in range(steps):
        shown = clean[torch.randint(len(clean), (batch,))]
        noise = torch.randn_like(shown)
        at = torch.randint(scheduler.config.num_train_timesteps, (batch,))
        wanted = {"epsilon": noise, "sample": shown, "v_prediction": scheduler.get_velocity(shown, noise, at)}
        output = network(scheduler.add_noise(shown, noise, at), at).sample
        loss = torch.nn.functional.mse_loss(output, wanted[prediction])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    DDPMPipeline(unet=network.eval(), scheduler=scheduler).save_pretrained(folder)
    return float(np.mean(losses[-max(1, steps // 10) :]))


def main() -> None:
    """Train and say how much better than no denoiser the result is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=32, help="channels of the first block, a multiple of 8")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prediction", choices=["epsilon", "v_prediction", "sample"], default="epsilon")
    options = parser.parse_args()
    loss = train(
        options.folder,
        steps=options.steps,
        batch=options.batch,
        width=options.width,
        seed=options.seed,
        prediction=options.prediction,
    )
    print(f"loss {loss:.4f}, saved in {options.folder}")
    from hybridcert.denoising import DiffusionDenoiser

    held_out = images()[1]
    for sigma in (0.25, 0.5, 1.0):
        noisy = held_out + sigma * torch.randn_like(held_out)
        result = DiffusionDenoiser(str(options.folder), sigma)(noisy)
        before, after = (
            float((found - held_out).square().mean().sqrt()) for found in (noisy.clamp(0, 1), result)
        )
        print(f"sigma {sigma}: root mean square error on held-out digits {before:.3f}, denoised {after:.3f}")


if __name__ == "__main__":
    main()
