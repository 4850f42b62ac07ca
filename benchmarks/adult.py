"""Time and memory of certifying census-income rows, by both paths.

    python benchmarks/adult.py [--data PATH] [--rows 1000] [--samples 10000]

The data is OpenML "adult", version 2, as a parquet file; without --data it is looked for in
../shared/data and then fetched. Each path runs in a process of its own, so its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ROOT.parent / "shared" / "data" / "adult.parquet"


def measure(path: str, data: str, rows: int, samples: int) -> dict[str, object]:
    """Train once, then time `certify` alone."""
    import numpy as np
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.datasets import fetch_openml
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import LinearSVC

    import hybridcert as hc

    table = pd.read_parquet(data) if data else fetch_openml("adult", version=2, as_frame=True).frame
    y = table.pop("class").to_numpy()
    numeric = [c for c in table if pd.api.types.is_numeric_dtype(table[c])]
    categorical = [c for c in table if c not in numeric]
    order = np.random.default_rng(0).permutation(len(table))
    test, train = order[:rows], order[rows:]
    columns = make_column_transformer((OneHotEncoder(), categorical), (StandardScaler(), numeric))
    base = hc.DataFrameClassifier(
        make_pipeline(columns, LinearSVC(random_state=0)),
        table,
        numeric=numeric,
        categorical=categorical,
        encoded="auto" if path == "encoded" else "never",
    )
    noise = {"categorical": hc.UniformReplacement(beta=0.5), "numeric": hc.GaussianNoise(sigma=0.5)}
    smoothed = hc.SmoothedClassifier(base, noise=noise)
    smoothed.fit(table.iloc[train], y[train], noisy_copies=1, seed=0)
    assert smoothed.classifier_.path == path
    started = time.perf_counter()
    run = smoothed.certify(
        table.iloc[test], threat=hc.Fields(max_d=2), samples=samples, alpha=0.01, threshold=0.5, seed=1
    )
    seconds = time.perf_counter() - started
    return {
        "path": path,
        "seconds": round(seconds, 2),
        "copies_per_second": round(rows * samples / seconds),
        "peak_MiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "certified": {
            f"d={d}, eps={e}": int(run.certified(d, e).sum()) for d, e in ((0, 0), (1, 0.25), (2, 0.25))
        },
        "successes": int(run.successes.sum()),
    }


def main() -> None:
    """Run both paths and print one JSON object each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=str(DEFAULT) if DEFAULT.exists() else "")
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--path", choices=["encoded", "generic"])
    options = parser.parse_args()
    if options.path:
        print(json.dumps(measure(options.path, options.data, options.rows, options.samples)))
        return
    print(f"{options.rows} rows x {options.samples} samples, d <= 2, {os.cpu_count()} cores, one thread")
    results = []
    for path in ("encoded", "generic"):
        command = [sys.executable, __file__, "--path", path, "--data", options.data]
        command += ["--rows", str(options.rows), "--samples", str(options.samples)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        results.append(json.loads(answer.stdout))
        print(answer.stdout.strip())
    same = (
        results[0]["successes"] == results[1]["successes"]
        and results[0]["certified"] == results[1]["certified"]
    )
    print(f"same counts by both paths: {same}")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
