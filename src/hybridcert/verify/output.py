"""Printing what strangers wrote, on whatever the standard output is."""

from __future__ import annotations

import io
import sys


def print_anything() -> None:
    """Let characters that the standard output cannot encode appear as escapes, not end the program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
