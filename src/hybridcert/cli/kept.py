"""What an interrupted command leaves behind, in one line."""

from __future__ import annotations

from pathlib import Path


def kept_in(directory: Path) -> str:
    """Say how many answers a run directory keeps, and how to continue."""
    from hybridcert.experiments.run_directory import stored_copies

    copies = stored_copies(directory)
    if not copies:
        return "nothing was written"
    return (
        f"the answers to {copies:,} copies are kept in {directory}; continue with the same command and "
        f"--out {directory} --resume"
    )
