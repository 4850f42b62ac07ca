"""A made-up corpus of short messages and its configuration, for tests of filters on texts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

OFFERS = ["free", "prize", "cash", "winner", "claim", "txt"]
CHATS = ["see", "you", "later", "home", "lunch", "ok", "tomorrow"]

CONFIG: dict[str, Any] = {
    "data": {"path": "messages.csv", "text": "message", "target": "kind", "test_rows": 40, "split_seed": 1},
    "model": {
        "estimator": "sklearn.linear_model.LogisticRegression",
        "vectorizer": {
            "estimator": "sklearn.feature_extraction.text.CountVectorizer",
            "params": {"ngram_range": [1, 2]},
        },
        "noisy_copies": 5,
    },
    "noise": {"text": {"kernel": "deletion", "beta": 0.75}},
    "threat": {"kind": "insertion", "max_d": 3},
    "certificate": {"samples": 300, "alpha": 0.01, "threshold": 0.3, "seed": 3, "label": "spam"},
    "report": {"thresholds": [0.2, 0.5]},
}


def messages(count: int = 200, seed: int = 0) -> pd.DataFrame:
    """Half offers, half chats, each with a few words of the other kind; none occurs twice."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        spam = number % 2 == 0
        own, other = (OFFERS, CHATS) if spam else (CHATS, OFFERS)
        words = [*random.choice(own, random.integers(4, 9)), *random.choice(other, random.integers(0, 3))]
        random.shuffle(words)
        rows.append((" ".join([*words, f"no{number}"]), "spam" if spam else "ham"))
    return pd.DataFrame(rows, columns=["message", "kind"])


def write_config(folder: Path, changes: dict[str, Any] | None = None, *, name: str = "filter.yaml") -> Path:
    """Write the configuration with dotted changes (None removes a key); return its path."""
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
    path = folder / name
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path
