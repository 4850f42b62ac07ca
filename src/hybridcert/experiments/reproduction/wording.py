"""Numbers as sentences: rounding that never overstates, trends, and what two measurements have in common."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from hybridcert.certificate.directed import format_down, format_exact
from hybridcert.experiments.reproduction.settings import PairsSetting

NONE = "–"
UNKNOWN = "cannot be told"


def share_down(count: int, total: int) -> str:
    """Return a percentage with one digit, rounded down."""
    tenths = 1000 * count // total
    return f"{tenths // 10}.{tenths % 10} %"


def down(value: float | None, digits: int = 2) -> str:
    """Return a lower bound, rounded down; a dash for none."""
    return NONE if value is None else format_down(value, digits)


def per(value: float | None, sigma: float) -> str:
    """Return a lower bound in multiples of σ, rounded down."""
    return down(None if value is None else math.nextafter(value / sigma, 0.0))


def about(value: float | None, digits: int = 3) -> str:
    """Return an estimate, rounded to the nearest."""
    return NONE if value is None else f"{value:.{digits}f}"


def listed(parts: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def exact(values: Sequence[float]) -> str:
    """Return parameters, with all their digits, as a list."""
    return listed([format_exact(value) for value in values])


def trend(values: Sequence[float | None]) -> str:
    """Return `UNKNOWN`, "falls", "rises", "stays the same", or "neither falls nor rises throughout"."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return UNKNOWN
    steps = [b - a for a, b in itertools.pairwise(known)]
    if not any(steps):
        return "stays the same"
    if all(step <= 0 for step in steps):
        return "falls"
    if all(step >= 0 for step in steps):
        return "rises"
    return "neither falls nor rises throughout"


def agreement(ours: str, paper: str) -> str:
    """Return how two trends compare, as the beginning of a remark."""
    if ours == UNKNOWN:
        return f"in the paper it {paper}"
    return "as in the paper" if ours == paper else f"unlike the paper, where it {paper}"


def setting_sentence(setting: PairsSetting, inputs: int) -> str:
    """Say what was measured on, and why absolute numbers are not the paper's."""
    guard = setting.model.checkpoint.path if setting.model.checkpoint else setting.model.endpoint.model  # type: ignore[union-attr]
    canvas = setting.canvas
    what = (
        f"Measured with the guard {guard.rsplit('/', 1)[-1]} on {inputs} "
        f"{'pair that is' if inputs == 1 else 'pairs that are'} unsafe only together, images of "
        f"{canvas.height} × {canvas.width} × {canvas.channels} values, n = "
        f"{setting.claim.samples}, α = {format_exact(setting.claim.alpha)}."
    )
    if "llavaguard" in guard.lower():
        return what + " The paper has LLaVA-Guard too; its pairs and its denoiser may differ."
    return (
        f"{what} The paper has LLaVA-Guard, Hateful Memes, 100 pairs and n = 10 000: another model on other "
        "data, so absolute shares and radii cannot be compared, only orders and trends. Radii scale with σ "
        "and are lengths in another space; radius/σ is the closest that they have to a common unit."
    )
