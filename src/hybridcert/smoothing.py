"""The smoothed classifier: the one place where sampling, confidence and certificate meet."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from hybridcert.certificate.confidence import clopper_pearson_lower
from hybridcert.certificate.ranges import check_count, check_open
from hybridcert.certification import CertificationRun, row_names
from hybridcert.documents.claims import claim_of
from hybridcert.errors import DataError, ModelError, ParameterError
from hybridcert.estimation import Bound, Question, Stopping, estimate
from hybridcert.joint_threat import JointThreat, Threat
from hybridcert.sampling.blocks import Work
from hybridcert.sampling.classifier import Batch, Classifier, TrainableClassifier, claimed_indices
from hybridcert.sampling.engine import Retries, Sampler
from hybridcert.sampling.executors.executor import Executor
from hybridcert.sampling.noise import Kernel, SmoothingNoise
from hybridcert.sampling.outcome import Counts, Report, Sampling
from hybridcert.sampling.run_identity import content_digest, described_model, opened
from hybridcert.sampling.stopping import FixedSamples
from hybridcert.sampling.store import RunStore
from hybridcert.sampling.streams import RowStreams, Stage


class SmoothedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A base classifier asked about many noisy copies of each input.

    Parameters
    ----------
    classifier : Classifier
        The base classifier, trained or to be trained by `fit`: `DataFrameClassifier`, or any object that
        implements `hybridcert.sampling.classifier.Classifier`.
    noise : mapping of modality name to kernel
        For instance ``{"categorical": UniformReplacement(0.25), "numeric": GaussianNoise(0.5)}``. A
        modality without a kernel is not smoothed, and certificates hold only while it stays unchanged.
    samples, alpha, seed : optional
        Defaults for `predict`, which scikit-learn calls without arguments. `certify` takes its own.
    noisy_copies : int >= 1
        Noisy copies of each training row that `fit` trains on.

    Notes
    -----
    Noise depends on the seed and on the content of a row only, so results do not depend on the order of
    rows or on how they are batched.
    """

    def __init__(
        self,
        classifier: Any,
        *,
        noise: Mapping[str, Kernel],
        samples: int | None = None,
        alpha: float | None = None,
        seed: int | None = None,
        noisy_copies: int = 1,
        abstain_label: Any = None,
    ) -> None:
        self.classifier = classifier
        self.noise = noise
        self.samples = samples
        self.alpha = alpha
        self.seed = seed
        self.noisy_copies = noisy_copies
        self.abstain_label = abstain_label

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Labels of the base classifier."""
        return np.asarray(self._base().classes_)

    @property
    def abstain_label_(self) -> Any:
        """What `predict` returns where it abstains: ``abstain_label``, or else a value outside `classes_`."""
        classes = self.classes_
        if self.abstain_label is not None:
            if self.abstain_label in classes.tolist():
                raise ParameterError(f"abstain_label must not be a class, got {self.abstain_label!r}")
            return self.abstain_label
        if classes.dtype.kind in "iuf":
            return -1 if -1 not in classes else classes.min() - 1
        if "abstain" in classes.tolist():
            raise ParameterError("one class is called 'abstain': name another answer with abstain_label=")
        return "abstain"

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        noisy_copies: int | None = None,
        seed: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> SmoothedClassifier:
        """Train a copy of the base classifier on noisy copies of the training rows.

        Parameters
        ----------
        X : inputs as the base classifier takes them
        y : targets, one per row
        noisy_copies, seed : override the constructor's
        progress : callable(done, total), optional
            Told how many copies are drawn; how long the base classifier trains on them nobody knows.
        """
        copies = self.noisy_copies if noisy_copies is None else noisy_copies
        check_count("noisy_copies", copies)
        if y is None:
            raise DataError("SmoothedClassifier requires y to be passed, but the target y is None")
        base = copy.deepcopy(self.classifier)
        if not isinstance(base, TrainableClassifier):
            raise ModelError(f"{type(base).__name__} cannot be trained: it has no fit_encoded method")
        learn_schema = getattr(base, "learn_schema", None)
        if learn_schema is not None:
            learn_schema(X)
        inputs = base.encode(X)
        noise = SmoothingNoise(self.noise, base.surfaces())
        noise.check_inputs(inputs)
        keys = RowStreams(self._given("seed", seed)).keys(inputs)
        drawn = []
        for row, key in enumerate(keys):
            drawn.append(noise.draw(inputs, row, copies, key, stage=Stage.TRAIN, block=0))
            if progress is not None and row % 256 == 255:
                progress((row + 1) * copies, len(keys) * copies)
        batch = {name: np.concatenate([d[name] for d in drawn]) for name in inputs}
        self.classifier_ = base.fit_encoded(batch, np.repeat(np.asarray(y), copies, axis=0))
        n_features = getattr(self.classifier_, "n_features_in_", None)
        if n_features is not None:
            self.n_features_in_ = n_features
        return self

    def counts(self, X: Any, *, samples: int, seed: int, progress: Report | None = None) -> Counts:
        """Return how often each class answered over ``samples`` noisy copies, shape (m, classes).

        The copies are for exploring: `certify` and `predict` draw others, also with the same seed, so a label
        or a parameter may be chosen on these counts. Raises ModelError where an input keeps failing.
        """
        return self.explore(X, samples=samples, seed=seed, progress=progress).complete()

    def explore(
        self,
        X: Any,
        *,
        samples: int,
        seed: int,
        executor: Executor | None = None,
        retries: Retries | None = None,
        store: RunStore | None = None,
        progress: Report | None = None,
    ) -> Sampling:
        """Return what `counts` counts, with the inputs that failed; see `certify` for the parameters."""
        base = self._base()
        with self._sampler(base, base.encode(X), seed, executor, retries, store) as sampler:
            return sampler.sample(Stage.EXPLORE, FixedSamples(samples), report=progress)

    def ask(
        self,
        X: Any,
        *,
        seed: int,
        executor: Executor | None = None,
        retries: Retries | None = None,
        store: RunStore | None = None,
    ) -> Sampling:
        """Return the base classifier's own answer about each input, without noise, as counts of one copy.

        The seed only names the answers in the store.
        """
        base = self._base()
        with self._sampler(base, base.encode(X), seed, executor, retries, store) as sampler:
            return sampler.sample(Stage.CLEAN, FixedSamples(1))

    def _sampler(
        self,
        base: Classifier,
        inputs: Batch,
        seed: int,
        executor: Executor | None = None,
        retries: Retries | None = None,
        store: RunStore | None = None,
    ) -> Sampler:
        work = Work(base, SmoothingNoise(self.noise, base.surfaces()))
        return Sampler(work, inputs, seed=seed, executor=executor, retries=retries, store=store)

    def predict(
        self, X: Any, *, samples: int | None = None, alpha: float | None = None, seed: int | None = None
    ) -> npt.NDArray[Any]:
        """Return the smoothed prediction of every input, or `abstain_label_`.

        Guarantee: with probability at least 1 − alpha for each input, the answer is the class that the
        smoothed classifier gives most often, or an abstention (Cohen et al. 2019, PREDICT; the two-sided
        test is done with the exact Clopper–Pearson bound at alpha/2).
        """
        samples, alpha = self._given("samples", samples), self._given("alpha", alpha)
        base = self._base()
        with self._sampler(base, base.encode(X), self._given("seed", seed)) as sampler:
            counts = sampler.sample(Stage.PREDICT, FixedSamples(samples)).complete()
        order = np.argsort(-counts, axis=1, kind="stable")
        top = np.take_along_axis(counts, order[:, :1], 1)[:, 0]
        second = np.take_along_axis(counts, order[:, 1:2], 1)[:, 0] if counts.shape[1] > 1 else 0 * top
        sure = np.array(
            [
                float(clopper_pearson_lower(a, int(a + b), alpha / 2)) > 0.5 if a > b else False
                for a, b in zip(top, second, strict=True)
            ],
            dtype=np.bool_,
        )
        answers = self.classes_[order[:, 0]]
        if sure.all():
            return np.asarray(answers)
        abstain = self.abstain_label_
        mixed = [a if s else abstain for a, s in zip(answers.tolist(), sure, strict=True)]
        alike = np.asarray(abstain).dtype.kind == answers.dtype.kind or answers.dtype.kind in "iuf"
        return np.array(mixed) if alike else np.array(mixed, dtype=object)

    def certify(
        self,
        X: Any,
        *,
        threat: Threat,
        samples: int,
        alpha: float,
        seed: int,
        threshold: float | None = None,
        top_k: int | None = None,
        label: Any = None,
        selection_samples: int = 100,
        stopping: Stopping = None,
        bound: Bound | None = None,
        budget: int | None = None,
        executor: Executor | None = None,
        retries: Retries | None = None,
        store: RunStore | str | Path | None = None,
        resume: bool = False,
        progress: Report | None = None,
    ) -> CertificationRun:
        """Certify every input against d discrete changes and a shift, for all d up to the threat's.

        Guarantee: with probability at least 1 − ``alpha`` over the samples, for each input: at every input
        that differs in at most d discrete places and by at most the radius at d, the smoothed score of the
        claimed class is above ``threshold``, or among the ``top_k`` largest.

        Parameters
        ----------
        X : inputs as the base classifier takes them
        threat : DiscreteThreat, mapping of modality name to DiscreteThreat, or None
            A single threat applies to the only discrete modality that has noise; None means d = 0.
        samples : int >= 1
            Noisy copies per input for the bound; the most there can be when ``stopping`` is given.
        alpha : float in (0, 1)
        seed : int >= 0
        threshold : float in (0, 1), optional
            The score to exceed: 0.5 keeps the majority class; for a filter see `threshold_for`.
        top_k : int in [1, classes), optional
            Instead of a threshold: 1 for "the answer stays", against the runner-up rather than against
            one half. A base classifier that abstains does so with a label of its own, which counts
            against the claim like any other.
        label : optional
            The class to certify for every input. Without it the class is chosen per input from
            ``selection_samples`` separate copies (Cohen et al. 2019).
        stopping : Target or Tolerance, optional
            What the copies have to settle; an input draws no more of them once it is. Without it, or a
            budget, every input has ``samples`` copies.
        bound : {"exact", "spending", "mixture"}, optional
            How the error probability stays below ``alpha`` although sampling may stop early: exactly for one
            target (the default for a target and a threshold), spent look by look, or by a mixture that
            is valid at every time. See ``docs/sequential.md``.
        budget : int >= 1, optional
            Copies for the bounds of all inputs together. Those draw first that gain most by it.
        executor : Executor, optional
            `Serial` by default; `Processes` or `RayCluster` for more. The counts are the same from all.
        retries : Retries, optional
            How often a block is drawn when the classifier raises, dies or takes too long. An input that
            fails so often is reported in ``failures``, and nothing is certified about it.
        store : RunStore or path, optional
            Every count is kept there as soon as it is known. A path is opened with the digests of model,
            data and settings; with ``resume`` what it holds is not drawn again, and another model,
            data set or setting is refused. A model is known by what a pickle of it holds: its parameters
            and all that it has learned, not the code of its class.
        progress : callable(SamplingProgress), optional

        Raises
        ------
        ParameterError, DataError
            For values outside these ranges, or broken inputs.
        ModelError
            For answers that are no class, or a classifier that fails on every input.
        StoreError
            When the store cannot be used; RunMismatchError when it belongs to another run.
        """
        check_count("samples", samples)
        check_open("alpha", alpha)
        base = self._base()
        claim = claim_of(threshold, top_k, len(base.classes_))
        joint = JointThreat.of(SmoothingNoise(self.noise, base.surfaces()), threat)
        question = Question(joint, claim, samples=samples, alpha=alpha, stopping=stopping, bound=bound)
        if budget is not None:
            check_count("budget", budget)
        selects = label is None or question.needs_pilot
        if selects:
            check_count("selection_samples", selection_samples)
        inputs = base.encode(X)
        joint.check_room(inputs)
        classes = np.asarray(base.classes_)
        rows = len(next(iter(inputs.values())))
        contents = RowStreams(0).keys(inputs)
        settings = {
            "noise": joint.noise.described(),
            "threat": {n: t.described() for n, t in joint.threats.items()},
            "seed": seed,
            "label": label,
            "selection_samples": selection_samples if selects else None,
            **question.described(),
            "budget": budget,
            "model": described_model(base),
            "data": {"blake2b": content_digest(contents)},
        }
        identity = {**settings, "samples": samples, "alpha": alpha, "claim": dataclasses.asdict(claim)}
        started = time.perf_counter()
        with (
            opened(store, identity, resume=resume) as kept,
            self._sampler(base, inputs, seed, executor, retries, kept) as sampler,
        ):
            asked = sampler.sample(Stage.CLEAN, FixedSamples(1))
            clean = asked.counts.argmax(axis=1)
            stages, pilot = [asked], None
            if selects:
                selection = sampler.sample(Stage.SELECT, FixedSamples(selection_samples), report=progress)
                pilot = selection.counts
                stages.append(selection)
            claimed = claimed_indices(base, rows, label=label, pilot=pilot)
            estimation = estimate(question, inputs, claimed, pilot)
            found = sampler.sample(Stage.ESTIMATE, estimation.rule, budget=budget, report=progress)
            stages.append(found)
        sampled = time.perf_counter()
        bounds = estimation.bounds(found)
        cases, case = estimation.cases, estimation.case
        points = tuple(joint.point(d, claim, bounds, cases, case) for d in joint.budgets)
        return CertificationRun(
            classes=classes,
            claimed=claimed,
            clean=clean,
            counts=found.counts,
            samples=found.samples,
            samples_at_most=samples,
            plans=estimation.plans(found),
            stopped=estimation.reasons(found),
            failures=found.failures,
            alpha=alpha,
            claim=claim,
            bounds=bounds,
            points=points,
            modalities=tuple(joint.threats),
            sigma=joint.budget.scale,
            unit=joint.unit,
            norm=joint.budget.norm,
            index=row_names(X, rows),
            digests=[key.hex() for key in contents],
            case=case,
            cases=tuple(joint.setting(claim, exposures) for exposures in cases),
            settings=settings,
            cost={
                "model_calls": sum(stage.calls for stage in stages),
                "model_calls_saved": _saved(found, samples, budget, sampler.inputs),
                "model_calls_from_store": sum(stage.calls_from_store for stage in stages),
                "model_calls_repeated": sum(stage.calls_repeated for stage in stages),
                "sampling_seconds": sampled - started,
                "certificate_seconds": time.perf_counter() - sampled,
            },
        )

    def _base(self) -> Classifier:
        base: Classifier = getattr(self, "classifier_", self.classifier)
        if getattr(base, "classes_", None) is None:
            raise NotFittedError("the base classifier is not trained: call fit first, or pass a trained one")
        return base

    def _given(self, name: str, value: Any) -> Any:
        chosen = getattr(self, name) if value is None else value
        if chosen is None:
            raise ParameterError(f"{name} is needed: pass {name}= here or to SmoothedClassifier")
        return chosen


def _saved(found: Sampling, samples: int, budget: int | None, inputs: int) -> int:
    """Return how many copies were not needed; what a budget withheld is not saved, nor what failed."""
    at_most = samples * inputs
    return max(0, (at_most if budget is None else min(at_most, budget)) - found.calls)
