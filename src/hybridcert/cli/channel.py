"""The discrete side of a query: kernel, threat, and what stands at the positions that may change."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping
from typing import Any

from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.cli.kinds import KINDS, Kind
from hybridcert.cli.rules import Given, Spell, required
from hybridcert.documents.evidence import JointAttack, JointCandidate
from hybridcert.errors import ParameterError
from hybridcert.kernels.discrete import DiscreteKernel
from hybridcert.threats import THREATS, DiscreteThreat, Flips

MODALITY = "discrete"
"""Name of the only discrete modality in issued certificates."""


@dataclasses.dataclass(frozen=True, slots=True)
class Channel:
    """The discrete noise, the threat, and the exposure of the input; ``kernel`` None: no discrete change.

    ``said`` holds the options as they were given, ready for JSON.
    """

    kernel: DiscreteKernel | None
    threat: DiscreteThreat | None
    exposure: Hashable
    said: Mapping[str, object] = dataclasses.field(compare=False)

    @property
    def threat_name(self) -> str:
        """Command-line name of the threat."""
        return "none" if self.threat is None else self.threat.name

    def attack(self, d: int) -> JointAttack:
        """Return the candidates of the worst case at budget ``d``."""
        return _attack(self.kernel, self.threat, self.exposure, d)

    def law(self) -> list[dict[str, Any]]:
        """Return the discrete law as an issued certificate states it."""
        return [] if self.kernel is None else [{"modality": MODALITY, **self.kernel.law(self.exposure)}]

    def threats(self) -> list[dict[str, Any]]:
        """Return the discrete threat as an issued certificate states it."""
        return [] if self.threat is None else [{"modality": MODALITY, **self.threat.described()}]


@functools.lru_cache(maxsize=1024)
def _attack(
    kernel: DiscreteKernel | None, threat: DiscreteThreat | None, exposure: Hashable, d: int
) -> JointAttack:
    if kernel is None or threat is None:
        return JointAttack((JointCandidate((), LikelihoodSpectrum.identity()),), "single")
    found = kernel.candidates(threat, d, exposure)
    candidates = tuple(JointCandidate((c.change,), c.spectrum) for c in found.candidates)
    return JointAttack(candidates, found.worst_case)


_CAPS = ("max_additions", "max_removals")
_OWNED = tuple(sorted({key for kind in KINDS.values() for key in kind.keys}))
_NOT_SAID = ("synonyms", "matrix", "substitutions")


def read_channel(given: Given, budget: str, spell: Spell) -> Channel:
    """Build the channel from checked values; ``budget`` is the key of the discrete budget.

    Raises
    ------
    ParameterError
        For an option that is missing or does not apply, and for a budget beyond the number of positions.
    """
    name = given.get("kernel", "uniform")
    d = given.get(budget, 0)
    if name == "none":
        return _no_channel(given, budget, spell)
    kind = KINDS[name]
    _check_options(name, kind, given, spell)
    positions = kind.positions(given)
    if positions is not None and d > positions:
        where = kind.counted.format_map({key: spell(key) for key in kind.keys})
        raise ParameterError(f"{spell(budget)} must be at most the number of {where}, {positions}, got {d}")
    kernel, exposure = kind.build(given, max(d, 1))
    threat = _threat(given.get("threat", kind.threat), d, given, spell)
    said = {"kernel": name, **({"beta": given["beta"]} if "beta" in given else {}), "threat": threat.name}
    for key in (*_OWNED, *_CAPS):
        if key in given and key not in _NOT_SAID:
            said[key] = list(given[key]) if isinstance(given[key], tuple) else given[key]
    channel = Channel(kernel, threat, exposure, said)
    channel.attack(0)  # refuses a threat that the kernel does not serve
    return channel


def _threat(name: str, d: int, given: Given, spell: Spell) -> DiscreteThreat:
    caps = {key: given[key] for key in _CAPS if key in given}
    if name == Flips.name:
        return Flips(d, **caps)
    for key in caps:
        raise ParameterError(
            f"{spell(key)} does not apply to {spell('threat')} {name}: leave it out or use flips"
        )
    return THREATS[name](d)


def _check_options(name: str, kind: Kind, given: Given, spell: Spell) -> None:
    for group in kind.needed:
        keys = (group,) if isinstance(group, str) else group
        present = [key for key in keys if key in given]
        if not present:
            with_kernel = "" if keys == ("beta",) else f" with {spell('kernel')} {name}"
            instead = "".join(f" (or {spell(key)})" for key in keys[1:])
            raise required(keys[0], instead + with_kernel, spell)
        if len(present) > 1:
            raise ParameterError(
                f"{spell(present[0])} and {spell(present[1])} exclude each other: give one of them"
            )
    _refuse_others(name, kind.keys, given, spell)
    if isinstance(given.get("beta"), tuple):
        _check_rates(name, given, spell)
    if name == "matrix" and max(given["symbols"]) >= len(given["matrix"]):
        last, largest = len(given["matrix"]) - 1, max(given["symbols"])
        raise ParameterError(
            f"{spell('symbols')} must be row numbers of {spell('matrix')}, in [0, {last}], got {largest}"
        )


def _refuse_others(name: str, applicable: set[str], given: Given, spell: Spell) -> None:
    for key in _OWNED:
        if key in given and key not in applicable:
            owners = [owner for owner, kind in KINDS.items() if key in kind.keys]
            raise ParameterError(
                f"{spell(key)} does not apply to {spell('kernel')} {name}: leave it out or use "
                f"{' or '.join(owners)}"
            )


def _check_rates(name: str, given: Given, spell: Spell) -> None:
    rates = given["beta"]
    if name != "fields":
        raise ParameterError(
            f"{spell('beta')} must be one number with {spell('kernel')} {name}, got {len(rates)} of them"
        )
    if len(rates) != len(given["sizes"]):
        raise ParameterError(
            f"{spell('beta')} must be one rate, or one for each of the {len(given['sizes'])} fields in "
            f"{spell('sizes')}, got {len(rates)} of them"
        )


def _no_channel(given: Given, budget: str, spell: Spell) -> Channel:
    _refuse_others("none", set(), given, spell)
    for key in ("threat", *_CAPS):
        if key in given:
            raise ParameterError(f"{spell(key)} does not apply to {spell('kernel')} none: leave it out")
    if given.get(budget, 0) != 0:
        raise ParameterError(
            f"{spell(budget)} must be 0 with {spell('kernel')} none, where nothing discrete changes, "
            f"got {given[budget]}"
        )
    return Channel(None, None, None, {"kernel": "none"})
