"""All baselines, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridcert.baselines import (
    ablation,
    dropping,
    erase_and_check,
    image_only,
    knapsack01,
    naive_product,
    subsampling,
    text_only,
)
from hybridcert.baselines.certified import Baseline

if TYPE_CHECKING:
    import pandas as pd

BASELINES: tuple[Baseline, ...] = (
    image_only.BASELINE,
    text_only.BASELINE,
    knapsack01.BASELINE,
    dropping.BASELINE,
    erase_and_check.BASELINE,
    subsampling.BASELINE,
    ablation.BASELINE,
    naive_product.BASELINE,
)
"""Sound ones first; the last one certifies nothing."""


def frame() -> pd.DataFrame:
    """Return the catalogue as a table, one row a baseline."""
    import pandas as pd

    return pd.DataFrame(
        {
            "baseline": [b.name for b in BASELINES],
            "source": [b.source for b in BASELINES],
            "sound": [b.sound for b in BASELINES],
            "certifies": [b.certifies for b in BASELINES],
            "needs": ["; ".join(b.needs) for b in BASELINES],
            "calls per decision": [b.calls for b in BASELINES],
        }
    )
