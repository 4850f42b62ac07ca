"""How large a certificate may be before it is refused: every loop of the verifier is bounded by one of these.

A document from a stranger must be answered in seconds and in a bounded amount of memory, so whatever lies
beyond a limit is refused with a reason, never half checked. The limits are far above what the package issues.
"""

from __future__ import annotations

from typing import Final

DOCUMENT_BYTES: Final = 16 * 2**20
"""One document: a line of a ``*.jsonl`` file, or an entry of a ``*.json`` list."""
FILE_BYTES: Final = 32 * 2**20
"""A ``*.json`` file, which is read as a whole; ``*.jsonl`` files are read line by line and may be longer."""
VALUES: Final = 2_000_000
"""Values in a document or ``*.json`` file: parsed, the smallest of them take 50 times their bytes."""
ENTRIES: Final = 100_000
"""Documents in the list of a ``*.json`` file."""
DOCUMENTS: Final = 1_000_000
"""Documents verified in one go, each of which leaves a verdict behind."""
SYMBOL_CHARACTERS: Final = 200
"""Characters of the text that says what a symbol is."""
READ_BYTES: Final = 2**20
"""A block of a file whose lines are counted."""
DEPTH: Final = 32
"""Nesting of lists and objects."""
INTEGER_DIGITS: Final = 18
"""Digits of a JSON integer."""
REAL_CHARACTERS: Final = 2_000
"""Characters of a real, and thus digits of a rational."""
HEX_DIGITS: Final = 64
"""Hexadecimal digits of a hexadecimal float."""
HEX_EXPONENT: Final = 2_000
"""Largest absolute binary exponent of a hexadecimal float."""
LOG_T: Final = 2**40
"""Largest absolute value of a witness u = log t."""

SAMPLES: Final = 10**10
"""Samples behind an estimate."""
LOOKS: Final = 1_000
"""Looks at which the sampling behind an estimate could stop."""
LABELS: Final = 1_000_000
"""Labels of a top-k claim."""
MODALITIES: Final = 64
"""Discrete modalities; the same number of continuous ones."""
SYMBOLS: Final = 10**15
"""Alphabet sizes, sizes of noise sets, positions of a class, length of a sequence, features."""
BUDGET: Final = 1_000_000
"""Discrete budget d, and the positions that a listed change changes."""
POINTS: Final = 100_000
"""Points of a frontier."""
WITNESSES: Final = 200_000
"""Witnesses of all points of a document together."""
MATRIX_ROWS: Final = 1_000
"""Rows of a transition matrix."""
MATRIX_BITS: Final = 10_000
"""Bits of the denominator of a row's sum."""
OPTIONS: Final = 200_000
"""Options of all classes of a modality together."""
CHANGES: Final = 100_000
"""Changes that a cover must dominate; ten times as many different options in them."""
LAWS_IN_CHANGE: Final = 1_000
"""Different options that one change takes."""

SECOND: Final = 10_000_000
"""Units of work in about a second."""
LAW_WORK: Final = 20 * SECOND
"""Work to read the laws of one document."""
PRODUCT_WORK: Final = 20 * SECOND
"""Work to build one spectrum."""
WORK: Final = 40 * SECOND
"""Work to check one document once it is read."""
ATOMS: Final = 2_000_000
"""Atoms of a spectrum."""
ENVELOPE_LINES: Final = 20_000
"""Supporting lines of an envelope."""
EXACT_TAIL_BITS: Final = 20_000
"""Samples times bits of the probability for which a bound is computed exactly, to settle a tie."""
EXACT_BITS: Final = 20_000_000
"""Bits of the exact rationals that settle a tie."""

KEPT_ATOMS: Final = 500_000
"""Atoms, positions or options in each table of results that are kept for the next document."""
KEPT_CHARACTERS: Final = 32 * 2**20
"""Characters of the laws that are kept for the next document."""

PRECISIONS: Final = (128, 256, 512, 1024, 2048)
"""Bits of the ball arithmetic, tried in turn until a comparison is decided; what stays open is refused."""
