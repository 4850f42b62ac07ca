"""Encoded inputs as people read them: the cells of a table, or the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.adapters.dataframe import DataFrameClassifier
from hybridcert.adapters.image_text import PROMPT, SUFFIX, TEXT, ImageTextInputs, as_text
from hybridcert.adapters.text import MODALITY, TextClassifier
from hybridcert.sampling.classifier import Classifier


def readable(classifier: Classifier, row: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Return what can be read of one encoded input, as plain values; nothing for a classifier not known here.

    Parameters
    ----------
    row : mapping of modality name to array, one row each
        Also an adversarial one. Images stay numbers, and are left out.
    """
    if isinstance(classifier, DataFrameClassifier):
        table = classifier.schema_.decode(row)
        cells = dict(enumerate(table[0])) if isinstance(table, np.ndarray) else table.iloc[0].to_dict()
        return {str(column): _plain(value) for column, value in cells.items()}
    if isinstance(classifier, TextClassifier):
        return {MODALITY: classifier.decode(row[MODALITY])[0]}
    inputs = getattr(classifier, "inputs", None)
    if isinstance(inputs, ImageTextInputs):
        spell = getattr(inputs.alphabet, "spell", None)
        found = {PROMPT: as_text(row[PROMPT][0])} if PROMPT in row else {}
        for name in (SUFFIX, TEXT):
            if name in row and spell is not None:
                found[name] = spell([code for code in row[name][0].tolist() if code >= 0])
        return found
    return {}


def _plain(value: Any) -> Any:
    """Return a cell as JSON has it; what is missing is None."""
    if pd.isna(value):
        return None
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, str | int | float | bool) else str(plain)
