"""Proposition 4.1 as numbers: two unimodal certificates hold, and one joint attack defeats them together.

A toy base classifier sees one symbol, "a" or "b", and one real number. The noise flips the symbol with
probability 1/4 and adds a standard normal number. The classifier answers "yes" where the joint likelihood
ratio of the noisy point, attacked against clean, is small: by the Neyman-Pearson lemma no classifier with
the same clean score loses more to this attack. Its smoothed scores are enclosed in ball arithmetic, so the
violation is proven; the library's own sampling of the same classifier agrees.

Run it with ``python examples/proposition_4_1.py``; it takes seconds.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
from flint import arb, ctx, fmpq

import hybridcert as hc
from hybridcert.baselines.naive_product import UNSOUND, naive_product, naive_product_of_run
from hybridcert.threats import ContinuousSurface, DiscreteSurface

FLIP, SIGMA, THRESHOLD = Fraction(1, 4), 1.0, 0.5
"""The smoothing law and the score that "yes" has to exceed."""
D, EPS = 1, 2
"""The budgets: one changed symbol and a shift of 2."""
CUT = Fraction(19, 8)
"""The classifier answers "yes" where the joint log likelihood ratio is at most this."""
P = 0.985
"""What the certificates are told: a lower bound on the clean score of "yes"."""
CLEAN, ATTACKED = ("a", 0.0), ("b", 2.0)

NOISE = {"symbol": hc.UniformReplacement(float(FLIP)), "number": hc.GaussianNoise(SIGMA)}
SPECTRUM = NOISE["symbol"].spectrum([2])


class JointRule:
    """Answers "yes" where log(ratio of the symbol) + eps * number - eps^2 / 2 <= CUT."""

    classes_ = np.array(["no", "yes"])

    def surfaces(self):
        """One symbol of two, one number; both may be attacked."""
        return {"symbol": DiscreteSurface((2,), (0,)), "number": ContinuousSurface(1, (0,), "units")}

    def encode(self, X):
        """Take pairs such as ("a", 0.0)."""
        return {
            "symbol": np.array([["ab".index(symbol)] for symbol, _ in X], dtype=np.int64),
            "number": np.array([[number] for _, number in X], dtype=np.float64),
        }

    def predict_encoded(self, batch):
        """Cut along the joint likelihood ratio: where the number is cut depends on the symbol."""
        cuts = np.array([float(cut(symbol)) for symbol in "ab"])
        return (batch["number"][:, 0] <= cuts[batch["symbol"][:, 0]]).astype(np.intp)


def cut(symbol: str) -> arb:
    """Return the number up to which the classifier answers "yes" beside this symbol."""
    odds = (_ball(FLIP) / (1 - _ball(FLIP))).log()
    ratio = odds if symbol == "a" else -odds  # log P(symbol | b) / P(symbol | a)
    return (_ball(CUT) - ratio) / EPS + _ball(Fraction(EPS, 2))


def score(symbol: str, number: float) -> arb:
    """Enclose the smoothed score of "yes" at a point: a ball that holds the exact value."""
    other = "b" if symbol == "a" else "a"
    return (1 - _ball(FLIP)) * _normal_cdf(cut(symbol) - number) + _ball(FLIP) * _normal_cdf(
        cut(other) - number
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Counterexample:
    """All that the proposition needs, and what the library says about it.

    Attributes
    ----------
    clean_lower : float
        Lower bound on the smoothed score at the clean point.
    attacked_upper : float
        Upper bound on the smoothed score at the attacked point, which lies within (D, EPS).
    discrete_lower, continuous_lower : float
        What the unimodal certificates prove at (D, 0) and at (0, EPS), from P.
    joint_lower : float
        What the joint certificate proves at (D, EPS), from P.
    naive_claims, joint_certifies : bool
        Whether the naive product claims (D, EPS), and whether the joint certificate gives it.
    joint_radius : float
        The largest shift that the joint certificate proves beside D changes.
    """

    clean_lower: float
    attacked_upper: float
    discrete_lower: float
    continuous_lower: float
    joint_lower: float
    naive_claims: bool
    joint_certifies: bool
    joint_radius: float


def counterexample() -> Counterexample:
    """Compute the counterexample; its two sides are bounded in the directions that the proposition needs."""
    with ctx.workprec(128):
        clean, attacked = score(*CLEAN).lower(), score(*ATTACKED).upper()
    law = {"p_lower": P, "sigma": SIGMA}
    unchanged = hc.LikelihoodSpectrum.identity()
    values = [
        float(hc.adversarial_value(**law, spectrum=spectrum, epsilon=eps)[0])
        for spectrum, eps in ((SPECTRUM, 0.0), (unchanged, EPS), (SPECTRUM, EPS))
    ]
    naive = naive_product(**law, spectrum=SPECTRUM, threshold=THRESHOLD)
    joint = hc.radius(**law, spectrum=SPECTRUM, threshold=THRESHOLD)[0]
    return Counterexample(
        clean_lower=math.nextafter(float(clean), -math.inf),
        attacked_upper=math.nextafter(float(attacked), math.inf),
        discrete_lower=values[0],
        continuous_lower=values[1],
        joint_lower=values[2],
        naive_claims=bool(naive.claims(EPS)[0]),
        joint_certifies=joint.radius is not None and joint.radius >= EPS,
        joint_radius=joint.radius or 0.0,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Sampled:
    """The same classifier, sampled: the clean point certified, the attacked one counted.

    Attributes
    ----------
    p_lower : float
        Confidence bound on the clean score of "yes", level 1 - ALPHA.
    naive_claims, joint_certifies : bool
        As in `Counterexample`, from these samples.
    attacked_share : float
        Share of "yes" among the noisy copies of the attacked point.
    attacked_upper : float
        Confidence bound on the attacked score from above, level 1 - ALPHA.
    """

    p_lower: float
    naive_claims: bool
    joint_certifies: bool
    attacked_share: float
    attacked_upper: float


ALPHA = 1e-6


def sample(*, samples: int = 200_000, seed: int = 0) -> Sampled:
    """Certify the clean point and attack it, both by sampling."""
    smoothed = hc.SmoothedClassifier(JointRule(), noise=NOISE)
    run = smoothed.certify(
        [CLEAN],
        threat=hc.Substitution(D),
        samples=samples,
        alpha=ALPHA,
        threshold=THRESHOLD,
        seed=seed,
        label="yes",
    )
    hits = int(smoothed.counts([ATTACKED], samples=samples, seed=seed)[0, 1])
    return Sampled(
        p_lower=float(run.p_lower[0]),
        naive_claims=bool(naive_product_of_run(run, D).claims(EPS)[0]),
        joint_certifies=bool(run.certified(D, EPS)[0]),
        attacked_share=hits / samples,
        attacked_upper=float(hc.clopper_pearson_upper(hits, samples, ALPHA)),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Overstated:
    """How far the naive product overstates at one budget, over scores drawn at random.

    Attributes
    ----------
    d : int
    claimed : int
        Scores for which it claims (d, eps) for some eps > 0.
    median, largest : float
        Of the ratio of its radius to the radius of the joint certificate.
    """

    d: int
    claimed: int
    median: float
    largest: float


CENSUS = [42, 16, 15, 9, 7, 6, 5, 2]
SETTINGS = {
    "text and image: V = 32 000, beta = 0.25, threshold 4.6e-5": (0.25, [32_000] * 8, 4.6e-5),
    "census table: 8 fields, beta = 0.25, threshold 0.5": (0.25, CENSUS, 0.5),
    "census table: 8 fields, beta = 0.5, threshold 0.5": (0.5, CENSUS, 0.5),
}
"""Settings of the paper, and a larger beta; the fields in the order in which they hurt most."""


def overstated(
    beta: float, sizes: list[int], threshold: float, *, inputs: int = 2_000, seed: int = 0
) -> list[Overstated]:
    """Compare radii over random counts: n = 10 000, alpha = 0.01, error rates log-uniform in 1e-4 … 0.5."""
    rng = np.random.default_rng(seed)
    failures = (10_000 * 10 ** rng.uniform(-4.0, math.log10(0.5), inputs)).astype(np.int64)
    p_lower = hc.clopper_pearson_lower(10_000 - failures, 10_000, 0.01)
    found = []
    for d in range(1, len(sizes) + 1):
        law = {
            "p_lower": p_lower,
            "spectrum": hc.UniformReplacement(beta).spectrum(sizes[:d]),
            "sigma": 1.0,
            "threshold": threshold,
        }
        naive, joint = naive_product(**law), hc.radius(**law)
        rows = naive.claimed & (joint.radius > 0.0)
        ratio = naive.radius[rows] / joint.radius[rows]
        if ratio.size:
            found.append(Overstated(d, int(rows.sum()), float(np.median(ratio)), float(ratio.max())))
    return found


def main() -> None:
    """Print the counterexample, its sampled twin, and how far the naive product overstates."""
    exact, drawn = counterexample(), sample()
    yes = {symbol: float(cut(symbol)) for symbol in "ab"}
    print('Base classifier: answers "yes" where the (noisy) number is')
    print(f'  at most {yes["a"]:.4f} beside the symbol "a", at most {yes["b"]:.4f} beside "b".')
    print(f'Noise: the symbol flips with probability {FLIP}, the number gets N(0, 1). "yes" must exceed 1/2.')
    print(f"Clean point {CLEAN}; attacked point {ATTACKED}: {D} changed symbol and a shift of {EPS}.\n")
    print('Smoothed scores of "yes" (ball arithmetic):')
    for point, what in (
        (CLEAN, "clean"),
        (("b", 0.0), "symbol changed alone"),
        (("a", 2.0), "number shifted alone"),
        (ATTACKED, "both"),
    ):
        print(f"  {what:22s} {point!s:12s} {float(score(*point).mid()):.4f}")
    print(f"\nCertificates, told only that the clean score is at least {P}:")
    for name, at, bound in (
        ("discrete alone, ", f"({D}, 0)", exact.discrete_lower),
        ("continuous alone,", f"(0, {EPS})", exact.continuous_lower),
    ):
        verdict = "> 1/2: holds" if bound > THRESHOLD else "not above 1/2: fails"
        print(f"  {name:17s} {at}: at least {_down(bound)} {verdict}")
    print(f"  naive product,    ({D}, {EPS}): {'claimed' if exact.naive_claims else 'refused'}.  {UNSOUND}")
    print(
        f"  joint,            ({D}, {EPS}): at least {_down(exact.joint_lower)}: "
        f"{'certified' if exact.joint_certifies else 'refused'}; it proves shifts up to "
        f"{_down(exact.joint_radius)}"
    )
    verdict = "is false" if exact.attacked_upper < THRESHOLD else "survives"
    print(
        f"The attack: the score at {ATTACKED} is at most {_up(exact.attacked_upper)}. The claim {verdict}.\n"
    )
    print(
        f"Sampled with 200 000 copies each, bounds at level 1 - {ALPHA:g}: clean score at least "
        f"{_down(drawn.p_lower)},\n  attacked score {drawn.attacked_share:.4f}, at most "
        f"{_up(drawn.attacked_upper)}; naive product {'claims' if drawn.naive_claims else 'refuses'} "
        f"({D}, {EPS}), joint certificate {'gives' if drawn.joint_certifies else 'refuses'} it.\n"
    )
    print(
        "How far the naive product overstates the radius (its ratio to the joint one, 2 000 random counts):"
    )
    for name, setting in SETTINGS.items():
        print(f"  {name}")
        for row in overstated(*setting):
            ratios = f"median {row.median:6.2f}, largest {row.largest:6.1f}"
            print(f"    d = {row.d}: {ratios}, over {row.claimed} claims")


def _ball(value: Fraction) -> arb:
    return arb(fmpq(value.numerator, value.denominator))


def _normal_cdf(x: arb) -> arb:
    return (-x / arb(2).sqrt()).erfc() / 2


def _down(bound: float) -> str:
    return f"{math.floor(bound * 10_000) / 10_000:.4f}"


def _up(bound: float) -> str:
    return f"{math.ceil(bound * 10_000) / 10_000:.4f}"


if __name__ == "__main__":
    main()
