"""What a certification run found: counts, bounds and certificates of every input, ready to tabulate."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridcert.certificate.confidence import LabelBounds
from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.frontier import Radii
from hybridcert.certificate.multiclass import TopRadii
from hybridcert.documents.claims import Claim, ScoreAbove, TopK
from hybridcert.documents.evidence import Estimate, JointAttack, PointEvidence, SequentialPlan, Setting
from hybridcert.documents.frontier import frontier_section, sharpened
from hybridcert.documents.issue import FILE_NAME, compose, write_certificates
from hybridcert.errors import DataError, ParameterError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Budget = int | tuple[int, ...]
"""Discrete budget d, or one d per attacked discrete modality."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class BudgetPoint:
    """Certificates of all inputs at one discrete budget.

    Attributes
    ----------
    d : int or tuple of int
    radii : Radii
        Certified radii with their witnesses.
    p_adv : float array, shape (m,)
        Lower bound on the worst-case score at ε = 0, given also where nothing is certified.
    attacks : tuple of JointAttack
        For each case of the run, the candidates of the worst case.
    """

    d: Budget
    radii: Radii | TopRadii
    p_adv: Floats
    attacks: tuple[JointAttack, ...]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CertificationRun:
    """Result of `SmoothedClassifier.certify`.

    With probability at least 1 − ``alpha`` over the samples, and for each input on its own, all its
    certificates (every d, every ε up to the radius) hold together: they are functions of the same bounds.

    Attributes
    ----------
    classes : array, shape (classes,)
        Labels.
    claimed, clean : int array, shape (m,)
        Index of the class that is certified, and of the base classifier's answer on the input itself.
    counts : int array, shape (m, classes)
        How many of the ``samples`` copies gave each answer.
    samples : int array, shape (m,)
        Noisy copies that were drawn of each input; 0 where it failed.
    samples_at_most : int
        Copies that would have been drawn of an input that never stops early.
    plans : sequence of SequentialPlan or None
        For each input, the looks that its bound rests on; None where the number of copies was fixed.
    stopped : sequence of str
        For each input, why no more copies were drawn: "all copies drawn", "target certified", "target out of
        reach", "within tolerance", "budget spent", or "failed".
    failures : mapping of row to reason
        Inputs about which nothing is known, because the classifier kept failing on them.
    claim : ScoreAbove or TopK
        What is certified: a score above a threshold, or a place among the k strongest labels.
    bounds : LabelBounds
        Confidence bounds on the smoothed scores: of ``claimed`` from below and, for top-k claims, of its
        strongest rivals from above.
    points : tuple of BudgetPoint
        One for every discrete budget, d = 0 first.
    modalities : tuple of str
        Attacked discrete modalities, in the order of the entries of a tuple-valued d.
    sigma, unit, norm : float, str, str
        Radii are distances in ``unit``, as ``norm`` measures them: "l2", "l1", "mahalanobis" (√Σ(δ_j/σ_j)²)
        or "none"; ``sigma`` is the noise they scale with.
    index : array, shape (m,)
        Row labels of the inputs.
    digests : sequence of str
        Digest of each encoded input.
    case : int array, shape (m,)
    cases : tuple of Setting
        Inputs whose noise and attacks look alike form a case.
    settings : mapping
        Noise, threat, seed and the like, as plain values.
    cost : mapping
        Model calls and seconds.
    remarks : tuple of str
        Further assumptions, which issued certificates repeat.
    """

    classes: npt.NDArray[Any]
    claimed: npt.NDArray[np.intp]
    clean: npt.NDArray[np.intp]
    counts: npt.NDArray[np.int64]
    samples: npt.NDArray[np.int64]
    samples_at_most: int
    plans: Sequence[SequentialPlan | None]
    stopped: Sequence[str]
    failures: Mapping[int, str]
    alpha: float
    claim: Claim
    bounds: LabelBounds
    points: tuple[BudgetPoint, ...]
    modalities: tuple[str, ...]
    sigma: float
    unit: str
    norm: str
    index: npt.NDArray[Any]
    digests: Sequence[str]
    case: npt.NDArray[np.intp]
    cases: tuple[Setting, ...]
    settings: Mapping[str, Any]
    cost: Mapping[str, Any]
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of inputs."""
        return int(self.claimed.size)

    @property
    def predictions(self) -> npt.NDArray[Any]:
        """Claimed label of every input; whether the claim holds even at ε = 0, d = 0 is in `point(0)`."""
        return np.asarray(self.classes[self.claimed])

    @property
    def successes(self) -> npt.NDArray[np.int64]:
        """How many copies answered the claimed label, shape (m,)."""
        return np.asarray(self.counts[np.arange(len(self)), self.claimed])

    @property
    def p_lower(self) -> Floats:
        """Lower confidence bound on the smoothed score of the claimed label, shape (m,)."""
        return self.bounds.p_lower

    @property
    def threshold(self) -> float | None:
        """The score that has to be exceeded; None for top-k claims."""
        return self.claim.threshold if isinstance(self.claim, ScoreAbove) else None

    @property
    def abstained(self) -> Bools:
        """Inputs about which nothing is certified, not even the answer without any change, shape (m,)."""
        return np.asarray(~self.points[0].radii.certified)

    def point(self, d: Budget) -> BudgetPoint:
        """Certificates at budget ``d``.

        Raises
        ------
        ParameterError
            When the run did not certify that budget.
        """
        for point in self.points:
            if point.d == d:
                return point
        known = ", ".join(str(point.d) for point in self.points)
        raise ParameterError(f"d must be one of {known}, got {d!r}")

    def certified(self, d: Budget, eps: float) -> Bools:
        """Whether each input's claim holds against ``d`` discrete changes and ε = ``eps`` together."""
        if not eps >= 0.0:
            raise ParameterError(f"eps must be >= 0, got {eps!r}")
        radii = self.point(d).radii
        return radii.certified & (radii.radius >= eps)

    def certified_accuracy(
        self, y: Sequence[Any] | npt.NDArray[Any] | pd.Series, *, d: Sequence[Budget], eps: Sequence[float]
    ) -> pd.DataFrame:
        """Share of inputs that are right and certified: one row per ``d``, one column per ``eps``.

        Parameters
        ----------
        y : labels, shape (m,)
        d : discrete budgets that the run covers
        eps : radii >= 0 in the run's unit
        """
        truth = np.asarray(y)
        if truth.shape != self.claimed.shape:
            raise DataError(f"y must have one label for each of {len(self)} inputs, got shape {truth.shape}")
        if not np.isin(truth, self.classes).any():
            raise DataError(f"y holds none of the classes {self.classes.tolist()}, got {truth.flat[0]!r}")
        right = self.predictions == truth
        rows = [[float((right & self.certified(b, e)).mean()) for e in eps] for b in d]
        return pd.DataFrame(
            rows,
            index=pd.Index(list(d), name="d", tupleize_cols=False),
            columns=pd.Index(list(eps), name="eps"),
        )

    def frame(self) -> pd.DataFrame:
        """One row per input and budget; ``radius`` and ``log_t`` are missing where nothing is certified."""
        parts = []
        for point in self.points:
            radii = point.radii
            columns: dict[Hashable, Any] = {
                "input": self.index,
                "label": self.predictions,
                "clean_label": self.classes[self.clean],
                "successes": self.successes,
                "samples": self.samples,
                "alpha": self.alpha,
                "stopped": list(self.stopped),
                "p_lower": self.p_lower,
            }
            columns |= self._claim_columns()
            columns |= self._budget_columns(point.d)
            columns |= {
                "certified": radii.certified,
                "radius": _where(radii.radius, radii.certified),
                "unit": self.unit,
                "shift": _where(radii.shift, radii.certified),
            }
            for number, name in enumerate(("log_t", "log_t_rival")[: radii.log_t.ndim]):
                columns[name] = _where(radii.log_t.reshape(len(self), -1)[:, number], radii.certified)
            columns["p_adv"] = point.p_adv
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def _claim_columns(self) -> dict[Hashable, Any]:
        if isinstance(self.claim, ScoreAbove):
            return {"threshold": self.claim.threshold}
        return {"p_upper": self.bounds.p_upper, "top_k": self.claim.k}

    def _budget_columns(self, d: Budget) -> dict[Hashable, Any]:
        if isinstance(d, int):
            return {"d": d}
        return {f"d_{name}": value for name, value in zip(self.modalities, d, strict=True)}

    def certificates(self, provenance: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the issued certificate of every input (``docs/certificate-format.md``), each verified.

        Inputs that failed have none, nor have those for which a total budget left no copies.

        Parameters
        ----------
        provenance : mapping, optional
            Added to what the run itself knows: digests of model and data, say.

        Raises
        ------
        CertificateError
            When a certificate does not verify; it is not issued.
        """
        known = {"package": f"hybridcert {version('hybridcert')}", **self.settings} | dict(provenance or {})
        plain = json.loads(json.dumps(known, default=_plain), parse_float=str)  # documents hold no floats
        proven: dict[Hashable, tuple[Estimate, list[dict[str, Any]]]] = {}
        for row in range(len(self)):
            if not self.samples[row]:
                continue
            setting, key = self.cases[self.case[row]], self._evidence_key(row)
            if key not in proven:
                estimate = sharpened(self._estimate(row), setting.claim)
                proven[key] = estimate, frontier_section(setting, estimate, self._evidence(row))
            estimate, frontier = proven[key]
            subject = {
                "index": str(self.index[row]),
                "digest": self.digests[row],
                "base_label": str(self.classes[self.clean[row]]),
            }
            label = str(self.classes[self.claimed[row]])
            yield compose(
                setting,
                estimate,
                frontier,
                label=label,
                subject=subject,
                provenance=plain,
                remarks=self.remarks,
            )

    def _evidence_key(self, row: int) -> Hashable:
        """All that the frontier of an input depends on."""
        counts = self.counts[row] if isinstance(self.claim, TopK) else self.successes[row : row + 1]
        drawn = int(self.samples[row]), self.plans[row]
        return (int(self.case[row]), int(self.claimed[row]), *drawn, *map(int, counts))

    def _estimate(self, row: int) -> Estimate:
        top = self.bounds.method == "clopper-pearson-bonferroni"
        return Estimate(
            self.bounds.method,
            float(self.p_lower[row]),
            float(self.bounds.p_upper[row]) if top else None,
            int(self.samples[row]),
            float(self.alpha),
            [int(count) for count in self.counts[row]],
            int(self.claimed[row]),
            self.plans[row],
        )

    def _evidence(self, row: int) -> list[PointEvidence]:
        return [
            PointEvidence(
                d=list(point.d) if isinstance(point.d, tuple) else point.d,
                certified=bool(point.radii.certified[row]),
                radius=float(point.radii.radius[row]),
                attack=point.attacks[self.case[row]],
            )
            for point in self.points
        ]

    def at_thresholds(self, thresholds: Sequence[float]) -> pd.DataFrame:
        """Tabulate what is certified at other thresholds, from the same bounds; see `at_thresholds`."""
        from hybridcert.threshold_grid import at_thresholds

        return at_thresholds(self, thresholds)

    def save(self, directory: str | Path) -> Path:
        """Write results.parquet, certificates.jsonl and run.json into ``directory`` (made if missing).

        For a claim about a score also thresholds.parquet: radii at a grid of further thresholds.
        """
        frame, description = self.frame(), json.dumps(self.describe(), indent=2, default=_plain)
        target = Path(directory)
        target.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(target / "results.parquet", index=False)
        write_certificates(target / FILE_NAME, self.certificates())
        if self.threshold is not None:
            from hybridcert.threshold_grid import write_thresholds

            write_thresholds(target, self)
        (target / "run.json").write_text(description + "\n", encoding="utf-8")
        return target

    def describe(self) -> dict[str, Any]:
        """Everything about the run but the per-input results, as plain values."""
        return {
            "inputs": len(self),
            "samples": self.samples_at_most,
            "failures": {str(self.index[row]): reason for row, reason in self.failures.items()},
            "alpha": self.alpha,
            "claim": dataclasses.asdict(self.claim) | {"kind": self.claim.kind},
            "threshold": self.threshold,
            "sigma": self.sigma,
            "unit": self.unit,
            "norm": self.norm,
            **self.settings,
            "cost": dict(self.cost),
        }

    def plot(self, y: Sequence[Any] | npt.NDArray[Any] | pd.Series | None = None) -> Figure:
        """Curve of certified inputs against ε for every budget, as a matplotlib figure.

        Without continuous noise there is no ε, and each budget has one bar.

        Parameters
        ----------
        y : labels, shape (m,), optional
            With it the curves show certified accuracy, without it the share of certified claims.
        """
        from hybridcert.certified_curves import draw

        return draw(self, y)


def _where(values: Floats, present: Bools) -> pd.arrays.FloatingArray:
    """Numbers that are missing where nothing is certified."""
    return pd.arrays.FloatingArray(values.copy(), ~present)


def _plain(value: Any) -> Any:
    """A NumPy scalar as the Python number it is."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


def row_names(X: Any, rows: int) -> npt.NDArray[Any]:
    """Return the labels of a table's or series' rows; numbers for everything else."""
    named = isinstance(X, pd.DataFrame | pd.Series)
    return np.asarray(X.index if named else np.arange(rows))
