"""`hybridcert export`: the counts of a run as one Parquet file, also while the run is going on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridcert.cli import options
from hybridcert.cli.console import print_json, results

EXAMPLE = "Example: hybridcert export runs/adult --out counts.parquet"


def command(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Run directory that `certify` made; the run may be going on."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.parquet", help="File to write. Default: DIR/counts.parquet."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write the counts of a run, block by block, to a Parquet file.

    One row for each input (digest of its content), kernel (digest of the noise), stage and block, with the
    copies drawn and how often each class answered.
    """
    from hybridcert.experiments.export import export_counts

    written = export_counts(directory, out or directory / "counts.parquet")
    if as_json:
        print_json({"file": str(written.path), "blocks": written.blocks, "copies": written.copies})
        return
    results().print(
        f"{written.path}: {written.blocks:,} blocks, {written.copies:,} noisy copies", markup=False
    )
