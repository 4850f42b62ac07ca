"""Certificates issued and verified per second: distinct counts, three budgets each, over the census law.

Every document differs in its counts, so nothing but the spectra can be shared between them. Verification is
timed as a stranger runs it: the command `hybridcert verify FILE`, start of the processes included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import hybridcert as hc
from hybridcert.certificate.confidence import LabelBounds
from hybridcert.certification import CertificationRun
from hybridcert.documents.claims import ScoreAbove
from hybridcert.documents.issue import write_certificates
from hybridcert.joint_threat import JointThreat
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.threats import ContinuousSurface, DiscreteSurface

SIZES = (9, 16, 7, 15, 6, 5, 2, 42)
SAMPLES, ALPHA = 20_000, 0.01


def run_of(documents: int) -> CertificationRun:
    """Return a run whose inputs all have different counts, as if they had been sampled."""
    surfaces = {
        "categorical": DiscreteSurface(SIZES, tuple(range(len(SIZES)))),
        "numeric": ContinuousSurface(6, tuple(range(6)), "standard deviations of the training data"),
    }
    noise = SmoothingNoise(
        {"categorical": hc.UniformReplacement(0.5), "numeric": hc.GaussianNoise(0.5)}, surfaces
    )
    joint = JointThreat.of(noise, {"categorical": hc.Fields(2)})
    successes = np.random.default_rng(0).permutation(np.arange(SAMPLES - documents + 1, SAMPLES + 1))
    p_lower = hc.clopper_pearson_lower(successes, SAMPLES, ALPHA)
    claim, bounds = ScoreAbove(0.5), LabelBounds(p_lower, np.ones_like(p_lower), "clopper-pearson")
    inputs = {
        "categorical": np.zeros((documents, len(SIZES)), dtype=np.int64),
        "numeric": np.zeros((documents, 6)),
    }
    cases, case = joint.exposures(inputs)
    return CertificationRun(
        classes=np.array(["<=50K", ">50K"]),
        claimed=np.zeros(documents, dtype=np.intp),
        clean=np.zeros(documents, dtype=np.intp),
        counts=np.stack([successes, SAMPLES - successes], axis=1),
        samples=SAMPLES,
        alpha=ALPHA,
        claim=claim,
        bounds=bounds,
        points=tuple(joint.point(budget, claim, bounds, cases, case) for budget in joint.budgets),
        modalities=tuple(joint.threats),
        sigma=joint.budget.scale,
        unit=joint.unit,
        norm=joint.budget.norm,
        index=np.arange(documents),
        digests=["none: made-up counts"] * documents,
        case=case,
        cases=tuple(joint.setting(claim, exposures) for exposures in cases),
        settings={"seed": 0},
        cost={},
    )


def verified(path: Path, jobs: int) -> float:
    """Return the seconds that the command takes; it must accept every certificate."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "hybridcert", "verify", str(path), "--jobs", str(jobs)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"verification failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    return time.perf_counter() - started


def _counted(documents: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, document in enumerate(documents, start=1):
        if number % 1000 == 0:
            print(f"  {number} issued", file=sys.stderr)
        yield document


def main() -> None:
    """Issue, verify, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    documents = parser.parse_args().documents
    run = run_of(documents)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "certificates.jsonl"
        started = time.perf_counter()
        points = write_certificates(path, _counted(run.certificates())) * len(run.points)
        issuing = time.perf_counter() - started
        print(
            f"{documents} certificates with {points} points, {path.stat().st_size / documents:.0f} bytes each"
        )
        print(
            f"issued (each verified once): {issuing:.1f} s, {documents / issuing:.0f} a second, one process"
        )
        for jobs in sorted({1, os.cpu_count() or 1}):
            seconds = verified(path, jobs)
            print(f"verified by {jobs} process(es): {seconds:.1f} s, {documents / seconds:.0f} a second")


if __name__ == "__main__":
    main()
