"""`hybridcert report`: tables, figure and page from a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridcert.cli import options
from hybridcert.cli.console import print_json, results

EXAMPLE = "Example: hybridcert report runs/adult"


def command(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Directory that `certify`, `demo`, `reproduce` or `run.save` wrote."
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Write report.html, certified_accuracy.png and tables/*.csv into a run directory.

    In a directory of `reproduce`, write its page and figure.
    """
    from hybridcert.reports.reproduction_page import is_reproduction, write_reproduction
    from hybridcert.reports.write import write_report

    if is_reproduction(directory):
        page = write_reproduction(directory)
        if as_json:
            print_json({"report": str(page)})
        else:
            results().print(str(page), markup=False)
        return
    written = write_report(directory)
    if as_json:
        print_json(
            {
                "report": str(written.page),
                "figure": str(written.figure),
                "tables": [str(path) for path in written.tables],
            }
        )
        return
    console = results()
    for path in (written.page, written.figure, *written.tables):
        console.print(str(path), markup=False)
