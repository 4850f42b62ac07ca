"""Counts of samples that stopped early, with the plans that they followed and the bounds that these give."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from hybridcert.certificate.alpha_budget import alpha_budget
from hybridcert.certificate.anytime import beta_mixture_lower
from hybridcert.certificate.confidence import LabelBounds, label_bounds
from hybridcert.certificate.group_sequential import group_sequential_lower
from hybridcert.documents.evidence import SequentialPlan

Found = tuple[LabelBounds, SequentialPlan]


def looks(draw: st.DrawFn, most: int) -> tuple[int, ...]:
    """One to six looks, none beyond ``most``."""
    return tuple(sorted(draw(st.sets(st.integers(1, most), min_size=1, max_size=6))))


def shared(draw: st.DrawFn, counts: list[int], index: int, k: int, top: bool, alpha: float) -> Found:
    """All of the counts came in at some look of an alpha budget."""
    samples = sum(counts)
    found = tuple(sorted({samples, *looks(draw, 2 * samples)}))
    budget = alpha_budget(found, alpha)
    look = found.index(samples)
    plan = SequentialPlan(found, look, alphas=budget.alphas)
    answers = np.array([counts]) if top else np.array([[counts[index], samples - counts[index]]])
    bounds = label_bounds(
        answers,
        claimed=np.array([index if top else 0]),
        k=k,
        alpha=budget.alphas[look],
        samples=samples,
        method=None if top else "clopper-pearson",
    )
    return bounds, plan


def mixed(draw: st.DrawFn, own: int, samples: int, alpha: float) -> Found:
    """A beta mixture."""
    shape = st.one_of(st.floats(0.01, 20.0), st.sampled_from([0.5, 1.0, 1e-6, 1e6]))
    a, b = draw(shape), draw(shape)
    p = beta_mixture_lower([own], samples, alpha, a=a, b=b)
    bounds = LabelBounds(p, np.minimum(np.nextafter(1.0 - p, 2.0), 1.0), "beta-mixture")
    return bounds, SequentialPlan(prior=(a, b))


def walked(draw: st.DrawFn, share: float, alpha: float) -> tuple[LabelBounds, SequentialPlan, int, int]:
    """A path of successes past boundaries: its bounds, plan, samples and successes."""
    plan = looks(draw, 300)
    certify_at = tuple(draw(st.integers(max(0, n - n // 8 - 1), n + 1)) for n in plan)
    stream = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    answers = stream.random(plan[-1]) < share
    ends = draw(st.one_of(st.just(plan[-1]), st.integers(1, plan[-1])))
    path: list[int] = []
    for n, least in zip(plan, certify_at, strict=True):
        if n > ends:
            break
        path.append(int(answers[:n].sum()))
        if path[-1] >= least:
            bounds = group_sequential_lower(
                path[-1], look=len(path) - 1, looks=plan, certify_at=certify_at, alpha=alpha
            )
            return *_found(bounds, plan, len(path) - 1, certify_at, path), n, path[-1]
    successes = int(answers[:ends].sum())
    last = len(plan) - 1
    bounds = group_sequential_lower(successes, look=last, looks=plan, certify_at=certify_at, alpha=alpha)
    return *_found(bounds, plan, last, certify_at, path), ends, successes


def _found(bound: float, plan: Any, look: int, certify_at: Any, path: list[int]) -> Found:
    bounds = LabelBounds(np.array([bound]), np.ones(1), "group-sequential")
    return bounds, SequentialPlan(plan, look, certify_at=certify_at, successes_at=tuple(path))
