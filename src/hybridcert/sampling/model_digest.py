"""A digest of a trained model that is the same in every process that trains it the same way.

A pickle is not: it depends on which equal strings are one object and on the order of sets, and scikit-learn
keeps a memory address in its vectorisers. joblib's hash treats equal values alike; addresses and durations
are left out.
"""

from __future__ import annotations

import copy
from typing import Any

from joblib.hashing import NumpyHasher  # type: ignore[import-untyped]

_ACCIDENTAL = ("_stop_words_id", "refit_time_", "cv_results_")
"""Attributes that hold a memory address or how long something took, and play no part in any answer."""


class _Hasher(NumpyHasher):  # type: ignore[misc]
    """joblib's hasher, blind to attributes that differ between two equal trainings."""

    def save(self, obj: Any) -> None:
        """Feed one object to the digest."""
        own = getattr(obj, "__dict__", None)
        if isinstance(own, dict) and not isinstance(obj, type):
            left_out = {*_ACCIDENTAL, *getattr(type(obj), "not_in_digest", ())} & own.keys()
            if left_out:
                obj = copy.copy(obj)
                for name in left_out:
                    vars(obj).pop(name)
        super().save(obj)


def model_digest(model: Any) -> str:
    """Return the SHA-256 of a picklable model's content, in hexadecimal.

    It covers parameters, everything learned, and the version of scikit-learn that estimators note in
    themselves; not what a class of ours lists in ``not_in_digest``, attributes on which no answer depends.
    """
    return str(_Hasher(hash_name="sha256").hash(model))
