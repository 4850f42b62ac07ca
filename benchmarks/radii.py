"""Certified radii per second, next to a plain nested bisection of the paper's grouped formulas.

    python benchmarks/radii.py [--values 20000] [--repeats 5] [--baseline 12]

Everything is measured in one run on one thread, the two methods in turn, so the ratios hold also where the
absolute figures do not (a shared or a slower machine). Both results are compared with 60-digit radii.
"""

# ruff: noqa: E402 (the number of threads is set before NumPy is imported)

from __future__ import annotations

import argparse
import functools
import math
import os
import platform
import statistics
import time
from collections.abc import Callable

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import scipy
from numpy.typing import NDArray

import hybridcert as hc
from hybridcert.certificate.directed import format_down
from references import ExactRadius, GroupedBisection, relative

VOCABULARY, BETA, THRESHOLD, SIGMA = 50_000, 0.25, 4.6e-5, 1.0
BUDGETS = range(1, 9)
SAMPLES, ALPHA = 100_000, 0.01
LONG = 10_000


def spectrum_at(d: int, beta: float = BETA) -> hc.LikelihoodSpectrum:
    """Return the likelihood spectrum of d changed positions."""
    return hc.UniformReplacement(beta).spectrum([VOCABULARY] * d)


def radii(spectrum: hc.LikelihoodSpectrum, p: NDArray[np.float64] | float) -> hc.Radii:
    """Certify: the call that is measured."""
    return hc.radius(p_lower=p, spectrum=spectrum, sigma=SIGMA, threshold=THRESHOLD)


def risks(spectrum: hc.LikelihoodSpectrum, count: int, seed: int) -> NDArray[np.float64]:
    """Draw 1 − p log-uniformly between 1e-6 and the largest certifiable (or a thousandth of it, if less)."""
    most = largest_risk(spectrum)
    least = min(1e-6, most / 1000.0)
    return np.exp(np.random.default_rng(seed).uniform(math.log(least), math.log(most), count))


def largest_risk(spectrum: hc.LikelihoodSpectrum) -> float:
    """Return the largest 1 − p that is certified at ε = 0, to within 0.1 %."""
    lo, hi = 1e-15, 1.0
    while hi / lo > 1.001:
        middle = math.sqrt(lo * hi)
        lo, hi = (middle, hi) if radii(spectrum, 1.0 - middle).certified[0] else (lo, middle)
    return lo


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call."""
    return statistics.median(seconds(call) for _ in range(repeats))


def throughput(values: int, repeats: int, subset: int) -> None:
    """Radii per second at each budget, and the baseline on a subset of the same p."""
    print(
        f"\n{values} distinct p a budget, 1 - p log-uniform; baseline on {subset} of them; {repeats} rounds"
    )
    print("  d  1-p from        to certified     radii/s baseline/s    ratio difference", end=" ")
    print("   ours/exact - 1 (min, max)  baseline above exact")
    own_total = plain_total = worst = 0.0
    above = 0
    for d in BUDGETS:
        spectrum = spectrum_at(d)
        setting = {"vocabulary": VOCABULARY, "beta": BETA, "threshold": THRESHOLD}
        baseline = GroupedBisection(d, sigma=SIGMA, **setting)
        risk = np.random.default_rng(d).permutation(1.0 - np.unique(1.0 - risks(spectrum, values, seed=d)))
        p = 1.0 - risk
        found = radii(spectrum, p)
        chosen = np.random.default_rng(d).choice(np.flatnonzero(found.radius > 0.0), subset, replace=False)
        own, plain = [], []
        for _ in range(repeats):
            own.append(seconds(functools.partial(radii, spectrum, p)) / p.size)
            plain.append(seconds(functools.partial(baseline.radii, p[chosen])) / subset)
        own_time, plain_time = statistics.median(own), statistics.median(plain)
        own_total, plain_total = own_total + own_time, plain_total + plain_time
        reference = baseline.radii(p[chosen])
        difference = float(np.max(np.abs(found.radius[chosen] / reference - 1.0)))
        worst = max(worst, difference)
        solve = ExactRadius(d, **setting)
        exact = [solve(float(p[i]), float(found.shift[i]), float(found.log_t[i])) for i in chosen]
        errors = [relative(float(found.radius[i]), r) for i, r in zip(chosen, exact, strict=True)]
        over = sum(relative(float(b), r) > 0.0 for b, r in zip(reference, exact, strict=True))
        above += over
        print(f"{d:3d} {risk.min():9.1e} {risk.max():9.1e} {found.certified.mean():9.4f}", end=" ")
        print(f"{1 / own_time:11,.0f} {1 / plain_time:10,.1f} {plain_time / own_time:8,.0f}", end=" ")
        print(f"{difference:10.1e} {min(errors):14.1e} {max(errors):11.1e} {over:>11} of {subset}")
    number = len(BUDGETS)
    print(f"overall (total radii / total time): {number / own_total:,.0f} radii/s,", end=" ")
    print(f"baseline {number / plain_total:,.1f} radii/s, ratio {plain_total / own_total:,.0f}")
    print(f"largest relative difference {worst:.1e};", end=" ")
    print(f"baseline radii above the exact one: {above} of {number * subset}")


def clopper_pearson(repeats: int) -> None:
    """Radii per second for the bounds of all counts that certify: the batches that sampling produces."""
    least = int(SAMPLES * (1.0 - largest_risk(spectrum_at(min(BUDGETS))))) - 100
    started = time.perf_counter()
    bounds = hc.clopper_pearson_lower(np.arange(least, SAMPLES + 1), SAMPLES, ALPHA)
    spent = time.perf_counter() - started
    print(f"\nClopper-Pearson bounds of all counts that certify, n = {SAMPLES}, alpha = {ALPHA}", end=" ")
    print(f"({bounds.size} bounds took {spent:.1f} s, not counted below)")
    print("  d  counts     radii/s  milliseconds")
    total, number = 0.0, 0
    for d in BUDGETS:
        spectrum = spectrum_at(d)
        p = bounds[radii(spectrum, bounds).certified]
        if p.size == 0:
            print(f"{d:3d} {0:7d}")
            continue
        spent = median_seconds(functools.partial(radii, spectrum, p), repeats)
        total, number = total + spent, number + p.size
        print(f"{d:3d} {p.size:7d} {p.size / spent:11,.0f} {1e3 * spent:13.2f}")
    print(f"overall (total radii / total time): {number / total:,.0f} radii/s")


def latency(repeats: int) -> None:
    """Time of one radius at a time, the spectrum given."""
    print("\none radius at a time, spectrum given, 1 - p the median of the above (microseconds)")
    for d in BUDGETS:
        spectrum = spectrum_at(d)
        p = 1.0 - float(np.median(risks(spectrum, 1001, seed=d)))
        print(f"  d = {d}: {1e6 * median_seconds(functools.partial(radii, spectrum, p), 40 * repeats):.0f}")


def long_text() -> None:
    """One radius at a large budget, from nothing: spectrum and search."""
    print(f"\none radius at d = {LONG}, spectrum included (median of 5)")
    for beta, p in ((BETA, 0.9999), (0.9999, 0.99), (0.9995, 0.99)):
        spent = median_seconds(lambda beta=beta, p=p: radii(spectrum_at(LONG, beta), p), 5)
        spectrum = spectrum_at(LONG, beta)
        claim = radii(spectrum, p)[0]
        told = "not certified" if claim.radius is None else f"radius {format_down(claim.radius)}"
        print(f"  beta = {beta}, p = {p}: {1e3 * spent:.1f} ms, {len(spectrum)} atoms, {told}")


def main() -> None:
    """Run every measurement."""
    parser = argparse.ArgumentParser(description="Certified radii per second, and the ratio to a baseline.")
    parser.add_argument("--values", type=int, default=20_000, help="distinct p per budget")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; medians are reported")
    parser.add_argument("--baseline", type=int, default=12, help="how many of the p the baseline gets")
    options = parser.parse_args()
    print(f"V = {VOCABULARY}, beta = {BETA}, threshold = {THRESHOLD}, sigma = {SIGMA}, one thread;", end=" ")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}")
    throughput(options.values, options.repeats, options.baseline)
    clopper_pearson(options.repeats)
    latency(options.repeats)
    long_text()


if __name__ == "__main__":
    main()
