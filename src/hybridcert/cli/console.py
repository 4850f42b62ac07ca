"""Where commands print: results to standard output, everything else to standard error."""

from __future__ import annotations

import decimal
import json
import math
import sys
from typing import TYPE_CHECKING

from hybridcert.certificate.directed import WIDE, format_down

_FILE_WIDTH = 160  # columns of tables that go to a file or a pipe

if TYPE_CHECKING:
    from rich.console import Console


def results() -> Console:
    """Return the console for human-readable results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def notices() -> Console:
    """Return the console for progress and notices."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print one JSON document; floats carry the digits that reproduce them exactly."""
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")


def shown_down(value: float) -> str:
    """Print a non-negative bound with six digits, rounded towards zero."""
    if value == 0.0 or value >= 1e-3 or math.isinf(value):
        return format_down(value)
    exact = decimal.Decimal(value)
    quantum = decimal.Decimal(1).scaleb(exact.adjusted() - 5)
    return f"{exact.quantize(quantum, rounding=decimal.ROUND_DOWN, context=WIDE):e}"
