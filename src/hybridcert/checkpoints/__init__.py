"""Checkpoints of small models that ship with the library, for demonstrations and tests.

``tiny_guard`` is an image-text guard of LLaVA-OneVision's architecture, with 0.2 million parameters. It reads
an 8x8 digit beside a message, and answers "Unsafe" where the message names the digit shown. Neither half is
flagged alone. ``examples/tiny_guard/train.py`` makes it, and says how good it is.
"""

from __future__ import annotations

from pathlib import Path


def tiny_guard() -> Path:
    """Return the folder of the tiny guard, an ordinary Hugging Face checkpoint.

    Returns
    -------
    Path
        Holds the configuration, the weights (float32), the tokenizer with its chat template, the image
        processor, and ``policy.txt`` with the placeholders ``{image}``, ``{text}`` and ``{suffix}``.

    Examples
    --------
    >>> (tiny_guard() / "policy.txt").is_file()
    True
    """
    return Path(__file__).parent / "tiny_guard"
