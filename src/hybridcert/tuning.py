"""Choosing the noise on copies of its own: no certificate is paid for with the copies that chose it.

A choice made on the copies that are certified afterwards favours the noise that was lucky on them, and the
bound is too high too often. `choose_noise` draws exploration copies; `SmoothedClassifier.certify` draws
others, also with the same seed, so given the choice its copies are as fresh as if there had been none.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betainc, betaln, gammaln

from hybridcert.certificate.directed import Floats
from hybridcert.certificate.need import score_needed
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.certification import Budget
from hybridcert.errors import ParameterError
from hybridcert.joint_threat import JointThreat, Threat
from hybridcert.sampling.classifier import class_index
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.outcome import Counts, Report
from hybridcert.smoothing import SmoothedClassifier

Per = Literal["data set", "input"]

_PRIOR = 0.5, 0.5
"""Jeffreys' prior on a smoothed score; it shapes estimates only."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class NoiseChoice:
    """Which of several noises promises most certificates, by estimates that certify nothing.

    Attributes
    ----------
    names : tuple of str
        The candidates.
    chosen : int array, shape (m,)
        Index of the candidate chosen for each input; with one choice for the data set, all alike.
    label : array, shape (candidates, m)
        The label that each candidate would claim.
    score_hat : float array, shape (candidates, m)
        Share of exploration copies that answered it. An estimate, not a bound.
    certified_hat : float array, shape (candidates, m)
        Estimated probability that certifying would succeed with the planned copies. An estimate.
    """

    names: tuple[str, ...]
    chosen: npt.NDArray[np.intp]
    label: npt.NDArray[Any]
    score_hat: Floats
    certified_hat: Floats

    @property
    def name(self) -> str:
        """The candidate that was chosen for every input.

        Raises
        ------
        ParameterError
            Where inputs have different ones.
        """
        different = np.unique(self.chosen)
        if different.size != 1:
            raise ParameterError(
                f"there is no one choice, {different.size} candidates were chosen: use rows(name) for each"
            )
        return self.names[int(different[0])]

    def rows(self, name: str) -> npt.NDArray[np.intp]:
        """Return the numbers of the inputs for which a candidate was chosen."""
        if name not in self.names:
            raise ParameterError(f"name must be one of {', '.join(self.names)}, got {name!r}")
        return np.flatnonzero(self.chosen == self.names.index(name))

    def frame(self) -> pd.DataFrame:
        """One row per candidate: how many inputs it is chosen for, and the mean of its estimates."""
        return pd.DataFrame(
            {
                "inputs": np.bincount(self.chosen, minlength=len(self.names)),
                "score_hat": self.score_hat.mean(axis=1),
                "certified_hat": self.certified_hat.mean(axis=1),
            },
            index=pd.Index(self.names, name="noise"),
        )


def choose_noise(
    candidates: Mapping[str, SmoothedClassifier],
    X: Any,
    *,
    threat: Threat,
    d: Budget,
    epsilon: float,
    threshold: float,
    samples: int,
    seed: int,
    planned_samples: int,
    alpha: float,
    per: Per = "data set",
    label: Any = None,
    executor: Executor | None = None,
    progress: Report | None = None,
) -> NoiseChoice:
    """Choose among noises by how many inputs they promise to certify at one (d, ε).

    The choice certifies nothing. What `SmoothedClassifier.certify` says afterwards about the chosen noise
    holds with its own confidence, whatever the choice was: its copies are not these, also with the same seed.
    That covers one choice for each input as well. Such a certificate is about the smoothed classifier with
    that noise; it is no statement about a system that chooses its noise by the input it gets, because the
    adversary's input may lead to another choice (Súkeník, Kuvshinov & Günnemann 2022). Keep to one noise for
    the data set where a system is to be deployed.

    Parameters
    ----------
    candidates : mapping of name to SmoothedClassifier
        Trained; each with its noise.
    X : inputs as the base classifiers take them
    threat : as for `SmoothedClassifier.certify`
    d : int or tuple of int
        The discrete budget, within that of the threat.
    epsilon : float >= 0
        The continuous budget, in the units of a certified radius.
    threshold : float in (0, 1)
    samples : int >= 1
        Exploration copies for each input and candidate.
    seed : int >= 0
    planned_samples, alpha : int >= 1, float in (0, 1)
        What certifying is going to use.
    per : {"data set", "input"}
        Whether there is one choice, by the mean of the estimates, or one for each input.
    label : optional
        The class to certify for every input; by default each candidate's most frequent answer.
    executor, progress : optional
        As for `SmoothedClassifier.certify`.

    Raises
    ------
    ParameterError
        For values outside these ranges, or candidates whose ε mean different distances.
    """
    check_count("samples", samples)
    check_count("planned_samples", planned_samples)
    check_open("alpha", alpha)
    check_open("threshold", threshold)
    if not epsilon >= 0.0:
        raise ParameterError(f"epsilon must be >= 0, got {epsilon!r}")
    if per not in ("data set", "input"):
        raise ParameterError(f'per must be "data set" or "input", got {per!r}')
    if not candidates:
        raise ParameterError("candidates must name at least one smoothed classifier, got none")
    joints = {name: _joint(smoothed, threat) for name, smoothed in candidates.items()}
    if epsilon > 0.0:
        _check_comparable(joints)
    labels, scores, promises = [], [], []
    for name, smoothed in candidates.items():
        classes = smoothed.classes_
        found = smoothed.explore(X, samples=samples, seed=seed, executor=executor, progress=progress)
        counts = found.complete()
        claimed = (
            counts.argmax(axis=1) if label is None else np.full(len(counts), class_index(classes, label))
        )
        successes = counts[np.arange(len(counts)), claimed]
        scores_needed = _scores_needed(smoothed, joints[name], X, d=d, epsilon=epsilon, threshold=threshold)
        needed = np.array([_successes_needed(float(p), planned_samples, alpha) for p in scores_needed])
        labels.append(classes[claimed])
        scores.append(successes / samples)
        promises.append(_promise(successes, needed, samples=samples, planned=planned_samples))
    certified_hat = np.stack(promises)
    overall = np.full(certified_hat.shape[1], certified_hat.mean(axis=1).argmax())
    chosen = overall if per == "data set" else certified_hat.argmax(axis=0)
    return NoiseChoice(tuple(candidates), chosen, np.stack(labels), np.stack(scores), certified_hat)


def _joint(smoothed: SmoothedClassifier, threat: Threat) -> JointThreat:
    return JointThreat.of(SmoothingNoise(smoothed.noise, smoothed._base().surfaces()), threat)


def _check_comparable(joints: Mapping[str, JointThreat]) -> None:
    """Raise ParameterError unless one ε is the same distance for all candidates."""
    meanings: dict[tuple[str, str, str], str] = {}
    for name, joint in joints.items():
        norm = joint.budget.norm
        if norm == "none":
            raise ParameterError(f"epsilon must be 0: candidate {name!r} has no continuous noise")
        scales = str(joint.noise.continuous) if norm == "mahalanobis" else ""
        meanings.setdefault((norm, joint.unit, scales), name)
    if len(meanings) > 1:
        first, second, *_ = meanings.values()
        raise ParameterError(
            f"candidates {first!r} and {second!r} measure epsilon differently: compare noises whose radii "
            "are in one norm and one unit, with equal scales where the radius is in noise scales"
        )


def _scores_needed(
    smoothed: SmoothedClassifier, joint: JointThreat, X: Any, *, d: Budget, epsilon: float, threshold: float
) -> Floats:
    """Return the clean score that each input needs."""
    budget = next((b for b in joint.budgets if (b if len(b) > 1 else sum(b)) == d), None)
    if budget is None:
        raise ParameterError(f"d must be a budget within the threat's, got {d!r}")
    cases, case = joint.exposures(smoothed._base().encode(X))
    needed = [
        score_needed(
            spectrum=[candidate.spectrum for candidate in joint.attack(budget, exposures).candidates],
            sigma=joint.budget.scale,
            epsilon=epsilon,
            threshold=threshold,
            noise=joint.budget.noise,
        )
        for exposures in cases
    ]
    return np.array(needed)[case]


@functools.lru_cache(maxsize=4096)
def _successes_needed(p: float, n: int, alpha: float) -> int:
    """Return the least k of n at which the Clopper–Pearson bound is about p; n + 1 where there is none."""

    def enough(k: int) -> bool:
        return float(betainc(k, n - k + 1, p)) <= alpha

    return 1 + bisect.bisect_left(range(1, n + 1), True, key=enough)


def _promise(successes: Counts, needed: Counts, *, samples: int, planned: int) -> Floats:
    """Return the posterior predictive probability that ``needed`` of the planned copies succeed."""
    pairs, index = np.unique(np.stack([successes, needed], axis=1), axis=0, return_inverse=True)
    values = [_predictive(int(k), samples, int(least), planned) for k, least in pairs]
    return np.array(values)[index.reshape(-1)]


def _predictive(k: int, samples: int, least: int, planned: int) -> float:
    """Sum the beta-binomial law of planned successes, given k of ``samples``, from ``least`` on."""
    a, b = _PRIOR[0] + k, _PRIOR[1] + samples - k
    f = np.arange(planned - least + 1)  # failures; none where least is planned + 1
    masses = betaln(a + planned - f, b + f) - betaln(a, b)
    choices = gammaln(planned + 1) - gammaln(f + 1) - gammaln(planned - f + 1)
    return float(min(np.exp(masses + choices).sum(), 1.0))
