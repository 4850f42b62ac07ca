"""The super-position of an envelope: one pair of laws that dominates every option of the adversary."""

from __future__ import annotations

from typing import Any

from flint import arb

from hybridcert.verify.changes import Envelope
from hybridcert.verify.meter import Meter
from hybridcert.verify.pairs import Pair


def super_position(
    envelope: Envelope, meter: Meter, line_units: float
) -> tuple[arb, list[tuple[int, arb, arb]]]:
    """Return the clean mass at ratio 0, and (exponent, clean, adversarial mass) for every slope.

    The lines t p − h(t), h the largest H over all options, are the conjugate of a convex function that
    vanishes at 0. So the line at a grid slope is highest between the two chords of h that meet there: between
    (h_e − h_{e−1}) / (t_e − t_{e−1}) and (h_{e+1} − h_e) / (t_{e+1} − t_e), the first one from t = 0, the
    last one up to p = 1. No line has to be compared with another. ``line_units`` is the work to look at one
    of the lines that make up an H, which is counted on ``meter``.
    """
    base = arb(envelope.base)
    slopes = [base**e for e in range(envelope.lowest, envelope.highest + 1)]
    missed = _missed(envelope.pairs, slopes, meter, line_units)
    ends: list[Any] = []
    before_t, before_h = arb(0), arb(0)
    for t, h in zip(slopes, missed, strict=True):
        ends.append((h - before_h) / (t - before_t))
        before_t, before_h = t, h
    ends.append(arb(1))
    atoms = []
    for index, t in enumerate(slopes):
        clean = (ends[index + 1] - ends[index]).nonnegative_part()  # h is convex: it is never negative
        atoms.append((envelope.lowest + index, clean, t * clean))
    return ends[0], atoms


def _missed(pairs: tuple[Pair, ...], slopes: list[arb], meter: Meter, line_units: float) -> list[arb]:
    """Return balls around the largest H(t) = Σ max(t P − Q, 0) over all options, at ascending slopes t."""
    largest = [arb(0).max(t - 1) for t in slopes]  # no H is smaller
    for pair in pairs:
        ratios = [arb(ratio) for ratio, _, _ in pair.atoms]
        balls = [(arb(p), arb(q)) for p, q in pair.sums]
        surely = perhaps = 0  # ratios proven to lie below t, and those not proven to lie above it
        for index, t in enumerate(slopes):
            while surely < len(ratios) and ratios[surely] < t:
                surely += 1
            perhaps = max(perhaps, surely)
            meter.spend(line_units)
            while perhaps < len(ratios) and not ratios[perhaps] > t:
                perhaps += 1
            meter.spend(line_units * (perhaps - surely))
            # H, the largest of t p − q over the sums, is among these
            for p, q in balls[surely : perhaps + 1]:
                largest[index] = largest[index].max(t * p - q)
    return largest
