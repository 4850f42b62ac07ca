"""The counts of a run as a Parquet file, taken from its store while the run may be writing it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from hybridcert.errors import DataError
from hybridcert.experiments.run_directory import STORE_FILE
from hybridcert.sampling.store import read_counts


@dataclasses.dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: Path
    blocks: int
    copies: int


def export_counts(directory: Path, path: Path) -> Exported:
    """Write the counts of a run directory, as they stand, to a Parquet file that appears whole.

    Raises
    ------
    DataError
        When the directory has no store, or the file cannot be written.
    StoreError
        When the store cannot be read.
    """
    store = directory / STORE_FILE
    if not store.is_file():
        runs = sorted(found.parent.name for found in directory.glob(f"*/{STORE_FILE}"))
        hint = f"export one of its runs, such as {directory / runs[0]}" if runs else "name a run directory"
        raise DataError(f"{directory} holds no {STORE_FILE}: {hint}")
    counts = read_counts(store)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        counts.to_parquet(scratch, index=False)
        scratch.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        scratch.unlink(missing_ok=True)
    return Exported(path, len(counts), int(counts["copies"].sum()))
