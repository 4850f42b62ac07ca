"""Reader of the section ``estimate`` of ``hybridcert/certificate/1``."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Final

from flint import fmpq

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.certificate import Claim, Estimate, Plan
from hybridcert.verify.reals import count, items, real_in, section, shown

_COUNTED: Final = ("method", "samples", "alpha", "p_lower")


def read_estimate(value: object, claim: Claim) -> Estimate:
    """Read the section by its method.

    Raises
    ------
    DataError
        At the first thing that is not as the format says, with its place.
    """
    if not isinstance(value, Mapping):
        raise DataError(f"estimate: expected an object, got {shown(value)}")
    method = value.get("method")
    reader = _READERS.get(method) if isinstance(method, str) else None
    if reader is None:
        *names, last = map(repr, _READERS)
        raise DataError(f"estimate.method: expected {', '.join(names)} or {last}, got {shown(method)}")
    return reader(value, claim)


def _given(value: Mapping[str, object], claim: Claim) -> Estimate:
    top = claim.kind == "top-k"
    found = section(value, "estimate", required=("method", "p_lower", *(("p_upper",) if top else ())))
    return Estimate("given", _p_lower(found), _p_upper(found) if top else None)


def _clopper_pearson(value: Mapping[str, object], claim: Claim) -> Estimate:
    return _one_label(value, claim, "clopper-pearson", optional=("looks",))


def _beta_mixture(value: Mapping[str, object], claim: Claim) -> Estimate:
    return _one_label(value, claim, "beta-mixture", required=("prior",))


def _one_label(
    value: Mapping[str, object],
    claim: Claim,
    method: str,
    *,
    required: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> Estimate:
    """Read a method that looks at the claimed label alone."""
    if claim.kind == "top-k":
        optional = (*optional, "p_upper")
    found = section(value, "estimate", required=(*_COUNTED, "successes", *required), optional=optional)
    if claim.k != 1:
        raise DataError(f"estimate.method: {method!r} proves top-k claims with k = 1, got {claim.k}")
    samples = _samples(found)
    return Estimate(
        method,
        _p_lower(found),
        _p_upper(found) if found.get("p_upper") is not None else None,
        alpha=_alpha(found),
        samples=samples,
        successes=count(found["successes"], "estimate.successes", most=samples),
        plan=_prior(found["prior"]) if "prior" in found else _budget(found, samples),
    )


def _bonferroni(value: Mapping[str, object], claim: Claim) -> Estimate:
    method = "clopper-pearson-bonferroni"
    if claim.kind != "top-k":
        raise DataError(f"estimate.method: {method!r} is for top-k claims")
    required = (*_COUNTED, "counts", "label_index", "p_upper")
    found = section(value, "estimate", required=required, optional=("looks",))
    samples = _samples(found)
    entries = items(found["counts"], "estimate.counts", most=limits.LABELS)
    counts = tuple(count(n, f"estimate.counts[{i}]", most=samples) for i, n in enumerate(entries))
    if len(counts) != claim.classes or sum(counts) != samples:
        raise DataError(
            f"estimate.counts: expected {claim.classes} counts with a sum of {samples}, "
            f"got {len(counts)} with sum {sum(counts)}"
        )
    return Estimate(
        method,
        _p_lower(found),
        _p_upper(found),
        alpha=_alpha(found),
        samples=samples,
        counts=counts,
        label_index=count(found["label_index"], "estimate.label_index", most=len(counts) - 1),
        plan=_budget(found, samples),
    )


def _group_sequential(value: Mapping[str, object], claim: Claim) -> Estimate:
    method = "group-sequential"
    if claim.kind != "score":
        raise DataError(f"estimate.method: {method!r} is for score claims")
    found = section(value, "estimate", required=(*_COUNTED, "successes", "looks", "look", "successes_at"))
    samples = _samples(found)
    successes = count(found["successes"], "estimate.successes", most=samples)
    looks = _looks(found["looks"])
    if samples > looks[-1][0]:
        raise DataError(f"estimate.samples: must be at most the last look, {looks[-1][0]}, got {samples}")
    certify_at = tuple(count(c, f"estimate.looks[{i}][1]", most=n + 1) for i, (n, c) in enumerate(looks))
    copies = tuple(n for n, _ in looks)
    path = items(found["successes_at"], "estimate.successes_at", most=len(looks))
    look, crossed = _outcome(copies, certify_at, path, samples, successes)
    if count(found["look"], "estimate.look", most=len(looks) - 1) != look:
        raise DataError(f"estimate.look: this outcome counts at look {look}, got {found['look']}")
    return Estimate(
        method,
        _p_lower(found),
        None,
        alpha=_alpha(found),
        samples=samples,
        successes=successes,
        plan=Plan(copies, look, certify_at=certify_at, crossed=crossed),
    )


def _outcome(
    looks: Sequence[int], certify_at: Sequence[int], path: Sequence[object], samples: int, successes: int
) -> tuple[int, bool]:
    """Return the look at which an outcome counts: where its path crosses, or else the last one; which it is.

    The path has the successes at every look that was reached, and ends with those among all samples.
    """
    reached = bisect.bisect_right(looks, samples)
    if len(path) != reached:
        raise DataError(f"estimate.successes_at: {samples} samples reach {reached} looks, got {len(path)}")
    drawn, before = 0, 0
    for index, (n, entry) in enumerate(zip(looks, path, strict=False)):
        where = f"estimate.successes_at[{index}]"
        here = count(entry, where, least=before, most=before + n - drawn)
        if here >= certify_at[index]:
            if n != samples:
                raise DataError(f"{where}: certifies at {n} samples, where sampling had to stop")
            if here != successes:
                raise DataError(f"estimate.successes: expected the {here} of {where}, got {successes}")
            return index, True
        drawn, before = n, here
    count(successes, "estimate.successes", least=before, most=before + samples - drawn)
    return len(looks) - 1, False


def _budget(found: Mapping[str, object], samples: int) -> Plan | None:
    """Read looks that share the error probability."""
    if "looks" not in found:
        return None
    looks = _looks(found["looks"])
    alphas = tuple(
        real_in(share, f"estimate.looks[{i}][1]", "0", "1", brackets="()")
        for i, (_, share) in enumerate(looks)
    )
    copies = tuple(n for n, _ in looks)
    if samples not in copies:
        raise DataError(f"estimate.samples: must be the number of samples of a look, got {samples}")
    return Plan(copies, copies.index(samples), alphas=alphas)


def _looks(value: object) -> list[tuple[int, object]]:
    """Read pairs of a number of samples, which increases, and something else."""
    found: list[tuple[int, object]] = []
    least = 1
    for index, entry in enumerate(items(value, "estimate.looks", most=limits.LOOKS)):
        where = f"estimate.looks[{index}]"
        pair = items(entry, where, most=2)
        if len(pair) != 2:
            raise DataError(f"{where}: expected two entries, got {len(pair)}")
        samples = count(pair[0], f"{where}[0]", least=least, most=limits.SAMPLES)
        found.append((samples, pair[1]))
        least = samples + 1
    if not found:
        raise DataError("estimate.looks: expected at least one")
    return found


def _prior(value: object) -> Plan:
    entries = items(value, "estimate.prior", most=2)
    if len(entries) != 2:
        raise DataError(f"estimate.prior: expected two parameters, got {len(entries)}")
    a, b = (real_in(v, f"estimate.prior[{i}]", "0", "inf", brackets="()") for i, v in enumerate(entries))
    return Plan(prior=(a, b))


def _samples(found: Mapping[str, object]) -> int:
    return count(found["samples"], "estimate.samples", least=1, most=limits.SAMPLES)


def _alpha(found: Mapping[str, object]) -> fmpq:
    return real_in(found["alpha"], "estimate.alpha", "0", "1", brackets="()")


def _p_lower(found: Mapping[str, object]) -> fmpq:
    return real_in(found["p_lower"], "estimate.p_lower", "0", "1", brackets="[)")


def _p_upper(found: Mapping[str, object]) -> fmpq:
    return real_in(found["p_upper"], "estimate.p_upper", "0", "1", brackets="[]")


_READERS: Final = {
    "clopper-pearson": _clopper_pearson,
    "clopper-pearson-bonferroni": _bonferroni,
    "group-sequential": _group_sequential,
    "beta-mixture": _beta_mixture,
    "given": _given,
}
