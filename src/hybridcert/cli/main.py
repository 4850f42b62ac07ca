"""The command line ``hybridcert``: commands, exit codes, and one line for everything that goes wrong.

Exit codes: 0 done (also when nothing could be certified), 1 a certificate that `verify` refuses, or a
violation that `attack` or `reproduce` found, 2 wrong usage or bad input, 130 interrupted (what a run had
counted is kept; `--resume` continues it).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hybridcert.cli import interrupts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        interrupts.listen()
        with interrupts.held():
            from hybridcert.cli.app import run
        return run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        return interrupts.EXIT_CODE


if __name__ == "__main__":
    sys.exit(main())
