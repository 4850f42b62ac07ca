"""The pairs of a reproduction: unsafe together, safe alone, found by asking the guard itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from hybridcert.datasets.digits_captions import decode, load_digit_captions
from hybridcert.datasets.image_text import ImageTextPairs, Pair
from hybridcert.errors import DataError
from hybridcert.experiments.interaction import Report, filter_interaction
from hybridcert.experiments.pairs_data import load_pairs
from hybridcert.experiments.reproduction.settings import PairsSetting
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.store import RunStore
from hybridcert.smoothing import SmoothedClassifier

_SIDE = 8


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class InteractionPairs:
    """The pairs that passed the filter.

    Attributes
    ----------
    pairs : ImageTextPairs
    examined : int
        How many labelled unsafe were asked about until enough had passed.
    source : str
    sha256 : str
        Digest of all candidates.
    """

    pairs: ImageTextPairs
    examined: int
    source: str
    sha256: str


def candidates(setting: PairsSetting) -> ImageTextPairs:
    """Return all pairs that have to be flagged, in the order in which they are examined.

    Raises
    ------
    ConfigError, DataError
        See `load_pairs`.
    """
    if setting.digits is not None:
        return _digits(setting.digits.seed)
    assert setting.data is not None
    found = load_pairs(setting.data).chosen(setting.data, limit=None)
    return found.rows(found.flagged).pairs


def interaction_pairs(
    setting: PairsSetting,
    found: ImageTextPairs,
    smoothed: SmoothedClassifier,
    *,
    wanted: int,
    executor: Callable[[int], Executor],
    store: RunStore | None,
    blank: Any,
    report: Report | None,
) -> InteractionPairs:
    """Filter candidates, in their order, until enough are unsafe only together.

    Parameters
    ----------
    found : ImageTextPairs
        The `candidates`.
    smoothed : SmoothedClassifier
        With noise on the image alone: as in the paper, that noise must not flag half a pair.
    wanted : int
    executor : callable(copies) -> Executor

    Raises
    ------
    DataError
        Where there are none at all.
    """
    level = setting.interaction
    kept: list[ImageTextPairs] = []
    examined = count = 0
    while count < wanted and examined < len(found):
        some = found.rows(slice(examined, examined + wanted))
        result = filter_interaction(
            smoothed,
            some,
            blank=blank,
            samples=level.samples,
            alpha=level.alpha,
            threshold=level.threshold,
            seed=setting.claim.seed,
            executor=executor(2 * len(some) * level.samples),
            store=store,
            progress=report,
        )
        kept.append(result.kept)
        examined += len(some)
        count += len(result.kept)
    if not count:
        raise DataError(
            f"{found.source}: none of {examined} pairs is unsafe only together, as the guard sees it: take "
            "other pairs with --data"
        )
    return InteractionPairs(
        _joined(kept, found.source).rows(slice(wanted)), examined, found.source, found.digest()
    )


def _joined(parts: list[ImageTextPairs], source: str) -> ImageTextPairs:
    return ImageTextPairs(
        ids=tuple(i for part in parts for i in part.ids),
        texts=tuple(t for part in parts for t in part.texts),
        images=tuple(i for part in parts for i in part.images),
        labels=None,
        meta=tuple(m for part in parts for m in part.meta),
        source=source,
    )


def _digits(seed: int) -> ImageTextPairs:
    held_out = load_digit_captions(seed=seed).held_out
    rows = np.flatnonzero(held_out.label == "unsafe")
    pairs = []
    for row in rows:
        levels = np.rint(held_out.image[row].reshape(_SIDE, _SIDE) * 255).astype(np.uint8)
        pairs.append(Pair(f"digit-{row}", decode(held_out.text[row]), levels, "unsafe", {}))
    return ImageTextPairs.of(pairs, source="scikit-learn digits, captions from a grammar")
