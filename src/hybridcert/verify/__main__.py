"""``python -m hybridcert.verify PATH…``: the verifier alone, without the command line of the package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hybridcert.errors import DataError
from hybridcert.verify.output import print_anything
from hybridcert.verify.paths import verify_paths

_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify all certificates; return 0 if all hold, 1 if one fails, 2 for bad paths."""
    parser = argparse.ArgumentParser(
        prog="python -m hybridcert.verify",
        description="Verify issued certificates from their text alone.",
        epilog="Example: python -m hybridcert.verify certificates.jsonl",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="*.json, *.jsonl or a run directory")
    parser.add_argument("--jobs", type=int, default=None, metavar="N", help="processes, default one per core")
    options = parser.parse_args(arguments)
    print_anything()
    if options.jobs is not None and options.jobs < 1:
        parser.error(f"--jobs must be an integer >= 1, got {options.jobs}")
    try:
        checked = verify_paths(options.paths, jobs=options.jobs)
    except DataError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    failed = [found for found in checked if not found.verdict.ok]
    for found in failed[:_SHOWN]:
        sys.stdout.write(f"{found.name}: {found.verdict.reasons[0]}\n")
    if len(failed) > _SHOWN:
        sys.stdout.write(f"… and {len(failed) - _SHOWN} more\n")
    sys.stdout.write(f"{len(checked) - len(failed)} of {len(checked)} certificates hold\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
