"""A small table and its configuration, for tests of the commands."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

CONFIG: dict[str, Any] = {
    "data": {
        "path": "table.parquet",
        "target": "outcome",
        "numeric": ["age", "income"],
        "categorical": ["colour", "shape", "ward"],
        "levels": {"colour": ["blue", "green", "red"]},
        "drop_columns": ["note"],
        "test_rows": 40,
        "split_seed": 1,
    },
    "model": {"estimator": "sklearn.linear_model.LogisticRegression", "noisy_copies": 3},
    "noise": {
        "categorical": {"kernel": "uniform", "beta": 0.5},
        "numeric": {"kernel": "gaussian", "sigma": 0.5},
    },
    "threat": {"max_d": 2},
    "certificate": {"samples": 300, "alpha": 0.01, "threshold": 0.5, "seed": 3, "selection_samples": 20},
    "report": {"eps": [0, 0.25, 0.5]},
}


def small_table() -> pd.DataFrame:
    """240 rows whose outcome depends on two fields and a number; some wards are missing."""
    random = np.random.default_rng(0)
    colour = random.choice(["blue", "green", "red"], 240)
    shape = random.choice(["disc", "square"], 240)
    age = random.normal(40.0, 10.0, 240).round(1)
    score = (age - 40.0) / 10.0 + 2.0 * (colour == "red") - 1.0 + (shape == "disc") - 0.5
    ward = pd.Series(random.choice(["north", "south", "west"], 240)).where(random.random(240) > 0.1)
    return pd.DataFrame(
        {
            "age": age,
            "colour": pd.Categorical(colour, categories=["red", "green", "blue", "unused"]),
            "income": random.integers(1, 100, 240),
            "shape": shape,
            "ward": ward,
            "note": "-",
            "outcome": np.where(score + random.normal(0.0, 0.3, 240) > 0.0, "yes", "no"),
        }
    )


def write_config(folder: Path, changes: dict[str, Any] | None = None, *, name: str = "small.yaml") -> Path:
    """Write the configuration with dotted changes (None removes a key); return its path."""
    config = copy.deepcopy(CONFIG)
    for dotted, value in (changes or {}).items():
        *parents, last = dotted.split(".") if dotted != "sweep" else ["sweep"]
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
