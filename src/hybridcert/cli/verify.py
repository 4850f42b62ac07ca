"""`hybridcert verify`: check issued certificates from their text alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hybridcert.verify import Checked

EXAMPLE = "Example: hybridcert verify runs/adult --explain"

_SHOWN = 20
_FAILED = 1


def command(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…",
            help="*.jsonl with one certificate a line, *.json with one or a list, or a run directory.",
        ),
    ],
    explain: Annotated[
        bool, typer.Option("--explain", help="Say in plain sentences what each certificate guarantees.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, help="Processes, default one per core.")
    ] = None,
) -> None:
    """Verify issued certificates independently of the code that issued them.

    Everything is recomputed from the documents alone, in exact rationals and ball arithmetic. Exit code 0
    means that every certificate holds, 1 that one fails or is malformed, 2 that there was nothing to check.
    """
    from hybridcert.cli.progress import ProgressLine
    from hybridcert.reports.unfinished import check_finished
    from hybridcert.verify import verify_paths
    from hybridcert.verify.output import print_anything

    print_anything()
    for path in paths:
        check_finished(Path(path))
    with ProgressLine() as progress:
        checked = verify_paths(paths, jobs=jobs, progress=progress, explained=explain)
    failed = [found for found in checked if not found.verdict.ok]
    if as_json:
        sys.stdout.write(json.dumps(_as_record(checked, explained=explain)) + "\n")
    else:
        if explain:
            for found in checked:
                title = f"{found.name}: {'valid' if found.verdict.ok else 'NOT VALID'}"
                sys.stdout.write("\n".join([title, *(f"  {line}" for line in found.explanation), "", ""]))
        else:
            _list_failures(failed)
        sys.stdout.write(f"{len(checked) - len(failed)} of {len(checked)} certificates hold\n")
    if failed:
        raise typer.Exit(_FAILED)


def _list_failures(failed: list[Checked]) -> None:
    for found in failed[:_SHOWN]:
        sys.stdout.write(f"{found.name}: {found.verdict.reasons[0]}\n")
    if len(failed) > _SHOWN:
        sys.stdout.write(f"… and {len(failed) - _SHOWN} more that fail\n")


def _as_record(checked: list[Checked], *, explained: bool) -> dict[str, object]:
    certificates = []
    for found in checked:
        summary = found.verdict.summary
        record: dict[str, object] = {
            "file": found.path,
            "place": found.place,
            "ok": found.verdict.ok,
            "reasons": found.verdict.reasons,
            "index": summary.index if summary else None,
            "label": summary.label if summary else None,
            "claim": summary.claim if summary else None,
            "method": summary.method if summary else None,
            "points": summary.points if summary else None,
            "certified_points": summary.certified if summary else None,
        }
        if explained:
            record["explanation"] = found.explanation
        certificates.append(record)
    valid = sum(found.verdict.ok for found in checked)
    return {"certificates": certificates, "valid": valid, "failed": len(checked) - valid}
