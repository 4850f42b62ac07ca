"""An attack that showed a certified claim to be false, as a file that anybody can judge again."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hybridcert.attacks import Attack
from hybridcert.errors import DataError
from hybridcert.experiments.attack.certified import CertifiedInput, one_row
from hybridcert.experiments.attack.outcome import Outcome, judgement_record
from hybridcert.experiments.attack.plan import Plan, Subject
from hybridcert.experiments.attack.readable import readable
from hybridcert.experiments.run_files import write_json
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.streams import RowStreams

FOLDER = "counterexamples"

SCHEMA = "hybridcert/counterexample/1"


def counterexample_path(directory: Path, outcome: Outcome, clean: Batch) -> Path:
    """Return where in ``directory`` a violation is written: a name that no other input or budget has."""
    words = re.sub(r"[^\w.+=-]+", "-", f"{outcome.input[:80]}_{outcome.budget}", flags=re.ASCII).strip("-")
    return directory / FOLDER / f"{words}_{_digest(clean)[:12]}.json"


def write_counterexample(
    directory: Path,
    outcome: Outcome,
    attack: Attack,
    *,
    certified: CertifiedInput,
    subject: Subject,
    plan: Plan,
) -> Path:
    """Write a violation to its `counterexample_path` and return that; all of the file is there, or nothing.

    Arrays are exact: integers, and floats as hexadecimal text.

    Raises
    ------
    DataError
        When it cannot be written.
    """
    clean, names = one_row(subject.inputs, certified.row), list(subject.joint.threats)
    record = {
        "schema": SCHEMA,
        "input": {"index": certified.name, "digest": _digest(clean)},
        "label": str(subject.classifier.classes_[certified.label]),
        "claim": dataclasses.asdict(subject.claim) | {"kind": subject.claim.kind},
        "budget": {
            "name": outcome.budget,
            "d": dict(zip(names, outcome.d, strict=True)),
            "epsilon": outcome.epsilon.hex(),
            "unit": subject.joint.unit,
        },
        "used": {"changes": dict(outcome.changes), "distance_upper": outcome.distance_upper.hex()},
        "clean": _arrays(clean),
        "adversarial": _arrays(attack.adversarial),
        "readable": {
            "clean": readable(subject.classifier, clean),
            "adversarial": readable(subject.classifier, attack.adversarial),
        },
        "judgement": judgement_record(outcome.judgement) if outcome.judgement is not None else None,
        "samples": plan.samples,
        "seed": plan.section.seed,
        "certificate": certified.document,
    }
    path = counterexample_path(directory, outcome, clean)
    scratch = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(scratch, record)
        scratch.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Counterexample:
    """What a file says that `write_counterexample` wrote; nothing of it is trusted yet.

    Attributes
    ----------
    path : Path
        Where it was read.
    clean, adversarial : Batch
        Encoded inputs, one row each, bit for bit as they were attacked.
    label : str
    claim : mapping
    d : mapping of modality name to int
    epsilon : float
        The budget.
    samples : int
        Copies that a judgement drew at most.
    seed : int
        Of the campaign.
    """

    path: Path
    clean: Batch
    adversarial: Batch
    label: str
    claim: Mapping[str, Any]
    d: Mapping[str, int]
    epsilon: float
    samples: int
    seed: int

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a counterexample.

        Raises
        ------
        DataError
            For a file that cannot be read or is no counterexample, and where the clean input is not the one
            that its digest names.
        """
        record = _record(path)
        try:
            found = cls(
                path=path,
                clean=_of_arrays(record["clean"]),
                adversarial=_of_arrays(record["adversarial"]),
                label=record["label"],
                claim=dict(record["claim"]),
                d={name: int(d) for name, d in record["budget"]["d"].items()},
                epsilon=float.fromhex(record["budget"]["epsilon"]),
                samples=record["samples"],
                seed=record["seed"],
            )
            digest = record["input"]["digest"]
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise DataError(f"{path} is no counterexample as `attack` writes them ({error})") from error
        if found.digest != digest:
            raise DataError(f"{path}: the clean input is not the one that its digest names")
        if _kinds(found.clean) != _kinds(found.adversarial):
            raise DataError(f"{path}: clean and adversarial input are not made of the same modalities")
        return found

    @property
    def digest(self) -> str:
        """The digest of the clean input, as certificates name it."""
        return _digest(self.clean)


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] == SCHEMA:
            return dict(record)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} is no counterexample: expected what `attack` writes") from error
    raise DataError(f"{path} is no counterexample of a schema known here, {SCHEMA}: got {record['schema']!r}")


def _digest(clean: Batch) -> str:
    return RowStreams(0).keys(clean)[0].hex()


def _arrays(row: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    return {
        name: [value.hex() if isinstance(value, float) else value for value in array[0].tolist()]
        for name, array in sorted(row.items())
    }


def _of_arrays(record: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """Read what `_arrays` returned; text is a float."""
    arrays = {}
    for name, values in record.items():
        real = bool(values) and isinstance(values[0], str)
        read = [float.fromhex(value) for value in values] if real else values
        arrays[name] = np.array([read], dtype=np.float64 if real else np.int64)
    return arrays


def _kinds(row: Batch) -> dict[str, str]:
    """Return the modalities of an input and what their numbers are."""
    return {name: array.dtype.str for name, array in row.items()}
