"""The command line ``hybridcert``: commands, exit codes, and one line for everything that goes wrong.

Exit codes: 0 done (also when nothing could be certified), 1 a certificate that `verify` refuses,
2 wrong usage or bad input, 130 interrupted (what a run had counted is kept, and `--resume` continues it).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from hybridcert.cli import certify, demo, export, frontier, radius, report, threshold, verify
from hybridcert.errors import HybridCertError

_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]  # ClickException, wherever Typer keeps Click
_BAD_INPUT = 2
_INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _module in {
    "radius": radius,
    "frontier": frontier,
    "threshold": threshold,
    "certify": certify,
    "report": report,
    "export": export,
    "demo": demo,
    "verify": verify,
}.items():
    app.command(_name, epilog=_module.EXAMPLE)(_module.command)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Certify classifiers against joint changes of discrete and continuous inputs."""
    if version:
        from hybridcert import __version__

        sys.stdout.write(f"hybridcert {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave as tidily as on Ctrl-C
    try:
        code = app(args=arguments, prog_name="hybridcert", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted: nothing was written\n")
        return _INTERRUPTED
    except BrokenPipeError:  # the reader, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _USAGE_ERROR as error:
        return _refuse(error.format_message())  # type: ignore[attr-defined]
    except HybridCertError as error:
        return _refuse(str(error))
    return int(code or 0)


def _refuse(message: str) -> int:
    text = " ".join(message.split())
    sys.stderr.write(f"error: {text}\n")
    return _BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
