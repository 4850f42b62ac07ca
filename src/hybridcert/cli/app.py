"""The commands of ``hybridcert``, and what becomes of everything that goes wrong in them: one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from hybridcert.cli import (
    attack,
    certify,
    demo,
    export,
    filter_interaction,
    frontier,
    radius,
    report,
    reproduce,
    threshold,
    verify,
)
from hybridcert.cli.interrupts import EXIT_CODE, Interrupted
from hybridcert.errors import HybridCertError

_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]  # ClickException, wherever Typer keeps Click
_BAD_INPUT = 2

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
    "attack": attack,
    "reproduce": reproduce,
    "filter-interaction": filter_interaction,
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


def run(arguments: Sequence[str] | None) -> int:
    """Run a command and return its exit code."""
    try:
        code = app(args=arguments, prog_name="hybridcert", standalone_mode=False)
        sys.stdout.flush()
    except Interrupted as message:
        sys.stderr.write(f"interrupted: {message}\n")
        return EXIT_CODE
    except typer.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:  # the reader, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _USAGE_ERROR as error:
        return _refuse(error.format_message())  # type: ignore[attr-defined]
    except HybridCertError as error:
        return _refuse(str(error))
    if code == EXIT_CODE:  # Typer turns an interrupt into this code
        raise KeyboardInterrupt
    return int(code or 0)


def _refuse(message: str) -> int:
    text = " ".join(message.split())
    sys.stderr.write(f"error: {text}\n")
    return _BAD_INPUT
