"""An attack that showed a certified claim to be false, written so that anybody can judge it again."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridcert.attacks import Attack, Judgement, changes_within, judge
from hybridcert.attacks.continuous import Features, ball
from hybridcert.errors import DataError
from hybridcert.experiments.attack.certified import CertifiedInput, one_row
from hybridcert.experiments.attack.outcome import Outcome, judgement_record
from hybridcert.experiments.attack.plan import Plan, Subject
from hybridcert.experiments.attack.readable import readable
from hybridcert.experiments.run_files import write_json
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.streams import RowStreams
from hybridcert.threats import DiscreteSurface

FOLDER = "counterexamples"

SCHEMA = "hybridcert/counterexample/1"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Rechecked:
    """A counterexample judged again.

    Attributes
    ----------
    input : str
    within : bool
        Whether the adversarial input lies within the certified budget, recomputed from the arrays.
    judgement : Judgement
        On copies that nobody has seen before.
    """

    input: str
    within: bool
    judgement: Judgement

    @property
    def confirmed(self) -> bool:
        """Whether the claim is false at an input within the certified budget."""
        return self.within and self.judgement.violation


def write_counterexample(
    directory: Path,
    outcome: Outcome,
    attack: Attack,
    *,
    certified: CertifiedInput,
    subject: Subject,
    plan: Plan,
) -> Path:
    """Write a violation into ``directory/counterexamples`` and return its path.

    Arrays are exact: integers, and floats as hexadecimal text.
    """
    clean = one_row(subject.inputs, certified.row)
    digest, names = RowStreams(0).keys(clean)[0].hex(), list(subject.joint.threats)
    record = {
        "schema": SCHEMA,
        "input": {"index": certified.name, "digest": digest},
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
    path = directory / FOLDER / f"{_file_name(outcome, digest)}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, record)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def recheck(
    path: Path, subject: Subject, *, samples: int | None = None, alpha: float = 0.01, seed: int
) -> Rechecked:
    """Judge a counterexample again, on other copies.

    Guarantee: if the certified claim is true, `Rechecked.confirmed` is True with probability at most
    ``alpha``, as long as ``seed`` is another than that of the campaign.

    Parameters
    ----------
    path : Path
        As `write_counterexample` returned it.
    subject : Subject
        What was attacked; only classifier, noise, threat and claim play a part.
    samples : int >= 1, optional
        Copies that judge; by default as many as before.
    alpha : float in (0, 1)
    seed : int >= 0

    Raises
    ------
    DataError
        For a file that is no counterexample, or one about another claim, label or input.
    ParameterError
        For so few samples that nothing could be a violation, or the seed of the campaign.
    """
    record = _read(path)
    labels = [str(label) for label in subject.classifier.classes_]
    claim = dataclasses.asdict(subject.claim) | {"kind": subject.claim.kind}
    if record["claim"] != claim or record["label"] not in labels:
        raise DataError(f"{path} is about another claim than that of the configuration: {record['claim']}")
    if record["seed"] == seed:
        raise DataError(f"{path} was judged with seed {seed} before: take another seed, for other copies")
    clean, adversarial = _of_arrays(record["clean"]), _of_arrays(record["adversarial"])
    if RowStreams(0).keys(clean)[0].hex() != record["input"]["digest"]:
        raise DataError(f"{path}: the clean input is not the one that its digest names")
    judgement = judge(
        subject.classifier,
        subject.joint.noise,
        adversarial,
        label=labels.index(record["label"]),
        claim=subject.claim,
        samples=record["samples"] if samples is None else samples,
        alpha=alpha,
        seed=seed,
    )
    budget = record["budget"]
    within = lies_within(subject, clean, adversarial, d=budget["d"], epsilon=float.fromhex(budget["epsilon"]))
    return Rechecked(record["input"]["index"], within, judgement)


def lies_within(
    subject: Subject, clean: Batch, adversarial: Batch, *, d: Mapping[str, int], epsilon: float
) -> bool:
    """Return whether an adversarial input is proven to lie within a budget of a clean one.

    What the threat does not name has to be equal: other modalities, and positions that are not eligible.
    """
    joint, surfaces = subject.joint, subject.joint.noise.surfaces
    for name in clean:
        surface = surfaces.get(name)
        if name in joint.threats:
            assert isinstance(surface, DiscreteSurface)
            before, after = (joint.noise.exposed(row, name, 0)[0] for row in (clean, adversarial))
            if not changes_within(joint.threats[name], before, after, d[name]):
                return False
        free = list(surface.eligible) if surface is not None and _may_change(subject, name) else []
        sequence = isinstance(surface, DiscreteSurface) and surface.sequence
        if not (sequence and free) and not _equal_but(free, clean[name][0], adversarial[name][0]):
            return False
    features = Features.of(joint)
    here, there = (
        features.gathered({name: array[0] for name, array in row.items()}) for row in (clean, adversarial)
    )
    return ball(joint, here, epsilon).holds(there)


def _may_change(subject: Subject, name: str) -> bool:
    return name in subject.joint.threats or name in subject.joint.noise.continuous


def _equal_but(free: list[int], before: npt.NDArray[Any], after: npt.NDArray[Any]) -> bool:
    return before.shape == after.shape and np.array_equal(np.delete(before, free), np.delete(after, free))


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


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] == SCHEMA:
            return dict(record)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no counterexample: expected what `attack` writes") from error
    raise DataError(f"{path} is no counterexample of a schema known here, {SCHEMA}: got {record['schema']!r}")


def _file_name(outcome: Outcome, digest: str) -> str:
    """Return a name that people know again, and that no other input has."""
    words = re.sub(r"[^\w.+=-]+", "-", f"{outcome.input[:80]}_{outcome.budget}").strip("-")
    return f"{words}_{digest[:12]}"
