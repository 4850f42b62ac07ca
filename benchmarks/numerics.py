"""What directed rounding gives away, in tightness and in time.

    python benchmarks/numerics.py [--configurations 2500] [--inputs 10000] [--repeats 15]

Tightness: random laws of every kind, values and radii against exact ones in ball arithmetic (the references
of the test suite). Cost: the same solver with the directed evaluation replaced by a plain float64 one
(scipy.special.ndtr, no margins, no step back), both in one run and in turn, so the ratios hold also where the
absolute figures do not.
"""

# ruff: noqa: E402 (the number of threads is set before NumPy is imported)

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.special import ndtr

import hybridcert as hc
from balls import BallLaw, LaplaceLaw, ball, precision
from exact_laws import Law, compose, knapsack, shared_law, spectrum_of, uniform_law
from hybridcert.certificate.search import best_threshold, propose_radius

Floats = NDArray[np.float64]
KINDS = ("uniform", "fields", "absorbing", "deletion", "composed", "arbitrary")
BITS = 260
VOCABULARY, BETA, THRESHOLD = 50_000, 0.25, 4.6e-5


# -- tightness ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Shortfall:
    """The worst relative shortfall of one kind of configuration, and how often a number was too large."""

    values: float
    radii: float
    compared: int
    above: int


def random_law(kind: str, stream: random.Random) -> tuple[Law, hc.LikelihoodSpectrum]:
    """Return an exact law and the spectrum that the package makes of the same parameters."""
    beta = stream.choice([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, stream.random(), 10 ** stream.uniform(-6, 0)])
    kernel = hc.UniformReplacement(beta)
    if kind == "uniform":
        sizes = [stream.choice([2, 3, 5, 256, 50_000])] * stream.randint(0, 5)
        return uniform_law(beta, sizes), kernel.spectrum(sizes)
    if kind == "fields":
        sizes = [stream.choice([2, 3, 7, 42, 256]) for _ in range(stream.randint(1, 3))]
        return uniform_law(beta, sizes), kernel.spectrum(sizes)
    if kind == "absorbing":
        d = stream.randint(1, 5)
        return shared_law(Fraction(beta) ** d, Fraction(beta) ** d), hc.Absorbing(beta).spectrum(d)
    if kind == "deletion":
        more, less = stream.randint(0, 5), stream.randint(0, 5)
        law = shared_law(Fraction(beta) ** less, Fraction(beta) ** more)
        return law, hc.RandomDeletion(beta).spectrum(insertions=more, deletions=less)
    if kind == "composed":
        d = stream.randint(1, 3)
        law = compose(shared_law(Fraction(0.9) ** d, Fraction(0.9) ** d), uniform_law(beta, [5, 5]))
        return law, hc.Absorbing(0.9).spectrum(d).compose(kernel.spectrum([5, 5]))
    p = [Fraction(stream.random()) for _ in range(4)]
    q = [Fraction(10 ** stream.uniform(-4, 0)) for _ in range(5)]
    law = {(b / sum(q)) / (a / sum(p)): (a / sum(p), b / sum(q)) for a, b in zip(p, q, strict=False)}
    return law, spectrum_of(law)


def random_scores(law: Law, stream: random.Random) -> float:
    """Scores from everywhere, near both ends too; none within 1e-6 of a plateau of the clean law.

    Next to a plateau no float64 mass can tell (docs/numerics.md, section 9).
    """
    while True:
        p = stream.choice(
            [stream.random(), 10 ** stream.uniform(-6, 0), 1 - 10 ** stream.uniform(-9, 0), 0.99, 0.999]
        )
        total = Fraction(0)
        far = 0.0 < p < 1.0
        for ratio in sorted(law)[:-1]:
            total += law[ratio][0]
            far = far and abs(Fraction(p) - total) > Fraction(1, 10**6) * min(Fraction(p), 1 - Fraction(p))
        if far:
            return p


def shortfall_of_value(
    law: Law, spectrum: hc.LikelihoodSpectrum, noise: str, p: float, m: float
) -> tuple[float, bool] | None:
    """Return 1 − value/exact and whether the value is above; None where the exact value is below 1e-250."""
    exact = (LaplaceLaw if noise == "laplace" else BallLaw).of(law)
    bound = hc.Tradeoff(spectrum, m, noise).lower(p)
    value, u = float(bound.value), float(bound.log_t)
    below, above = exact.value_between(m, p, near=u if math.isfinite(u) else 0.0)
    if not below > 1e-250:
        return None
    return float(((above - ball(value)) / above).upper()), not bool(ball(value) <= above)


def shortfall_of_radius(
    law: Law, spectrum: hc.LikelihoodSpectrum, noise: str, p: float, tau: float
) -> tuple[float, bool] | None:
    """Bound 1 − radius/exact by the least factor at which the score is seen to have fallen to τ."""
    exact = (LaplaceLaw if noise == "laplace" else BallLaw).of(law)
    claim = hc.radius(p_lower=p, spectrum=spectrum, sigma=1.0, threshold=tau, noise=noise)[0]
    if claim.radius is None or claim.log_t is None or claim.radius < 1e-6:
        wrong = claim.certified and not knapsack(law, Fraction(p)) > Fraction(tau)
        return (0.0, True) if wrong else None
    above = not bool(exact.value_between(claim.radius, p, near=claim.log_t)[0] > ball(tau))
    for exponent in range(-56, 1):
        factor = 2.0**exponent
        farther = ball(claim.radius) * (1 + ball(factor))
        if bool(exact.value_between(farther, p, near=claim.log_t)[1] <= ball(tau)):
            return factor, above
    return 1.0, above


def tightness(count: int, seed: int = 1) -> Iterator[tuple[str, str, Shortfall]]:
    """Yield the worst shortfalls of ``count`` random configurations for each kind of law and noise."""
    share = -(-count // (2 * len(KINDS)))
    with precision(BITS):
        for noise in ("gaussian", "laplace"):
            for kind in KINDS:
                stream = random.Random(f"{seed} {noise} {kind}")
                values, radii, above = [], [], 0
                for _ in range(share):
                    law, spectrum = random_law(kind, stream)
                    p = random_scores(law, stream)
                    m = stream.choice([stream.uniform(0.0, 5.0), 10 ** stream.uniform(-4, 1)])
                    tau = stream.choice([1e-10, 4.6e-5, 0.01, 0.1, 0.5, 0.9, stream.random()])
                    for found, into in (
                        (shortfall_of_value(law, spectrum, noise, p, m), values),
                        (shortfall_of_radius(law, spectrum, noise, p, tau), radii),
                    ):
                        if found is not None:
                            into.append(found[0])
                            above += found[1]
                compared = len(values) + len(radii)
                yield (
                    noise,
                    kind,
                    Shortfall(max(values, default=0.0), max(radii, default=0.0), compared, above),
                )


# -- cost --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Median seconds of the directed and of the plain solver, and the median of their ratios by round."""

    directed: float
    plain: float
    ratio: float


def spectrum_at(d: int) -> hc.LikelihoodSpectrum:
    """Return the likelihood spectrum of d changed positions."""
    return hc.UniformReplacement(BETA).spectrum([VOCABULARY] * d)


def plain_dual(spectrum: hc.LikelihoodSpectrum, m: Floats, p: Floats, u: Floats) -> Floats:
    """Evaluate W + t (p − F) in float64, in blocks of atoms × rows; m = 0 as the fractional knapsack."""
    found = np.empty(p.shape)
    ratio = spectrum.log_ratio[:, None]
    clean, adversarial = spectrum.clean_lower, spectrum.adversarial_lower
    step = max(1, (1 << 15) // len(spectrum))
    for start in range(0, p.size, step):
        part = slice(start, start + step)
        t, zero = np.exp(u[part]), m[part] == 0.0
        overlap = np.minimum(adversarial[:, None], t * clean[:, None]) if zero.any() else None
        with np.errstate(all="ignore"):
            a = (u[part] - ratio) / m[part] + 0.5 * m[part]
        found[part] = adversarial @ ndtr(a - m[part]) + t * (clean @ ndtr(-a) - (1.0 - p[part]))
        if overlap is not None:
            found[part] = np.where(zero, overlap.sum(axis=0) - t * (1.0 - p[part]), found[part])
    return found


def plain_radius(spectrum: hc.LikelihoodSpectrum, p: Floats, sigma: float, threshold: float) -> Floats:
    """Certify with the package's own search and one plain evaluation; what is not certified is NaN."""
    distinct, index = np.unique(p, return_inverse=True)
    m, u, _ = propose_radius(spectrum, distinct, np.full(distinct.shape, threshold))
    rows = np.flatnonzero(m == 0.0)
    u[rows] = best_threshold(spectrum, np.zeros(rows.size), distinct[rows])
    value = plain_dual(spectrum, m, distinct, u)
    certified = np.where(m > 0.0, value > 0.5 * threshold, value > threshold)
    return np.where(certified, sigma * m, np.nan)[index]


def plain_value(spectrum: hc.LikelihoodSpectrum, p: Floats, sigma: float, epsilon: float) -> Floats:
    """Return the worst-case score with the package's own search and one plain evaluation."""
    m = np.full(p.shape, epsilon / sigma)
    return np.maximum(plain_dual(spectrum, m, p, best_threshold(spectrum, m, p)), 0.0)


def seconds(call: Callable[[], object]) -> float:
    """Time one call, in processor seconds: what else the machine does shall not count."""
    started = time.process_time()
    call()
    return time.process_time() - started


def compare(directed: Callable[[], object], plain: Callable[[], object], repeats: int) -> Cost:
    """Time the two in turn."""
    rounds = [(seconds(directed), seconds(plain)) for _ in range(repeats)]
    first, second = zip(*rounds, strict=True)
    return Cost(
        statistics.median(first), statistics.median(second), statistics.median(a / b for a, b in rounds)
    )


def certifiable(spectrum: hc.LikelihoodSpectrum, count: int, seed: int) -> Floats:
    """Draw 1 − p log-uniformly between a thousandth of the largest certifiable one and that."""
    risk = 10.0 ** -np.linspace(0.0, 15.0, 1501)
    claims = hc.radius(p_lower=1.0 - risk, spectrum=spectrum, sigma=1.0, threshold=THRESHOLD)
    most = risk[np.argmax(claims.certified)]
    return 1.0 - np.exp(np.random.default_rng(seed).uniform(math.log(most / 1000.0), math.log(most), count))


def cost(d: int, inputs: int, repeats: int) -> tuple[Cost, Cost]:
    """Compare radii and values at budget d; both solvers agree to within 1e-9."""
    spectrum = spectrum_at(d)
    p = certifiable(spectrum, inputs, seed=d)
    radius = functools.partial(hc.radius, p_lower=p, spectrum=spectrum, sigma=1.0, threshold=THRESHOLD)
    value = functools.partial(hc.adversarial_value, p_lower=p, spectrum=spectrum, sigma=1.0, epsilon=0.5)
    rough_radius = functools.partial(plain_radius, spectrum, p, 1.0, THRESHOLD)
    rough_value = functools.partial(plain_value, spectrum, p, 1.0, 0.5)
    both = np.isfinite(rough_radius()) & (radius().radius > 1e-3)
    np.testing.assert_allclose(radius().radius[both], rough_radius()[both], rtol=1e-8)
    np.testing.assert_allclose(value()[0], rough_value(), rtol=1e-8, atol=1e-15)
    return compare(radius, rough_radius, repeats), compare(value, rough_value, repeats)


def main() -> None:
    """Run every measurement."""
    parser = argparse.ArgumentParser(
        description="What directed rounding gives away, in tightness and in time."
    )
    parser.add_argument("--configurations", type=int, default=2500, help="random laws, over all kinds")
    parser.add_argument("--inputs", type=int, default=10_000, help="inputs per budget when timing")
    parser.add_argument("--repeats", type=int, default=15, help="rounds; medians are reported")
    options = parser.parse_args()
    print(
        f"one thread; Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}"
    )
    print(f"\nshortfall against ball arithmetic ({BITS} bits), worst relative; radii: as a power of two")
    print("noise     law           values     radii  compared  above")
    worst, compared, above = 0.0, 0, 0
    for noise, kind, found in tightness(options.configurations):
        worst = max(worst, found.values, found.radii)
        compared, above = compared + found.compared, above + found.above
        print(
            f"{noise:9} {kind:10} {found.values:9.1e} {found.radii:9.1e} {found.compared:9} {found.above:6}"
        )
    print(f"worst {worst:.1e} in {compared} comparisons; above the exact number: {above}")
    print(
        f"\ndirected against plain float64, {options.inputs} inputs, V = {VOCABULARY}, beta = {BETA},",
        end=" ",
    )
    print(f"threshold = {THRESHOLD}, epsilon = 0.5 for values (milliseconds, ratio)")
    print("  d       radii  plain  ratio      values  plain  ratio")
    ratios: list[tuple[float, float]] = []
    for d in range(1, 9):
        radii, values = cost(d, options.inputs, options.repeats)
        ratios.append((radii.ratio, values.ratio))
        print(f"{d:3} {1e3 * radii.directed:11.1f} {1e3 * radii.plain:6.1f} {radii.ratio:6.2f}", end=" ")
        print(f"{1e3 * values.directed:11.1f} {1e3 * values.plain:6.1f} {values.ratio:6.2f}")
    medians = [statistics.median(column) for column in zip(*ratios, strict=True)]
    print(f"median ratio over d: radii {medians[0]:.2f}, values {medians[1]:.2f};", end=" ")
    print(f"largest {max(max(pair) for pair in ratios):.2f}")


if __name__ == "__main__":
    main()
