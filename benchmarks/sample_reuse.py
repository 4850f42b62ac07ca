"""Three ways to a frontier over suffix slots at equal cost: one kernel, conditional reuse, a run for each d.

Filters on the demo's held-out unsafe pairs. All three ways spend the same number of model calls per pair;
printed are the pairs certified at each (d, ε), as Markdown tables for docs/sample-reuse.md. The filter of the
demo reads suffix slots with weights of their own, so noise there costs it little. The other one reads them
like the caption: the more slots are noisy, the lower its score.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import hybridcert as hc
from hybridcert.adapters.digits_filter import DigitsFilter
from hybridcert.certificate.directed import format_exact
from hybridcert.datasets.digits_captions import (
    CAPTION_LENGTH,
    SUFFIX_SLOTS,
    VOCABULARY,
    DigitCaptions,
    load_digit_captions,
)
from hybridcert.experiments.multimodal import UNSAFE
from hybridcert.sampling.store import RunStore
from hybridcert.slot_reuse import on_first_slots, slot_frontier
from hybridcert.slot_runs import SCOPES, Scope, SlotFrontier, share_of

Certified = Callable[[int, float], npt.NDArray[np.bool_]]

SIGMA, ALPHA, SEED, NOISY_COPIES, RUNS = 0.25, 0.01, 0, 10, SUFFIX_SLOTS + 1
ANY_OF_100 = hc.threshold_for(copies=100, miss=0.01)
"""τ of a filter that draws 100 copies, flags on any hit and misses with probability at most 1 %."""

CASES = (
    ("demo", 0.75, 0.5),
    ("demo", 0.25, 0.5),
    ("demo", 0.25, ANY_OF_100),
    ("shared reader", 0.25, ANY_OF_100),
    ("shared reader", 0.5, ANY_OF_100),
)


def trained(reader: str, beta: float) -> hc.SmoothedClassifier:
    """Return the demo's filter, trained under noise on all suffix slots, or with one reader for all words."""
    base = DigitsFilter(
        words=len(VOCABULARY), caption_length=CAPTION_LENGTH, suffix_slots=SUFFIX_SLOTS, seed=SEED
    )
    noise = {"text": hc.UniformReplacement(beta), "image": hc.GaussianNoise(SIGMA)}
    train = load_digit_captions(seed=SEED).train
    smoothed = hc.SmoothedClassifier(base, noise=noise).fit(
        train.inputs, train.readings, noisy_copies=NOISY_COPIES, seed=SEED
    )
    filter_ = smoothed.classifier_
    if reader != "demo":
        words = filter_.caption_reader
        filter_.caption_reader = dataclasses.replace(words, suffix_weights=words.caption_weights)
    return smoothed


class Bench:
    """One filter on some pairs; both scopes use the same copies, which are kept in stores."""

    def __init__(
        self, smoothed: hc.SmoothedClassifier, pairs: DigitCaptions, threshold: float, samples: int, at: Path
    ) -> None:
        self.smoothed, self.pairs, self.threshold, self.samples, self.at = (
            smoothed,
            pairs,
            threshold,
            samples,
            at,
        )

    def store(self, name: str) -> RunStore:
        """Open a store of counts, new or begun."""
        path = self.at / f"{name}.sqlite"
        return RunStore.open(path, identity={"name": name}, resume=path.exists())

    def reused(self, scope: Scope) -> SlotFrontier:
        """Return certificates for every number of slots from one run with noise on all of them."""
        with self.store("reused") as store:
            return slot_frontier(
                self.smoothed,
                self.pairs.inputs,
                modality="text",
                samples=self.samples,
                alpha=ALPHA,
                seed=SEED,
                threshold=self.threshold,
                scope=scope,
                label=UNSAFE,
                store=store,
            )

    def separate(self, slots: int, scope: Scope) -> hc.CertificationRun:
        """Return the run for one number of slots, with its share of the samples."""
        with self.store(f"separate-{slots}") as store:
            return on_first_slots(self.smoothed, modality="text", slots=slots).certify(
                self.pairs.inputs,
                threat=hc.Substitution(slots),
                samples=self.samples // RUNS,
                alpha=share_of(ALPHA, RUNS) if scope == "simultaneous" else ALPHA,
                seed=SEED,
                threshold=self.threshold,
                label=UNSAFE,
                store=store,
            )

    def show(self, title: str, eps: Sequence[float]) -> None:
        """Measure and print."""
        per_budget = self.reused("per budget")
        for scope in SCOPES:
            frontier = self.reused(scope)
            runs = [self.separate(slots, scope) for slots in range(RUNS)]
            ways: dict[str, Certified] = {
                "one kernel": per_budget.runs[-1].certified,  # its frontier is simultaneous as it is
                "reuse": frontier.certified,
                "separate": lambda d, e, runs=runs: runs[d].certified(d, e),
            }
            print(table(f"{title}, {scope}", ways, eps), end="\n\n")
        kept = [f"{run.samples.mean():,.0f}" for run in per_budget.runs]
        shares = [f"{(run.counts[:, 1] / run.samples).mean():.3f}" for run in runs]
        print(f"d = 0 … {SUFFIX_SLOTS}: copies kept {', '.join(kept)}; score {', '.join(shares)}", end="\n\n")


def table(title: str, ways: dict[str, Certified], eps: Sequence[float]) -> str:
    """Return the certified pairs: rows d with any, columns ε, in each cell one number a way."""
    lines = [f"**{title}** ({' / '.join(ways)})", ""]
    lines += [
        "| d | " + " | ".join(f"ε = {format_exact(e)}" for e in eps) + " |",
        "|---" * (len(eps) + 1) + "|",
    ]
    for d in range(SUFFIX_SLOTS + 1):
        counted = [[int(certified(d, e).sum()) for certified in ways.values()] for e in eps]
        if not any(map(any, counted)):
            continue
        cells = []
        for found in counted:
            cells.append(" / ".join(f"**{n}**" if n == max(found) > min(found) else str(n) for n in found))
        lines.append(f"| {d} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000, help="model calls per pair, for each way")
    parser.add_argument("--inputs", type=int, default=200, help="held-out pairs, safe ones included")
    parser.add_argument("--eps", type=float, nargs="+", default=[0.0, 0.2, 0.4, 0.6])
    options = parser.parse_args()
    held_out = load_digit_captions(seed=SEED).held_out.rows(slice(0, options.inputs))
    pairs = held_out.rows(held_out.label == UNSAFE)
    for reader, beta, threshold in CASES:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(trained(reader, beta), pairs, threshold, options.samples, Path(folder))
            title = f"{reader}, β = {beta}, τ = {threshold:.3g}, {len(pairs.label)} pairs"
            bench.show(title, options.eps)


if __name__ == "__main__":
    main()
