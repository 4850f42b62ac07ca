"""What the sampling engine costs and saves: model calls, overhead, speed of two processes, memory.

    python benchmarks/engine.py calls [--data adult.parquet] [--rows 2000]
    python benchmarks/engine.py overhead
    python benchmarks/engine.py processes
    python benchmarks/engine.py memory

Without a name all four are measured. The data of ``calls`` is OpenML "adult", version 2; without --data it is
looked for in ../shared/data and then fetched.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import dataclasses
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import hybridcert as hc
from hybridcert.sampling.blocks import BLOCK, Work
from hybridcert.sampling.engine import Sampler
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.stopping import FixedSamples
from hybridcert.sampling.streams import RowStreams, Stage
from hybridcert.threats import ContinuousSurface, DiscreteSurface

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ROOT.parent / "shared" / "data" / "adult.parquet"


@dataclasses.dataclass
class Busy:
    """A classifier that keeps a core busy for ``seconds`` of processor time in each call."""

    seconds: float

    classes_ = np.array(["no", "yes"])

    def surfaces(self) -> dict[str, object]:
        """Eight categorical fields and six numbers, like the census table."""
        return {
            "fields": DiscreteSurface((9, 16, 7, 15, 6, 5, 2, 42), tuple(range(8))),
            "numbers": ContinuousSurface(6, tuple(range(6)), "units"),
        }

    def encode(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Give every row the same fields and its own numbers."""
        return {"fields": np.zeros((len(X), 8), dtype=np.int64), "numbers": np.asarray(X, dtype=np.float64)}

    def predict_encoded(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Answer by the sign of the first number, after a while."""
        until = time.thread_time() + self.seconds
        answers = (batch["numbers"][:, 0] > 0).astype(np.intp)
        while time.thread_time() < until:
            pass
        return answers


NOISE = {"fields": hc.UniformReplacement(0.25), "numbers": hc.GaussianNoise(0.5)}


def busy_inputs(rows: int) -> np.ndarray:
    """Rows that differ, near the decision boundary."""
    return np.random.default_rng(0).normal(scale=0.5, size=(rows, 6))


def calls(data: str, rows: int) -> None:
    """Model calls on census income: a target, and the whole frontier to 5 %, against fixed n = 10 000."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.datasets import fetch_openml
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import LinearSVC

    table = pd.read_parquet(data) if data else fetch_openml("adult", version=2, as_frame=True).frame
    y = table.pop("class").to_numpy()
    numeric = [c for c in table if pd.api.types.is_numeric_dtype(table[c])]
    categorical = [c for c in table if c not in numeric]
    order = np.random.default_rng(0).permutation(len(table))
    test, train = order[:rows], order[rows:]
    columns = make_column_transformer((OneHotEncoder(), categorical), (StandardScaler(), numeric))
    print(f"census income, {rows} inputs, sigma = 0.5, tau = 0.5, alpha = 0.01, n = 10 000 at most, d <= 2")
    for beta in (0.5, 0.25):
        base = hc.DataFrameClassifier(
            make_pipeline(columns, LinearSVC(random_state=0)), table, numeric=numeric, categorical=categorical
        )
        noise = {"categorical": hc.UniformReplacement(beta), "numeric": hc.GaussianNoise(0.5)}
        smoothed = hc.SmoothedClassifier(base, noise=noise)
        smoothed.fit(table.iloc[train], y[train], noisy_copies=5, seed=0)
        rules = {"threat": hc.Fields(2), "samples": 10_000, "alpha": 0.01, "threshold": 0.5, "seed": 1}
        X = table.iloc[test]
        fixed = smoothed.certify(X, **rules)
        before = fixed.certified(1, 0.25)
        print(f"beta = {beta}: fixed n {fixed.cost['model_calls']:,} calls, {before.sum()} certified")
        for bound in ("exact", "spending", "mixture"):
            run = smoothed.certify(X, **rules, stopping=hc.Target(1, 0.25), bound=bound)
            after = run.certified(1, 0.25)
            print(
                f"  target d = 1, eps = 0.25, {bound}: {_fewer(fixed, run):.2f} times fewer calls, "
                f"{after.sum()} certified, "
                f"{100 * (before & after).sum() / before.sum():.1f} % of the fixed ones kept"
            )
        for share in (0.05, 0.1):
            run = smoothed.certify(X, **rules, stopping=hc.Tolerance(share))
            longest = smoothed_reach(0.01, 10_000)
            radii = [(f.radii.radius, r.radii.radius) for f, r in zip(fixed.points, run.points, strict=True)]
            within = np.all([a - b <= share * longest for a, b in radii], axis=0).mean()
            strict = np.all([b >= (1 - share) * a for a, b in radii], axis=0).mean()
            means = ", ".join(f"{b.mean() / a.mean():.3f}" if a.any() else "-" for a, b in radii)
            print(
                f"  frontier to {share:.0%}: {_fewer(fixed, run):.2f} times fewer calls; inputs within: "
                f"{within:.1%} (of the longest provable radius), {strict:.1%} (of each radius); "
                f"mean radii at d = 0, 1, 2 relative to the fixed design: {means}"
            )


def smoothed_reach(alpha: float, samples: int) -> float:
    """Longest radius at d = 0, sigma = 0.5: all copies agree."""
    from scipy.special import ndtri

    return 0.5 * float(ndtri(hc.clopper_pearson_lower(samples, samples, alpha)))


def _fewer(fixed: hc.CertificationRun, run: hc.CertificationRun) -> float:
    return float(fixed.cost["model_calls"] / run.cost["model_calls"])


def overhead() -> None:
    """Engine against the bare loop: the same draws, the same calls of 1 ms, nothing else."""
    rows, samples = 40, 50_000
    for kept in (False, True):
        ratios = []
        for _ in range(7):
            bare, engine = _bare(rows, samples), _engine(rows, samples, kept=kept)
            ratios.append(engine / bare)
        calls_made = rows * samples // BLOCK
        print(
            f"engine {'with' if kept else 'without'} a run store, 1 ms a call of {BLOCK} copies, "
            f"{calls_made} calls: {statistics.median(ratios):.3f} of the bare loop "
            f"(median of 7; {min(ratios):.3f} to {max(ratios):.3f})"
        )


def _bare(rows: int, samples: int) -> float:
    classifier = Busy(0.001)
    noise = SmoothingNoise(NOISE, classifier.surfaces())
    inputs = classifier.encode(busy_inputs(rows))
    keys = RowStreams(1).keys(inputs)
    counts = np.zeros((rows, 2), dtype=np.int64)
    started = time.process_time()
    for row in range(rows):
        for number in range(samples // BLOCK):
            batch = noise.draw(inputs, row, BLOCK, keys[row], stage=Stage.ESTIMATE, block=number)
            counts[row] += np.bincount(classifier.predict_encoded(batch), minlength=2)
    return time.process_time() - started


def _engine(rows: int, samples: int, *, kept: bool) -> float:
    classifier = Busy(0.001)
    work = Work(classifier, SmoothingNoise(NOISE, classifier.surfaces()))
    inputs = classifier.encode(busy_inputs(rows))
    with tempfile.TemporaryDirectory() as directory:
        store = hc.RunStore.open(Path(directory) / "run.sqlite", identity={}, resume=False) if kept else None
        started = time.process_time()
        with Sampler(work, inputs, seed=1, store=store) as sampler:
            sampler.sample(Stage.ESTIMATE, FixedSamples(samples), report=lambda progress: None)
        seconds = time.process_time() - started
        if store is not None:
            store.close()
    return seconds


def processes() -> None:
    """Two processes against one, by the clock: the sampling alone, workers already started."""
    for seconds in (0.001, 0.01):
        speed = {1: [], 2: []}
        for _ in range(5):
            for workers in (1, 2):
                speed[workers].append(_copies_per_second(seconds, workers))
        ratios = [two / one for one, two in zip(speed[1], speed[2], strict=True)]
        print(
            f"two processes, {1000 * seconds:g} ms a call of {BLOCK} copies: "
            f"{statistics.median(ratios):.2f} times one (median of 5; {min(ratios):.2f} to {max(ratios):.2f})"
        )


def _copies_per_second(seconds: float, workers: int) -> float:
    classifier = Busy(seconds)
    work = Work(classifier, SmoothingNoise(NOISE, classifier.surfaces()))
    inputs = classifier.encode(busy_inputs(40))
    with Sampler(work, inputs, seed=1, executor=hc.Processes(workers=workers)) as sampler:
        sampler.sample(Stage.SELECT, FixedSamples(BLOCK))  # starts the workers
        started = time.perf_counter()
        found = sampler.sample(Stage.ESTIMATE, FixedSamples(40_000))
        return found.calls / (time.perf_counter() - started)


def memory() -> None:
    """Peak memory of a process that draws more and more copies."""
    for samples in (10_000, 100_000, 1_000_000):
        command = [sys.executable, __file__, "memory", "--samples", str(samples)]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(f"20 inputs x {samples:,} copies: peak {float(answer.stdout):.0f} MiB")


def _peak(samples: int) -> float:
    smoothed = hc.SmoothedClassifier(Busy(0.0), noise=NOISE)
    smoothed.certify(
        busy_inputs(20),
        threat=hc.Fields(1),
        samples=samples,
        alpha=0.01,
        threshold=0.5,
        seed=0,
        label="yes",
    )
    status = Path("/proc/self/status")
    if status.is_file():  # a process inherits the peak of the one that started it, but for this figure
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["calls", "overhead", "processes", "memory"])
    parser.add_argument("--data", default=str(DEFAULT) if DEFAULT.exists() else "")
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--samples", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.samples:
        print(_peak(options.samples))
        return
    if options.what in (None, "calls"):
        calls(options.data, options.rows)
    for name, measure in (("overhead", overhead), ("processes", processes), ("memory", memory)):
        if options.what in (None, name):
            measure()


if __name__ == "__main__":
    main()
