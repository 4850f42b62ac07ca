"""What a run is recognised by: digests of model and data, and a store that is opened with them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridcert.errors import ParameterError
from hybridcert.sampling.classifier import Classifier
from hybridcert.sampling.model_digest import model_digest
from hybridcert.sampling.store import RunStore


def described_model(base: Classifier) -> dict[str, str | None]:
    """Return what the base classifier is, and a digest of its content where it can be pickled."""
    try:
        digest = model_digest(base)
    except Exception:  # pickling calls whatever the classifier defines
        digest = None
    return {"class": type(base).__qualname__, "sha256": digest}


def content_digest(keys: Sequence[bytes]) -> str:
    """Return one digest of the inputs that have these keys, in their order."""
    return hashlib.blake2b(b"".join(keys), digest_size=16).hexdigest()


@contextlib.contextmanager
def opened(
    store: RunStore | str | Path | None, identity: Mapping[str, Any], *, resume: bool
) -> Iterator[RunStore | None]:
    """Yield an open store as it is; open a path for the time being.

    Raises
    ------
    ParameterError
        For something else, or a path where the model has no digest to be known by.
    DataError, StoreError
        See `RunStore.open`.
    """
    if store is None or isinstance(store, RunStore):
        yield store
        return
    if not isinstance(store, str | Path):
        raise ParameterError(f"store must be a path, an open RunStore or None, got {store!r}")
    if identity["model"]["sha256"] is None:
        raise ParameterError(
            f"store={str(store)!r} needs a classifier that can be pickled, by which its counts are known "
            "again: open a RunStore with an identity of your own and pass that"
        )
    plain = json.loads(json.dumps(identity, default=str))
    with RunStore.open(Path(store), identity=plain, resume=resume) as kept:
        yield kept
