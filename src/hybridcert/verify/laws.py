"""From the sections of a certificate to spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybridcert.errors import DataError
from hybridcert.verify import limits
from hybridcert.verify.changes import Change, Factor, read_change
from hybridcert.verify.kernels import DiscreteLaw, PositionLaw, discrete_law
from hybridcert.verify.meter import Meter
from hybridcert.verify.reals import items, shown
from hybridcert.verify.spectrum import Spectrum, product
from hybridcert.verify.threats import DiscreteThreat, check_fits, discrete_threat


@dataclass(frozen=True, slots=True)
class Threatened:
    """A discrete modality that the adversary may change: its law and the threat."""

    law: DiscreteLaw
    threat: DiscreteThreat


def spectrum_of(
    law: Mapping[str, object], change: Sequence[object], threat: Mapping[str, object], bits: int
) -> Spectrum:
    """Return the spectrum of one listed change, computed with ``bits`` bits.

    Parameters
    ----------
    law, threat
        The sections ``law`` and ``threat`` of a certificate; only their discrete parts matter.
    change
        The list ``change`` of a witness: one change per entry of ``threat.discrete``.
    bits
        Working precision. The balls hold the exact masses whatever it is.

    Raises
    ------
    DataError
        If a section is malformed or goes beyond a limit.
    """
    modalities = threatened(law, threat)
    return product(factors_of(modalities, read_changes(change, modalities, "change")), bits)


def threatened(law: Mapping[str, object], threat: Mapping[str, object]) -> tuple[Threatened, ...]:
    """Read the discrete modalities that are threatened, in the order of ``threat.discrete``."""
    most = limits.MODALITIES
    laws: dict[str, DiscreteLaw] = {}
    meter = Meter(limits.LAW_WORK)
    for index, entry in enumerate(items(law.get("discrete"), "law.discrete", most=most)):
        found = discrete_law(entry, f"law.discrete[{index}]")
        if found.modality in laws:
            raise DataError(f"law.discrete[{index}].modality: {shown(found.modality)} occurs twice")
        laws[found.modality] = found
        meter.spend(found.work if isinstance(found, PositionLaw) else 0)
    modalities: dict[str, Threatened] = {}
    for index, entry in enumerate(items(threat.get("discrete"), "threat.discrete", most=most)):
        where = f"threat.discrete[{index}]"
        kind = discrete_threat(entry, where)
        if kind.modality in modalities:
            raise DataError(f"{where}.modality: {shown(kind.modality)} occurs twice")
        if kind.modality not in laws:
            raise DataError(f"{where}.modality: the law has no discrete modality {shown(kind.modality)}")
        check_fits(kind, laws[kind.modality], where)
        modalities[kind.modality] = Threatened(laws[kind.modality], kind)
    return tuple(modalities.values())


def read_changes(value: object, modalities: Sequence[Threatened], where: str) -> tuple[Change, ...]:
    """Read the list ``change`` of a witness."""
    found = items(value, where, most=limits.MODALITIES)
    if len(found) != len(modalities):
        raise DataError(
            f"{where}: expected one change per threatened modality, {len(modalities)}, got {len(found)}"
        )
    return tuple(
        read_change(entry, modality.law, modality.threat, f"{where}[{index}]")
        for index, (entry, modality) in enumerate(zip(found, modalities, strict=True))
    )


def factors_of(modalities: Sequence[Threatened], changes: Sequence[Change]) -> tuple[Factor, ...]:
    """Return the factors of the product law of one change per modality."""
    return tuple(
        factor
        for modality, change in zip(modalities, changes, strict=True)
        for factor in change.factors(modality.law)
    )
