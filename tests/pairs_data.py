"""Digits beside messages as files, and configurations of guards on them, for tests of runs on pairs."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hybridcert.datasets.digits_captions import NUMBER_WORDS, load_digit_captions

CONFIG: dict[str, Any] = {
    "data": {"path": "digits"},
    "model": {"checkpoint": {"path": "tiny-guard", "batch_size": 50, "block_copies": 50, "threads": 1}},
    "canvas": {"height": 8, "width": 8, "channels": 1},
    "region": {"suffix_slots": 4},
    "noise": {
        "text": {"kernel": "uniform", "beta": 0.25},
        "image": {"kernel": "gaussian", "sigma": 0.25},
    },
    "threat": {"kind": "substitution", "max_d": 2},
    "certificate": {"samples": 200, "alpha": 0.05, "threshold": 0.2, "seed": 3, "label": "unsafe"},
    "report": {"eps": [0, 0.1, 0.2], "thresholds": [0.5]},
}


def write_digits(folder: Path, unsafe: int = 4, benign: int = 3) -> Path:
    """Write pairs.jsonl and PNG images of digits, each with a message that names it, or another one."""
    from PIL import Image

    held_out = load_digit_captions(seed=0).held_out
    folder.mkdir(parents=True)
    lines = []
    shown = held_out.rows(held_out.digit >= 0)
    for row in range(unsafe + benign):
        digit, is_unsafe = int(shown.digit[row]), row < unsafe
        word = NUMBER_WORDS[digit if is_unsafe else (digit + 1) % 10]
        levels = np.rint(shown.image[row].reshape(8, 8) * 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{row}.png")
        label = "unsafe" if is_unsafe else "benign"
        record = {"id": f"p{row}", "text": f"the digit {word}", "image": f"{row}.png", "label": label}
        lines.append(json.dumps(record) + "\n")
    (folder / "pairs.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def changed(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the configuration with dotted changes; None removes a key."""
    config = copy.deepcopy(CONFIG)
    for dotted, value in (changes or {}).items():
        *parents, last = dotted.split(".")
        section = config
        for part in parents:
            section = section[part]
        if value is None:
            del section[last]
        else:
            section[last] = value
    return config


def write_config(folder: Path, changes: dict[str, Any] | None = None, *, name: str = "guard.yaml") -> Path:
    """Write the configuration with dotted changes; return its path."""
    path = folder / name
    path.write_text(yaml.safe_dump(changed(changes), sort_keys=False), encoding="utf-8")
    return path
