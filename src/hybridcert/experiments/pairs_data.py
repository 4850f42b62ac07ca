"""The pairs of a run: read from any layout, chosen, and told apart into those to flag and the others."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.datasets.image_text import ImageTextPairs, Index
from hybridcert.errors import ConfigError, DataError
from hybridcert.experiments.config_pairs import PairDataSection, SourceSection


@dataclasses.dataclass(frozen=True, eq=False)
class GuardPairs:
    """Pairs, and which of them have to be flagged.

    Attributes
    ----------
    pairs : ImageTextPairs
    flagged : bool array, shape (m,)
    """

    pairs: ImageTextPairs
    flagged: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pairs)

    def rows(self, index: Index) -> GuardPairs:
        """Return the pairs at ``index``, in that order."""
        at = np.arange(len(self))[index]
        return GuardPairs(self.pairs.rows(at), self.flagged[at])

    def chosen(self, data: PairDataSection, *, limit: int | None) -> GuardPairs:
        """Return those that a configuration takes: all in their order, or some or all at random.

        Parameters
        ----------
        limit : int or None
            Take the first of them only.

        Raises
        ------
        DataError
            When there are fewer pairs than rows to take.
        """
        if data.rows is not None and data.rows > len(self):
            raise DataError(
                f"data.rows must be at most the number of pairs in {self.pairs.source}, {len(self)}, got "
                f"{data.rows}"
            )
        order = np.arange(len(self))
        if data.split_seed is not None:
            order = np.random.Generator(np.random.PCG64(data.split_seed)).permutation(len(self))
        most = min(count for count in (data.rows, limit, len(self)) if count is not None)
        return self.rows(order[:most])

    def digest(self) -> str:
        """SHA-256 of ids, texts, labels and pixels of all pairs; every image is read once for it."""
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        return self.pairs.digest()

    def frame(self) -> pd.DataFrame:
        """Return ``text`` and ``image`` as an image-text classifier takes them; rows are called by ids."""
        images = np.empty(len(self), dtype=object)
        for row, image in enumerate(self.pairs.images):
            images[row] = image
        texts = pd.Series(list(self.pairs.texts), dtype=object)
        return pd.DataFrame({"text": texts, "image": images}).set_axis(list(self.pairs.ids))


def load_pairs(data: PairDataSection) -> GuardPairs:
    """Load the pairs that a configuration names; images are opened when their pixels are needed.

    Raises
    ------
    ConfigError
        When it names no file or folder.
    DataError
        For data that cannot be read, have no labels, or lack a label that is to be flagged.
    """
    main = _read(data, "data")
    if main.labels is None:
        raise DataError(f"{main.source}: the pairs have no labels: name their column with data.label")
    known = sorted(set(main.labels))
    for label in data.flagged:
        if label not in known:
            raise DataError(
                f"{main.source}: data.flagged must list labels that occur ({', '.join(known)}), got {label!r}"
            )
    flagged = np.isin(main.labels, data.flagged)
    if data.benign is None:
        return GuardPairs(main, flagged)
    benign = _read(data.benign, "data.benign")
    whole = ImageTextPairs(
        ids=(*main.ids, *(f"benign/{name}" for name in benign.ids)),
        texts=main.texts + benign.texts,
        images=main.images + benign.images,
        labels=main.labels + (benign.labels or ("benign",) * len(benign)),
        meta=main.meta + benign.meta,
        source=f"{main.source} and {benign.source}",
    )
    return GuardPairs(whole, np.concatenate([flagged, np.zeros(len(benign), dtype=np.bool_)]))


def _read(source: SourceSection, key: str) -> ImageTextPairs:
    if source.path is None:
        raise ConfigError(
            f"no pairs given: set {key}.path" + (", or pass --data PATH" if key == "data" else "")
        )
    path, images = Path(source.path), None if source.images is None else Path(source.images)
    match source.format:
        case "jsonl":
            from hybridcert.datasets.jsonl_pairs import read_jsonl_pairs

            return read_jsonl_pairs(
                path,
                images=images,
                text_field=source.text or "text",
                image_field=source.image or "image",
                label_field=source.label,
                id_field=source.id,
            )
        case "datasets":
            from hybridcert.datasets.hf_pairs import read_hf_pairs

            return read_hf_pairs(
                path,
                split=source.split,
                images=images,
                text_column=source.text or "text",
                image_column=source.image or "img",
                label_column=source.label or ("label" if isinstance(source, PairDataSection) else None),
                id_column=source.id,
                classes=None,
            )
        case "mm-safetybench":
            from hybridcert.datasets.mm_safetybench import read_mm_safetybench

            assert source.variant is not None
            return read_mm_safetybench(path, variant=source.variant, scenarios=source.scenarios)
        case "nlvr":
            from hybridcert.datasets.nlvr import read_nlvr

            return read_nlvr(path)
