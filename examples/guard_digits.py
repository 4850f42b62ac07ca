"""Write pairs of digits and messages for `guard_digits.yaml`.

    python examples/guard_digits.py DIR

A pair is unsafe when the message names the digit that its image shows. Neither half is unsafe alone. The
digits are those of scikit-learn that the tiny guard was not trained on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hybridcert.datasets.digits_captions import CAPTION_LENGTH, VOCABULARY, load_digit_captions
from hybridcert.datasets.image_text import ImageTextPairs, Pair
from hybridcert.datasets.jsonl_pairs import write_pairs


def digit_pairs(count: int, *, seed: int = 0) -> ImageTextPairs:
    """Return the first ``count`` held-out pairs: about half of them unsafe, in random order."""
    held_out = load_digit_captions(seed=seed).held_out.rows(slice(count))
    pairs = []
    for row, (text, image) in enumerate(zip(held_out.text, held_out.image, strict=True)):
        words = [VOCABULARY[code] for code in text[:CAPTION_LENGTH] if code]
        levels = np.rint(image.reshape(8, 8) * 255).astype(np.uint8)
        label = str(held_out.label[row])
        pairs.append(Pair(f"digit-{row}", " ".join(words), levels, label, {"kind": str(held_out.kind[row])}))
    return ImageTextPairs.of(pairs, source="scikit-learn digits, captions from a grammar")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_pairs(digit_pairs(200), folder)
    print(f"200 pairs in {folder}")
