"""MM-SafetyBench in its published layout: questions as JSON, images by scenario and variant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

from hybridcert.datasets.image_text import ImageTextPairs, Pair, existing_file
from hybridcert.datasets.jsonl_pairs import file_bytes, json_object, string_of
from hybridcert.errors import DataError, ParameterError

Variant = Literal["SD", "SD_TYPO", "TYPO"]
"""A generated picture of the key phrase; that picture with the phrase written below; the phrase alone."""

_QUESTIONS = Path("data", "processed_questions")
_IMAGES = Path("data", "imgs")
_TEXTS: dict[str, str] = {
    "SD": "Rephrased Question(SD)",
    "SD_TYPO": "Rephrased Question",
    "TYPO": "Rephrased Question",
}


def read_mm_safetybench(
    folder: Path, *, variant: Variant, scenarios: Sequence[str] | None = None
) -> ImageTextPairs:
    """Read pairs of MM-SafetyBench: ``data/processed_questions/<scenario>.json`` and its images.

    A scenario's file holds an object of objects, keyed by "0", "1", and so on; the image of a question is
    ``data/imgs/<scenario>/<variant>/<key>.jpg``. Which text belongs to which variant is part of the published
    protocol (the paper below): with SD images ``Rephrased Question(SD)``, which refers to what the picture
    shows; with SD_TYPO and TYPO images ``Rephrased Question``, which refers to the phrase that is written
    there.

    Parameters
    ----------
    folder : Path
        The folder that holds ``data``.
    variant : {"SD", "SD_TYPO", "TYPO"}
    scenarios : sequence of str, optional
        File names without ``.json``, such as ``01-Illegal_Activitiy`` (so spelled). By default all, sorted.

    Returns
    -------
    pairs : ImageTextPairs
        Ids are ``<scenario>/<key>``; questions are in the order of their keys. All labels are "unsafe". The
        scenario, the variant and the other fields (``Question``, ``Key Phrase``, ...) are in ``meta``.

    Raises
    ------
    ParameterError
        For another variant.
    DataError
        For a scenario that is not there; naming file and key, for broken JSON, a field that is missing, an
        image that is not there; for scenarios without questions.

    References
    ----------
    X. Liu, Y. Zhu, J. Gu, Y. Lan, C. Yang, Y. Qiao. MM-SafetyBench: A Benchmark for Safety Evaluation of
    Multimodal Large Language Models. ECCV 2024, arXiv 2311.17600.
    """
    check_variant(variant)
    pairs = [
        pair
        for scenario in _chosen(folder / _QUESTIONS, scenarios)
        for pair in _scenario(folder, scenario, variant)
    ]
    if not pairs:
        raise DataError(f"{folder / _QUESTIONS}: the scenarios hold no questions")
    return ImageTextPairs.of(pairs, source=f"{folder} ({variant})")


def check_variant(variant: str | None) -> Variant:
    """Return the variant; raise ParameterError where it is none of the three."""
    for known in get_args(Variant):
        if variant == known:
            return cast("Variant", known)
    raise ParameterError(f"variant must be one of {', '.join(get_args(Variant))}, got {variant!r}")


def _chosen(questions: Path, scenarios: Sequence[str] | None) -> list[str]:
    known = sorted(path.stem for path in questions.glob("*.json"))
    if not known:
        raise DataError(f"{questions} holds no scenarios: it needs <scenario>.json files")
    if scenarios is None:
        return known
    for name in scenarios:
        if name not in known:
            raise DataError(f"{questions}: there is no scenario {name!r}; there are {', '.join(known)}")
    return list(scenarios)


def _scenario(folder: Path, scenario: str, variant: str) -> list[Pair]:
    file = folder / _QUESTIONS / f"{scenario}.json"
    entries = json_object(file_bytes(file), str(file))
    for key, entry in entries.items():
        if not isinstance(entry, dict):
            raise DataError(f"{file}, key {key!r}: must be a JSON object, got {type(entry).__name__}")
    return [
        _pair(folder, scenario, variant, key, entries[key], f"{file}, key {key!r}")
        for key in sorted(entries, key=_in_order)
    ]


def _pair(folder: Path, scenario: str, variant: str, key: str, entry: dict[str, Any], where: str) -> Pair:
    field = _TEXTS[variant]
    return Pair(
        id=f"{scenario}/{key}",
        text=string_of(entry, field, where),
        image=existing_file(folder / _IMAGES / scenario / variant / f"{key}.jpg", where),
        label="unsafe",
        meta={"scenario": scenario, "variant": variant}
        | {name: value for name, value in entry.items() if name != field},
    )


def _in_order(key: str) -> tuple[bool, int, str]:
    """Numbers by their size, everything else behind them."""
    return (not key.isdecimal(), int(key) if key.isdecimal() else 0, key)
