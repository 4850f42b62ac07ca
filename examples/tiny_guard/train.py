"""Train the tiny guard, write it as an ordinary checkpoint, read it back and say how good it is.

    python examples/tiny_guard/train.py --out runs/tiny_guard

The guard has LLaVA-OneVision's architecture and reads an 8x8 digit beside a message. A pair is unsafe where
the message names the digit shown: neither half is unsafe alone. The vision tower first learns to read digits,
then the whole learns to give the verdict, both under noise. The same seed gives the same weights on the same
machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import report
from forward import hidden, image_tokens, patches
from guard import VERDICTS, WIDTH, load, new_model, new_tokenizer, save
from noise import alphabets, jittered, noisy_pixels, noisy_texts, unsafe
from prompts import Prompts

from hybridcert.datasets.digits_captions import NONE, DigitCaptions, load_digit_captions

DATA_SEED = 0
"""Fixes which images are held out, whatever the seed of training."""
CAPTIONS_PER_IMAGE = 16
BATCH = 128
STEPS = 1500
READING_RATE, RATE, DECAY = 2e-3, 2e-3, 0.01
GREY_SHARE = 0.05
"""This share of images is replaced by mid grey, "no image", on top of the blanks in the data."""
AUXILIARY = 0.5
"""Weight of reading the digit at the last image token, and of ending after the verdict."""


class Pairs:
    """Draws noisy pairs without end.

    Parameters
    ----------
    data : DigitCaptions
        What to draw from.
    seed : int
        Fixes all draws.
    """

    def __init__(self, data: DigitCaptions, seed: int) -> None:
        self.data = data
        self.rng = np.random.default_rng(seed)
        self.source = torch.Generator().manual_seed(seed)
        self.grey = torch.tensor(data.image, dtype=torch.float32)

    def draw(self, size: int) -> tuple[np.ndarray, torch.Tensor, np.ndarray]:
        """Return the rows drawn, their noisy images (size, 64) and the digits that are to be seen there."""
        rows = self.rng.integers(len(self.data), size=size)
        grey = jittered(self.grey[rows], self.source)
        none = self.rng.random(size) < GREY_SHARE
        grey[torch.from_numpy(none)] = 0.5
        return rows, noisy_pixels(grey, self.source), np.where(none, NONE, self.data.digit[rows])


def optimise(
    name: str, parameters: list[Any], loss: Callable[[], torch.Tensor], steps: int, rate: float
) -> None:
    """Take ``steps`` steps of AdamW with a rate that rises and falls, and print how it goes."""
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    started = time.monotonic()
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps:
            seconds = time.monotonic() - started
            print(f"{name}: step {step} of {steps}, loss {value.item():.3f}, {seconds:.0f} s", flush=True)


def learn_to_read(model: Any, pairs: Pairs, steps: int) -> None:
    """Teach the vision tower and the projector the ten digits, and the look of none."""
    head = torch.nn.Linear(WIDTH, 11)

    def loss() -> torch.Tensor:
        _, grey, digit = pairs.draw(BATCH)
        target = torch.from_numpy(np.where(digit == NONE, 10, digit))
        return torch.nn.functional.cross_entropy(head(patches(model, grey).mean(dim=1)), target)

    seeing = [*model.model.vision_tower.parameters(), *model.model.multi_modal_projector.parameters()]
    optimise("reading digits", [*seeing, *head.parameters()], loss, steps, READING_RATE)


def learn_to_judge(model: Any, tokenizer: Any, pairs: Pairs, steps: int) -> None:
    """Teach the whole network the verdict."""
    known = alphabets(tokenizer)
    prompts = Prompts(tokenizer, image_tokens(model, pairs.grey[:1]).shape[1])
    verdicts = np.array(tokenizer.convert_tokens_to_ids(list(VERDICTS)))

    def loss() -> torch.Tensor:
        rows, grey, digit = pairs.draw(BATCH)
        text, suffix = noisy_texts(*prompts.split(pairs.data.text[rows]), known, pairs.rng)
        verdict = verdicts[unsafe(text, digit, known).astype(np.int64)]
        batch = prompts.batch(text, suffix, verdict)
        states = hidden(model, batch, grey)
        everyone = torch.arange(BATCH)
        places = (batch.last, batch.last + 1, torch.full_like(batch.last, prompts.last_image_token))
        words = (
            torch.from_numpy(verdict),
            torch.full_like(batch.last, tokenizer.eos_token_id),
            torch.from_numpy(np.where(digit == NONE, known.mask, known.numbers[digit])),
        )
        judge, end, see = (
            torch.nn.functional.cross_entropy(model.lm_head(states[everyone, place]), word)
            for place, word in zip(places, words, strict=True)
        )
        return judge + AUXILIARY * (end + see)

    optimise("judging pairs", list(model.parameters()), loss, steps, RATE)


def train(data: DigitCaptions, out: Path, *, seed: int, steps: int) -> None:
    """Train a guard and write its checkpoint; ``steps`` is for the verdicts, reading takes twice as many."""
    tokenizer = new_tokenizer()
    model = new_model(tokenizer, seed).train()
    pairs = Pairs(data, seed)
    learn_to_read(model, pairs, 2 * steps)
    learn_to_judge(model, tokenizer, pairs, steps)
    save(model, tokenizer, out)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, train, and report on the checkpoint as read back."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--seed", type=int, default=0, help="seed of training (the data are always the same)")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help=f"steps of training, {STEPS} for a good guard"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    parser.add_argument("--copies", type=int, default=20, help="noisy copies a pair in the report")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    data = load_digit_captions(seed=DATA_SEED, captions_per_image=CAPTIONS_PER_IMAGE).train
    train(data, options.out, seed=options.seed, steps=options.steps)
    held_out = load_digit_captions(seed=DATA_SEED).held_out
    print(report(*load(options.out), held_out, copies=options.copies))


if __name__ == "__main__":
    main()
